"""What a file may ask of a cluster: no name that PostgreSQL cuts or keeps for itself, no harmful setting."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crds.postgres import PostgresClusterSpec
from crds.postgres_values import REFUSED


def parse(**fields: object) -> PostgresClusterSpec:
    return PostgresClusterSpec.model_validate({"endpoint": "psa-db", **fields})


def refusal(**fields: object) -> str:
    with pytest.raises(ValidationError) as caught:
        parse(**fields)
    return "; ".join(each["msg"] for each in caught.value.errors())


KINDS = ("role", "database", "schema", "owner", "slot")


def named(kind: str, name: str) -> Mapping[str, object]:
    """Return the fields of a file in which something has that name."""
    fields: Mapping[str, Mapping[str, object]] = {
        "role": {"roles": {name: {}}},
        "database": {"databases": {name: {}}},
        "schema": {"databases": {"shop": {"schemas": {name: {}}}}},
        "owner": {"databases": {"shop": {"owner": name}}},
        "slot": {"replication": {"slots": {name: {}}}},
    }
    return fields[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [63, 64, 255])
def test_a_name_that_would_be_cut_is_refused(kind: str, length: int) -> None:
    fields = named(kind, "a" * length)
    if length > 63:
        assert "match pattern" in refusal(**fields)
    else:
        assert parse(**fields).endpoint == "psa-db"


@given(kind=st.sampled_from(KINDS), name=st.text(min_size=1, max_size=80))
def test_a_name_that_is_taken_is_whole_in_63_bytes_and_in_one_line(kind: str, name: str) -> None:
    try:
        parse(**named(kind, name))
    except ValidationError:
        return
    assert len(name.encode()) <= 63
    assert name.isprintable()
    assert '"' not in name


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("role", "pg_monitor"),
        ("role", "public"),
        ("role", "none"),
        ("owner", "pg_monitor"),
        ("schema", "pg_toast"),
        ("schema", "information_schema"),
        ("slot", "pg_slot"),
        ("database", "template0"),
        ("database", "template1"),
    ],
)
def test_names_that_are_postgresqls_own_are_refused_as_such(kind: str, name: str) -> None:
    assert "PostgreSQL's own" in refusal(**named(kind, name))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("slot", "Replica1"),
        ("slot", "a-b"),
        ("role", 'a"b'),
        ("role", "a;b"),
        ("role", "1a"),
        ("role", "\u00e9"),
    ],
)
def test_what_no_slot_or_name_may_have_is_refused(kind: str, name: str) -> None:
    assert "match pattern" in refusal(**named(kind, name))


@pytest.mark.parametrize("name", ["Psa App", "psa-app", "psa.app", "select", "user@host", "A$1"])
def test_names_that_need_quotes_are_taken(name: str) -> None:
    assert name in parse(**named("role", name)).roles


def test_a_group_may_be_one_of_postgresqls_own() -> None:
    assert parse(roles={"psa": {"memberOf": ["pg_monitor"]}}).roles["psa"].member_of == ("pg_monitor",)


@pytest.mark.parametrize(
    "name", [*REFUSED, "ssl", "ssl_cert_file", "krb_server_keyfile", "recovery_target_time"]
)
def test_a_setting_that_would_cut_us_off_run_programs_or_lose_data_is_refused_with_the_reason(
    name: str,
) -> None:
    said = refusal(settings={name: "x"})
    assert "Value error, " in said
    assert len(said) > len("Value error, ") + 20


@pytest.mark.parametrize("name", ["Work_Mem", "work mem", "work_mem;", "", "a.b.c", "1a"])
def test_what_is_no_name_of_a_setting_is_refused(name: str) -> None:
    assert "match pattern" in refusal(settings={name: "1"})


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (True, "on"),
        (False, "off"),
        (200, "200"),
        (0.9, "0.9"),
        ("128MB", "128MB"),
        ("", ""),
        ("%t [%p]: ", "%t [%p]: "),
    ],
)
def test_a_value_is_what_yaml_makes_of_it(written: object, value: str) -> None:
    assert parse(settings={"x.y": written}).settings == {"x.y": value}


@pytest.mark.parametrize("value", ["two\nlines", "\x00", "x" * 1025, None, ["a"], {"a": 1}])
def test_a_value_that_is_no_single_line_is_refused(value: object) -> None:
    assert "is needed" in refusal(settings={"work_mem": value})


def test_a_superuser_cannot_be_asked_for() -> None:
    assert "Extra inputs" in refusal(roles={"psa": {"superuser": True}})


def test_a_logical_slot_has_a_plugin_and_a_database() -> None:
    assert "neither" in refusal(replication={"slots": {"feed": {"plugin": "pgoutput"}}})


def test_a_standby_streams_from_a_physical_slot_that_is_asked_for() -> None:
    assert "is not among the slots" in refusal(replication={"standbys": {"two": {"slot": "replica1"}}})
    slots = {"feed": {"plugin": "pgoutput", "database": "shop"}}
    assert "feed is logical" in refusal(replication={"slots": slots, "standbys": {"two": {"slot": "feed"}}})


def test_roles_in_a_circle_are_refused_by_name() -> None:
    roles = {"a": {"memberOf": ["b"]}, "b": {"memberOf": ["a"]}, "c": {"memberOf": ["a"]}, "d": {}}
    assert "memberOf goes round in a circle from a, b, c" in refusal(roles=roles)
    assert "in a circle from a" in refusal(roles={"a": {"memberOf": ["a"]}})


def test_two_objects_cannot_both_have_a_cluster() -> None:
    assert [claim.target for claim in parse().claims("one")] == ["PostgreSQL psa-db"]
