"""Events as lines."""

from collections.abc import Iterable
from datetime import datetime

from daemon.cli.facts import Happening
from daemon.cli.screen import Screen, Tone


def in_order(found: Iterable[Happening]) -> list[Happening]:
    """Return events by their time: one that came again has its last one, and its old number."""
    return sorted(found, key=lambda each: each.at.timestamp() if each.at is not None else 0.0)


def event_line(found: Happening, screen: Screen, now: datetime, *, names_object: bool = True) -> str:
    """Return one event: its time in UTC, with the day unless it is today, then what happened."""
    tone = Tone.BAD if found.warning else Tone.GOOD
    head = f"{found.key}  " if names_object else ""
    times = f" ({found.count} times)" if found.count > 1 else ""
    actor = f" [{found.actor}]" if found.actor else ""
    text = (
        f"{head}{found.reason}: {found.message}{times}{actor}" if found.message else f"{head}{found.reason}"
    )
    stamp = _stamp(found.at, now)
    lines = screen.wrap(text, len(stamp) + 4)
    rest = "".join(f"\n{' ' * (len(stamp) + 4)}{line}" for line in lines[1:])
    return f"{screen.paint(stamp, Tone.FAINT)}  {screen.paint(tone.glyph, tone)} {lines[0]}{rest}"


def _stamp(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "-"
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"
