"""Draws panels as SVG: lines over time, states over time, one number, a table. Knows nothing of queries."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

_COLORS: Final = (
    "#1f77b4", "#e8710a", "#2a9d4a", "#c2255c", "#7048c6", "#8c564b",
    "#0c8599", "#9a8500", "#5f6b7a", "#d6336c", "#4263eb", "#087f5b",
)  # fmt: skip
_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_INK, _FAINT, _GRID, _EDGE = "#1c2330", "#667085", "#e6e9ef", "#d0d5dd"
_DASHED: Final = "#b42318"
_LEGEND_ROW: Final = 17
_LEFT, _RIGHT, _TOP, _BELOW = 62, 16, 58, 24
_CHARACTER: Final = 6.3
"""Width of a letter of the legend, about."""


@dataclass(frozen=True, slots=True)
class Line:
    """A named series; ``points`` are seconds since 1970 and values. ``is_limit``: drawn dashed."""

    name: str
    points: tuple[tuple[float, float], ...]
    is_limit: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a panel lies, what stands over it, and the time that it shows, in seconds since 1970."""

    x: float
    y: float
    width: float
    height: float
    title: str
    says: str
    begin: float
    end: float
    unit: str = "short"


def page(title: str, says: str, panels: Sequence[str], *, width: float, height: float) -> str:
    """Return a whole SVG; *panels* are what the functions below return."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" font-family="Helvetica, Arial, \'DejaVu Sans\', sans-serif" font-size="12">'
    )
    return "\n".join([
        head,
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:g}" height="{height:g}" fill="#f5f6f8"/>',
        _text(16, 30, title, size=20, weight="bold"),
        _text(16, 50, says, size=13, fill=_FAINT),
        *panels,
        "</svg>\n",
    ])  # fmt: skip


def lines(frame: Frame, drawn: Sequence[Line]) -> str:
    """Draw lines over time with axes and a legend."""
    names = [line.name for line in drawn]
    columns = _columns(frame, names)
    rows = math.ceil(len(names) / columns)
    bottom = frame.y + frame.height - _BELOW - rows * _LEGEND_ROW - 6
    plot = _Plot(frame, bottom, _ceiling([value for line in drawn for _, value in line.points], frame.unit))
    parts = [*_border(frame), *plot.axes()]
    if not any(line.points for line in drawn):
        parts.append(
            _text(frame.x + frame.width / 2, (frame.y + _TOP + bottom) / 2, "no data", anchor="middle")
        )
    for number, line in enumerate(drawn):
        color = _DASHED if line.is_limit else _COLORS[number % len(_COLORS)]
        parts.append(plot.path(line, color))
        column, row = number % columns, number // columns
        x = frame.x + 16 + column * (frame.width - 32) / columns
        y = bottom + _BELOW + 12 + row * _LEGEND_ROW
        dash = ' stroke-dasharray="5 3"' if line.is_limit else ""
        parts.append(f'<path d="M{x:.0f} {y - 4:.0f}h16" stroke="{color}" stroke-width="3"{dash}/>')
        parts.append(_text(x + 21, y, line.name, size=11))
    return "\n".join(parts)


def states(frame: Frame, drawn: Sequence[Line]) -> str:
    """Draw a row for each series, filled while it has a value."""
    widest = max((len(line.name) for line in drawn), default=0) * _CHARACTER
    left = frame.x + 24 + widest
    bottom = frame.y + frame.height - _BELOW - 4
    plot = _Plot(frame, bottom, 1.0, left=left)
    parts = [*_border(frame), *plot.clock()]
    step = (bottom - frame.y - _TOP + 8) / max(1, len(drawn))
    for number, line in enumerate(sorted(drawn, key=lambda each: each.points[:1])):
        y = frame.y + _TOP - 8 + number * step
        parts.append(_text(left - 8, y + step / 2 + 4, line.name, size=11, anchor="end"))
        for begin, end in _spans(line.points):
            x, right = plot.x(begin), plot.x(min(end + 1, frame.end))
            parts.append(
                f'<rect x="{x:.1f}" y="{y + step * 0.14:.1f}" width="{max(2.0, right - x):.1f}"'
                f' height="{step * 0.72:.1f}" rx="2" fill="{_COLORS[number % len(_COLORS)]}"/>'
            )
    return "\n".join(parts)


def number(frame: Frame, value: float | None) -> str:
    """Draw one number, green where it is 0; None is not known."""
    color = _FAINT if value is None else "#2a9d4a" if value == 0 else "#c2410c"
    shown = "-" if value is None else _said(value, frame.unit)
    x, y = frame.x + frame.width / 2, frame.y + frame.height / 2 + 34
    return "\n".join([
        *_border(frame), _text(x, y, shown, size=44, weight="bold", anchor="middle", fill=color)
    ])  # fmt: skip


def table(frame: Frame, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draw a table; without rows it says so."""
    parts = _border(frame)
    x, y = frame.x + 16, frame.y + _TOP + 8
    if not rows:
        parts.append(_text(frame.x + frame.width / 2, y + 40, "none", anchor="middle", fill=_FAINT))
        return "\n".join(parts)
    widths = [max(len(row[at]) for row in [heads, *rows]) * 7.2 + 18 for at in range(len(heads))]
    for number_of_row, row in enumerate([heads, *rows]):
        for at, cell in enumerate(row):
            weight = "bold" if number_of_row == 0 else "normal"
            parts.append(_text(x + sum(widths[:at]), y + number_of_row * 22, cell, weight=weight))
    parts.append(f'<path d="M{x:.0f} {y + 7:.0f}h{frame.width - 32:.0f}" stroke="{_EDGE}"/>')
    return "\n".join(parts)


