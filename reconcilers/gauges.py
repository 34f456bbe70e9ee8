"""What data services told last, for the gates of releases: in memory, because it changes with each look."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from crds.meta import Key

_HOUR: Final = timedelta(hours=1)
_APART: Final = timedelta(minutes=1)
_MARKS: Final = 61


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
    """The last look at each object that releases may have a gate on, and one a minute of the hour before."""

    def __init__(self) -> None:
        self._last: dict[Key, Gauge] = {}
        self._marks: dict[Key, deque[Gauge]] = {}

    def tell(self, key: Key, gauge: Gauge) -> None:
        """Take the place of what was told before."""
        self._last[key] = gauge
        marks = self._marks.setdefault(key, deque(maxlen=_MARKS))
        if marks and marks[-1].at > gauge.at:
            marks.clear()  # the clock was set back: how long ago they were is not known
        if not marks or marks[-1].epoch != gauge.epoch or gauge.at - marks[-1].at >= _APART:
            whole = {name: value for name, value in gauge.values.items() if ":" not in name}
            marks.append(Gauge(gauge.at, whole, gauge.epoch))

    def forget(self, key: Key) -> None:
        """Leave out an object that cannot be looked at any more."""
        self._last.pop(key, None)

    def of(self, key: Key) -> Gauge | None:
        """Return what was told last, however old; None if nothing was."""
        return self._last.get(key)

    def hour_before(self, key: Key) -> Gauge | None:
        """Return the first look of the last hour and of this run of the server, without names with a place.

        What was told before the daemon began is not known.
        """
        last = self._last.get(key)
        if last is None:
            return None
        same = (each for each in self._marks[key] if each.epoch == last.epoch and last.at - each.at <= _HOUR)
        return next(same, None)
