"""A restart that somebody asks for: begun once and followed to its end, or refused with the reason."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from crds.container import ContainerSpec
from crds.meta import Verb
from reconcilers.container.model import (
    Absent,
    ContainerAction,
    Place,
    Reboot,
    Seen,
    SeenContainer,
    SeenIntent,
    Silent,
    TaskState,
    World,
)
from reconcilers.container.plan import plan_container
from reconcilers.contract import Answer, Close, Note, Outcome, OutcomeKind, Plan, Request, Resource, StepClass
from tests.builders import START
from tests.builders_container import (
    OTHER_TEMPLATE,
    UPID,
    a_container,
    a_sighting,
    actions,
    an_intent,
    followed,
)

WHO = "PostgresCluster/psa-db"


def a_request(number: int = 1, *, verb: str = "restart", at: datetime = START) -> Request:
    return Request(number, verb, WHO, at, "max_connections would take effect")


def asked(*requests: Request, **fields: object) -> Resource[ContainerSpec]:
    given: dict[str, Any] = {"allow": ["force-stop"], "shutdownTimeout": "90s", **fields}
    container = a_container(**given)
    return replace(container, requests=requests or (a_request(),))


def decide(
    container: Resource[ContainerSpec],
    world: World | None = None,
    *intents: SeenIntent,
    now: datetime = START,
    **fields: Any,
) -> Plan[ContainerAction]:
    seen = Seen(world or a_sighting(container), intents, **{"is_quorate": True, **fields})
    return plan_container(container, seen, now)


def answered(plan: Plan[ContainerAction]) -> list[Answer]:
    return [write for write in plan.writes if isinstance(write, Answer)]


def test_what_is_asked_for_is_one_exclusive_step_that_names_who_asked_and_why() -> None:
    (step,) = decide(asked()).steps
    assert step.action == Reboot(Place("pve", "pve1", 100), timedelta(seconds=90))
    assert step.step_class is StepClass.EXCLUSIVE
    assert step.needs is Verb.FORCE_STOP
    assert step.summary == f"restart CT 100, as {WHO} asked: max_connections would take effect"


def test_two_requests_are_one_restart_whose_end_answers_both_and_no_later_one() -> None:
    later = a_request(3, at=START + timedelta(seconds=9))
    container = asked(a_request(1), a_request(2), later)
    assert actions(decide(container)) == ["Reboot"]
    begun = an_intent(container, "Reboot", begun_at=START + timedelta(seconds=5))
    plan = decide(container, None, followed(begun, TaskState.DONE), now=START + timedelta(seconds=10))
    outcome = Outcome(OutcomeKind.DONE, reference=UPID)
    ended = [Answer(each, accepted=True, message="restarted") for each in (1, 2)]
    assert plan.writes == (Close(begun.id, outcome), *ended)
    assert actions(plan) == ["Reboot"], "the third was asked for after the restart had begun"


def test_while_its_task_runs_nothing_is_answered_and_nothing_begins() -> None:
    container = asked()
    plan = plan_container(
        container, Seen(None, (followed(an_intent(container, "Reboot"), TaskState.RUNNING),)), START
    )
    assert (plan.steps, plan.writes, plan.waiting) == ((), (), "reboot CT 100")


def test_a_restart_that_failed_is_answered_with_what_proxmox_said_and_not_tried_again() -> None:
    container = asked()
    failed = followed(an_intent(container, "Reboot"), TaskState.FAILED, "bridge 'vmbr1' does not exist")
    plan = decide(container, a_sighting(container, is_running=False), failed)
    message = "failed: bridge 'vmbr1' does not exist"
    assert answered(plan) == [Answer(1, accepted=False, message=message)]
    over = replace(container, requests=(replace(a_request(), answer=message),))
    assert actions(decide(over, a_sighting(over, is_running=False))) == ["Start"]


def test_what_left_no_trace_at_two_looks_never_began_and_may_begin_again() -> None:
    container = asked()
    begun = an_intent(container, "Reboot", reference=None, absent_since=START + timedelta(seconds=70))
    plan = decide(container, None, SeenIntent(begun, None), now=START + timedelta(seconds=101))
    assert answered(plan) == []
    assert actions(plan) == ["Reboot"]


def test_a_task_that_proxmox_has_lost_may_have_restarted_it_and_is_not_begun_again() -> None:
    container = asked()
    begun = an_intent(container, "Reboot", absent_since=START + timedelta(seconds=70))
    lost = followed(begun, TaskState.LOST, "Proxmox does not know the task any more")
    plan = decide(container, None, lost, now=START + timedelta(seconds=101))
    assert [answer.message for answer in answered(plan)] == [
        "failed: Proxmox does not know the task any more"
    ]
    assert plan.steps == ()


@pytest.mark.parametrize(
    ("fields", "sighting", "why"),
    [
        ({}, {"is_running": False}, "CT 100 on pve is not running"),
        ({"state": "Stopped"}, {}, "spec.state is Stopped"),
        ({}, {"lock": "backup"}, "CT 100 on pve is locked (backup)"),
        ({}, {"ha_state": "started"}, "CT 100 on pve is driven by HA (state started)"),
        ({}, {"tags": frozenset()}, "CT 100 on pve exists already and was not made by us; set adopt: true"),
        ({}, {"tags": frozenset(), "hostname": "other"}, "CT 100 on pve is other, not psa-crm"),
        ({"allow": ["restart"]}, {}, "needs allow: [force-stop]: Proxmox cuts the power of what is not down"),
    ],
    ids=["off", "to-be-off", "locked", "ha", "not-adopted", "another", "not-allowed"],
)
def test_what_cannot_or_may_not_be_restarted_is_refused_with_the_reason(
    fields: dict[str, object], sighting: dict[str, object], why: str
) -> None:
    container = asked(**fields)
    plan = decide(container, a_sighting(container, **sighting))
    (answer,) = answered(plan)
    assert (answer.request, answer.accepted) == (1, False)
    assert answer.message.startswith(f"refused: {why}")
    assert Note("RequestRefused", f"restart {answer.message}", warning=True) in plan.writes
    assert "Reboot" not in actions(plan)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"orphaned_since": START}, "its file is gone"),
        ({"held": ("ObserveMode", "mode Observe: nothing is changed")}, "mode Observe: nothing is changed"),
        ({"requests": (a_request(verb="dance"),)}, "a container can be asked for restart, not for dance"),
    ],
    ids=["orphaned", "held", "another-verb"],
)
def test_what_its_object_forbids_is_refused(changes: dict[str, Any], why: str) -> None:
    plan = decide(replace(asked(), **changes))
    (answer,) = answered(plan)
    assert answer.message.startswith(f"refused: {why}")
    assert plan.steps == ()


def test_without_a_container_or_without_quorum_it_is_refused() -> None:
    assert answered(decide(asked(), Absent()))[0].message == "refused: there is no CT 100 on pve"
    plan = decide(asked(), is_quorate=False)
    assert answered(plan)[0].message == "refused: pve has no quorum: it would not start again"
    assert plan.steps == ()


def test_it_waits_for_what_the_container_depends_on() -> None:
    plan = decide(replace(asked(), held=("DependencyNotReady", "waits for Container/psa-db-master")))
    assert answered(plan) == []
    assert actions(plan) == ["Reboot"], "which the gate holds"


def test_it_waits_for_a_node_that_is_silent_and_for_other_work_but_not_for_long() -> None:
    silent = Silent("no answer from pve1")
    assert answered(decide(asked(), silent)) == []
    grows = asked(disk="20Gi")
    small = a_sighting(asked())
    assert actions(decide(grows, small)) == ["Resize"]
    late = START + timedelta(minutes=5, seconds=1)
    for container, world in ((asked(), silent), (grows, small)):
        (answer,) = answered(decide(container, world, now=late))
        assert answer.message == "refused: it could not begin within 300 s"


def test_what_may_not_be_done_holds_no_restart_up() -> None:
    container = asked(template=OTHER_TEMPLATE)
    plan = decide(container, a_sighting(asked()))
    assert actions(plan) == ["Reboot", "Shutdown"]
    assert plan.steps[1].needs is Verb.RECREATE


def test_settings_are_written_before_the_restart_that_lets_them_take_effect() -> None:
    container = asked(nameserver="10.0.0.1")
    world = a_sighting(container, nameserver="10.0.0.2")
    assert isinstance(world, SeenContainer)
    assert actions(decide(container, world)) == ["Configure", "Reboot"]
