"""Gates of an attempt: what they were told, whether they hold it, and when a fault is its own doing. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crds.gates import DatabaseErrors, Gate, GateMark, GateMemo, GateState, Usual
from crds.release import Check, Trigger
from reconcilers.gauges import Gauge
from reconcilers.release.gate_readings import counted, names_of, read_gate
from reconcilers.release.model import SeenGate
from reconcilers.release.outlook import End, Outlook
from reconcilers.release.phases import PROMOTED, WATCHED, Happening
from reconcilers.release.turn import RULE, Turn

#: Three looks of a kind that is looked at every five seconds.
STALE: Final = timedelta(seconds=15)
#: So long nothing may be known before it holds the release: after a restart the first looks take seconds.
UNKNOWN_S: Final = 10.0
#: A database's fault that begins so soon after a step of the release is its doing (DESIGN §10).
AFTER_STEP: Final = timedelta(seconds=60)
#: Between the last good look and the first bad one lies a look, and so may the step.
_LOOK: Final = timedelta(seconds=5)
_APART: Final = timedelta(seconds=20)
_MARKS: Final = 4
UNKNOWN: Final = "GateUnknown"
_REASONS: Final = {
    "replicationLag": "GateReplicationLag",
    "databaseErrors": "GateDatabaseErrors",
    "queueDepth": "GateQueueDepth",
}
#: Holds that gates begin and end, beside those of the rule.
GATE_HOLDS: Final = frozenset({UNKNOWN, *_REASONS.values()})
#: Less of the hour before says nothing of what is usual.
_USUAL_S: Final = 60.0


def measured(turn: Turn) -> Turn:
    """Take in what each gate was told last; until the candidate has traffic, that is what is usual."""
    asked = tuple(turn.spec.gates.asked())
    if not asked and not turn.memo.gates:
        return turn
    found = {
        name: _measured(turn, gate, turn.seen.gates.get(name), turn.memo.gates.get(name, GateMemo()))
        for name, gate in asked
    }
    return turn.remembers(gates=found)


def _measured(turn: Turn, gate: Gate, seen: SeenGate | None, memo: GateMemo) -> GateMemo:
    last = seen.last if seen is not None else None
    if seen is None or last is None or abs(turn.now - last.at) > STALE:
        return _entered(turn, memo, GateState.UNKNOWN, _silence(gate, last, turn.now))
    if last.at == memo.read_at and memo.state is not GateState.UNKNOWN:
        return replace(memo, lasted_s=memo.lasted_s + turn.lasted_s)
    usual = memo.usual
    if turn.attempt.split_at is None:
        usual = _usual(last, seen.hour_before) or usual
    # What is later than the last look was told before the clock was set back.
    marks = tuple(each for each in memo.marks if each.epoch == last.epoch and each.at <= last.at)
    state, says = read_gate(gate, seen, last, marks[0] if marks else None, usual)
    if not marks or last.at - marks[-1].at >= _APART:
        values = {name: last.values[name] for name in names_of(gate) if name in last.values}
        marks = (*marks, GateMark(last.at, last.epoch, values))[-_MARKS:]
    return replace(_entered(turn, memo, state, says), read_at=last.at, marks=marks, usual=usual)


def _entered(turn: Turn, memo: GateMemo, state: GateState, says: str) -> GateMemo:
    if state is memo.state and memo.since is not None:
        return replace(memo, says=says, lasted_s=memo.lasted_s + turn.lasted_s)
    return replace(memo, state=state, says=says, since=turn.now, lasted_s=0.0)


def _silence(gate: Gate, last: Gauge | None, now: datetime) -> str:
    if last is None:
        return f"{gate.key} tells nothing"
    if last.at > now:
        return f"{gate.key} told nothing since the clock was set back"
    return f"{gate.key} told nothing for {(now - last.at).total_seconds():.0f} s"


def _usual(last: Gauge, begin: Gauge | None) -> Usual | None:
    """Return what was counted up to now in the hour before, where that is enough to tell."""
    seconds = (last.at - begin.at).total_seconds() if begin is not None else 0.0
    found = counted(last, begin.values, seconds) if begin is not None and seconds >= _USUAL_S else None
    if found is None:
        return None
    deadlocks, conflicts = found.a_minute(found.deadlocks), found.a_minute(found.conflicts)
    return Usual(seconds, found.rollback_share, deadlocks, conflicts)


def gate_outlook(turn: Turn) -> Outlook | None:
    """Say which gate is not well right now, long enough to hold or not: nothing moves forward over it."""
    for name, gate in turn.spec.gates.asked():
        memo = turn.memo.gates.get(name, GateMemo(says=f"{gate.key} tells nothing"))
        if memo.state is GateState.BROKEN:
            return Outlook(End.BLOCKED, _REASONS[name], memo.says)
        if memo.state is GateState.UNKNOWN:
            return Outlook(End.NOT_ENOUGH, UNKNOWN, memo.says)
    return None


def gated(turn: Turn) -> Turn:
    """Hold while a gate is broken or unknown, go back where the release is the likely cause."""
    if turn.attempt.phase not in WATCHED:
        return turn
    asked, hold = tuple(turn.spec.gates.asked()), turn.attempt.hold
    turn = _likely(turn, asked)
    is_ours = hold is not None and hold.by == RULE and hold.reason in GATE_HOLDS
    if turn.is_settled or (hold is not None and not is_ours):
        return turn
    for name, gate in asked:
        if _is_lasting(turn, name, gate, GateState.BROKEN):
            return _held(turn, _REASONS[name], turn.memo.gates[name].says, turn.hold_until())
    for name, gate in asked:
        if _is_lasting(turn, name, gate, GateState.UNKNOWN):
            until = turn.now + turn.spec.hold_for_evidence
            return _held(turn, UNKNOWN, turn.memo.gates[name].says, until)
    is_well = all(turn.memo.gates[name].state is GateState.WELL for name, _ in asked)
    return turn.released("what was wrong is over") if is_ours and is_well else turn


def _is_lasting(turn: Turn, name: str, gate: Gate, state: GateState) -> bool:
    memo = turn.memo.gates[name]
    patience_s = gate.lasting.total_seconds() if state is GateState.BROKEN else UNKNOWN_S
    return memo.state is state and memo.lasted_s >= patience_s


def _held(turn: Turn, reason: str, says: str, until: datetime) -> Turn:
    return turn.held(reason, says, by=RULE, until=until, then=turn.exit_of_bad_evidence)


def _likely(turn: Turn, asked: tuple[tuple[str, Gate], ...]) -> Turn:
    """Go back where a database's errors began right after a step of this attempt, and there is a way back."""
    step_at = turn.attempt.step_at
    for name, gate in asked:
        memo = turn.memo.gates[name]
        is_broken = isinstance(gate, DatabaseErrors) and _is_lasting(turn, name, gate, GateState.BROKEN)
        if not is_broken or memo.since is None or step_at is None:
            continue
        if step_at - _LOOK <= memo.since <= step_at + AFTER_STEP and _has_way_back(turn):
            after_s = max(0.0, (memo.since - step_at).total_seconds())
            return turn.changed(first_bad_at=memo.since).moved(
                Happening.BREACH,
                reason=_REASONS[name],
                message=f"{memo.says}; it began {after_s:.0f} s after a step of this release",
                trigger=Trigger.RULE,
            )
    return turn


def _has_way_back(turn: Turn) -> bool:
    """Whether stable may be sent the users: not where it is known, or in the soak not known, to be down."""
    evidence = (*turn.memo.entries.values(), *turn.memo.behind.values())
    if turn.attempt.phase in PROMOTED:
        return turn.attempt.has_stable and all(each.stable_probe for each in evidence)
    return turn.attempt.has_stable and all(each.stable_up is not False for each in evidence)


def gate_checks(turn: Turn) -> Iterator[Check]:
    """Check before anything is changed that what the gates are about is there, and well so far."""
    for name, gate in turn.spec.gates.asked():
        seen = turn.seen.gates.get(name)
        if seen is None or not seen.is_there:
            text = f"there is no {gate.key}: a gate on it would never be told anything"
            yield Check(name=f"gate {name}", passed=False, message=text)
            continue
        memo = turn.memo.gates.get(name, GateMemo())
        yield Check(name=f"gate {name}", passed=memo.state is GateState.WELL, message=memo.says)
