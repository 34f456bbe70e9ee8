"""Families of one sort of object that are told whole, look by look: what a look leaves out has no series."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

_OWNER: Final = 0


@dataclass(frozen=True, slots=True)
class Family:
    """One family: the end of its name, what it means, and its labels beside the object's own."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


#: A family's name and the values of its labels.
Series = tuple[str, ...]


class Moments:
    """Gauges: each look at an object takes the place of the one before. Unknown is absent, never 0."""

    def __init__(self, registry: CollectorRegistry, prefix: str, owner: str, *families: Family) -> None:
        """Take the *prefix* of all names and the label *owner* that says which object a series is about."""
        self._gauges = {
            each.name: Gauge(f"{prefix}_{each.name}", each.text, [owner, *each.labels], registry=registry)
            for each in families
        }
        self._told: dict[str, frozenset[Series]] = {}

    def tell(self, owner: str, values: Mapping[Series, float | None]) -> None:
        """Take all figures of one look at *owner*."""
        known = {series: value for series, value in values.items() if value is not None}
        for series in self._told.get(owner, frozenset()) - known.keys():
            self._gauges[series[0]].remove(owner, *series[1:])
        for series, value in known.items():
            self._gauges[series[0]].labels(owner, *series[1:]).set(value)
        self._told[owner] = frozenset(known)

    def forget(self, owner: str) -> None:
        """Remove all series of an object, told of before or not."""
        self.tell(owner, {})
        self._told.pop(owner)


class Counts:
    """Counters of servers that begin anew with each of their runs: here they only grow."""

    def __init__(
        self, registry: CollectorRegistry, prefix: str, owner: tuple[str, ...], *families: Family
    ) -> None:
        """Take the labels of *owner*: the object, and perhaps which of its servers."""
        self._counters = {
            each.name: Counter(f"{prefix}_{each.name}", each.text, list(owner), registry=registry)
            for each in families
        }
        self._last: dict[Series, tuple[str, Mapping[str, float]]] = {}

    def tell(self, owner: Series, epoch: str, values: Mapping[str, float]) -> None:
        """Add what came since the last look: nothing at the first, all of it where *epoch* is another one."""
        before, old = self._last.get(owner, (epoch, values))
        for name, counter in self._counters.items():
            value = values[name]
            base = old[name] if before == epoch and old[name] <= value else 0.0
            counter.labels(*owner).inc(value - base)
        self._last[owner] = (epoch, values)

    def forget(self, owner: str) -> None:
        """Remove all series of an object, told of before or not."""
        for labels in [each for each in self._last if each[_OWNER] == owner]:
            for counter in self._counters.values():
                counter.remove(*labels)
            del self._last[labels]
