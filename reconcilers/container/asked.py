"""Restarts that somebody asked for: which one begins, which is refused and why, which is answered: pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crds.container import ContainerSpec, PowerState
from crds.meta import Verb
from reconcilers.container.model import (
    Absent,
    ContainerAction,
    Place,
    Reboot,
    Seen,
    SeenContainer,
    SeenIntent,
    TaskState,
)
from reconcilers.container.ownership import half_made, stranger, taken
from reconcilers.contract import (
    Answer,
    Change,
    Close,
    Note,
    Outcome,
    OutcomeKind,
    Plan,
    Request,
    Resource,
    Step,
    StepClass,
    Write,
)

#: The one thing that a container can be asked for.
RESTART: Final = "restart"
#: A restart that could not begin for so long is refused: later nobody counts on it.
PATIENCE: Final = timedelta(minutes=5)
#: Holds that end by themselves: a restart waits for them.
_PASSING: Final = frozenset({"DependencyNotReady"})
#: What a reboot may take beside the shutdown: Proxmox cuts the power and starts it.
_GRACE: Final = timedelta(minutes=3)


def answers(container: Resource[ContainerSpec], seen: Seen, writes: Iterable[Write]) -> tuple[Answer, ...]:
    """Answer all that was asked before a restart began which is over now; *writes* close its intent.

    One that surely never began is no answer: it may begin again.
    """
    outcomes = {write.intent: write.outcome for write in writes if isinstance(write, Close)}
    return tuple(
        _answer(request, each, outcome)
        for each in seen.intents
        if each.intent.action == Reboot.__name__ and (outcome := outcomes.get(each.intent.id)) is not None
        for request in _open(container)
        if request.at <= each.intent.begun_at and each.task is not None
    )


def _answer(request: Request, seen: SeenIntent, outcome: Outcome) -> Answer:
    if outcome.kind is OutcomeKind.DONE:
        return Answer(request.id, accepted=True, message="restarted")
    task = seen.task
    why = task.message if task is not None and task.state is TaskState.LOST else outcome.message
    return Answer(request.id, accepted=False, message=f"failed: {why}")


def with_restart(
    container: Resource[ContainerSpec], seen: Seen, plan: Plan[ContainerAction], now: datetime
) -> Plan[ContainerAction]:
    """Add the restart that is asked for to a plan without another task that may begin, or the refusal."""
    answered = {write.request for write in plan.writes if isinstance(write, Answer)}
    asked = [each for each in _open(container) if each.id not in answered]
    refused = [
        Answer(each.id, accepted=False, message=f"refused: {why}")
        for each in asked
        if (why := _refusal(container, seen, each, now)) is not None
    ]
    told = [Note("RequestRefused", f"{RESTART} {answer.message}", warning=True) for answer in refused]
    plan = replace(plan, writes=(*plan.writes, *refused, *told))
    allowed = {None, *container.spec.allow}
    first = tuple(each for each in plan.steps if each.needs in allowed)
    is_busy = plan.waiting is not None or any(each.step_class is StepClass.EXCLUSIVE for each in first)
    if is_busy or len(refused) == len(asked):
        return plan
    taken_on = next(each for each in asked if each.id not in {answer.request for answer in refused})
    # The gate lets nothing through behind a step that may not be done.
    others = tuple(each for each in plan.steps if each.needs not in allowed)
    return replace(plan, steps=(*first, _reboot(container, taken_on), *others))


def _open(container: Resource[ContainerSpec]) -> tuple[Request, ...]:
    return tuple(each for each in container.requests if each.answer is None)


def _refusal(container: Resource[ContainerSpec], seen: Seen, request: Request, now: datetime) -> str | None:
    """Return why it is not restarted, None if it is, or if that cannot be said yet."""
    if request.verb != RESTART:
        return f"a container can be asked for {RESTART}, not for {request.verb}"
    if container.orphaned_since is not None:
        return "its file is gone: nothing is changed until it is back"
    if container.held is not None and container.held[0] not in _PASSING:
        return container.held[1]
    place = _place(container)
    match seen.world:
        case SeenContainer() as world:
            why = next(iter(_obstacles(container, place, world)), None)
        case Absent():
            why = f"there is no {place}"
        case _:
            why = None
    if why is None and seen.is_quorate is False:
        why = f"{place.endpoint} has no quorum: it would not start again"
    if why is None and now - request.at > PATIENCE:
        why = f"it could not begin within {PATIENCE.total_seconds():.0f} s"
    return why


def _obstacles(container: Resource[ContainerSpec], place: Place, world: SeenContainer) -> Iterable[str]:
    """Yield what forbids it, the gravest first."""
    blocked = half_made(place, world) or taken(container, place, world)
    if blocked is not None:
        yield blocked[1]
    foreign = stranger(container, place, world)
    if foreign is not None and not container.spec.adopt:
        yield f"{foreign}; set adopt: true to take it over"
    if not world.is_running:
        yield f"{place} is not running"
    if container.spec.state is PowerState.STOPPED:
        yield "spec.state is Stopped"
    if world.ha_state is not None:
        yield f"{place} is driven by HA (state {world.ha_state}): nothing is started or stopped"
    if world.lock is not None:
        yield f"{place} is locked ({world.lock})"
    if Verb.FORCE_STOP not in container.spec.allow:
        limit = container.spec.shutdown_timeout.total_seconds()
        yield f"needs allow: [force-stop]: Proxmox cuts the power of what is not down within {limit:g} s"


def _reboot(container: Resource[ContainerSpec], request: Request) -> Step[ContainerAction]:
    place, timeout = _place(container), container.spec.shutdown_timeout
    why = f": {request.reason}" if request.reason else ""
    return Step(
        Reboot(place, timeout),
        StepClass.EXCLUSIVE,
        target=str(place),
        summary=f"restart CT {place.ctid}, as {request.actor} asked{why}",
        changes=(Change("spec.state", "running", "restarted"),),
        needs=Verb.FORCE_STOP,
        origin=container.where("spec.state"),
        deadline=timeout + _GRACE,
        errand=True,
    )


def _place(container: Resource[ContainerSpec]) -> Place:
    return Place(container.spec.endpoint, container.spec.node, container.spec.ctid)
