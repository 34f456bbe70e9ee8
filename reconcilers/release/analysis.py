"""The decision rule of a release: what the evidence of an entry asks for: pure."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from crds.evidence import Alarm, Cause, Detector, Evidence, Tally
from crds.release import Method
from reconcilers.release.detection import Strength, Trial, error_trial, slow_trials, strength
from reconcilers.release.rule import Rule, SlowLimit

#: How long what needs no statistics must last.
PATIENCE_S: Final = 3.0
#: How long a fault may remain nobody's before it is the candidate's.
UNDECIDED_S: Final = 10.0
#: So soon after a step of the release a common cause is the release.
AFTER_STEP: Final = timedelta(seconds=60)
#: Between the last good look and the first bad one lies a tick, and so may the step.
_TICK: Final = timedelta(seconds=2)
_TENTH: Final = 0.1


class Action(enum.Enum):
    """What the rule asks for."""

    NONE = "none"
    ROLL_BACK = "rollback"
    HOLD = "hold"
    """Nothing moves forward, somebody is called."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one entry's evidence asks for, why, and its figures since the split.

    ``reason`` is one CamelCase word, empty if nothing is wrong; ``message`` a sentence with its figures.
    """

    action: Action
    reason: str
    cause: Cause | None
    message: str
    total: Tally
    evidence: Strength
    first_bad_at: datetime | None = None


def judge(
    evidence: Evidence, rule: Rule, *, last_step_at: datetime | None, in_soak: bool = False
) -> Judgement:
    """Say what one entry's evidence asks for (DESIGN §10): rolling back before holding.

    *last_step_at* is when this attempt last changed the traffic. *in_soak*: the candidate has all of it, so
    that the old stable's own probe tells whether there is a way back.
    """
    trials = slow_trials(rule)
    findings = [
        _broken(evidence, in_soak=in_soak),
        _hung(evidence, in_soak=in_soak),
        _share(evidence, evidence.failing, error_trial(rule), None, last_step_at, in_soak=in_soak),
        *(
            _share(evidence, detector, trial, limit, last_step_at, in_soak=in_soak)
            for detector, trial, limit in zip(evidence.slow, trials, rule.slow_limits, strict=False)
        ),
    ]
    found = [each for each in findings if each is not None]
    worst = min(found, key=lambda each: _URGENCY.index(each.action), default=_WELL)
    return Judgement(
        action=worst.action,
        reason=worst.reason,
        cause=worst.cause,
        message=worst.message or figures(evidence.failing, error_trial(rule), None),
        total=evidence.failing.total,
        evidence=strength(worst.detector or evidence.failing, worst.trial or error_trial(rule)),
        first_bad_at=worst.first_bad_at,
    )


@dataclass(frozen=True, slots=True)
class _Finding:
    """One thing that is wrong."""

    action: Action
    reason: str = ""
    message: str = ""
    cause: Cause | None = None
    detector: Detector | None = None
    trial: Trial | None = None
    first_bad_at: datetime | None = None


_WELL: Final = _Finding(Action.NONE)
_URGENCY: Final = (Action.ROLL_BACK, Action.HOLD, Action.NONE)


def _way_back(evidence: Evidence, *, in_soak: bool) -> bool | None:
    """Whether stable could take the traffic; None is unknown."""
    return evidence.stable_probe if in_soak else evidence.stable_up


def _without_statistics(
    evidence: Evidence, reason: str, what: str, since_s: float, *, in_soak: bool
) -> _Finding:
    way_back = _way_back(evidence, in_soak=in_soak)
    began = evidence.ticked_at - timedelta(seconds=since_s) if evidence.ticked_at else None
    message = f"{what} for {since_s:.0f} s"
    if way_back:
        return _Finding(Action.ROLL_BACK, reason, message, Cause.CANDIDATE, first_bad_at=began)
    cause = Cause.BOTH if way_back is False else Cause.UNDECIDED
    return _Finding(Action.HOLD, reason, f"{message}; {_NO_WAY_BACK[way_back]}", cause, first_bad_at=began)


_NO_WAY_BACK: Final = {False: "stable does not work either", None: "whether stable works is unknown"}


def _broken(evidence: Evidence, *, in_soak: bool) -> _Finding | None:
    if evidence.down_s < PATIENCE_S:
        return None
    what = f"the candidate does not work: {evidence.down_reason}"
    if _way_back(evidence, in_soak=in_soak) and evidence.down_s - evidence.down_both_s < PATIENCE_S:
        message = f"{what} for {evidence.down_s:.0f} s; stable did not either, and only just works again"
        return _Finding(Action.HOLD, "CandidateDown", message, Cause.BOTH)
    return _without_statistics(evidence, "CandidateDown", what, evidence.down_s, in_soak=in_soak)


def _hung(evidence: Evidence, *, in_soak: bool) -> _Finding | None:
    if evidence.hang_s < PATIENCE_S:
        return None
    what = f"the candidate holds {evidence.excess_sessions:.0f} requests more than it should"
    return _without_statistics(evidence, "Hanging", what, evidence.hang_s, in_soak=in_soak)


def _share(
    evidence: Evidence,
    detector: Detector,
    trial: Trial,
    limit: SlowLimit | None,
    last_step_at: datetime | None,
    *,
    in_soak: bool,
) -> _Finding | None:
    alarm = detector.alarm
    if alarm is None:
        return None
    way_back = _way_back(evidence, in_soak=in_soak)
    action, reason, why = _asked(alarm, last_step_at, way_back=way_back, in_soak=in_soak)
    return _Finding(
        action=action,
        reason=reason or ("ErrorRate" if limit is None else "ResponseTime"),
        message="; ".join(each for each in (figures(detector, trial, limit), why) if each),
        cause=alarm.cause,
        detector=detector,
        trial=trial,
        first_bad_at=alarm.onset_at,
    )


def _asked(
    alarm: Alarm, last_step_at: datetime | None, *, way_back: bool | None, in_soak: bool
) -> tuple[Action, str, str]:
    """Return what an alarm asks for; the reason is empty where the breach itself is one."""
    if way_back is False:
        return Action.HOLD, "StableDown", _NO_WAY_BACK[way_back]
    if in_soak and way_back is None:
        return Action.HOLD, "StableUnknown", _NO_WAY_BACK[way_back]
    if in_soak:
        return Action.ROLL_BACK, "", "the old stable is healthy"
    return _asked_beside_stable(alarm, last_step_at)


def _asked_beside_stable(alarm: Alarm, last_step_at: datetime | None) -> tuple[Action, str, str]:
    match alarm.cause:
        case Cause.CANDIDATE if alarm.apart:
            return Action.ROLL_BACK, "", "stable is well again, the candidate is not"
        case Cause.CANDIDATE:
            return Action.ROLL_BACK, "", ""
        case Cause.BOTH if (
            last_step_at and last_step_at - _TICK <= alarm.onset_at <= last_step_at + AFTER_STEP
        ):
            after_s = max(0.0, (alarm.onset_at - last_step_at).total_seconds())
            return Action.ROLL_BACK, "", f"stable as well, {after_s:.0f} s after a step of this release"
        case Cause.BOTH:
            return Action.HOLD, "CommonCause", "stable as well: a common cause"
        case Cause.UNDECIDED if alarm.undecided_s >= UNDECIDED_S:
            return Action.ROLL_BACK, "", f"nothing spoke for another cause in {UNDECIDED_S:.0f} s"
        case Cause.UNDECIDED:
            return Action.NONE, "", "too little to tell whose fault it is"


def figures(detector: Detector, trial: Trial, limit: SlowLimit | None) -> str:
    """Return value, limit, n and evidence as a sentence: since the onset if there is an alarm."""
    tally = detector.recent if detector.alarm else detector.total
    what = "requests failed" if limit is None else f"answers took longer than {limit.limit_ms:g} ms"
    text = f"{part(tally.errors, tally.requests)} {what}, limit {percent(trial.limit)}"
    if trial.method is Method.SEQUENTIAL and (detector.alarm is None or not detector.alarm.apart):
        strong = strength(detector, trial)
        text += f" (evidence 10^{strong.log10_evidence:.1f} : 1, needed 10^{strong.log10_needed:.1f})"
    if tally.stable_requests:
        text += f"; stable {part(tally.stable_errors, tally.stable_requests)}"
    return text


def percent(share: float) -> str:
    """Return a share with two digits: ``5.2 %``, ``0.02 %``, ``100 %``."""
    return f"{100 * share:.0f} %" if share >= _TENTH else f"{100 * share:.2g} %"


def part(errors: int, requests: int) -> str:
    """Return ``0.02 % of 5213``."""
    return f"{percent(errors / requests)} of {requests}" if requests else "none of 0"
