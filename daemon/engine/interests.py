"""Who must be looked at when an object changed: its owner, and those that depend on it."""

from collections.abc import Iterable

from crds.meta import Condition, ConditionType, Key, Truth
from reconcilers.contract import AnyResource


class Interests:
    """Knows which objects name which others in ``dependsOn``."""

    def __init__(self) -> None:
        self._dependents: dict[Key, set[Key]] = {}

    def index(self, key: Key, before: AnyResource | None, after: AnyResource | None) -> None:
        """Take down what *key* depends on now."""
        for reference in before.spec.depends_on if before else ():
            self._dependents.get(reference, set()).discard(key)
        for reference in after.spec.depends_on if after else ():
            self._dependents.setdefault(reference, set()).add(key)

    def of(self, before: AnyResource | None, after: AnyResource) -> Iterable[Key]:
        """Yield who wants to know of the change from *before* to *after*; what moves by itself is none."""
        if before is not None and not _looks_different(before, after):
            return
        if after.owner is not None:
            yield after.owner
        yield from self._dependents.get(after.key, ())


def is_asked_anew(before: AnyResource | None, after: AnyResource) -> bool:
    """Whether its spec, or whether it is declared at all, is not what it was."""
    if before is None or before.generation != after.generation:
        return True
    return (before.orphaned_since is None) != (after.orphaned_since is None)


def has_new_request(before: AnyResource | None, after: AnyResource) -> bool:
    """Whether somebody asked something of it."""
    return before is not None and _last_request(before) < _last_request(after)


def _last_request(resource: AnyResource) -> int:
    return resource.requests[-1].id if resource.requests else 0


def _looks_different(before: AnyResource, after: AnyResource) -> bool:
    return (
        before.status != after.status
        or before.annotations != after.annotations
        or before.observed_generation != after.observed_generation
        or _statuses(before.conditions) != _statuses(after.conditions)
    )


def _statuses(conditions: tuple[Condition, ...]) -> tuple[tuple[ConditionType, Truth], ...]:
    return tuple((condition.type, condition.status) for condition in conditions)
