"""What people, and alerts, ask of a running attempt: pure."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from crds.release import HoldExit, Phase, Trigger
from reconcilers.contract import Answer, Request
from reconcilers.release.beginning import SUPERSEDED
from reconcilers.release.model import Well
from reconcilers.release.phases import PROMOTED, Happening, can
from reconcilers.release.turn import Turn

#: How long a pause lasts that nobody gave an end.
_PAUSE: Final = timedelta(hours=4)
_TRAFFIC: Final = frozenset({Phase.SPLIT, Phase.WATCH, *PROMOTED})
#: Holds that a person may end, because he knows what the daemon cannot.
_LIFTABLE: Final = frozenset({"Paused", "CommonCause", "NotEnoughTraffic"})


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
    text = f"{request.verb} refused: {why}"
    return turn.written(Answer(request.id, accepted=False, message=text))


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
    ill = [
        f"{seen.name}: {probe.says}"
        for seen in turn.seen.members
        if seen.name in turn.attempt.members
        and (probe := seen.probes.get(turn.attempt.members[seen.name].candidate)) is not None
        and probe.well is not Well.YES
    ]
    bad = turn.attempt.hold is not None and turn.attempt.hold.reason in {"CommonCause", "LimitExceeded"}
    if bad and turn.attempt.hold is not None:
        ill.append(turn.attempt.hold.message)
    if ill and request.arguments.get("force") != "true":
        return _refused(turn, request, f"{'; '.join(ill)}; --force promotes all the same")
    return (
        _accepted(turn, request, "the candidate gets all traffic")
        .noted("Promoted", _why(request))
        .moved(Happening.DONE)
    )


def _paused(turn: Turn, request: Request) -> Turn:
    if turn.attempt.phase is Phase.ROLLING_BACK:
        return _refused(turn, request, "a rollback is not held")
    until = _instant(request.arguments.get("until")) or turn.now + _PAUSE
    message = f"paused {_why(request)}, until {until:%Y-%m-%d %H:%M} UTC"
    turn = turn.changed(hold=None).held(
        "Paused", message, by=request.actor, until=until, then=HoldExit.RESUME
    )
    return _accepted(turn, request, message)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


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


def superseded(turn: Turn) -> Turn:
    """Follow a file that asks for something else meanwhile."""
    attempt, spec = turn.attempt, turn.spec
    if spec.version == attempt.version and set(spec.services) == set(attempt.members):
        return turn
    wanted = f"the file asks for {spec.version} of {', '.join(spec.services)}"
    went_back = all(member.stable_version == spec.version for member in attempt.members.values())
    if went_back and attempt.phase in PROMOTED and attempt.has_stable:
        # The old version is still warm: going back to it needs no new release.
        return turn.moved(
            Happening.STOPPED, reason=SUPERSEDED, message=f"{wanted}, which is stable", trigger=Trigger.SPEC
        )
    if attempt.phase is Phase.SOAK and not spec.supersede_soak:
        left = attempt.promoted_at or turn.now
        ends = left + spec.soak
        return turn.waits(f"SoakRunning: {wanted}; {attempt.version} soaks until {ends:%Y-%m-%d %H:%M} UTC")
    if not can(attempt.phase, Happening.SUPERSEDED):
        return turn
    if attempt.phase is Phase.SOAK:
        return turn.noted("SoakEnded", f"{wanted}; supersedeSoak: true").moved(Happening.SUPERSEDED)
    return turn.moved(Happening.SUPERSEDED, reason=SUPERSEDED, message=wanted, trigger=Trigger.SPEC)
