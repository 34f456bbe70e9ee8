"""A problem as people read it: the place, what is wrong, the line with a caret, and what would be right.

::

    crm.yaml:8:3: error: spec: there is no field "memroy"
      8 |   memroy: 8Gi
        |   ^^^^^^
        = did you mean "memory"?
"""

import textwrap
import unicodedata
from dataclasses import dataclass
from typing import Final

from crds.meta import Key
from daemon.sources.nodes import lines_of, text_of
from daemon.sources.snapshot import Problem
from daemon.sources.tree import Place

_COLUMNS: Final = 80
#: How much of a long line is shown before its caret.
_BEFORE_CARET: Final = 40


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a file together with its line's text, so that it can be shown when the file is gone."""

    file: str
    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}"

    def problem(self, message: str, *notes: str, key: Key | None = None) -> Problem:
        """Return the problem *message* here; *notes* say what is allowed or what to do."""
        place = self.place
        message = _printable(message)
        number = f"{place.line:>3}"
        rendered = [
            f"{self.file}:{place.line}:{place.column}: error: {message}",
            *_excerpt(self.text, place, number),
            *_notes(notes, len(number)),
        ]
        return Problem(
            file=self.file,
            line=place.line,
            column=place.column,
            message="; ".join((message, *notes)),
            rendered="\n".join(rendered),
            key=key,
        )


class Source:
    """One file's text, to show its lines."""

    def __init__(self, file: str, data: bytes) -> None:
        self.file = file
        self._lines = lines_of(text_of(data))

    def spot(self, place: Place) -> Spot:
        """Return *place* with its line."""
        text = self._lines[place.line - 1] if place.line <= len(self._lines) else ""
        return Spot(self.file, place, text)

    def raw(self, place: Place) -> str:
        """Return what is written at *place*, quotes and all."""
        start = place.column - 1
        return self.spot(place).text[start : start + place.width]


def file_problem(file: str, message: str, *notes: str) -> Problem:
    """Return a problem of a file as a whole, which has no line."""
    rendered = "\n".join((f"{file}: error: {message}", *_notes(notes, 3)))
    return Problem(file, 1, 1, "; ".join((message, *notes)), rendered)


def _excerpt(line: str, place: Place, number: str) -> list[str]:
    if not line.strip():
        return []
    start, room = place.column - 1, _COLUMNS - len(number) - 4
    cut = max(0, start - _BEFORE_CARET) if _is_wider(line, room) else 0
    shown, lead = line[cut:], line[cut:start]
    if cut:
        shown, lead = f"…{shown[1:]}", f"…{lead[1:]}"
    if _is_wider(shown, room):
        shown = f"{shown[: room - 1]}…"
    marked = line[start : start + min(place.width, room)]
    under = max(1, min(_width(marked), room - _width(lead)))
    blank = " " * len(number)
    padding = "".join("\t" if character == "\t" else " " * _width(character) for character in lead)
    return [f"{number} | {_printable(shown).rstrip()}", f"{blank} | {padding}{'^' * under}"]


def _notes(notes: tuple[str, ...], indent: int) -> list[str]:
    lines: list[str] = []
    for note in notes:
        lead = " " * indent + " = "
        wrapped = textwrap.wrap(
            _printable(note),
            _COLUMNS,
            initial_indent=lead,
            subsequent_indent=" " * len(lead),
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += wrapped
    return lines


def _printable(text: str) -> str:
    """Return *text* without anything that moves a terminal's cursor or turns the direction of writing."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _is_wider(text: str, room: int) -> bool:
    """Whether *text* needs more than *room* columns; a line may have as many characters as a file."""
    return _width(text[: room + 1]) > room


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
