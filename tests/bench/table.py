"""A line a figure: what was found, its goal, and how many times the floor of the same run it is."""

from dataclasses import dataclass
from typing import Final

_HEAD: Final = ("what", "found", "goal", "", "floor of this run", "ratio")
_FORM: Final = "{:<31} {:>16} {:>12} {:<4} {:<29} {:>5}\n"


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number. ``floor`` is what this machine needs for the least that must be done, same unit."""

    what: str
    unit: str
    found: float
    goal: float
    floor: float
    floor_is: str
    worst: float | None = None
    """The p99 where there is one; ``worst_goal`` is its own goal."""
    worst_goal: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether it is within its goal."""
        worst_is_well = self.worst is None or self.worst_goal is None or self.worst <= self.worst_goal
        return self.found <= self.goal and worst_is_well

    def line(self) -> str:
        """Return it as a line of the table."""
        found, goal = self._text(self.found, self.worst), self._text(self.goal, self.worst_goal)
        floor = f"{_digits(self.floor)} {self.unit}, {self.floor_is}" if self.floor else self.floor_is
        ratio = f"{self.found / self.floor:.1f}" if self.floor else ""
        return _FORM.format(self.what, found, goal, "ok" if self.is_reached else "OVER", floor, ratio)

    def _text(self, value: float, worst: float | None) -> str:
        return f"{_digits(value)}{'' if worst is None else f' / {_digits(worst)}'} {self.unit}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def head() -> str:
    """Return the table's first line."""
    return _FORM.format(*_HEAD)