class _Plot:
    """The area between the axes, from 0 to *top*."""

    def __init__(self, frame: Frame, bottom: float, top: float, *, left: float | None = None) -> None:
        self._frame = frame
        self._bottom = bottom
        self._top = top
        self._left = frame.x + _LEFT if left is None else left
        self._right = frame.x + frame.width - _RIGHT

    def x(self, at: float) -> float:
        share = (at - self._frame.begin) / (self._frame.end - self._frame.begin)
        return self._left + share * (self._right - self._left)

    def y(self, value: float) -> float:
        return self._bottom - value / self._top * (self._bottom - self._frame.y - _TOP)

    def axes(self) -> Iterator[str]:
        for tick in range(5):
            value = self._top * tick / 4
            y = self.y(value)
            yield f'<path d="M{self._left:.1f} {y:.1f}H{self._right:.1f}" stroke="{_GRID}"/>'
            yield _text(
                self._left - 7, y + 4, _said(value, self._frame.unit), size=11, anchor="end", fill=_FAINT
            )
        yield from self.clock()

    def clock(self) -> Iterator[str]:
        begin, end = self._frame.begin, self._frame.end
        wanted = (end - begin) / (5 if self._frame.width < 900 else 10)  # noqa: PLR2004 - half a page
        step = next((each for each in (5, 10, 15, 30, 60, 120, 300, 600, 1800) if each >= wanted), 3600)
        at = math.ceil(begin / step) * step
        while at <= end:
            x, shown = self.x(at), f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"
            yield f'<path d="M{x:.1f} {self._frame.y + _TOP - 6:.1f}V{self._bottom:.1f}" stroke="{_GRID}"/>'
            if self._left + 12 < x < self._right - 22:
                yield _text(x, self._bottom + 16, shown, size=11, anchor="middle", fill=_FAINT)
            at += step

    def path(self, line: Line, color: str) -> str:
        moves, before = [], -math.inf
        for at, value in line.points:
            moves.append(f"{'M' if at - before > 3 else 'L'}{self.x(at):.1f} {self.y(value):.1f}")  # noqa: PLR2004 - a gap
            before = at
        dash = ' stroke-dasharray="6 4"' if line.is_limit else ""
        return f'<path d="{"".join(moves)}" fill="none" stroke="{color}" stroke-width="1.8"{dash}/>'


def _border(frame: Frame) -> list[str]:
    place = f'x="{frame.x:g}" y="{frame.y:g}" width="{frame.width:g}" height="{frame.height:g}"'
    return [
        f'<rect {place} rx="6" fill="#ffffff" stroke="{_EDGE}"/>',
        _text(frame.x + 16, frame.y + 23, frame.title, size=14, weight="bold"),
        _text(frame.x + 16, frame.y + 41, frame.says, size=11.5, fill=_FAINT),
    ]


def _columns(frame: Frame, names: Sequence[str]) -> int:
    widest = max(map(len, names), default=1) * _CHARACTER + 38
    return max(1, min(len(names) or 1, int((frame.width - 32) / widest)))


def _spans(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    begin = end = None
    for at, _ in points:
        if begin is None or end is None:
            begin = at
        elif at - end > 3:  # noqa: PLR2004 - a look may be missing
            yield begin, end
            begin = at
        end = at
    if begin is not None and end is not None:
        yield begin, end


def _ceiling(values: Sequence[float], unit: str) -> float:
    """Return the least round number that all values are below."""
    most = max(values, default=0.0)
    if most <= 0:
        return {"percentunit": 0.01, "s": 0.1}.get(unit, 1.0)
    power = 10.0 ** math.floor(math.log10(most))
    if unit == "bytes":
        power = 1024.0 ** max(0, math.floor(math.log(most, 1024)))
        power *= 10.0 ** math.floor(math.log10(most / power))
    return next(
        power * factor for factor in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if power * factor >= most * 0.9999
    )


def _said(value: float, unit: str) -> str:
    match unit:
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "s" if 0 < value < 1:
            return f"{value * 1000:.3g} ms"
        case "s":
            return f"{value:.3g} s"
        case "bytes":
            step = min(len(_BYTES) - 1, int(math.log(value, 1024))) if value >= 1 else 0
            return f"{value / 1024**step:.4g} {_BYTES[step]}"
        case "reqps" | "ops":
            return f"{value:.4g}/s"
        case _:
            return f"{value:.4g}"


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12,
    weight: str = "normal",
    anchor: str = "start",
    fill: str = _INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}"'
        f' fill="{fill}">{escape(text)}</text>'
    )
