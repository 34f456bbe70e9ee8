"""What follows from one look: what freezes a cluster, what is said of it, and in which order it is mended."""

from dataclasses import replace

import pytest

from crds.meta import Condition, ConditionType, Truth
from crds.postgres import PostgresClusterStatus
from reconcilers.contract import Note
from reconcilers.postgres.model import Archiver, LostMember, Receiver, SeenDatabase
from tests.builders import START
from tests.builders_haproxy import said, verdict
from tests.builders_postgres import (
    REPLICATION,
    SLOT,
    STREAM,
    a_member,
    a_standby,
    decide,
    message,
    reason,
    settings,
)

READY = ConditionType.READY
GONE = LostMember("one", "nobody listens there")
WRONG = "7300000000000000002"
ASKED = {"settings": {"work_mem": "20MB"}, "roles": {"app": {}}, "replication": REPLICATION}
MIB = 1 << 20


def test_a_cluster_that_is_as_asked_needs_nothing_and_is_whole() -> None:
    plan = decide(spec={"settings": {"work_mem": "4MB"}, "replication": REPLICATION})
    assert (plan.steps, plan.blocked, plan.writes, reason(plan)) == ((), None, (), "Whole")
    assert verdict(plan, READY) is None
    assert plan.recheck_after is None


def test_what_is_seen_of_a_quiet_cluster_stays_the_same_status_whatever_moves() -> None:
    before = decide(spec={"replication": REPLICATION}).status
    assert isinstance(before, PostgresClusterStatus)
    later = decide(
        a_member(position=1 << 31, connections=50),
        a_standby(position=(1 << 31) - 5, received=(1 << 31) - 5, quiet_s=4.0),
        spec={"replication": REPLICATION},
        status=before,
    )
    assert later.status == before
    assert before.members == {
        "one": "primary, 15.20, timeline 1",
        "two": "standby from 10.0.30.10:5432, 15.20, timeline 1",
    }
    assert before.slots == {"replica1": "physical, in use"}


# What freezes all (engine.md 63, 65, 66; F-41, F-42).


def test_two_writable_members_freeze_all_and_both_timelines_are_named() -> None:
    plan = decide(a_member(), a_standby(is_standby=False, timeline=2, roles={}, databases={}), spec=ASKED)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "SplitBrain"
    assert "one (timeline 1), two (timeline 2) all take writes" in plan.blocked[1]
    assert "the history of one and two may not be read" in plan.blocked[1]
    assert (reason(plan, READY), reason(plan)) == ("SplitBrain", "SplitBrain")


def test_what_freezes_all_is_told_once_as_an_event() -> None:
    members = (a_member(), a_standby(is_standby=False, timeline=2))
    (note,) = decide(*members).writes
    assert isinstance(note, Note)
    assert (note.reason, note.warning) == ("SplitBrain", True)
    told = Condition(ConditionType.STALLED, Truth.TRUE, "SplitBrain", note.message, START)
    assert decide(*members, conditions=(told,)).writes == ()


@pytest.mark.parametrize("where", ["pinned", "seen-before", "among-the-members"])
def test_another_system_identifier_freezes_all_and_is_not_taken_for_ours(where: str) -> None:
    pinned = {"systemIdentifier": WRONG} if where == "pinned" else {}
    known = PostgresClusterStatus(system_identifier=WRONG) if where == "seen-before" else None
    other = a_standby(system_identifier=WRONG if where == "among-the-members" else "7300000000000000001")
    plan = decide(a_member(), other, spec={**ASKED, **pinned}, status=known)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "WrongSystem"
    assert WRONG in plan.blocked[1]
    assert "7300000000000000001" in plan.blocked[1]
    assert plan.status == (known or PostgresClusterStatus())


def test_the_first_system_identifier_is_kept() -> None:
    status = decide().status
    assert isinstance(status, PostgresClusterStatus)
    assert status.system_identifier == "7300000000000000001"


def test_where_patroni_runs_what_differs_is_only_said() -> None:
    plan = decide(a_member(has_patroni=True), a_standby(), spec=ASKED)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "ManagedByPatroni"
    assert "work_mem 4MB → 20MB on one" in plan.blocked[1]


def test_where_patroni_runs_and_nothing_differs_all_is_well() -> None:
    plan = decide(a_member(has_patroni=True), a_standby(), spec={"replication": REPLICATION})
    assert (plan.blocked, reason(plan)) == (None, "Whole")


def test_a_lower_version_names_both_and_stops_all() -> None:
    plan = decide(a_member(version="14.9"), a_standby(), spec={**ASKED, "minimumVersion": "15.0"})
    assert plan.steps == ()
    assert plan.blocked == ("VersionTooLow", "one is 14.9; 15.0 or newer is needed")


