"""What a release does next: one move of its attempt a pass, and the traffic of its phase. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from crds.meta import ConditionType, Truth
from crds.release import (
    Attempt,
    HoldExit,
    Phase,
    Quarantined,
    ReleaseMemo,
    ReleaseSpec,
    ReleaseStatus,
    Trigger,
)
from reconcilers.contract import (
    Close,
    Outcome,
    OutcomeKind,
    Plan,
    Resource,
    Step,
    StepClass,
    Urgency,
    Verdict,
)
from reconcilers.hook_runs import HookState
from reconcilers.release.aftermath import aftermath
from reconcilers.release.beginning import SUPERSEDED, ReleasePlan, plan_rest
from reconcilers.release.gates import gated, measured
from reconcilers.release.model import ReleaseAction, SeenRelease, StopHook
from reconcilers.release.phases import DEADLINES, ENDED, PROMOTED, WATCHED, Happening, can
from reconcilers.release.preparation import deploy, health, nothing_yet, pre_check, smoke, verify
from reconcilers.release.promotion import promote, roll_back, soak, uncling
from reconcilers.release.supervision import OPEN_HOLDS, OVERDUE, obeyed, shown, split, watch, watched
from reconcilers.release.traffic import asserted, standstill
from reconcilers.release.turn import Turn
from reconcilers.release.wishes import answered, is_followed, refusal, superseded

_PAGE_AGAIN: Final = timedelta(minutes=30)
_SLOWLY: Final = timedelta(seconds=10)
_LIVELY: Final = timedelta(minutes=10)
#: Reasons for which the same version may be tried again by itself.
_NO_QUARANTINE: Final = frozenset({SUPERSEDED, "Aborted"})


def _begin(turn: Turn) -> Turn:
    return turn.moved(Happening.DONE)


_WORK: Final[Mapping[Phase, Callable[[Turn], Turn]]] = MappingProxyType({
    Phase.PENDING: _begin,
    Phase.PRE_CHECK: pre_check,
    Phase.BACKUP: nothing_yet,
    Phase.MIGRATE: nothing_yet,
    Phase.DEPLOY_CANDIDATE: deploy,
    Phase.HEALTH_CHECK: health,
    Phase.SMOKE: smoke,
    Phase.SPLIT: split,
    Phase.WATCH: watch,
    Phase.PROMOTE: promote,
    Phase.VERIFY: verify,
    Phase.SOAK: soak,
    Phase.ROLLING_BACK: roll_back,
})  # fmt: skip


def plan_release(release: Resource[ReleaseSpec], seen: SeenRelease, now: datetime) -> ReleasePlan:
    """Begin an attempt, bring the running one forward, or say why nothing moves."""
    plan = _plan(release, seen, now)
    return replace(plan, steps=tuple(replace(step, errand=True) for step in plan.steps))


def _plan(release: Resource[ReleaseSpec], seen: SeenRelease, now: datetime) -> ReleasePlan:
    status = release.status if isinstance(release.status, ReleaseStatus) else ReleaseStatus()
    attempt = status.attempt
    if attempt is None or attempt.phase in ENDED:
        return aftermath(release, seen, now, status, plan_rest(release, seen, now, status))
    if release.held is not None and release.held[0] in {"ObserveMode", "Suspended"}:
        return _frozen_whole(release, release.held, attempt)
    memo = release.memo if isinstance(release.memo, ReleaseMemo) else ReleaseMemo(attempt=attempt.number)
    if memo.attempt != attempt.number:
        memo = ReleaseMemo(attempt=attempt.number)
    turn = _turned(Turn(release, seen, now, status, attempt, memo))
    return _planned(turn)


def _frozen_whole(release: Resource[ReleaseSpec], held: tuple[str, str], attempt: Attempt) -> ReleasePlan:
    """Leave everything as it is, and say so to whoever asks for something."""
    reason, message = held
    text = f"attempt {attempt.number} stands still in {attempt.phase.value}: {message}"
    asked = (each for each in release.requests if each.answer is None)
    return Plan(
        writes=tuple(write for each in asked for write in refusal(each, text)),
        verdicts=(Verdict(ConditionType.READY, Truth.FALSE, reason, text),),
        waiting=text,
        outlives_file=True,
    )


def _turned(turn: Turn) -> Turn:
    """Make at most one move, in the order of what is most urgent."""
    turn, is_watched = measured(turn.timed()), turn.attempt.phase in WATCHED
    turn, judgements = watched(turn) if is_watched else (turn, {})
    for decide in (lambda each: obeyed(each, judgements), gated, answered, superseded, _hold_ends, _goes_on):
        if not turn.is_settled:
            turn = decide(turn)
    if turn.attempt.phase in PROMOTED:
        turn = uncling(turn)
    if is_watched:
        turn = shown(turn, judgements)
    return asserted(turn).ticked()


def _hold_ends(turn: Turn) -> Turn:
    """Follow the exit of a hold whose time is over."""
    hold = turn.attempt.hold
    if hold is None or turn.now < hold.until:
        return turn
    if hold.exit is HoldExit.RESUME:
        return turn.released("its time is over")
    if hold.exit is HoldExit.STAY or not _has_way_out(turn):
        again = hold.model_copy(update={"until": turn.now + _PAGE_AGAIN})
        # How long makes it another event than the last one: the same again would tell nobody.
        minutes = (turn.now - hold.since).total_seconds() / 60
        text = f"still, after {minutes:.0f} min: {hold.message}"
        return turn.changed(hold=again).noted(hold.reason, text, warning=True)
    message = f"nobody ended the hold {hold.reason} in time: {hold.message}"
    return turn.moved(Happening.OVERDUE, reason=hold.reason, message=message, trigger=Trigger.DEADLINE)


def _has_way_out(turn: Turn) -> bool:
    """Whether a deadline may end the phase: nothing leads further back from a rollback or a first release."""
    phase = turn.attempt.phase
    return can(phase, Happening.OVERDUE) and (turn.attempt.has_stable or phase not in PROMOTED)


def _goes_on(turn: Turn) -> Turn:
    """Do the phase's work, unless something holds it or its time is over."""
    held = _held(turn)
    if held is not None:
        return turn.without_time().waits(held)
    if any(run.state is HookState.RUNNING for run in turn.seen.hooks.values()):
        # It has a deadline of its own.
        return _WORK[turn.attempt.phase](turn.without_time())
    overdue = _overdue(turn)
    if overdue is not None:
        return overdue
    done = _WORK[turn.attempt.phase](turn)
    return done if done.is_settled or not turn.says else done.waits(f"{turn.says}; {done.says}", done.again)


