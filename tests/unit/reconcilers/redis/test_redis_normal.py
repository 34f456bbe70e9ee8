"""Normal forms of settings and rights: laws for every value, and pairs that servers really return."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.contract import TransientError
from reconcilers.redis.answers import read_account, read_info, read_pairs
from reconcilers.redis.normal import amount, is_same, normal
from reconcilers.redis.rights import allowed, patterns, unknown_rules
from tests.fakes.redis import CATALOG

CATEGORIES = {name: frozenset(each) for name, each in CATALOG.items()}
NAMES = st.sampled_from(
    ["save", "maxmemory", "notify-keyspace-events", "appendonly", "client-output-buffer-limit", "logfile"]
)
VALUES = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=40)


@given(name=NAMES, value=VALUES)
def test_every_value_is_the_same_as_itself_and_its_normal_form_is_stable(name: str, value: str) -> None:
    assert is_same(name, value, value)
    assert normal(name, normal(name, value)) == normal(name, value)


@given(number=st.integers(0, 2**40), unit=st.sampled_from(["", "b", "k", "kb", "m", "MB", "g", "GB"]))
def test_an_amount_is_the_same_as_its_bytes(number: int, unit: str) -> None:
    in_bytes = amount(f"{number}{unit}")
    assert in_bytes is not None
    assert is_same("maxmemory", f"{number}{unit}", str(in_bytes))
    assert not is_same("maxmemory", f"{number}{unit}", str(in_bytes + 1))


@given(pairs=st.lists(st.tuples(st.integers(1, 999), st.integers(1, 999)), max_size=5))
def test_the_order_of_snapshots_is_no_difference(pairs: list[tuple[int, int]]) -> None:
    turned = list(reversed(pairs))
    wanted, found = (" ".join(f"{a} {b}" for a, b in each) for each in (pairs, turned))
    assert is_same("save", wanted, found)


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [
        ("maxmemory", "1g", "1073741824"),
        ("save", "900 1", "900 2"),
        ("save", "", "900 1"),
        ("appendonly", "yes", "no"),
        ("notify-keyspace-events", "KE", "AKE"),
        ("client-output-buffer-limit", "replica 1 1 1", "normal 0 0 0 slave 2 1 1 pubsub 0 0 0"),
        ("client-output-buffer-limit", "nosuch 1 1 1", "normal 0 0 0"),
        ("logfile", "/var/Log", "/var/log"),
        ("replica-announce-ip", "A", "a"),
    ],
)
def test_what_differs_is_a_difference(name: str, wanted: str, found: str) -> None:
    assert not is_same(name, wanted, found)


RULES = st.lists(
    st.sampled_from(
        ["+@all", "-@all", "+@read", "-@read", "+config", "-config|set", "+get", "-keys", "+@slow"]
    ),
    max_size=6,
)


@given(rules=RULES)
def test_rules_after_all_or_nothing_do_not_depend_on_what_was_before(rules: list[str]) -> None:
    for reset, expected in (("+@all", frozenset().union(*CATEGORIES.values())), ("-@all", frozenset[str]())):
        assert allowed([*rules, reset], CATEGORIES) == expected
        assert allowed([*rules, reset, "+get"], CATEGORIES) == allowed([reset, "+get"], CATEGORIES)


def test_a_container_command_means_all_below_it_and_one_below_only_itself() -> None:
    assert allowed(["+config"], CATEGORIES) == {"config|get", "config|set", "config|rewrite"}
    assert allowed(["+config", "-config|set"], CATEGORIES) == {"config|get", "config|rewrite"}


def test_rules_that_this_server_does_not_know_are_found() -> None:
    rules = ["+get", "+@read", "+config", "+config|get", "+get|first", "+nosuch", "+@nosuch", "-@all"]
    assert unknown_rules(rules, CATEGORIES) == ("+nosuch", "+@nosuch")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["app:*"], ["~app:*"]),
        (["%RW~a"], ["~a"]),
        (["%R~a", "%W~a"], ["a"]),
        (["b", "a"], ["~a", "~b"]),
        (["%Rfoo"], ["~%Rfoo"]),
    ],
)
def test_key_patterns_have_one_form(one: list[str], other: list[str]) -> None:
    assert patterns(one) == patterns(other)


def test_reading_is_not_writing() -> None:
    assert patterns(["%R~a"]) != patterns(["%W~a"]) != patterns(["~a"])


@pytest.mark.parametrize(
    "text", ["", "redis_version:7.0.15\r\n", "HTTP/1.1 400 Bad Request", "loading:soon", "a\x00b:\x00"]
)
def test_an_answer_that_is_none_is_a_failure_that_names_it(text: str) -> None:
    with pytest.raises(TransientError, match="INFO: the answer has no"):
        read_info(text)


ANSWERS = st.recursive(
    st.none() | st.integers() | st.text(max_size=5), lambda below: st.lists(below, max_size=4)
)


@given(answer=ANSWERS)
def test_any_answer_is_read_or_is_a_failure_and_nothing_else(answer: object) -> None:
    for read in (read_account, lambda each: read_pairs("CONFIG GET", each)):
        with contextlib.suppress(TransientError):
            read(answer)  # type: ignore[arg-type]  # whatever a server may send
