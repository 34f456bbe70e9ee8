"""What plan and diff say of objects that are as asked, and not well: no step mends what is only verified."""

import pytest

from tests.builders_cli import GOOD, a_condition, a_plan, a_step, an_object
from tests.fakes.recorded_daemon import Json, RecordedDaemon
from tests.unit.cli.conftest import Psactl

REDIS, DATABASE, CONTAINER = "RedisInstance/psa-redis", "PostgresCluster/psa-db", "Container/psa-crm-blue"
TEXT = "more than 90 % of 1073741824 bytes are in use"
LACKS = (*GOOD, a_condition("Degraded", "True", "MemoryNearLimit", TEXT))
TOO_OLD = (a_condition("Ready", "False", "VersionTooLow", "one is 14.9; 15 or newer is needed"),)
UNSEEN = (a_condition("Ready", "Unknown", "PrimaryUnseen", "one: no answer; but two streams from it"),)


@pytest.mark.parametrize("command", ["plan", "diff"])
def test_where_nothing_is_to_do_the_problems_are_what_is_left(
    daemon: RecordedDaemon, terminal: Psactl, command: str
) -> None:
    daemon.objects = [an_object(DATABASE, conditions=TOO_OLD), an_object(REDIS, conditions=LACKS)]
    daemon.plans = [a_plan(DATABASE), a_plan(REDIS)]

    ran = terminal(command)

    assert ran.code == 0
    assert (
        ran.out
        == """\
2 objects have problems that no step mends; psactl describe KIND/NAME tells
more:
  PostgresCluster/psa-db   ✖ VersionTooLow  one is 14.9; 15 or newer is needed
  RedisInstance/psa-redis  ✖ Degraded       more than 90 % of 1073741824 bytes …
"""
    )


def test_after_what_would_be_done_a_problem_is_one_line_that_is_not_cut_in_a_pipe(
    daemon: RecordedDaemon, pipe: Psactl
) -> None:
    daemon.objects = [an_object(CONTAINER), an_object(REDIS, conditions=LACKS)]
    daemon.plans = [a_plan(CONTAINER, a_step("start CT 121")), a_plan(REDIS)]

    ran = pipe("diff")

    assert ran.code == 1
    assert ran.out == (
        f"{CONTAINER}\n  start CT 121\n\n1 difference on 1 object.\n"
        f"1 object has a problem that no step mends; psactl describe {REDIS} tells more:\n"
        f"  {REDIS}  ✖ Degraded  {TEXT}\n"
    )


def test_who_takes_the_writes_of_a_database_may_be_hidden_from_us_only(
    daemon: RecordedDaemon, pipe: Psactl
) -> None:
    daemon.objects, daemon.plans = [an_object(DATABASE, conditions=UNSEEN)], [a_plan(DATABASE)]

    assert f"  {DATABASE}  ◌ Unknown  one: no answer; but two streams" in pipe("diff").out


@pytest.mark.parametrize(
    "plan",
    [
        a_plan(REDIS, a_step("set maxmemory 1gb → 2gb, live, no restart")),
        a_plan(REDIS, waiting="it loads its file"),
        a_plan(REDIS, blocked={"reason": "VersionTooLow", "message": "it runs Redis 6.2"}),
    ],
)
def test_a_problem_that_a_step_may_mend_or_that_is_told_anyway_is_not_told_again(
    daemon: RecordedDaemon, pipe: Psactl, plan: Json
) -> None:
    daemon.objects, daemon.plans = [an_object(REDIS, conditions=LACKS)], [plan]

    assert "that no step mends" not in pipe("diff").out


@pytest.mark.parametrize(
    "thing",
    [
        an_object(REDIS),
        an_object(REDIS, conditions=LACKS, suspended={"until": None, "reason": "swap", "actor": "uid 0"}),
        an_object(REDIS, conditions=LACKS, orphanedSince="2026-11-24T10:00:00Z"),
        an_object(REDIS, conditions=LACKS, generation=2),
        an_object(REDIS, conditions=()),
    ],
    ids=["well", "suspended", "orphaned", "changed", "new"],
)
def test_an_object_that_is_well_held_or_new_is_no_problem(
    daemon: RecordedDaemon, pipe: Psactl, thing: Json
) -> None:
    daemon.objects, daemon.plans = [thing], [a_plan(REDIS)]

    assert pipe("diff").out == "Nothing to do.\n"


def test_only_the_objects_that_are_named_are_looked_at(daemon: RecordedDaemon, pipe: Psactl) -> None:
    daemon.objects = [an_object(CONTAINER), an_object(REDIS, conditions=LACKS)]
    daemon.plans = [a_plan(CONTAINER)]

    assert pipe("diff", CONTAINER).out == "Nothing to do.\n"
