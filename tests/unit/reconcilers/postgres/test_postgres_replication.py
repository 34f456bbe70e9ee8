"""Slots, how standbys are connected, and replay: what is mended, and what is only said."""

import pytest

from crds.meta import ConditionType
from reconcilers.postgres.actions import Connect, MakeSlot
from reconcilers.postgres.model import SeenDatabase, SeenMember
from reconcilers.postgres.replication import behind_bytes, behind_s
from tests.builders_haproxy import said
from tests.builders_postgres import LINK, REPLICATION, SLOT, a_member, a_standby, decide, reason, settings

LOGICAL = {"slots": {"feed": {"plugin": "pgoutput", "database": "shop"}}}
SHOP = SeenDatabase("app")
AWAY = {"receiver": None}


def test_a_slot_that_is_missing_is_made_on_the_primary() -> None:
    (step,) = decide(a_member(slots={}), a_standby(), spec={"replication": REPLICATION}).steps
    assert isinstance(step.action, MakeSlot)
    assert (step.action.target.member, step.summary) == ("one", "make physical slot replica1 on one")


def test_slots_that_nobody_asked_for_stay() -> None:
    assert decide(a_member(slots={"other": SLOT}), spec={}).steps == ()


def test_a_slot_of_another_sort_is_said_and_never_replaced() -> None:
    plan = decide(a_member(slots={"feed": SLOT}, databases={"shop": SHOP}), spec={"replication": LOGICAL})
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "SlotDiffers"
    assert "is physical, logical (pgoutput, shop) is asked for" in plan.blocked[1]


@pytest.mark.parametrize(
    ("level", "databases", "made"),
    [
        ("logical", {"shop": SHOP}, True),
        ("replica", {"shop": SHOP}, False),
        ("logical", {}, False),
    ],
)
def test_a_logical_slot_waits_for_its_database_and_for_enough_wal(
    *, level: str, databases: dict[str, SeenDatabase], made: bool
) -> None:
    member = a_member(slots={}, settings=settings(wal_level=level), databases=databases)
    plan = decide(member, spec={"replication": LOGICAL})
    assert said(plan) == (["make logical slot (pgoutput, shop) feed on one"] if made else [])
    assert (plan.blocked is None) is made


def test_a_standby_that_was_led_elsewhere_is_led_back_and_keeps_what_is_not_ours() -> None:
    two = a_standby(conninfo={**LINK, "host": "10.9.9.9", "sslmode": "require"}, receiver=None)
    (step,) = decide(a_member(), two, spec={"replication": REPLICATION}).steps
    assert isinstance(step.action, Connect)
    assert step.action.target.member == "two"
    assert step.action.conninfo == {**LINK, "sslmode": "require"}
    assert step.action.slot is None
    assert step.summary == "connect two to one: host 10.9.9.9 → 10.0.30.10"


def test_an_address_of_the_host_before_goes_with_it() -> None:
    """Libpq goes to hostaddr where there is one, whatever host says."""
    before = {**LINK, "host": "old.internal", "hostaddr": "10.9.9.9"}
    (step,) = decide(a_member(), a_standby(conninfo=before), spec={"replication": REPLICATION}).steps
    assert isinstance(step.action, Connect)
    assert step.action.conninfo == LINK

    ours = {**LINK, "hostaddr": "10.9.9.9", "password": "older"}
    (step,) = decide(a_member(), a_standby(conninfo=ours), spec={"replication": REPLICATION}).steps
    assert isinstance(step.action, Connect)
    assert step.action.conninfo == {**LINK, "hostaddr": "10.9.9.9"}


def test_another_password_of_a_standby_is_set_and_not_shown() -> None:
    two = a_standby(conninfo={**LINK, "password": "older"}, receiver=None)
    (step,) = decide(a_member(), two, spec={"replication": REPLICATION}).steps
    assert step.summary == "connect two to one: password another one → the secret's"
    assert "secret'" not in repr(step.action)
    assert "older" not in repr(step)


