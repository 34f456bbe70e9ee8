"""What people, and alerts, ask of a running attempt: pure."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from crds.release import HoldExit, Phase, Trigger
from reconcilers.contract import Answer, Note, Request
from reconcilers.release.beginning import REFUSED, SUPERSEDED
from reconcilers.release.gates import UNKNOWN, gate_outlook
from reconcilers.release.model import Well
from reconcilers.release.outlook import End, outlook
from reconcilers.release.phases import PROMOTED, Happening, can
from reconcilers.release.supervision import PAUSED, rule_of
from reconcilers.release.traffic import standstill
from reconcilers.release.turn import Turn

#: How long a pause lasts that nobody gave an end.
_PAUSE: Final = timedelta(hours=4)
_TRAFFIC: Final = frozenset({Phase.SPLIT, Phase.WATCH, *PROMOTED})
#: Holds that a person may end, because he knows what the daemon cannot.
_LIFTABLE: Final = frozenset({PAUSED, "CommonCause", "NotEnoughTraffic", "HookFailed", "HookLost"})
#: Holds that say nothing against the candidate.
_HARMLESS: Final = frozenset({PAUSED, "AwaitingPromotion", "NotEnoughTraffic", "NoResponseTimes", UNKNOWN})


def answered(turn: Turn) -> Turn:
    """Answer all open requests, the oldest first; after one that moved the attempt the others wait."""
    for request in turn.release.requests:
        if request.answer is None and not turn.is_settled:
            turn = _answered(turn, request)
    return turn


def _answered(turn: Turn, request: Request) -> Turn:
    if request.arguments.get("attempt", str(turn.attempt.number)) != str(turn.attempt.number):
        return _refused(turn, request, f"attempt {turn.attempt.number} runs by now")
    answer = _ANSWERS.get(request.verb)
    if answer is None:
        allowed = ", ".join(_ANSWERS)
        return _refused(turn, request, f"there is no such request; there is {allowed}")
    return answer(turn, request)


def _refused(turn: Turn, request: Request, why: str) -> Turn:
    return turn.written(*refusal(request, why))


def refusal(request: Request, why: str) -> tuple[Answer, Note]:
    """Return a no, and the event that tells of it."""
    text = f"{request.verb} refused: {why}"
    return Answer(request.id, accepted=False, message=text), Note(REFUSED, text, warning=True)


def _accepted(turn: Turn, request: Request, what: str) -> Turn:
    return turn.written(Answer(request.id, accepted=True, message=what))


def _why(request: Request) -> str:
    return f"by {request.actor}: {request.reason}" if request.reason else f"by {request.actor}"


def _trigger(request: Request) -> Trigger:
    return Trigger.ALERT if request.actor.startswith("alertmanager") else Trigger.PERSON


def _rolled_back(turn: Turn, request: Request) -> Turn:
    phase = turn.attempt.phase
    if phase is Phase.ROLLING_BACK:
        return _accepted(turn, request, "it is being rolled back")
    if phase not in _TRAFFIC:
        if request.arguments.get("only", "") == "traffic":
            return _refused(turn, request, f"in {phase.value} the candidate has no traffic")
        return _stopped(turn, request, "Aborted", "the attempt ends; stable was not touched")
    if not turn.attempt.has_stable:
        return _refused(turn, request, "a first release has nothing to go back to")
    return _stopped(turn, request, "RollbackRequested", "traffic goes back to stable")


def _stopped(turn: Turn, request: Request, reason: str, what: str) -> Turn:
    return _accepted(turn, request, what).moved(
        Happening.STOPPED, reason=reason, message=f"{request.verb} {_why(request)}", trigger=_trigger(request)
    )


def _aborted(turn: Turn, request: Request) -> Turn:
    if turn.attempt.phase in PROMOTED:
        name = turn.release.key.name
        return _refused(turn, request, f"it is promoted: `psactl release rollback {name}` goes back")
    return _rolled_back(turn, request)


def _promoted(turn: Turn, request: Request) -> Turn:
    phase = turn.attempt.phase
    if phase in PROMOTED:
        return _accepted(turn, request, "it is promoted already")
    if phase is not Phase.WATCH:
        return _refused(turn, request, f"in {phase.value} there is nothing to promote: wait for Watch")
    stopped = standstill(turn)
    if stopped is not None:
        return _refused(turn, request, stopped)
    ill = tuple(_ill(turn))
    if ill and request.arguments.get("force") != "true":
        return _refused(turn, request, f"{'; '.join(ill)}; --force promotes all the same")
    return (
        _accepted(turn, request, "the candidate gets all traffic")
        .noted("Promoted", _why(request))
        .moved(Happening.DONE)
    )


def _ill(turn: Turn) -> Iterator[str]:
    """Say what speaks against the candidate; missing evidence does not."""
    for seen in turn.seen.members:
        member = turn.attempt.members.get(seen.name)
        probe = seen.probes.get(member.candidate) if member is not None else None
        if probe is not None and probe.well is not Well.YES:
            yield f"{seen.name}: {probe.says}"
    hold = turn.attempt.hold
    if hold is not None and hold.reason not in _HARMLESS:
        yield hold.message
    found = outlook(turn.memo.entries, rule_of(turn.spec, len(turn.attempt.entries)))
    if found.end in {End.LIMIT_EXCEEDED, End.BLOCKED}:
        yield found.message
    gate = gate_outlook(turn)
    if gate is not None and gate.end is End.BLOCKED and hold is None:
        yield gate.message


def _paused(turn: Turn, request: Request) -> Turn:
    if turn.attempt.phase is Phase.ROLLING_BACK:
        return _refused(turn, request, "a rollback is not held")
    until = _instant(request.arguments.get("until"), turn.now + _PAUSE)
    if until is None or until <= turn.now:
        return _refused(turn, request, f"{request.arguments['until']} is no instant to come")
    message = f"paused {_why(request)}, until {until:%Y-%m-%d %H:%M} UTC"
    turn = turn.changed(hold=None).held(PAUSED, message, by=request.actor, until=until, then=HoldExit.RESUME)
    return _accepted(turn, request, message)


def _instant(text: str | None, otherwise: datetime) -> datetime | None:
    """Read an instant in UTC; None for what is none."""
    if text is None:
        return otherwise
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def _resumed(turn: Turn, request: Request) -> Turn:
    hold = turn.attempt.hold
    if hold is None:
        return _refused(turn, request, "nothing holds it")
    if hold.reason not in _LIFTABLE:
        return _refused(turn, request, f"{hold.reason} holds it: promote it, or roll it back")
    return _accepted(turn.released(f"resumed {_why(request)}"), request, "it goes on")


def _retried(turn: Turn, request: Request) -> Turn:
    return _refused(turn, request, "an attempt is running: abort it first")


_ANSWERS: Final[Mapping[str, Callable[[Turn, Request], Turn]]] = MappingProxyType({
    "promote": _promoted,
    "pause": _paused,
    "resume": _resumed,
    "abort": _aborted,
    "rollback": _rolled_back,
    "retry": _retried,
})  # fmt: skip


def is_followed(turn: Turn) -> bool:
    """Whether the attempt is about what the file asks for now."""
    return turn.spec.version == turn.attempt.version and set(turn.spec.services) == set(turn.attempt.members)


def superseded(turn: Turn) -> Turn:
    """Follow a file that asks for something else meanwhile."""
    attempt, spec = turn.attempt, turn.spec
    if is_followed(turn):
        return turn
    wanted = f"the file asks for {spec.version} of {', '.join(spec.services)}"
    if attempt.phase in PROMOTED:
        return _left_stable(turn, wanted) if attempt.has_stable else _left_nothing(turn, wanted)
    if not can(attempt.phase, Happening.SUPERSEDED):
        return turn
    return turn.moved(Happening.SUPERSEDED, reason=SUPERSEDED, message=wanted, trigger=Trigger.SPEC)


def _left_stable(turn: Turn, wanted: str) -> Turn:
    """Go back to the old version where that is what is asked for; anything else waits for the soak's end."""
    attempt, spec = turn.attempt, turn.spec
    if all(member.stable_version == spec.version for member in attempt.members.values()):
        # The old version is still warm: going back to it needs no new release.
        text = f"{wanted}, which is stable"
        return turn.moved(Happening.STOPPED, reason=SUPERSEDED, message=text, trigger=Trigger.SPEC)
    if attempt.phase is not Phase.SOAK:
        return turn
    if spec.supersede_soak:
        return turn.noted("SoakEnded", f"{wanted}; supersedeSoak: true").moved(Happening.SUPERSEDED)
    ends = (attempt.promoted_at or turn.now) + spec.soak
    return turn.waits(f"SoakRunning: {wanted}; {attempt.version} soaks until {ends:%Y-%m-%d %H:%M} UTC")


def _left_nothing(turn: Turn, wanted: str) -> Turn:
    """Let another version follow a first release: there is no old one that a soak would keep."""
    hold = turn.attempt.hold
    if hold is None and turn.attempt.phase is not Phase.SOAK:
        return turn
    turn = turn.noted("SoakEnded", f"{wanted}; there is no old version to keep")
    if hold is None:
        return turn.moved(Happening.SUPERSEDED)
    message = f"{hold.reason}: {hold.message}"
    return turn.moved(Happening.SUPERSEDED, reason=SUPERSEDED, message=message, trigger=Trigger.SPEC)
