"""Values of settings: laws that hold for every one, and pairs that servers really return."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.postgres.model import Setting
from reconcilers.postgres.settings import amount, refusal, same, shown

WORK_MEM = Setting("20480", "kB", "integer", "user", lowest="64", highest="2147483647")
BUFFERS = Setting("16384", "8kB", "integer", "postmaster", lowest="16", highest="1073741823")
NAPTIME = Setting("60", "s", "integer", "sighup", lowest="1", highest="2147483")
COST = Setting("1.1", None, "real", "user", lowest="0", highest="1.79769e+308")
DELAY = Setting("2", "ms", "real", "sighup", lowest="-1", highest="100")
CONNECTIONS = Setting("200", None, "integer", "postmaster", lowest="1", highest="262143")
TRUTH = Setting("on", None, "bool", "sighup")
STATEMENTS = Setting("ddl", None, "enum", "superuser", ("none", "ddl", "mod", "all"))
COMMIT = Setting("on", None, "enum", "user", ("local", "remote_write", "remote_apply", "on", "off"))
TLS = Setting("TLSv1.2", None, "enum", "sighup", ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"))
PREFIX = Setting("%t ", None, "string", "sighup")
PLACES = Setting('"$user", public', None, "names", "user")
ZONE = Setting("UTC", None, "caseless", "user")
NUMBERS = (WORK_MEM, BUFFERS, NAPTIME, COST, DELAY, CONNECTIONS)
ALL = (*NUMBERS, TRUTH, STATEMENTS, COMMIT, TLS, PREFIX, PLACES, ZONE)


@given(setting=st.sampled_from(ALL), wanted=st.text(max_size=30), found=st.text(max_size=30))
def test_whatever_is_written_or_found_there_is_an_answer(setting: Setting, wanted: str, found: str) -> None:
    assert same(setting, wanted, found) in {True, False}
    assert refusal(setting, wanted) is None or refusal(setting, wanted)
    assert shown(setting, found) or not found


@given(setting=st.sampled_from([WORK_MEM, BUFFERS, NAPTIME, CONNECTIONS]), number=st.integers(0, 2**31 - 1))
def test_what_is_shown_is_what_the_server_meant(setting: Setting, number: int) -> None:
    assert same(setting, shown(setting, str(number)), str(number))
    assert not same(setting, shown(setting, str(number)), str(number + 1))


@given(number=st.integers(1, 1023), unit=st.sampled_from(["kB", "MB", "GB"]))
def test_1024_of_a_unit_are_one_of_the_next(number: int, unit: str) -> None:
    after = {"kB": "MB", "MB": "GB", "GB": "TB"}[unit]
    assert same(WORK_MEM, f"{number * 1024}{unit}", f"{number}{after}")
    assert not same(WORK_MEM, f"{number}{unit}", f"{number}{after}")


@given(value=st.floats(0.001, 1e6))
def test_six_digits_of_a_real_number_are_that_number(value: float) -> None:
    assert same(COST, repr(value), f"{value:g}")


@pytest.mark.parametrize(
    ("setting", "wanted", "found"),
    [
        (WORK_MEM, "20MB", "20480"),
        (WORK_MEM, " 20 MB ", "20480"),
        (WORK_MEM, "0.5GB", "524288"),
        (WORK_MEM, "0.1GB", "104448"),
        (WORK_MEM, "1e3", "1000"),
        (BUFFERS, "128MB", "16384"),
        (BUFFERS, "4GB", "524288"),
        (NAPTIME, "1min", "60"),
        (NAPTIME, "10s", "10"),
        (COST, "1.1", "1.1"),
        (COST, "1.10", "1.1"),
        (PLACES, '"$user",public', '"$user", public'),
        (PLACES, "App", '"app"'),
        (PLACES, "", '""'),
        (ZONE, "utc", "UTC"),
        (COST, "0.1234567", "0.123457"),
        (DELAY, "2000us", "2"),
        (CONNECTIONS, "0xC8", "200"),
        (CONNECTIONS, "010", "8"),
        (TRUTH, "tru", "on"),
        (TRUTH, "0", "off"),
        (STATEMENTS, "DDL", "ddl"),
        (COMMIT, "true", "on"),
        (TLS, "tlsv1.3", "TLSv1.3"),
        (PREFIX, "%t [%p]: ", "%t [%p]: "),
    ],
)
def test_these_are_the_same(setting: Setting, wanted: str, found: str) -> None:
    assert same(setting, wanted, found)


@pytest.mark.parametrize(
    ("setting", "wanted", "found"),
    [
        (WORK_MEM, "20", "20480"),
        (CONNECTIONS, "2147483646", "2147483647"),
        (TRUTH, "off", "on"),
        (COMMIT, "local", "on"),
        (PREFIX, "%t", "%t "),
        (PREFIX, "On", "on"),
    ],
)
def test_these_are_not_the_same(setting: Setting, wanted: str, found: str) -> None:
    assert not same(setting, wanted, found)


@pytest.mark.parametrize(
    ("setting", "wanted", "why"),
    [
        (WORK_MEM, "20 apples", "a number with a unit, its own is kB is needed"),
        (WORK_MEM, "20mb", "a number with a unit, its own is kB is needed"),
        (WORK_MEM, "20s", "a number with a unit, its own is kB is needed"),
        (WORK_MEM, "1kB", "64kB to 2147483647kB is allowed"),
        (NAPTIME, "0", "1s to 2147483s is allowed"),
        (CONNECTIONS, "200MB", "a number is needed"),
        (CONNECTIONS, "many", "a number is needed"),
        (CONNECTIONS, "\u00b2", "a number is needed"),
        (CONNECTIONS, "\u0663", "a number is needed"),
        (CONNECTIONS, "1e999", "a number is needed"),
        (CONNECTIONS, "-1", "1 to 262143 is allowed"),
        (CONNECTIONS, "08", "a number is needed"),
        (TRUTH, "o", "on or off is needed"),
        (TRUTH, "", "on or off is needed"),
        (STATEMENTS, "everything", "one of none, ddl, mod, all is needed"),
        (STATEMENTS, "on", "one of none, ddl, mod, all is needed"),
        (
            Setting("8192", None, "integer", "internal"),
            "4096",
            "it cannot be changed: it was fixed when the server was built or the cluster was made",
        ),
    ],
)
def test_what_the_server_would_refuse_is_refused_with_what_is_needed(
    setting: Setting, wanted: str, why: str
) -> None:
    assert refusal(setting, wanted) == why


@pytest.mark.parametrize("wanted", ["20MB", "64", "1e3", "0.5GB"])
def test_what_it_takes_is_not_refused(wanted: str) -> None:
    assert refusal(WORK_MEM, wanted) is None


def test_a_number_without_a_unit_has_the_settings_own() -> None:
    assert amount(BUFFERS, "16") == 16
    assert amount(BUFFERS, "16kB") == 2
    assert shown(BUFFERS) == "128MB"


def test_a_text_that_is_empty_is_called_so() -> None:
    assert shown(Setting("", None, "string", "sighup")) == "empty"
