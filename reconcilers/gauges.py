"""What data services told last, for the gates of releases: in memory, because it changes with each look."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from crds.meta import Key


@dataclass(frozen=True, slots=True)
class Gauge:
    """One look at an object: values by name, at an instant (UTC).

    A name that is not there is unknown, never 0. Names with a place have it behind a colon:
    ``lag_bytes:replica-1``, ``depth:/psa/notifications.email``. Counters grow for as long as ``epoch`` is the
    same; another epoch means that the server has begun anew.
    """

    at: datetime
    values: Mapping[str, float]
    epoch: str = ""


class Gauges:
    """The last look at each object that releases may have a gate on."""

    def __init__(self) -> None:
        self._last: dict[Key, Gauge] = {}

    def tell(self, key: Key, gauge: Gauge) -> None:
        """Take the place of what was told before."""
        self._last[key] = gauge

    def forget(self, key: Key) -> None:
        """Leave out an object that cannot be looked at any more."""
        self._last.pop(key, None)

    def of(self, key: Key) -> Gauge | None:
        """Return what was told last, however old; None if nothing was."""
        return self._last.get(key)
