"""What the gates of a release are at, as lines: value, limit, sample and how old that is. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from daemon.cli.release.facts import Gate
from daemon.cli.screen import Screen, Tone
from daemon.cli.spans import lasting

_TONES: Final = {"well": Tone.GOOD, "broken": Tone.BAD}
_WIDTH: Final = len("databaseErrors")


def gate_lines(gates: Mapping[str, Gate], screen: Screen, now: datetime) -> Iterator[str]:
    """Yield a line a gate, each with its sign."""
    for name, gate in gates.items():
        tone = _TONES.get(gate.state, Tone.BUSY)
        first, *rest = screen.wrap(_text(gate, now), _WIDTH + 4)
        yield f"{screen.paint(tone.glyph or ' ', tone)} {name:{_WIDTH}}  {first}"
        yield from (f"{'':{_WIDTH + 4}}{line}" for line in rest)


def _text(gate: Gate, now: datetime) -> str:
    if gate.read_at is None or gate.state == "unknown":
        return gate.says
    return f"{gate.says}; {lasting((now - gate.read_at).total_seconds())} ago"