def _held(turn: Turn) -> str | None:
    """Return what keeps the attempt from moving forward; a rollback is never kept."""
    if turn.attempt.phase is Phase.ROLLING_BACK:
        return None
    hold = turn.attempt.hold
    if hold is not None and hold.reason not in OPEN_HOLDS:
        return hold.message
    return standstill(turn)


def _overdue(turn: Turn) -> Turn | None:
    """Follow the phase's deadline."""
    deadline = DEADLINES.get(turn.attempt.phase)
    if deadline is None:
        return None
    if turn.attempt.phase is Phase.SPLIT and turn.memo.read_back_at is not None:
        deadline = turn.spec.longest_watch
    if turn.attempt.phase is Phase.PROMOTE:
        deadline += turn.spec.drain
    if turn.in_phase <= deadline:
        return None
    attempt, tried = turn.attempt, _WORK[turn.attempt.phase](turn)
    message = f"{attempt.phase.value} took longer than {_text(deadline)}: {tried.says or 'nothing was seen'}"
    if not _has_way_out(turn):
        # There is nothing to go back to: it is tried further, and somebody is called.
        until = turn.now + _PAGE_AGAIN
        by = "the deadline"
        return (
            tried
            if tried.is_settled
            else tried.held(OVERDUE, message, by=by, until=until, then=HoldExit.STAY)
        )
    return turn.moved(
        Happening.OVERDUE, reason=f"{attempt.phase.value}Overdue", message=message, trigger=Trigger.DEADLINE
    )


