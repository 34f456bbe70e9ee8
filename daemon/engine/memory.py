"""What the engine remembers of each object between passes; gone with the process, and no harm done."""

from dataclasses import dataclass, field
from typing import Any, Final

from daemon.engine.refusals import Refusals
from reconcilers.contract import PermanentError, Step

QUARANTINE_AFTER: Final = 5
"""Equal unexpected errors in a row after which an object is left alone until its spec changes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A permanent error, and what it answered."""

    generation: int
    steps: tuple[Step[Any], ...]
    error: PermanentError


@dataclass(slots=True)
class Memory:
    """One object's recent past. Times are monotonic seconds."""

    seen_at: float
    """When it was last observed; at first, when the engine began."""
    failures: int = 0
    """Failed passes in a row."""
    applied: tuple[Step[Any], ...] = ()
    """Steps of the last pass that carried out any, if no pass since found nothing to do."""
    repeats: int = 0
    """How many times in a row those steps were carried out without effect."""
    hold_until: float = 0.0
    """Before this the same steps are not repeated."""
    refusal: Refusal | None = None
    """Steps that met a permanent error: not tried again while they and the spec are the same."""
    refusals: Refusals = field(default_factory=Refusals)
    """The same, a step each, where steps are independent."""
    said: str = ""
    """The failure that was logged last; the same again is no news."""
    panic: str | None = None
    panics: int = 0
    quarantined: int | None = None
    """Generation that is in quarantine."""

    def is_quarantined(self, generation: int) -> bool:
        """Whether this very spec broke the reconciler too often."""
        return self.quarantined == generation

    def panicked(self, text: str, generation: int) -> None:
        """Count an unexpected error; the fifth equal one puts *generation* into quarantine."""
        self.panics = self.panics + 1 if text == self.panic else 1
        self.panic = text
        if self.panics >= QUARANTINE_AFTER:
            self.quarantined = generation

    def is_repetition(self, steps: tuple[Step[Any], ...], now: float) -> bool:
        """Whether *steps* were just carried out without effect and it is too early to try again."""
        return bool(steps) and steps == self.applied and now < self.hold_until

    def refused(self, steps: tuple[Step[Any], ...], generation: int) -> PermanentError | None:
        """Return what the outside said when it refused exactly these steps for good, None if it did not."""
        known = self.refusal
        same = known is not None and (known.generation, known.steps) == (generation, steps)
        return known.error if known is not None and same else None

    def ran(self, steps: tuple[Step[Any], ...], now: float, pause_s: float) -> None:
        """Remember what was carried out, and how long to wait before doing the very same again."""
        self.repeats = self.repeats + 1 if steps == self.applied else 0
        self.applied = steps
        self.hold_until = now + pause_s

    def rested(self) -> None:
        """Forget the failures: a pass found nothing to do."""
        self.failures = self.repeats = self.panics = 0
        self.applied, self.refusal, self.panic, self.quarantined, self.said = (), None, None, None, ""

    def asked(self) -> None:
        """Forget what would keep it waiting: somebody wants it to be tried now."""
        self.rested()
        self.refusals.forget()
