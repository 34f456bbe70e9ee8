"""The phases after the decision: promotion with draining, the soak, and the way back. Pure."""

from datetime import timedelta
from typing import Final

from crds.evidence import Clinging
from crds.release import HoldExit
from reconcilers.release.phases import Happening
from reconcilers.release.traffic import connections, not_read_back
from reconcilers.release.turn import SOON, Turn

_STUCK: Final = timedelta(seconds=15)
_PAGE_AGAIN: Final = timedelta(minutes=30)
#: At so many looks somebody must have come to the old version, counted from so long before the drain's end.
_LOOKS: Final = 3
_BEFORE_END: Final = timedelta(seconds=4)


def promote(turn: Turn) -> Turn:
    """Wait until HAProxy has it, then until the old version has answered all that it holds."""
    missing = not_read_back(turn)
    if missing is not None:
        return turn.waits(missing, SOON)
    turn = turn.remembers(read_back_at=turn.memo.read_back_at or turn.now)
    left = _left_behind(turn)
    if left and turn.in_phase < turn.spec.drain:
        return turn.waits(f"the old version still answers {left} requests", 2 * SOON)
    if left and not turn.attempt.is_closed:
        text = (
            f"after {turn.spec.drain.total_seconds():g} s the old version still held {left} requests: closed"
        )
        return turn.changed(is_closed=True).noted("DrainCut", text, warning=True).waits(text, SOON)
    return turn.moved(Happening.DONE)


def _left_behind(turn: Turn) -> int:
    """Return the requests that the old version holds; what is not known counts as none once it is closed."""
    total = 0
    for seen in turn.seen.members:
        member = turn.attempt.entries.get(seen.name)
        if member is not None and member.stable is not None and not turn.attempt.is_closed:
            held = connections(seen, member.stable)
            total += 1 if held is None else held
    return total


def uncling(turn: Turn) -> Turn:
    """Close the old version, once the drain is over, for whoever a cookie still sends there.

    Such clients hold no request most of the time, so that what is held does not tell of them. Another HAProxy
    process begins with the configured weights: what comes then is not theirs.
    """
    if turn.attempt.is_closed or not turn.attempt.has_stable or turn.attempt.promoted_at is None:
        return turn
    evidence = turn.memo.entries.values()
    requests = sum(each.failing.total.stable_requests for each in evidence)
    pids = {mark.socket: mark.pid for each in evidence for mark in each.marks}
    before = turn.memo.clinging or Clinging(requests=requests, pids=pids)
    end = turn.attempt.promoted_at + turn.spec.drain
    looks = before.looks if before.pids == pids and turn.now >= end - _BEFORE_END else 0
    looks += before.pids == pids and requests > before.requests
    turn = turn.remembers(clinging=Clinging(requests=requests, pids=pids, looks=looks))
    if looks < _LOOKS or turn.now < end:
        return turn
    text = f"{turn.spec.drain.total_seconds():g} s after the promotion clients still came to the old version"
    return turn.changed(is_closed=True).noted("ClientsMoved", f"{text}: it is closed, they go to the new one")


def soak(turn: Turn) -> Turn:
    """Keep the old version as the way back, by the wall clock and by what was really seen."""
    promoted = turn.attempt.promoted_at or turn.attempt.entered_at
    soaked = turn.memo.soaked_s + turn.lasted_s
    turn = turn.remembers(soaked_s=soaked)
    wanted_s = turn.spec.soak.total_seconds()
    rest_s = max(wanted_s - soaked, (promoted + turn.spec.soak - turn.now).total_seconds())
    if rest_s <= 0 and turn.attempt.has_stable and not turn.attempt.is_closed:
        # Drained, it would be there for clients that a cookie binds, until the next release takes its place.
        return turn.changed(is_closed=True).waits("the old version is closed", SOON)
    if rest_s <= 0:
        return turn.moved(Happening.DONE)
    return turn.waits(f"the old version stays as the way back, {_text(rest_s)} more")


def _text(seconds: float) -> str:
    hours, minutes = seconds / 3600, seconds / 60
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.0f} min" if minutes >= 1 else f"{seconds:.0f} s"


def roll_back(turn: Turn) -> Turn:
    """Wait until HAProxy sends all to stable; where that is not possible, call somebody and go on trying."""
    missing = not_read_back(turn)
    if missing is None:
        return turn.moved(Happening.DONE)
    if turn.in_phase < _STUCK:
        return turn.waits(missing, SOON)
    return turn.held(
        "RollbackStuck", missing, by="the rollback", until=turn.now + _PAGE_AGAIN, then=HoldExit.STAY
    )
