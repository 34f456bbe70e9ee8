"""How we read settings and store passwords, against what a real server makes of the same text."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from lab.postgres import LabPostgres
from reconcilers.postgres.model import Setting
from reconcilers.postgres.scram import is_password, salt_for, verifier
from reconcilers.postgres.settings import RELOADED, refusal, same, shown
from tests.real_postgres import a_site

NUMBERS = ["0", "1", "-1", "0.1", "1.5", "2.5", "30.1", "10", "010", "08", "0x10", "0X1F", "0xB", "1e3", ".5"]
MORE_NUMBERS = ["5.", "+7", "  8 ", "1e-1", "1_0", "0x", "1e", "inf", "nan", "0.1234567", "99999999999"]
UNITS = ["", "B", "kB", "MB", "GB", "TB", "us", "ms", "s", "min", "h", "d", " kB", " kB ", "KB", "mb", "S"]
WORDS = [
    "true",
    "t",
    "on",
    "o",
    "of",
    "Off",
    "yes",
    "n",
    "1",
    "0",
    " on",
    "on ",
    "2",
    "",
    "all",
    "DDL",
    "none",
]
#: One of each sort of unit, number and choice; what a session may set, so that nothing is restarted.
NAMES = [
    "work_mem",
    "temp_buffers",
    "wal_skip_threshold",
    "effective_cache_size",
    "log_parameter_max_length",
    "statement_timeout",
    "log_min_duration_statement",
    "vacuum_cost_delay",
    "seq_page_cost",
    "geqo_seed",
    "extra_float_digits",
    "join_collapse_limit",
    "enable_sort",
    "log_statement",
    "synchronous_commit",
]
TRIED = """
SET backslash_quote = on;
CREATE OR REPLACE FUNCTION pg_temp.tried(what text, value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config(what, value, true);
  RETURN (SELECT setting FROM pg_settings WHERE name = what);
EXCEPTION WHEN OTHERS THEN RETURN NULL;
END $$;
SELECT json_agg(pg_temp.tried(n, v) ORDER BY place)
FROM json_to_recordset($q$GIVEN$q$) AS x(place int, n text, v text);
"""
PASSWORDS = [
    "plain",
    "with 'quotes', \"more\" and \\",
    "caf\u00e9",
    "cafe\u0301",
    "no\u00a0break",
    "soft\u00adhyphen",
    "\u2168",
    "\u200bwide",
    "\u0627\u0031",
    "\u0627\u0628",
    "\u0007\u00e9",
    "\U0001f418",
    "\u4e2d\u6587",
]


@pytest.fixture(scope="module")
def server() -> Iterator[LabPostgres]:
    with a_site() as site:
        yield site.primary()


@pytest.fixture(scope="module")
def settings(server: LabPostgres) -> Mapping[str, Setting]:
    rows = json.loads(server.run("SELECT json_agg(s) FROM pg_settings s"))
    return {
        row["name"]: Setting(
            row["setting"],
            row["unit"],
            row["vartype"],
            row["context"],
            tuple(row["enumvals"] or ()),
            lowest=row["min_val"],
            highest=row["max_val"],
        )
        for row in rows
    }


def made_of(server: LabPostgres, cases: Sequence[tuple[str, str]]) -> Sequence[str | None]:
    """Return what the server makes of each value; None where it refuses."""
    given = json.dumps([{"place": place, "n": n, "v": v} for place, (n, v) in enumerate(cases)])
    made: Sequence[str | None] = json.loads(server.run(TRIED.replace("GIVEN", given)))
    return made


def test_each_value_of_a_server_is_itself_is_allowed_and_is_shown_as_what_it_is(
    settings: Mapping[str, Setting],
) -> None:
    assert len(settings) > 300
    for name, setting in settings.items():
        assert same(setting, setting.value, setting.value), name
        assert setting.context == "internal" or refusal(setting, setting.value) is None, name
        assert not setting.value or same(setting, shown(setting), setting.value), name
        assert setting.context in RELOADED | {"internal", "postmaster"}, name


def test_what_the_server_makes_of_a_value_is_the_same_for_us(
    server: LabPostgres, settings: Mapping[str, Setting]
) -> None:
    values = [*map("".join, itertools.product(NUMBERS + MORE_NUMBERS, UNITS)), *WORDS]
    cases = [*itertools.product(NAMES, values)]
    taken = 0
    for (name, value), made in zip(cases, made_of(server, cases), strict=True):
        setting = settings[name]
        assert (refusal(setting, value) is None) is (made is not None), (name, value, made)
        if made is not None:
            taken += 1
            assert same(setting, value, made), (name, value, made)
            is_whole = setting.vartype != "real"  # of a real one so many digits are shown as there are
            assert not is_whole or same(setting, shown(setting, made), made), (name, value, made)
    assert taken > len(cases) / 10


def test_passwords_that_the_server_stored_are_known_again(server: LabPostgres) -> None:
    for number, password in enumerate(PASSWORDS):
        text = password.replace("\\", "\\\\").replace("'", "\\'")
        server.run(f"CREATE ROLE stored_{number} PASSWORD E'{text}'")
        found = server.run(
            "SELECT rolpassword FROM pg_authid WHERE rolname ~ '^stored_' ORDER BY oid DESC LIMIT 1"
        )
        assert is_password(password, found), password
        assert not is_password(f"{password}x", found), password


def test_a_verifier_of_ours_is_stored_as_it_is_and_lets_its_owner_in(server: LabPostgres) -> None:
    ours = verifier("the app's", salt_for(b"seed"))
    server.run(f"CREATE ROLE app LOGIN PASSWORD '{ours}'")
    assert server.run("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'") == ours
    client = LabPostgres(server.folder, replace(server.config, password="the app's"))
    assert client.run("SELECT current_user", user="app") == "app"