def _text(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"  # noqa: PLR2004 - a minute


def _planned(turn: Turn) -> ReleasePlan:
    turn = _let_go(turn)
    attempt = turn.attempt
    is_over = attempt.phase in ENDED
    says = turn.says or f"attempt {attempt.number} of {attempt.version} is in {attempt.phase.value}"
    return Plan(
        steps=turn.steps,
        writes=turn.writes,
        status=_status(turn),
        memo=turn.memo,
        verdicts=_verdicts(turn, says),
        urgency=Urgency.ROLLBACK if attempt.phase is Phase.ROLLING_BACK else Urgency.RELEASE,
        waiting=None if is_over else f"{attempt.phase.value}: {says}",
        recheck_after=_pace(turn),
        outlives_file=True,
    )


def _pace(turn: Turn) -> timedelta:
    attempt = turn.attempt
    since = attempt.promoted_at
    if attempt.phase is Phase.SOAK and not turn.is_settled and since is not None and attempt.hold is None:
        return _SLOWLY if turn.now - since > _LIVELY and not _is_in_doubt(turn) else turn.again
    return turn.again


def _is_in_doubt(turn: Turn) -> bool:
    """Whether the last look was bad: whether that lasts shall be known soon."""
    evidence = (*turn.memo.entries.values(), *turn.memo.behind.values())
    return any(each.down_s > 0 or each.hang_s > 0 for each in evidence)


def _let_go(turn: Turn) -> Turn:
    """End hooks that nobody waits for any more, and close what was begun for them."""
    if not turn.is_settled:
        return turn
    for run_id, result in turn.seen.hooks.items():
        if result.state is HookState.RUNNING:
            turn = turn.stepped(_stop(run_id, is_awaited=turn.attempt.phase is not Phase.ROLLING_BACK))
    done = {write.intent for write in turn.writes if isinstance(write, Close)}
    left = [intent for intent in turn.seen.intents if intent.id not in done]
    return turn.written(
        *(Close(each.id, Outcome(OutcomeKind.FAILED, message="no longer needed")) for each in left)
    )


def _stop(run_id: str, *, is_awaited: bool) -> Step[ReleaseAction]:
    action = StopHook(run_id, is_awaited=is_awaited)
    return Step(action, StepClass.ABSOLUTE, target=f"hook {run_id}", summary=f"end hook {run_id}")


def _status(turn: Turn) -> ReleaseStatus:
    attempt, status = turn.attempt, turn.status.model_copy(update={"attempt": turn.attempt})
    if attempt.phase is not Phase.ROLLED_BACK or attempt.reason in _NO_QUARANTINE:
        return status
    entry = Quarantined(
        fingerprint=attempt.fingerprint,
        version=attempt.version,
        attempt=attempt.number,
        reason=attempt.message,
        at=turn.now,
    )
    return status.model_copy(update={"quarantine": (entry, *status.quarantine)[:20]})


def _verdicts(turn: Turn, says: str) -> tuple[Verdict, ...]:
    attempt = turn.attempt
    is_live = attempt.phase in {Phase.SOAK, Phase.COMPLETED} and attempt.hold is None and is_followed(turn)
    text = f"{attempt.version}: {attempt.phase.value}: {says}"
    ready = Verdict(ConditionType.READY, Truth.TRUE if is_live else Truth.FALSE, attempt.phase.value, text)
    if attempt.hold is None:
        return (ready, Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole"))
    return (ready, Verdict(ConditionType.DEGRADED, Truth.TRUE, attempt.hold.reason, attempt.hold.message))