def test_another_slot_is_set_without_the_connection_string() -> None:
    (step,) = decide(a_member(), a_standby(slot_name="old"), spec={"replication": REPLICATION}).steps
    assert isinstance(step.action, Connect)
    assert (step.action.conninfo, step.action.slot) == ({}, "replica1")


def test_a_standby_is_led_to_where_the_spec_says_that_the_primary_is_reached() -> None:
    standby = {"user": "replicator", "primary": "db.internal:6000"}
    plan = decide(spec={"replication": {"standbys": {"two": standby}}})
    assert said(plan) == ["connect two to one: host 10.0.30.10 → db.internal, port 5432 → 6000"]


@pytest.mark.parametrize("fields", [{}, {"user": None}])
def test_what_is_left_out_is_not_managed(fields: dict[str, None]) -> None:
    two = a_standby(conninfo={"host": "10.9.9.9"}, slot_name="old")
    assert decide(a_member(), two, spec={"replication": {"standbys": {"two": fields}}}).steps == ()


def test_nobody_is_connected_while_the_secret_is_missing_or_the_primary_unseen() -> None:
    two = a_standby(conninfo={}, receiver=None)
    standby = {"user": "replicator", "password": "lost"}
    spec = {"replication": {"standbys": {"two": standby}}}
    plan = decide(a_member(), two, spec=spec, missing={"lost": "secret lost: no such file"})
    assert (plan.steps, plan.blocked) == ((), ("SecretUnavailable", "secret lost: no such file"))
    assert decide(two, spec={"replication": REPLICATION}).steps == ()


def test_a_primary_is_not_connected_to_itself() -> None:
    plan = decide(a_member("two"), spec={"replication": REPLICATION})
    assert plan.steps == ()
    assert reason(plan, ConditionType.READY) == "NotAStandby"


def test_a_replay_that_somebody_paused_is_resumed() -> None:
    plan = decide(a_member(), a_standby(is_paused=True), spec={"replication": REPLICATION})
    assert said(plan) == ["resume the replay on two: somebody paused it"]


def test_a_replay_that_stopped_because_the_primary_has_more_is_left() -> None:
    one = a_member(settings=settings(max_connections="200"))
    two = a_standby(is_paused=True, settings=settings(max_connections="100"))
    assert decide(one, two, spec={"replication": REPLICATION}).steps == ()


def test_a_paused_standby_that_nobody_asked_for_is_left() -> None:
    assert decide(a_member(), a_standby(is_paused=True)).steps == ()


@pytest.mark.parametrize(
    ("standby", "in_bytes", "in_seconds"),
    [
        (a_standby(quiet_s=60.0), 0, 0.0),
        (a_standby(position=1000, received=1000, quiet_s=60.0), (1 << 30) - 1000, 0.0),
        (a_standby(position=1000, quiet_s=60.0), (1 << 30) - 1000, 60.0),
        (a_standby(position=1000, quiet_s=None), (1 << 30) - 1000, None),
        (a_standby(position=2 << 30), 0, 0.0),
        (a_standby(receiver=None), None, None),
        (a_standby(timeline=2), None, None),
        (a_standby(position=None), None, None),
    ],
    ids=[
        "an-idle-primary-is-no-lag",
        "all-that-was-received-is-replayed",
        "behind-in-both",
        "nothing-replayed-yet",
        "asked-a-moment-later",
        "without-a-receiver-unknown",
        "on-another-timeline-unknown",
        "without-a-position-unknown",
    ],
)
def test_lag_is_bytes_first_seconds_where_they_mean_something_and_else_unknown(
    standby: SeenMember, in_bytes: int | None, in_seconds: float | None
) -> None:
    assert (behind_bytes(standby, a_member()), behind_s(standby, a_member())) == (in_bytes, in_seconds)


def test_lag_without_a_primary_is_unknown() -> None:
    assert (behind_bytes(a_standby(), None), behind_s(a_standby(), None)) == (None, None)
    assert behind_bytes(a_standby(), a_member(position=None)) is None
