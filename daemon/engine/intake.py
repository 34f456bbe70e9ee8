"""How a snapshot of the watched directory becomes operations on the store: pure."""

from collections.abc import Callable, Iterable
from datetime import datetime

from crds.meta import ConditionType, Key, Truth
from daemon.sources.snapshot import Declared, Problem, Snapshot
from daemon.store.operations import Apply, Operation, Orphan, Record, Report
from daemon.store.state import State
from reconcilers.contract import AnyResource, Verdict


def take_in(state: State, snapshot: Snapshot, now: datetime, uid: Callable[[], str]) -> tuple[Operation, ...]:
    """Return what *snapshot* changes; nothing at all when the directory could not be read.

    A refused object, or one whose file is broken, keeps its last good spec; one in no file is orphaned.
    """
    if snapshot.unreadable is not None:
        return ()
    held = _held_targets(state, snapshot)
    operations: list[Operation] = []
    for declared in snapshot.objects:
        conflict = _conflict(state, declared, held)
        if conflict is None:
            operations += _accepted(state, declared, now, uid)
        else:
            operations += _refused(state, declared.key, conflict, now)
    for key, problem in snapshot.refused.items():
        operations += _refused(state, key, problem.sentence, now)
    return (*operations, *_missing(state, snapshot, now))


def _missing(state: State, snapshot: Snapshot, now: datetime) -> Iterable[Operation]:
    present = {declared.key for declared in snapshot.objects} | set(snapshot.refused)
    for resource in _from_files(state):
        if resource.key in present:
            continue
        if resource.origin is not None and resource.origin.file in snapshot.broken_files:
            yield from _refused(state, resource.key, _problem_of(snapshot, resource.origin.file), now)
        elif resource.orphaned_since is None:
            yield from _orphaned(resource, now)


def _from_files(state: State) -> Iterable[AnyResource]:
    return (resource for resource in state.objects.values() if resource.owner is None)


def _problem_of(snapshot: Snapshot, file: str) -> str:
    found: Problem | None = next((problem for problem in snapshot.problems if problem.file == file), None)
    return found.sentence if found is not None else f"{file} cannot be read"


def _held_targets(state: State, snapshot: Snapshot) -> dict[str, Key]:
    """Return the real things that objects hold whose files are broken, refused, or gone for now."""
    present = {declared.key for declared in snapshot.objects}
    held: dict[str, Key] = {}
    for resource in _from_files(state):
        if resource.key not in present and resource.orphaned_since is None and _is_kept(snapshot, resource):
            held |= {claim.target: resource.key for claim in resource.spec.claims(resource.key.name)}
    return held


def _is_kept(snapshot: Snapshot, resource: AnyResource) -> bool:
    broken = resource.origin is not None and resource.origin.file in snapshot.broken_files
    return broken or resource.key in snapshot.refused


def _conflict(state: State, declared: Declared, held: dict[str, Key]) -> str | None:
    existing = state.get(declared.key)
    if existing is not None and existing.owner is not None:
        return f"{declared.origin}: error: {declared.key} is made by {existing.owner}; take another name"
    for claim in declared.spec.claims(declared.key.name):
        holder = held.get(claim.target)
        if holder is not None and holder != declared.key:
            return f"{declared.origin}: error: {claim.target} belongs to {holder}, whose file is in error"
    return None


def _accepted(state: State, declared: Declared, now: datetime, uid: Callable[[], str]) -> Iterable[Operation]:
    existing = state.get(declared.key)
    yield Apply(
        key=declared.key,
        uid=uid() if existing is None else existing.uid,
        spec=declared.spec,
        at=now,
        labels=declared.labels,
        annotations=declared.annotations,
        origin=declared.origin,
        lines=declared.lines,
    )
    valid = Verdict(ConditionType.SOURCE_VALID, Truth.TRUE, "Accepted", str(declared.origin))
    yield Report(declared.key, now, (valid,))
    if existing is None:
        yield Record(declared.key, now, "Created", f"declared in {declared.origin}")
    elif existing.orphaned_since is not None:
        yield Record(declared.key, now, "Returned", f"declared again in {declared.origin}")
    elif existing.spec != declared.spec:
        yield Record(declared.key, now, "SpecChanged", f"changed in {declared.origin}")


def _refused(state: State, key: Key, message: str, now: datetime) -> Iterable[Operation]:
    existing = state.get(key)
    if existing is None or existing.owner is not None:
        return
    yield Report(key, now, (Verdict(ConditionType.SOURCE_VALID, Truth.FALSE, "Refused", message),))
    before = existing.condition(ConditionType.SOURCE_VALID)
    if before is None or (before.reason, before.message) != ("Refused", message):
        yield Record(key, now, "SourceRefused", f"the last good spec stays in force: {message}", warning=True)


def _orphaned(resource: AnyResource, now: datetime) -> Iterable[Operation]:
    where = resource.origin.file if resource.origin is not None else "its file"
    yield Orphan(resource.key, now)
    message = f"no longer declared in {where}: it is left as it is"
    yield Report(resource.key, now, (Verdict(ConditionType.SOURCE_VALID, Truth.FALSE, "Orphaned", message),))
    yield Record(resource.key, now, "Orphaned", message, warning=True)
