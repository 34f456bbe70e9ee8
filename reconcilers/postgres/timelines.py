"""Where the histories of two members that take writes part: pure.

A promotion begins a new timeline, and writes down in ``pg_wal/TIMELINE.history`` where each of its forebears
ended: a line ``TIMELINE LSN REASON`` each, oldest first (readTimeLineHistory of
src/backend/access/transam/timeline.c).
"""

import re
from itertools import zip_longest
from typing import Final

from reconcilers.postgres.model import SeenMember

#: Timelines that are over, and where each ended, in bytes since 0/0; oldest first.
History = tuple[tuple[int, int], ...]
_LINE: Final = re.compile(r"\s*(\d{1,10})\s+([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})(?:\s.*)?")


def read_history(text: str) -> History | None:
    """Read a history file; None for what is none."""
    lines = [each for each in text.splitlines() if each.strip() and not each.lstrip().startswith("#")]
    found = [_LINE.fullmatch(each) for each in lines]
    if not all(found):
        return None
    return tuple([(int(each[1]), _bytes(each)) for each in found if each is not None])


def _bytes(line: re.Match[str]) -> int:
    return (int(line[2], 16) << 32) + int(line[3], 16)


def parting(one: SeenMember, two: SeenMember) -> str:
    """Say where the histories of two members part, or why that is unknown."""
    if one.history is None or two.history is None:
        names = " and ".join(each.name for each in (one, two) if each.history is None)
        return f"where they parted is unknown: the history of {names} may not be read"
    found = _fork(one, two)
    if found is None:
        return f"where they parted is unknown: {one.name} and {two.name} both write timeline {one.timeline}"
    timeline, end = found
    place = f"{end >> 32:X}/{end & 0xFFFFFFFF:X}"
    return f"{one.name} and {two.name} have the same history up to {place} on timeline {timeline}"


def _fork(one: SeenMember, two: SeenMember) -> tuple[int, int] | None:
    """Return the last timeline that both were on, and where the first of them left it."""
    shared: tuple[int, int] | None = None
    for here, there in zip_longest(_segments(one), _segments(two)):
        if here is None or there is None or here[0] != there[0]:
            return shared
        ends = [each[1] for each in (here, there) if each[1] is not None]
        if not ends:
            return None
        shared = here[0], min(ends)
        if here[1] != there[1]:
            return shared
    return shared


def _segments(member: SeenMember) -> tuple[tuple[int, int | None], ...]:
    """Return the timelines a member was on, and where each ended; the one that it writes has not."""
    return (*(member.history or ()), (member.timeline, None))
