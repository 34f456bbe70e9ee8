"""How long to wait after the n-th failure in a row."""

from dataclasses import dataclass
from typing import Final


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
