"""The phases of an attempt as a strip of signs: what is done, where it is, what is ahead. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from daemon.cli.facts import Happening
from daemon.cli.release.facts import Attempt
from daemon.cli.release.phases import PREPARING, SERVING, SHARED, Phase
from daemon.cli.screen import Screen, Tone

#: How the daemon tells of each move (reconcilers/release/turn.py).
_MOVE: Final = re.compile(r"attempt (?P<number>\d+), \S+: (?P<before>[A-Za-z]+) → (?P<after>[A-Za-z]+)(: )?")
_GAP: Final = "  "

Cell = tuple[Phase, Tone]


def moves(attempt: Attempt, events: Sequence[Happening]) -> Iterator[tuple[Happening, Phase, Phase]]:
    """Return the events that tell of the attempt's moves, oldest first, with the phases before and after."""
    names = {phase.value for phase in Phase}
    for event in events:
        found = _MOVE.match(event.message)
        if found and int(found["number"]) == attempt.number and {found["before"], found["after"]} <= names:
            yield event, Phase(found["before"]), Phase(found["after"])


def shortened(event: Happening) -> Happening:
    """Return the event of a move without what stands beside it anyway: number, version, the phase twice."""
    found = _MOVE.match(event.message)
    if found is None:
        return event
    why = event.message[found.end() :]
    reason = "" if event.reason == found["after"] else f", {event.reason}"
    return replace(event, reason=f"{found['before']} → {found['after']}{reason}", message=why)


def broke_in(attempt: Attempt, events: Sequence[Happening]) -> Phase | None:
    """Return the phase in which an attempt failed or began to roll back, None if no event tells it."""
    bad = {Phase.FAILED, Phase.ROLLING_BACK}
    told = [before for _, before, after in moves(attempt, events) if after in bad]
    if told:
        return told[-1]
    if attempt.promoted_at is not None:
        return None
    return None if attempt.step_at is None else Phase.WATCH


def strip(attempt: Attempt, events: Sequence[Happening], screen: Screen) -> list[str]:
    """Return two lines: the preparation, then what users see."""
    way = [*PREPARING, *(each for each in SERVING if attempt.has_stable or each not in SHARED)]
    broken = broke_in(attempt, events) if attempt.is_broken else None
    cells = _cells(attempt, way, broken)
    lines = [cells[: len(PREPARING)], cells[len(PREPARING) :]]
    if attempt.phase is Phase.FAILED:
        lines = [[*lines[0], (Phase.FAILED, Tone.BAD)]]
    return ["\n".join(_wrapped(line, screen)) for line in lines if line]


def _cells(attempt: Attempt, way: Sequence[Phase], broken: Phase | None) -> list[Cell]:
    if attempt.phase is Phase.COMPLETED:
        return [*((phase, Tone.GOOD) for phase in way), (Phase.COMPLETED, Tone.GOOD)]
    if attempt.phase is Phase.PENDING:
        return [(phase, Tone.AHEAD) for phase in way]
    if attempt.is_broken:
        return [*_gone(attempt, way, broken), *_back(attempt)]
    here = way.index(attempt.phase) if attempt.phase in way else 0
    now = Tone.HELD if attempt.hold is not None else Tone.NOW
    tones = [Tone.GOOD] * here + [now] + [Tone.AHEAD] * (len(way) - here - 1)
    return list(zip(way, tones, strict=True))


def _gone(attempt: Attempt, way: Sequence[Phase], broken: Phase | None) -> Iterator[Cell]:
    """Yield the phases that a broken attempt has seen; the last one is where it broke, if that is known."""
    if broken is None or broken not in way:
        if attempt.phase is not Phase.FAILED:
            yield from ((phase, Tone.GOOD) for phase in PREPARING)
        return
    for phase in way[: way.index(broken)]:
        yield phase, Tone.GOOD
    yield broken, Tone.BAD


def _back(attempt: Attempt) -> Iterator[Cell]:
    if attempt.phase is Phase.ROLLING_BACK:
        yield Phase.ROLLING_BACK, Tone.NOW
        yield Phase.ROLLED_BACK, Tone.AHEAD
    elif attempt.phase is Phase.ROLLED_BACK:
        yield Phase.ROLLING_BACK, Tone.GOOD
        yield Phase.ROLLED_BACK, Tone.GOOD


def _wrapped(cells: Sequence[Cell], screen: Screen) -> Iterator[str]:
    """Yield the cells in as many lines as the screen needs."""
    line: list[str] = []
    used = 0
    for phase, tone in cells:
        wide = len(f"{tone.glyph} {phase.value}{_GAP}")
        if line and screen.width is not None and used + wide - len(_GAP) > screen.width:
            yield _GAP.join(line)
            line, used = [], 0
        line.append(_shown(phase, tone, screen))
        used += wide
    yield _GAP.join(line)


def _shown(phase: Phase, tone: Tone, screen: Screen) -> str:
    if tone is Tone.GOOD:
        return f"{screen.paint(tone.glyph, tone)} {phase.value}"
    return screen.paint(f"{tone.glyph} {phase.value}", tone)
