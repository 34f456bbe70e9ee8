"""A line a figure: what was found, the floor of the same run, how many times that it is, and the goal."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_WIDTH: Final = 80
_HEAD: Final = ("figure", "measured", "floor", "ratio", "goal", "")
_FORM: Final = "{:<32} {:>14} {:>9} {:>5} {:>11}  {}"


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
    """The p99, or the longest, where there is one; ``worst_goal`` is its own goal."""
    worst_goal: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether it is within its goal."""
        worst_is_well = self.worst is None or self.worst_goal is None or self.worst <= self.worst_goal
        return self.found <= self.goal and worst_is_well

    def line(self) -> str:
        """Return it as a line of the table."""
        found, goal = self._text(self.found, self.worst), self._text(self.goal, self.worst_goal)
        floor = f"{_digits(self.floor)} {self.unit}".rstrip() if self.floor else "-"
        ratio = f"{self.found / self.floor:.1f}" if self.floor else "-"
        said = _FORM.format(self.what, found, floor, ratio, goal, "ok" if self.is_reached else "OVER")
        return f"{said}\n"

    def _text(self, value: float, worst: float | None) -> str:
        pair = _digits(value) if worst is None else f"{_digits(value)}/{_digits(worst)}"
        return f"{pair} {self.unit}".rstrip()


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def head() -> str:
    """Return the table's first line."""
    return f"{_FORM.format(*_HEAD).rstrip()}\n"


def floors(figures: Iterable[Figure]) -> str:
    """Say what the floors are, each once."""
    named: dict[str, list[str]] = {}
    for figure in figures:
        named.setdefault(figure.floor_is, []).append(figure.what)
    lines = [line for floor, whats in named.items() for line in _wrapped(floor, whats)]
    return "".join(f"{line}\n" for line in ("floors:", *lines))


def _wrapped(floor: str, whats: Sequence[str]) -> Sequence[str]:
    text = f"{'; '.join(whats)}: {floor}"
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")
