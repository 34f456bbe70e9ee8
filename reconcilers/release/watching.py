"""One tick of a watch, added to what is known of an entry: pure."""

from datetime import datetime
from typing import Final

from crds.evidence import Detector, Evidence, Tally
from reconcilers.release.detection import NOTHING, Delta, added, dispersed, error_trial, slow_trials, step
from reconcilers.release.readings import Reading, read, seen_now
from reconcilers.release.rule import GAP_S, TICK_S, Rule, Sample, Slowness

#: The candidate may hold so many requests, or so many seconds of them, beyond what it should.
_HANG_SESSIONS: Final = 10.0
_HANG_S: Final = 3.0
#: How fast the memory of its rate, and of what both roles hold, fades.
_RATE_S: Final = 5.0
_USUAL_S: Final = 60.0
#: Since when it was bad the first bad look does not tell; in a long soak the last good one was 10 s ago.
_FIRST_S: Final = 1.0


def advance(
    evidence: Evidence, sample: Sample, rule: Rule, now: datetime, *, elapsed_s: float | None
) -> Evidence:
    """Take one more look; a tick is what came in at least ``TICK_S``, so more frequent looks change nothing.

    *elapsed_s* is the time since the last look on a steady clock; None if that is unknown (the daemon was
    away). Then, and from ``GAP_S`` on, what was counted meanwhile counts, because it was served; the time
    does not count as watched, nor towards anything that must last.

    Before the split is read back only the stable colour's unevenness is learned.
    """
    waited_s = None if elapsed_s is None else evidence.pending_s + max(0.0, elapsed_s)
    is_step = sample.is_read_back and not (evidence.is_read_back and evidence.weight == sample.weight)
    if waited_s is not None and waited_s < TICK_S and not is_step:
        update = {"pending_s": waited_s, "pending": _together(evidence.pending, sample.slowness)}
        return evidence.model_copy(update=update)
    lasted_s = waited_s if waited_s is not None and waited_s < GAP_S else 0.0
    reading = read(evidence.marks, sample)
    if evidence.began_at is None:
        return _before(evidence, sample, reading, now, lasted_s)
    failing = step(evidence.failing, reading.delta, error_trial(rule), now, lasted_s)
    update = {
        "marks": reading.marks,
        "ticked_at": now,
        "pending_s": 0.0,
        "is_read_back": sample.is_read_back,
        "watched_s": evidence.watched_s + (lasted_s if reading.is_known and sample.is_read_back else 0.0),
        "failing": failing,
        "hidden": evidence.hidden + reading.hidden,
    }
    if is_step:
        update |= {"weight": sample.weight, "before_step": failing.total}
    if rule.slow_limits:
        update |= {"slow": _slower(evidence, sample, rule, now, lasted_s), "pending": ()}
        update["slow_ms"] = _limits_ms(rule)
    update |= _hanging(evidence, sample, reading, lasted_s)
    update |= _down(evidence, sample, reading, lasted_s)
    return evidence.model_copy(update=update)


def lasting(before_s: float, lasted_s: float) -> float:
    """Return how long something was bad that was so for *before_s* at the last look, *lasted_s* ago."""
    return before_s + (lasted_s if before_s > 0 else min(lasted_s, _FIRST_S))


def passed_over(evidence: Evidence, sample: Sample, now: datetime) -> Evidence:
    """Leave out what came since the last look: a person had the traffic, and nothing of it is evidence."""
    marks = read(evidence.marks, sample).marks
    return evidence.model_copy(update={"marks": marks, "ticked_at": now, "pending_s": 0.0, "pending": ()})


def _before(evidence: Evidence, sample: Sample, reading: Reading, now: datetime, lasted_s: float) -> Evidence:
    update: dict[str, object] = {"marks": reading.marks, "ticked_at": now, "pending_s": 0.0, "pending": ()}
    failing = evidence.failing
    if lasted_s:
        learned = dispersed(failing.dispersion, reading.delta.stable_errors)
        failing = failing.model_copy(update={"dispersion": learned})
    if sample.is_read_back and reading.is_known:
        failing = failing.model_copy(update={"onset_at": now})
        marks = seen_now(reading.marks, sample)
        slow = tuple(each.model_copy(update={"onset_at": now}) for each in evidence.slow)
        update |= {"began_at": now, "is_read_back": True, "weight": sample.weight}
        update |= {"marks": marks, "slow": slow}
    return evidence.model_copy(update=update | {"failing": failing})