@pytest.mark.parametrize("version", ["15.0", "15.20", "16beta1", "18"])
def test_a_version_that_is_new_enough_is_no_trouble(version: str) -> None:
    assert decide(a_member(version=version), spec={"minimumVersion": "15.0"}).blocked is None


# Who is away (engine.md 58 to 60; F-36, F-37).


def test_a_primary_that_is_down_is_said_and_nobody_is_promoted_or_given_its_objects() -> None:
    plan = decide(GONE, a_standby(receiver=None), spec=ASKED)
    assert said(plan) == ["work_mem 4MB → 20MB on two"]
    assert reason(plan, READY) == "NoPrimary"
    assert message(plan, READY) == (
        "no member takes writes (one: nobody listens there); nothing is promoted from here"
    )


def test_a_primary_that_only_we_do_not_reach_makes_ready_unknown() -> None:
    plan = decide(GONE, a_standby(), spec=ASKED)
    found = verdict(plan, READY)
    assert found is not None
    assert (found.status, found.reason) == (Truth.UNKNOWN, "PrimaryUnseen")
    assert "two streams from 10.0.30.10:5432" in found.message


def test_a_cluster_of_which_nobody_answers_is_unknown_and_what_was_known_of_it_stays() -> None:
    before = decide(spec={"replication": REPLICATION}).status
    plan = decide(GONE, LostMember("two", "no route"), spec=ASKED, status=before)
    found = verdict(plan, READY)
    assert found is not None
    assert (found.status, found.reason) == (Truth.UNKNOWN, "PrimaryUnseen")
    assert plan.steps == ()
    assert isinstance(before, PostgresClusterStatus)
    assert plan.status == before.model_copy(update={"primary": None})


def test_a_standby_that_is_away_is_not_ready_and_the_primary_is_mended_all_the_same() -> None:
    plan = decide(a_member(), LostMember("two", "no route"), spec=ASKED)
    assert said(plan) == ["make role app", "work_mem 4MB → 20MB on one"]
    assert (reason(plan, READY), message(plan, READY)) == ("StandbyLost", "two: no route")


def test_a_member_that_is_not_asked_for_and_away_is_a_degradation_only() -> None:
    plan = decide(a_member(), LostMember("two", "no route"))
    assert verdict(plan, READY) is None
    assert (reason(plan), message(plan)) == ("MemberLost", "two: no route")


def test_another_primary_than_before_is_noted_once() -> None:
    before = PostgresClusterStatus(primary="two")
    (note,) = decide(status=before).writes
    assert note == Note("PrimaryChanged", "one takes writes now, two did", warning=True)
    assert decide(status=decide(status=before).status).writes == ()


# Lag (F-38, F-40; engine.md 60).


def test_a_standby_without_a_receiver_has_an_unknown_lag_and_no_small_one() -> None:
    plan = decide(a_member(downstream=()), a_standby(receiver=None), spec={"replication": REPLICATION})
    assert reason(plan, READY) == "NotStreaming"
    assert "two receives nothing from one (not connected): how far it is behind is unknown" in message(
        plan, READY
    )


def test_a_stream_that_only_catches_up_is_not_ready() -> None:
    plan = decide(
        a_member(downstream=(replace(STREAM, state="catchup"),)),
        a_standby(),
        spec={"replication": REPLICATION},
    )
    assert "(catchup)" in message(plan, READY)


@pytest.mark.parametrize("rows", [(), (replace(STREAM, slot=None, application_name="a"),) * 2])
def test_a_standby_of_which_no_name_is_asked_is_judged_by_its_own_receiver(
    rows: tuple[object, ...],
) -> None:
    plan = decide(a_member(downstream=rows), a_standby(), spec={"replication": {"standbys": {"two": {}}}})
    assert verdict(plan, READY) is None


def test_lag_over_the_limit_is_said_with_the_limit() -> None:
    behind = a_standby(position=(1 << 30) - 150 * MIB, quiet_s=7.4)
    plan = decide(a_member(), behind, spec={"replication": REPLICATION})
    assert reason(plan, READY) == "ReplicationLag"
    assert message(plan, READY) == "two is more than 100 MiB, the limit, behind one"


def test_lag_below_the_limit_is_none() -> None:
    behind = a_standby(position=(1 << 30) - 50 * MIB, quiet_s=7.4)
    assert verdict(decide(a_member(), behind, spec={"replication": REPLICATION}), READY) is None


