"""What the demo says: one line a fact with the seconds since its start, and a table of claims at the end."""

import os
import sys
import textwrap
import time
from dataclasses import dataclass
from typing import Final, TextIO

_WIDTH: Final = 80
_INDENT: Final = 10
_GREEN, _RED, _BOLD, _DIM, _PLAIN = "\033[32m", "\033[31m", "\033[1m", "\033[2m", "\033[0m"


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that the demo says the program does, and whether that was seen."""

    text: str
    seen: str
    holds: bool


class Story:
    """Plain narrated lines, at most 80 columns; colour only on a terminal."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out = out if out is not None else sys.stdout
        self._start = time.monotonic()
        self._color = out.isatty() and not os.environ.get("NO_COLOR")
        self.claims: list[Claim] = []

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self._print()
        self._print(self._paint(_BOLD, text))

    def say(self, text: str) -> None:
        """Tell one fact, with the time."""
        elapsed = f"{time.monotonic() - self._start:6.1f} s"
        lines = textwrap.wrap(text, _WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines or [""]):
            self._print(f"{elapsed if number == 0 else '':{_INDENT}}{line}".rstrip())

    def quote(self, text: str) -> None:
        """Show what a program printed, as it stands; a line that is too long goes on below."""
        for line in text.rstrip("\n").splitlines():
            room = _WIDTH - _INDENT - 2
            for part in [line] if len(line) <= room else textwrap.wrap(line, room, subsequent_indent="    "):
                self._print(f"{'':{_INDENT}}" + self._paint(_DIM, f"│ {part}".rstrip()))

    def claim(self, text: str, seen: str, *, holds: bool) -> None:
        """Take down a claim for the table, and say so at once if it does not hold."""
        self.claims.append(Claim(text, seen, holds))
        if not holds:
            self.say(f"NOT SEEN: {text}: {seen}")

    def table(self) -> bool:
        """Print all claims; return whether every one holds."""
        self.title("What was seen")
        widest = max((len(claim.text) for claim in self.claims), default=0)
        for claim in self.claims:
            word = self._paint(_GREEN, " ok ") if claim.holds else self._paint(_RED, "FAIL")
            room = _WIDTH - widest - 10
            first, *others = textwrap.wrap(claim.seen, room) or [""]
            self._print(f"  {word}  {claim.text:{widest}}  {first}")
            for line in others:
                self._print(f"{'':{widest + 10}}{line}")
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    def note(self, text: str = "") -> None:
        """Print a line as it stands."""
        self._print(text)

    @property
    def seconds(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self._start

    def _paint(self, color: str, text: str) -> str:
        return f"{color}{text}{_PLAIN}" if self._color else text

    def _print(self, text: str = "") -> None:
        print(text, file=self._out, flush=True)
