"""How long to wait after the n-th failure in a row."""

from dataclasses import dataclass
from typing import Final

from reconcilers.contract import PermanentError, TransientError

OFTEN_S: Final = 10.0
"""Kinds polled this often are not left alone for longer after a failure: such a look costs nothing."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles from ``base_s`` to ``cap_s`` seconds; half of each pause is chance, so that a herd spreads."""

    base_s: float = 1.0
    cap_s: float = 300.0

    def pause(self, failures: int, fraction: float) -> float:
        """Return the seconds to wait after the *failures*-th failure (from 1).

        They are uniform in [d/2, d) with d = min(cap, base·2ⁿ⁻¹); *fraction* is a random number in [0, 1).
        """
        longest = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 32))
        return longest * (0.5 + fraction / 2)


PATIENT: Final = Backoff()
#: For splits, rollbacks and active releases: never later than a second.
URGENT: Final = Backoff(cap_s=1.0)


def longest_pause_s(kind_s: float, own_s: float) -> float:
    """Return the bound on what follows a failure, by the kind's poll interval and by the object's own."""
    return own_s if kind_s <= OFTEN_S else PATIENT.cap_s


def pause_after(
    error: Exception | None,
    patience: Backoff,
    failures: int,
    fraction: float,
    longest_s: float,
    *,
    is_refusal: bool = False,
) -> float:
    """Return the seconds to wait after *failures* failures in a row, of which *error* is the last.

    What will never do waits longest, however often its kind is looked at, unless nobody was asked; what asked
    for a rest gets it.
    A step that was refused for good is not tried again: looking goes on, so the pause only grows where each
    time others are refused.
    """
    if isinstance(error, PermanentError) and error.asked_outside:
        return patience.pause(failures, fraction) if is_refusal else patience.cap_s
    pause = min(patience.pause(failures, fraction), longest_s)
    asked_s = error.retry_after_s if isinstance(error, TransientError) else None
    return max(pause, asked_s or 0.0)
