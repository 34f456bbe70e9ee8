"""How lines reach the reader: width and colour of a terminal, neither where the output is piped."""

import os
import textwrap
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TextIO

_DEFAULT_WIDTH: Final = 80
_DEFAULT_ROWS: Final = 24
_NARROWEST: Final = 40


class Tone(Enum):
    """What a word means; each has a glyph, so that colour is never the only sign."""

    GOOD = ("✔", "32")
    BAD = ("✖", "31")
    BUSY = ("◌", "33")
    HELD = ("⏸", "36")
    NOW = ("●", "33")
    AHEAD = ("○", "2")
    TITLE = ("", "1")
    FAINT = ("", "2")
    PLAIN = ("", "")

    @property
    def glyph(self) -> str:
        """One column wide, empty for tones that are no state."""
        return self.value[0]


@dataclass(frozen=True, slots=True)
class Screen:
    """Where the output goes; *width* is None where lines may be as long as they are.

    *rows* is None where a line that was written stays as it is: no terminal, or a dumb one.
    """

    width: int | None = None
    color: bool = False
    rows: int | None = None

    @classmethod
    def of(cls, stream: TextIO) -> "Screen":
        """Look at *stream*: NO_COLOR and a dumb terminal mean no colour, COLUMNS wins over the terminal."""
        if not stream.isatty():
            return cls()
        is_dumb = os.environ.get("TERM") == "dumb"
        plain = bool(os.environ.get("NO_COLOR")) or is_dumb
        size = _size(stream)
        width = max(_asked("COLUMNS") or size.columns or _DEFAULT_WIDTH, _NARROWEST)
        return cls(width, not plain, None if is_dumb else _asked("LINES") or size.lines or _DEFAULT_ROWS)

    @property
    def inside(self) -> "Screen":
        """The screen of something that is indented by two columns."""
        return replace(self, width=None if self.width is None else self.width - 2)

    @property
    def uncut(self) -> "Screen":
        """The screen of lines that may be longer than it is wide."""
        return replace(self, width=None)

    def paint(self, text: str, tone: Tone) -> str:
        """Return *text* in its tone's colour."""
        code = tone.value[1]
        return f"\033[{code}m{text}\033[0m" if self.color and code and text else text

    def say(self, tone: Tone, text: str, indent: str = "") -> str:
        """Return glyph and text, wrapped under itself; only the glyph is coloured."""
        mark = f"{tone.glyph} " if tone.glyph else ""
        lines = self.wrap(text, len(indent) + len(mark))
        rest = "".join(f"\n{' ' * (len(indent) + len(mark))}{line}" for line in lines[1:])
        return f"{indent}{self.paint(mark, tone)}{lines[0]}{rest}"

    def wrap(self, text: str, used: int) -> list[str]:
        """Return *text* as lines that fit beside *used* columns, one line where nothing limits them."""
        if self.width is None:
            return [text]
        room = max(self.width - used, _NARROWEST // 2)
        return textwrap.wrap(text, room, break_on_hyphens=False) or [""]


def _asked(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and int(text) else None


def _size(stream: TextIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return os.terminal_size((0, 0))
