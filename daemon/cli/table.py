"""Columns of text. Only the last column gives way where a terminal is too narrow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from daemon.cli.screen import Screen, Tone

_GAP: Final = "  "
_ELLIPSIS: Final = "…"


@dataclass(frozen=True, slots=True)
class Cell:
    """Some text and what it means; a state's glyph stands before it."""

    text: str
    tone: Tone = Tone.PLAIN

    @property
    def shown(self) -> str:
        """The text with its glyph."""
        return f"{self.tone.glyph} {self.text}" if self.tone.glyph else self.text


Row = Sequence[Cell]


def columns(rows: Sequence[Row]) -> tuple[int, ...]:
    """Return how wide each column has to be."""
    return tuple(max(len(cell.shown) for cell in column) for column in zip(*rows, strict=True))


def table(headings: Sequence[str], rows: Sequence[Row], screen: Screen) -> list[str]:
    """Return the lines of a table with its headings; a column that is empty in all rows is left out."""
    kept = [i for i in range(len(headings)) if i == 0 or any(row[i].text for row in rows)]
    top = [Cell(headings[i], Tone.FAINT) for i in kept]
    body = [top, *([row[i] for i in kept] for row in rows)]
    widths = columns(body)
    return [line(row, widths, screen) for row in body]


def line(row: Row, widths: Sequence[int], screen: Screen) -> str:
    """Return one row; on a terminal it is cut where the screen ends."""
    left = screen.width
    parts: list[str] = []
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        text = cell.shown
        if left is not None:
            text = _cut(text, left)
            left -= width + len(_GAP)
        padding = " " * (width - len(text)) if index < len(row) - 1 else ""
        parts.append(screen.paint(text, cell.tone) + padding)
        if left is not None and left <= 0:
            break
    return _GAP.join(parts).rstrip()


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + _ELLIPSIS
