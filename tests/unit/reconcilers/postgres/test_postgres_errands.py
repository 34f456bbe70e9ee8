"""Hooks of a cluster: backups on time and verified by their age, and restarts one by one in a safe order."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import ValidationError

from crds.meta import Verb
from crds.postgres import PostgresClusterSpec, PostgresClusterStatus
from reconcilers.contract import Plan, Resource
from reconcilers.hook_runs import HookResult, HookState
from reconcilers.postgres.actions import PostgresAction, RunHook
from reconcilers.postgres.model import LostMember, SeenCluster, SeenMember, Setting
from reconcilers.postgres.plan import plan_postgres
from reconcilers.postgres.restarting import restart_runs
from tests.builders import START
from tests.builders_haproxy import said
from tests.builders_postgres import a_member, a_standby, message, reason, settings
from tests.fakes.postgres import SETTINGS
from tests.real_postgres import a_cluster

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NIGHTLY: Mapping[str, object] = {"hook": "pg-backup", "every": "1d", "at": "2h", "maxAge": "26h"}
BACKUPS: Mapping[str, object] = {"backups": {"nightly": NIGHTLY}}
THIS, LAST = "psa-db.backup.nightly.1795485600", "psa-db.backup.nightly.1795399200"
PASSED = HookResult("pg-backup", HookState.PASSED, "passed in 3.0 s")
RUNS = HookResult("pg-backup", HookState.RUNNING, "runs for 3 s")
FAILED = HookResult("pg-backup", HookState.FAILED, "exit status 1 after 3.0 s", tail="x\ndisk full\n")
RISES: Mapping[str, object] = {"settings": {"max_connections": 200}, "restart": "pg-restart"}
FALLS: Mapping[str, object] = {"settings": {"max_connections": 50}, "restart": "pg-restart"}


def decide(
    *members: SeenMember | LostMember,
    spec: Mapping[str, object],
    runs: Mapping[str, HookResult] | None = None,
    unseen: str | None = None,
    hooks: tuple[str, ...] = ("pg-backup", "pg-restart"),
    now: datetime = NOON,
    **fields: Any,
) -> Plan[PostgresAction]:
    seen = SeenCluster(
        members or (a_member(), a_standby()), runs=runs or {}, unseen_runs=unseen, hooks=frozenset(hooks)
    )
    return plan_postgres(replace(the_cluster(spec), **fields), seen, now)


def the_cluster(spec: Mapping[str, object]) -> Resource[PostgresClusterSpec]:
    return cast("Resource[PostgresClusterSpec]", a_cluster(**spec))


def good(plan: Plan[PostgresAction]) -> Mapping[str, datetime]:
    assert isinstance(plan.status, PostgresClusterStatus)
    return plan.status.backups


def test_a_backup_that_is_due_is_made_by_its_hook_which_is_told_the_primary() -> None:
    (step,) = decide(spec=BACKUPS).steps
    assert step.summary == "make backup nightly, due 2026-11-24 02:00 UTC, by hook pg-backup"
    assert isinstance(step.action, RunHook)
    run = step.action.run
    assert (run.run_id, run.hook, run.service, run.address, run.port) == (
        THIS,
        "pg-backup",
        "one",
        "10.0.30.10",
        5432,
    )


@pytest.mark.parametrize("result", [PASSED, RUNS, FAILED])
def test_a_backup_is_begun_once_whatever_becomes_of_it(result: HookResult) -> None:
    assert decide(spec=BACKUPS, runs={THIS: result}).steps == ()


def test_the_next_one_is_due_a_day_later_and_not_before() -> None:
    before = NOON + timedelta(hours=13, minutes=59)
    assert decide(spec=BACKUPS, runs={THIS: PASSED}, now=before).steps == ()
    (step,) = decide(spec=BACKUPS, runs={THIS: PASSED}, now=before + timedelta(minutes=1)).steps
    assert "due 2026-11-25 02:00 UTC" in step.summary


def test_no_backup_begins_while_the_last_one_runs_without_a_primary_or_while_runs_are_unseen() -> None:
    assert decide(spec=BACKUPS, runs={LAST: RUNS}).steps == ()
    assert decide(a_standby(), spec=BACKUPS).steps == ()
    plan = decide(spec=BACKUPS, unseen="cannot read the record")
    assert (plan.steps, reason(plan)) == ((), "HookUnseen")


def test_a_good_backup_is_remembered_by_when_it_was_due() -> None:
    plan = decide(spec=BACKUPS, runs={THIS: PASSED})
    assert good(plan) == {"nightly": datetime(2026, 11, 24, 2, 0, tzinfo=UTC)}
    later = decide(spec=BACKUPS, status=plan.status, now=NOON + timedelta(days=3))
    assert good(later) == good(plan)
    assert good(decide(spec=BACKUPS, runs={LAST: PASSED, THIS: FAILED})) == {
        "nightly": datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    }


def test_a_backup_that_failed_is_said_with_its_last_line() -> None:
    plan = decide(spec=BACKUPS, runs={THIS: FAILED, LAST: PASSED})
    assert reason(plan) == "BackupFailed"
    assert "backup nightly by hook pg-backup: exit status 1 after 3.0 s: disk full" in message(plan)


def test_a_backup_that_is_too_old_is_said_with_its_date_and_limit() -> None:
    known = PostgresClusterStatus(backups={"nightly": datetime(2026, 11, 22, 2, 0, tzinfo=UTC)})
    plan = decide(spec=BACKUPS, runs={THIS: RUNS}, status=known)
    assert reason(plan) == "BackupTooOld"
    assert message(plan) == "backup nightly: the last good one is of 2026-11-22 02:00 UTC, limit 26h"


def test_that_there_never_was_one_is_said_once_it_should_have_been() -> None:
    assert reason(decide(spec=BACKUPS, runs={THIS: RUNS})) == "Whole"
    plan = decide(spec=BACKUPS, runs={THIS: RUNS}, created_at=START - timedelta(days=2))
    assert message(plan) == "backup nightly: there has been no good one yet, limit 26h"


def test_a_hook_that_is_not_in_the_settings_is_named_and_nothing_else_waits_for_it() -> None:
    plan = decide(spec={**BACKUPS, "roles": {"app": {}}}, hooks=("other",))
    assert said(plan) == ["make role app"]
    assert plan.blocked == ("UnknownHook", "the settings have no hook pg-backup; they have: other")


def test_where_patroni_runs_backups_are_made_and_nobody_is_restarted() -> None:
    one = member("one", waiting("200"), has_patroni=True)
    plan = decide(one, spec={**BACKUPS, **RISES, "allow": ["restart"]})
    assert [step.target for step in plan.steps] == [f"hook {THIS}"]
    assert plan.blocked is not None
    assert plan.blocked[0] == "ManagedByPatroni"


@pytest.mark.parametrize(
    "fields",
    [{"every": "1m"}, {"maxAge": "23h"}, {"at": "1d"}, {"every": "0s"}, {"hook": "Bad Hook"}],
)
def test_a_schedule_that_cannot_be_kept_is_refused(fields: Mapping[str, str]) -> None:
    with pytest.raises(ValidationError):
        the_cluster({"backups": {"nightly": {**NIGHTLY, **fields}}})


# Restarts (engine.md 61).


def waiting(value: str, in_force: str = "100") -> Setting:
    return replace(SETTINGS["max_connections"], value=in_force, pending_restart=True, file_value=value)


def member(name: str, found: Setting, **fields: Any) -> SeenMember:
    """Return the primary, one, or a standby, with that max_connections."""
    of = settings(max_connections=found)
    return a_member(name, settings=of, **fields) if name == "one" else a_standby(name, settings=of, **fields)


def in_force(value: str) -> Setting:
    return replace(SETTINGS["max_connections"], value=value, file_value=value)


def test_what_rises_restarts_a_standby_first_and_the_primary_last_one_at_a_time() -> None:
    all_wait = [member(name, waiting("200")) for name in ("one", "two", "three")]
    (first,) = decide(*all_wait, spec=RISES).steps
    assert first.summary == "restart three by hook pg-restart: max_connections would take effect"
    assert first.needs is Verb.RESTART
    done = [member("one", waiting("200")), member("two", waiting("200")), member("three", in_force("200"))]
    assert [step.target.split(".")[2] for step in decide(*done, spec=RISES).steps] == ["two"]
    last = [member("one", waiting("200")), *(member(each, in_force("200")) for each in ("two", "three"))]
    assert [step.target.split(".")[2] for step in decide(*last, spec=RISES).steps] == ["one"]


def test_what_falls_restarts_the_primary_first() -> None:
    both = member("one", waiting("50")), member("two", waiting("50"))
    assert [step.target.split(".")[2] for step in decide(*both, spec=FALLS).steps] == ["one"]
    half = member("one", in_force("50")), member("two", waiting("50"))
    assert [step.target.split(".")[2] for step in decide(*half, spec=FALLS).steps] == ["two"]


def test_where_some_rise_and_others_fall_nobody_is_restarted_and_it_is_said() -> None:
    senders = Setting("10", None, "integer", "postmaster", file_value="5", pending_restart=True)
    found = settings(max_connections=waiting("200"), max_wal_senders=senders)
    spec = {**RISES, "settings": {"max_connections": 200, "max_wal_senders": 5}}
    plan = decide(a_member(settings=found), spec=spec)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "RestartOrder"


def test_nobody_is_restarted_while_a_member_is_away_or_a_standby_receives_nothing() -> None:
    waits = member("one", waiting("200"))
    assert decide(waits, LostMember("two", "no route"), spec=RISES).steps == ()
    spec = {**RISES, "replication": {"standbys": {"two": {}}}}
    assert decide(waits, member("two", in_force("200"), receiver=None), spec=spec).steps == ()


def test_nobody_is_restarted_before_all_is_written() -> None:
    plan = decide(member("one", waiting("200")), member("two", in_force("100")), spec=RISES)
    assert said(plan) == ["max_connections 100 → 200 on two, written; it takes effect at the next restart"]


def test_without_a_hook_a_restart_is_only_said() -> None:
    plan = decide(member("one", waiting("200")), spec={"settings": {"max_connections": 200}})
    assert (plan.steps, reason(plan)) == ((), "PendingRestart")


@pytest.mark.parametrize(
    ("state", "blocked"),
    [(HookState.RUNNING, None), (HookState.FAILED, "RestartFailed"), (HookState.PASSED, "RestartFailed")],
)
def test_a_restart_is_tried_once_for_each_start_of_a_member_and_spec(
    state: HookState, blocked: str | None
) -> None:
    waits = member("one", waiting("200"))
    run = restart_runs(the_cluster(RISES), [waits])[-1]
    runs = {run: HookResult("pg-restart", state, "told so")}
    plan = decide(waits, spec=RISES, runs=runs)
    assert plan.steps == ()
    assert (plan.blocked[0] if plan.blocked is not None else None) == blocked
    assert len(decide(waits, spec=RISES, runs=runs, generation=2).steps) == 1
    assert len(decide(replace(waits, started_at="later"), spec=RISES, runs=runs).steps) == 1