def _together(pending: tuple[Tally, ...], slowness: tuple[Slowness, ...]) -> tuple[Tally, ...]:
    """Add the answers of one look to those that wait for their tick."""
    before = pending if len(pending) == len(slowness) else (NOTHING,) * len(slowness)
    return tuple(added(each, _delta(came)) for each, came in zip(before, slowness, strict=True)) or pending


def _delta(came: Slowness) -> Delta:
    return Delta(came.answers, came.slower, came.stable_answers, came.stable_slower)


def _slower(
    evidence: Evidence, sample: Sample, rule: Rule, now: datetime, lasted_s: float
) -> tuple[Detector, ...]:
    """Take the tick of the response times; where the log tells nothing, nothing is known of them."""
    trials = slow_trials(rule)
    is_same = len(evidence.slow) == len(trials) and evidence.slow_ms in {(), _limits_ms(rule)}
    detectors = evidence.slow if is_same else (Detector(onset_at=evidence.began_at),) * len(trials)
    came = _together(evidence.pending, sample.slowness)
    if len(came) != len(trials):
        return detectors
    return tuple(
        step(
            detector,
            Delta(each.requests, each.errors, each.stable_requests, each.stable_errors),
            trial,
            now,
            lasted_s,
        )
        for detector, each, trial in zip(detectors, came, trials, strict=True)
    )


def _limits_ms(rule: Rule) -> tuple[float, ...]:
    return tuple(each.limit_ms for each in rule.slow_limits)


def _hanging(evidence: Evidence, sample: Sample, reading: Reading, lasted_s: float) -> dict[str, object]:
    """Compare what the candidate holds with what it should.

    Beside a stable colour that is its part of what stable holds; once the candidate has all traffic, what
    both held together usually.
    """
    if reading.sessions is None or reading.stable_sessions is None or not lasted_s:
        return {}
    together = float(reading.sessions + reading.stable_sessions)
    usual = evidence.usual_sessions if evidence.usual_sessions is not None else together
    if sample.stable_weight > 0:
        excess = reading.sessions - reading.stable_sessions * sample.weight / sample.stable_weight
    else:
        excess = together - usual
    came = reading.delta.requests / lasted_s
    rate = evidence.rate + (came - evidence.rate) * min(1.0, lasted_s / _RATE_S) if evidence.rate else came
    is_hanging = excess > max(_HANG_SESSIONS, _HANG_S * rate)
    if not is_hanging:
        usual += (together - usual) * min(1.0, lasted_s / _USUAL_S)
    return {
        "rate": rate,
        "usual_sessions": usual,
        "excess_sessions": excess,
        "hang_s": lasting(evidence.hang_s, lasted_s) if is_hanging else 0.0,
    }


def _down(evidence: Evidence, sample: Sample, reading: Reading, lasted_s: float) -> dict[str, object]:
    reason = ""
    if sample.is_running is False:
        reason = "its container does not run"
    elif reading.down_on is not None:
        reason = f"it is DOWN on {reading.down_on}"
    elif sample.candidate_probe is False and sample.stable_probe is not False:
        # Where neither answers us and HAProxy reaches both, the way from here is broken.
        reason = "its health check fails"
    is_unknown = not reason and reading.sessions is None and sample.candidate_probe is None
    down_s = evidence.down_s if is_unknown else lasting(evidence.down_s, lasted_s) if reason else 0.0
    gained_s = lasted_s if is_unknown else down_s - evidence.down_s
    return {
        "down_s": down_s,
        "down_both_s": evidence.down_both_s + gained_s * _is_both(evidence, sample, reading)
        if down_s
        else 0.0,
        "down_reason": evidence.down_reason if is_unknown else reason,
        "stable_up": reading.stable_up,
        "stable_probe": sample.stable_probe,
    }


def _is_both(evidence: Evidence, sample: Sample, reading: Reading) -> bool:
    """Whether the candidate is not alone in not working.

    HAProxy takes a server DOWN that was just opened at its first failed check, and stable some checks later:
    while those fail, too, it is not the candidate alone. After a time in which neither worked HAProxy may see
    stable recover some checks earlier; so long a candidate that answers us is not blamed.
    """
    has_traffic = sample.stable_weight > 0
    stable = reading.stable_up if has_traffic else sample.stable_probe
    wavers = has_traffic and reading.stable_wavers
    return stable is False or wavers or (evidence.down_both_s > 0 and sample.candidate_probe is True)
