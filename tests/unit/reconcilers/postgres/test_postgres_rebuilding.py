"""Standbys that cannot go on: built anew by a hook with its verb, one at a time, once a day."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from crds.meta import Verb
from crds.postgres import PostgresClusterSpec
from reconcilers.contract import Plan, Resource
from reconcilers.hook_runs import HookResult, HookState
from reconcilers.postgres.actions import DropSlot, PostgresAction, RunHook
from reconcilers.postgres.model import LostMember, SeenCluster, SeenMember, SeenSlot
from reconcilers.postgres.plan import plan_postgres
from reconcilers.postgres.rebuilding import APART_FOR, apart, rebuild_runs
from tests.builders_haproxy import said
from tests.builders_postgres import a_member, a_standby
from tests.real_postgres import a_cluster

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SPEC: Mapping[str, object] = {
    "replication": {"slots": {"replica1": {}}, "standbys": {"two": {"slot": "replica1"}}},
    "rebuild": "pg-rebuild",
}
LOST = SeenSlot(None, None, active=False, wal_status="lost", retained_bytes=None)
FRESH = SeenSlot(None, None, active=False, wal_status="reserved", retained_bytes=0)
BEHIND = a_standby(receiver=None, position=1 << 20, received=1 << 20)
ELSEWHERE = a_standby(receiver=None, timeline=7)
FAILED = HookResult("pg-rebuild", HookState.FAILED, "exit status 1 after 3.0 s", tail="no space left\n")
PASSED = HookResult("pg-rebuild", HookState.PASSED, "passed in 3.0 s")
RUNS = HookResult("pg-rebuild", HookState.RUNNING, "runs for 3 s")


def the_cluster(**more: object) -> Resource[PostgresClusterSpec]:
    return cast("Resource[PostgresClusterSpec]", a_cluster(**{**SPEC, **more}))


def run_names(days_ago: int = 0) -> str:
    return rebuild_runs(the_cluster(), NOON)[days_ago]


def decide(
    *members: SeenMember | LostMember,
    apart_for: timedelta = APART_FOR,
    hooks: tuple[str, ...] = ("pg-rebuild",),
    runs: Mapping[str, HookResult] | None = None,
    unseen: str | None = None,
    **fields: Any,
) -> Plan[PostgresAction]:
    seen = SeenCluster(members, runs=runs or {}, unseen_runs=unseen, hooks=frozenset(hooks))
    cluster = the_cluster()
    since = dict.fromkeys(apart(cluster.spec, seen), NOON - apart_for)
    return plan_postgres(replace(cluster, **fields), replace(seen, apart_since=since), NOON)


def a_primary(slot: SeenSlot = FRESH, **fields: Any) -> SeenMember:
    return a_member(slots={"replica1": slot}, downstream=(), **fields)


def test_a_slot_that_has_lost_wal_goes_before_its_standby_is_built_anew() -> None:
    (step,) = decide(a_primary(LOST), BEHIND).steps
    assert isinstance(step.action, DropSlot)
    assert step.needs is Verb.REBUILD
    assert step.summary == "drop slot replica1 on one, which has lost WAL, to build two anew"


def test_the_hook_is_told_the_standby_whose_slot_begins_after_what_it_has() -> None:
    (step,) = decide(a_primary(), BEHIND).steps
    assert isinstance(step.action, RunHook)
    assert step.needs is Verb.REBUILD
    assert step.summary == "build two anew by hook pg-rebuild: its slot begins after what it has"
    run = step.action.run
    assert (run.run_id, run.service, run.address, run.port) == (run_names(), "two", "10.0.30.11", 5432)


def test_a_standby_on_another_timeline_is_built_anew() -> None:
    (text,) = said(decide(a_primary(), ELSEWHERE))
    assert text.endswith("it stands on timeline 7, one on 1")


@pytest.mark.parametrize(
    "standby",
    [
        a_standby(),
        a_standby(receiver=None),
        a_standby(timeline=7),
        LostMember("two", "nobody listens there"),
    ],
    ids=["streams", "has all that its slot holds", "streams from another timeline", "does not answer"],
)
def test_a_standby_that_may_come_back_is_left(standby: SeenMember | LostMember) -> None:
    assert said(decide(a_primary(), standby)) == []


def test_one_that_has_been_apart_for_a_moment_only_is_left() -> None:
    assert said(decide(a_primary(), BEHIND, apart_for=APART_FOR - timedelta(seconds=1))) == []


def test_without_a_primary_or_with_two_nothing_is_built_anew() -> None:
    assert decide(LostMember("one", "gone"), BEHIND).steps == ()
    assert decide(a_primary(), a_member("two", timeline=2)).steps == ()


def test_where_patroni_runs_nothing_is_built_anew() -> None:
    plan = decide(a_primary(has_patroni=True), BEHIND)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "ManagedByPatroni"


@pytest.mark.parametrize("days_ago", [0, 1])
def test_while_a_run_is_not_over_no_other_begins(days_ago: int) -> None:
    plan = decide(a_primary(), BEHIND, runs={run_names(days_ago): RUNS})
    assert (plan.steps, plan.blocked) == ((), None)


def test_while_runs_cannot_be_seen_none_begins() -> None:
    assert decide(a_primary(), BEHIND, unseen="the disk is away").steps == ()


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (PASSED, "it passed, and the standby streams nothing"),
        (FAILED, "exit status 1 after 3.0 s: no space left"),
    ],
)
def test_what_did_not_help_is_said_and_not_tried_again_today(result: HookResult, says: str) -> None:
    plan = decide(a_primary(), BEHIND, runs={run_names(): result})
    assert plan.steps == ()
    assert plan.blocked == ("RebuildFailed", f"two is not built anew by hook pg-rebuild: {says}")
    assert said(decide(a_primary(), BEHIND, runs={run_names(1): result})) != []
    assert said(decide(a_primary(), BEHIND, runs={run_names(): result}, generation=2)) != []


def test_a_hook_that_failed_and_left_the_standby_down_is_said() -> None:
    gone = LostMember("two", "nobody listens there")
    plan = decide(a_primary(), gone, runs={run_names(): FAILED})
    assert plan.blocked is not None
    assert plan.blocked[0] == "RebuildFailed"
    assert decide(a_primary(), gone, runs={run_names(): PASSED}).blocked is None


def test_one_that_streams_again_is_no_failure() -> None:
    plan = decide(a_primary(), a_standby(), runs={run_names(): FAILED})
    assert plan.blocked is None


def test_a_hook_that_the_settings_do_not_have_is_said() -> None:
    plan = decide(a_primary(), BEHIND, hooks=())
    assert plan.steps == ()
    assert plan.blocked == ("UnknownHook", "the settings have no hook pg-rebuild; they have: none")


def test_without_a_hook_in_the_file_nothing_is_built_anew() -> None:
    cluster = the_cluster(rebuild=None)
    seen = SeenCluster((a_primary(), BEHIND), apart_since={"two": NOON - APART_FOR})
    assert plan_postgres(cluster, seen, NOON).steps == ()
    assert rebuild_runs(cluster, NOON) == ()