def test_positions_of_two_timelines_are_not_compared() -> None:
    plan = decide(a_member(timeline=2, position=9 << 30), a_standby(), spec={"replication": REPLICATION})
    assert verdict(plan, READY) is None


def test_a_standby_that_takes_writes_is_none() -> None:
    plan = decide(
        a_standby("two", is_standby=False, roles={}, databases={}), spec={"replication": REPLICATION}
    )
    assert reason(plan, READY) == "NotAStandby"


# What holds disk, and what is full (F-39, F-43; engine.md 62).


def test_a_slot_nobody_reads_that_holds_disk_is_said_and_never_dropped() -> None:
    held = replace(SLOT, active=False, retained_bytes=2048 * MIB)
    plan = decide(a_member(slots={"replica1": held}), a_standby())
    assert plan.steps == ()
    assert reason(plan) == "SlotHoldsDisk"
    assert message(plan) == "slot replica1 is not in use and holds more than 1024 MiB of WAL, the limit"


def test_a_slot_in_use_may_hold_more() -> None:
    assert reason(decide(a_member(slots={"replica1": replace(SLOT, retained_bytes=1 << 40)}))) == "Whole"


def test_a_lost_slot_means_that_its_reader_must_be_built_anew() -> None:
    plan = decide(a_member(slots={"replica1": replace(SLOT, active=False, wal_status="lost")}))
    assert reason(plan) == "SlotLost"


@pytest.mark.parametrize(("used", "said_so"), [(89, "Whole"), (90, "ConnectionsNearLimit")])
def test_connections_near_their_limit_are_said(used: int, said_so: str) -> None:
    plan = decide(a_member(connections=used))
    assert reason(plan) == said_so
    assert said_so == "Whole" or message(plan) == "one: 90 % or more of 100 connections are in use"


def test_an_archiver_that_fails_is_said_with_its_file() -> None:
    plan = decide(a_member(archiver=Archiver(10, 3, "000000010000000000000007")), spec={"archived": True})
    assert reason(plan) == "ArchiverFailing"
    assert message(plan) == "one cannot archive 000000010000000000000007"


def test_an_archiver_is_no_matter_where_nobody_asked() -> None:
    assert reason(decide(a_member(archiver=Archiver(10, 3, "000000010000000000000007")))) == "Whole"


# The order of what is done.


def test_roles_come_before_what_they_own_and_slots_before_their_readers() -> None:
    spec = {
        "settings": {"work_mem": "20MB"},
        "roles": {"app": {}},
        "databases": {"shop": {"owner": "app"}},
        "replication": REPLICATION,
    }
    two = a_standby(slot_name="", receiver=Receiver("streaming", None, "10.0.30.10:5432"))
    plan = decide(a_member(slots={}), two, spec=spec)
    assert said(plan) == [
        "make role app",
        "make physical slot replica1 on one",
        "connect two to one: slot none → replica1",
        "make database shop, owner app",
        "work_mem 4MB → 20MB on one",
        "work_mem 4MB → 20MB on two",
    ]
    assert plan.recheck_after is not None


def test_what_may_not_be_done_or_may_fail_comes_last() -> None:
    shop = SeenDatabase("old", frozenset({"plpgsql"}), schemas={"public": "old"})
    spec = {
        "settings": {"work_mem": "20MB"},
        "roles": {"app": {}},
        "databases": {"shop": {"owner": "app", "extensions": ["pgcrypto"]}},
    }
    assert said(decide(a_member(databases={"shop": shop}), spec=spec)) == [
        "make role app",
        "work_mem 4MB → 20MB on one",
        "make extension pgcrypto in shop",
        "give database shop to app: it is old's",
    ]


def test_each_step_names_its_line() -> None:
    spec = {"settings": {"work_mem": "20MB"}}
    (step,) = decide(a_member(), spec=spec, lines={"spec.settings.work_mem": 7}).steps
    assert str(step.origin) == "psa-db.yaml:7"
    assert [(each.path, each.old, each.new) for each in step.changes] == [
        ("settings.work_mem", "4MB", "20MB")
    ]


def test_a_restart_that_is_waited_for_is_a_degradation_with_its_order() -> None:
    waits = replace(settings()["max_connections"], pending_restart=True, file_value="200")
    member = a_member(settings=settings(max_connections=waits))
    plan = decide(member, spec={"settings": {"max_connections": 200}})
    assert plan.steps == ()
    assert isinstance(plan.status, PostgresClusterStatus)
    assert plan.status.pending_restart == ("one: max_connections",)
    assert reason(plan) == "PendingRestart"
    assert "standbys first" in message(plan)
