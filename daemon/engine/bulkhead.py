"""Per endpoint: at most so many passes at once, and a breaker, so that a dead one never slows the others."""

from dataclasses import dataclass, field
from typing import Final

from crds.meta import Key
from daemon.engine.workset import Priority

WIDTH: Final = 4
"""Passes at once for one endpoint."""
OPENS_AFTER: Final = 5
"""Failures in a row that open the breaker."""
FIRST_PROBE_S: Final = 5.0
LAST_PROBE_S: Final = 120.0


@dataclass(slots=True)
class Bulkhead:
    """One endpoint's door. Times are seconds of the caller's monotonic clock."""

    inside: int = 0
    failures: int = 0
    open_until: float | None = None
    probing: bool = False
    never_left: bool = True
    parked: dict[Key, Priority] = field(default_factory=dict)
    _pause_s: float = FIRST_PROBE_S

    @property
    def is_open(self) -> bool:
        """Whether the breaker keeps ordinary passes out."""
        return self.open_until is not None

    def admits(self, now: float, *, eager: bool = False) -> bool:
        """Whether an ordinary pass may start now; an open breaker lets one probe in at a time.

        It does so when the probe is due, or at once when a person waits for it (*eager*).
        """
        if self.open_until is not None:
            return not self.probing and (eager or now >= self.open_until)
        return self.inside < WIDTH

    def enter(self) -> None:
        """Count a pass that starts."""
        self.inside += 1
        self.probing = self.is_open

    def leave(self, *, failed: bool, now: float, within_s: float = LAST_PROBE_S) -> None:
        """Count a pass that ended; *failed* means that the endpoint did not answer as it should.

        *within_s* bounds the time to the next probe.
        """
        self.inside -= 1
        self.never_left = False
        self.probing = False
        if not failed:
            self.failures, self.open_until, self._pause_s = 0, None, FIRST_PROBE_S
            return
        self.failures += 1
        if self.failures >= OPENS_AFTER:
            self.open_until = now + min(self._pause_s, within_s)
            self._pause_s = min(LAST_PROBE_S, self._pause_s * 2)
