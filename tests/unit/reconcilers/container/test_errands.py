"""What becomes of what was begun: tasks that run, end, fail or are lost, and answers that never came."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from crds.container import ContainerSpec, ContainerStatus
from reconcilers.container.model import (
    Absent,
    ContainerAction,
    Seen,
    SeenIntent,
    Silent,
    Stop,
    TaskState,
    Volume,
    World,
)
from reconcilers.container.plan import plan_container
from reconcilers.container.settings import recipe_tag
from reconcilers.contract import Close, Intent, MarkAbsent, Outcome, OutcomeKind, Plan, Resource
from tests.builders import START
from tests.builders_container import UPID, a_container, a_sighting, an_intent, followed

CONTAINER = a_container()


def planned(
    world: World | None,
    *intents: SeenIntent,
    now: datetime = START,
    container: Resource[ContainerSpec] = CONTAINER,
) -> Plan[ContainerAction]:
    return plan_container(container, Seen(world, intents, is_quorate=True), now)


def closed(plan: Plan[ContainerAction]) -> OutcomeKind | None:
    kinds = [write.outcome.kind for write in plan.writes if isinstance(write, Close)]
    return kinds[0] if kinds else None


def test_a_running_task_is_waited_for_and_named() -> None:
    plan = planned(None, followed(an_intent(CONTAINER), TaskState.RUNNING))
    assert plan.waiting == "create CT 100"
    assert plan.recheck_after == timedelta(seconds=0.2)
    assert plan.status == ContainerStatus(task=UPID)
    assert plan.writes == ()


def test_a_long_task_is_looked_at_less_often() -> None:
    running = followed(an_intent(CONTAINER), TaskState.RUNNING)
    plan = planned(None, running, now=START + timedelta(minutes=1))
    assert plan.recheck_after == timedelta(seconds=1)
    assert plan.blocked is None


def test_a_task_that_outlives_its_deadline_is_shown_and_still_followed() -> None:
    running = followed(an_intent(CONTAINER), TaskState.RUNNING)
    plan = planned(None, running, now=START + timedelta(minutes=16))
    assert plan.blocked is not None
    assert plan.blocked[0] == "TaskOverdue"
    assert UPID in plan.blocked[1]
    assert plan.waiting is not None


@pytest.mark.parametrize("message", ["", "WARNINGS: 2"])
def test_a_finished_task_closes_its_intent_and_the_container_is_compared_at_once(message: str) -> None:
    done = followed(an_intent(CONTAINER), TaskState.DONE, message)
    plan = planned(a_sighting(CONTAINER, is_running=False), done)
    assert plan.writes == (Close(7, Outcome(OutcomeKind.DONE, reference=UPID, message=message)),)
    assert [type(step.action).__name__ for step in plan.steps] == ["Start"]


def test_a_failed_task_closes_its_intent_tells_why_and_tries_nothing_in_this_pass() -> None:
    text = "unable to create CT 100 - volume 'local:vztmpl/nope.tar.zst' does not exist"
    plan = planned(Absent(), followed(an_intent(CONTAINER), TaskState.FAILED, text))
    assert closed(plan) is OutcomeKind.FAILED
    assert plan.failed == f"create CT 100: {text}"
    assert plan.steps == ()


def test_a_shutdown_that_did_not_end_is_remembered_until_the_container_stops() -> None:
    container = a_container(state="Stopped", allow=["force-stop"])
    intent = an_intent(container, "Shutdown")
    failing = followed(intent, TaskState.FAILED, "container did not stop")
    plan = planned(a_sighting(container), failing, container=container)
    assert isinstance(plan.status, ContainerStatus)
    assert plan.status.stuck == "shutdown CT 100: container did not stop"
    later = replace(container, status=plan.status)
    (step,) = planned(a_sighting(later), container=later).steps
    assert isinstance(step.action, Stop)
    stopped = planned(a_sighting(later, is_running=False), container=later)
    assert stopped.status == ContainerStatus(node="pve1", state="stopped", recipe=recipe_tag(later.spec))


def test_a_stuck_shutdown_is_forgotten_when_the_container_shall_run_again() -> None:
    status = ContainerStatus(node="pve1", state="running", stuck="shutdown CT 100: container did not stop")
    container = replace(a_container(), status=status)
    assert planned(a_sighting(container), container=container).status == ContainerStatus(
        node="pve1", state="running", recipe=recipe_tag(container.spec)
    )


UNKNOWN = an_intent(CONTAINER, reference=None)
AFTER_CALL = START + timedelta(seconds=61)


@pytest.mark.parametrize(
    ("action", "container", "world"),
    [
        ("Create", CONTAINER, a_sighting(CONTAINER, is_running=False)),
        ("Start", CONTAINER, a_sighting(CONTAINER)),
        ("Shutdown", CONTAINER, a_sighting(CONTAINER, is_running=False)),
        ("Stop", CONTAINER, a_sighting(CONTAINER, is_running=False)),
        ("Destroy", CONTAINER, Absent()),
        ("Resize", CONTAINER, a_sighting(CONTAINER)),
    ],
)
def test_an_unanswered_step_whose_effect_is_there_is_done(
    action: str, container: Resource[ContainerSpec], world: World
) -> None:
    plan = planned(world, SeenIntent(an_intent(container, action, reference=None), None))
    assert closed(plan) is OutcomeKind.DONE


@pytest.mark.parametrize(
    ("action", "world"),
    [
        ("Create", Absent()),
        ("Create", a_sighting(CONTAINER, tags=frozenset({"theirs"}))),
        ("Create", a_sighting(CONTAINER, lock="create", hostname=None, tags=frozenset(), is_running=False)),
        ("Start", a_sighting(CONTAINER, is_running=False)),
        ("Start", Absent()),
        ("Shutdown", a_sighting(CONTAINER)),
        ("Destroy", a_sighting(CONTAINER)),
        ("Resize", a_sighting(CONTAINER, root=Volume("local", 1024**3))),
        ("Renamed", a_sighting(CONTAINER)),
    ],
)
def test_an_unanswered_step_without_a_trace_is_waited_for_while_its_call_may_be_under_way(
    action: str, world: World
) -> None:
    plan = planned(world, SeenIntent(an_intent(CONTAINER, action, reference=None), None))
    assert plan.writes == ()
    assert plan.steps == ()
    assert plan.waiting is not None


def test_that_it_did_not_happen_takes_two_looks_half_a_minute_apart() -> None:
    during = planned(Absent(), SeenIntent(UNKNOWN, None), now=START + timedelta(seconds=59))
    assert (during.writes, during.steps) == ((), ())
    first = planned(Absent(), SeenIntent(UNKNOWN, None), now=AFTER_CALL)
    assert first.writes == (MarkAbsent(7),)
    assert first.steps == ()
    missed: Intent = replace(UNKNOWN, absent_since=AFTER_CALL)
    early = planned(Absent(), SeenIntent(missed, None), now=AFTER_CALL + timedelta(seconds=29))
    assert (early.writes, early.steps, early.recheck_after) == ((), (), timedelta(seconds=1))
    second = planned(Absent(), SeenIntent(missed, None), now=AFTER_CALL + timedelta(seconds=30))
    assert closed(second) is OutcomeKind.FAILED
    assert [type(step.action).__name__ for step in second.steps] == ["Create"]


def test_a_lost_task_is_decided_by_the_container_never_by_the_task() -> None:
    lost = followed(an_intent(CONTAINER, "Start"), TaskState.LOST)
    assert closed(planned(a_sighting(CONTAINER), lost)) is OutcomeKind.DONE
    assert planned(a_sighting(CONTAINER, is_running=False), lost).waiting is not None


def test_a_task_that_ended_without_saying_how_is_decided_at_once_by_the_container() -> None:
    ended = followed(an_intent(CONTAINER, "Start"), TaskState.ENDED, "Proxmox cannot say how the task ended")
    assert closed(planned(a_sighting(CONTAINER), ended)) is OutcomeKind.DONE
    failing = planned(a_sighting(CONTAINER, is_running=False), ended)
    assert closed(failing) is OutcomeKind.FAILED
    assert failing.failed == "start CT 100: Proxmox cannot say how the task ended"
    assert planned(Silent("595"), ended).writes == ()


def test_while_the_node_is_silent_nothing_is_concluded() -> None:
    plan = planned(Silent("595"), SeenIntent(UNKNOWN, None), now=START + timedelta(hours=1))
    assert plan.writes == ()
    assert plan.waiting is not None
