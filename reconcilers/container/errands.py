"""What follows from a container's open intents alone: pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from crds.container import ContainerSpec
from reconcilers.container.model import (
    GIB,
    Absent,
    Create,
    Destroy,
    Resize,
    Seen,
    SeenContainer,
    SeenIntent,
    Shutdown,
    Silent,
    Start,
    Stop,
    TaskState,
    World,
)
from reconcilers.container.settings import owner_tag
from reconcilers.contract import DONE, Close, MarkAbsent, Outcome, OutcomeKind, Resource, Write

#: How long a call may be under way before its task appears; longer than the transport's own deadline.
CALL_DEADLINE: Final = timedelta(seconds=60)
#: Pause between the two looks that prove that something did not happen.
ABSENCE: Final = timedelta(seconds=30)
_SOON: Final = timedelta(seconds=0.2)
_LATER: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Errands:
    """What follows from the open intents alone.

    ``task`` is the UPID of what is under way, ``overdue`` says which runs for too long, ``stuck`` which
    shutdown did not end.
    """

    writes: tuple[Write, ...] = ()
    waiting: str | None = None
    recheck_after: timedelta | None = None
    failed: str | None = None
    overdue: str | None = None
    task: str | None = None
    stuck: str | None = None


def settle(container: Resource[ContainerSpec], seen: Seen, now: datetime) -> Errands:
    """Return what becomes of each open intent, and what the pass waits for or backs off from."""
    found = [_errand(container, seen.world, intent, now) for intent in seen.intents]
    return Errands(
        writes=tuple(write for errand in found for write in errand.writes),
        waiting=next((errand.waiting for errand in found if errand.waiting), None),
        recheck_after=min((e.recheck_after for e in found if e.recheck_after), default=None),
        failed=next((errand.failed for errand in found if errand.failed), None),
        overdue=next((errand.overdue for errand in found if errand.overdue), None),
        task=next((errand.task for errand in found if errand.task), None),
        stuck=next((errand.stuck for errand in found if errand.stuck), None),
    )


def _errand(
    container: Resource[ContainerSpec], world: World | None, seen: SeenIntent, now: datetime
) -> Errands:
    """Close an intent by its task; else by the state that it aimed at; else, after two looks, as not done."""
    intent, task = seen.intent, seen.task
    match task.state if task is not None else TaskState.LOST:
        case TaskState.RUNNING:
            return _of_running(seen, now)
        case TaskState.DONE:
            message = task.message if task is not None else ""
            outcome = replace(DONE, message=message, reference=intent.reference)
            return Errands(writes=(Close(intent.id, outcome),))
        case TaskState.FAILED:
            return _of_failure(seen, world)
        case TaskState.ENDED:
            return _of_end(container, world, seen)
        case TaskState.LOST:
            return _of_lost(container, world, seen, now)
        case state:
            assert_never(state)


def _of_running(seen: SeenIntent, now: datetime) -> Errands:
    intent, task = seen.intent, seen.task
    upid = task.upid if task is not None else intent.reference
    age = now - intent.begun_at
    pause = _SOON if age < timedelta(seconds=5) else timedelta(seconds=1)
    overdue = None
    if age > intent.deadline:
        overdue = (
            f"{intent.summary}: its task has run for {age.total_seconds():.0f} s, look at its log: {upid}"
        )
    return Errands(waiting=intent.summary, recheck_after=pause, overdue=overdue, task=upid)


def _of_failure(seen: SeenIntent, world: World | None) -> Errands:
    intent, message = seen.intent, seen.task.message if seen.task is not None else ""
    text = f"{intent.summary}: {message}"
    outcome = Outcome(OutcomeKind.FAILED, reference=intent.reference, message=message)
    still_runs = isinstance(world, SeenContainer) and world.is_running
    stuck = text if intent.action == Shutdown.__name__ and still_runs else None
    return Errands(writes=(Close(intent.id, outcome),), failed=text, stuck=stuck)


def _of_end(container: Resource[ContainerSpec], world: World | None, seen: SeenIntent) -> Errands:
    if isinstance(world, Silent) or world is None:
        return Errands(waiting=f"{seen.intent.summary}: its outcome is unknown", recheck_after=_LATER)
    if _is_visible(container, world, seen.intent.action):
        return Errands(writes=(Close(seen.intent.id, replace(DONE, message="found done")),))
    return _of_failure(seen, world)


def _of_lost(
    container: Resource[ContainerSpec], world: World | None, seen: SeenIntent, now: datetime
) -> Errands:
    intent = seen.intent
    if isinstance(world, Silent) or world is None:
        return Errands(waiting=f"{intent.summary}: its outcome is unknown", recheck_after=_LATER)
    if _is_visible(container, world, intent.action):
        return Errands(writes=(Close(intent.id, replace(DONE, message="found done")),))
    waiting = f"{intent.summary}: no answer, and no trace of it yet"
    if now < intent.begun_at + min(intent.deadline, CALL_DEADLINE):
        return Errands(waiting=waiting, recheck_after=timedelta(seconds=1))
    if intent.absent_since is None:
        return Errands(writes=(MarkAbsent(intent.id),), waiting=waiting, recheck_after=ABSENCE)
    if now < intent.absent_since + ABSENCE:
        return Errands(waiting=waiting, recheck_after=intent.absent_since + ABSENCE - now)
    outcome = Outcome(OutcomeKind.FAILED, reference=intent.reference, message="did not happen")
    return Errands(writes=(Close(intent.id, outcome),))


def _is_visible(container: Resource[ContainerSpec], world: World, action: str) -> bool:
    """Whether what *action* aims at is there to see."""
    if not isinstance(world, SeenContainer):
        return action == Destroy.__name__ and isinstance(world, Absent)
    root, disk = world.config.root, container.spec.disk
    size = root.size_bytes if root is not None else None
    return {
        Create.__name__: world.lock != "create" and owner_tag(container.uid) in world.config.tags,
        Start.__name__: world.is_running,
        Shutdown.__name__: not world.is_running,
        Stop.__name__: not world.is_running,
        Resize.__name__: disk is None or (size is not None and size >= disk * GIB),
    }.get(action, False)
