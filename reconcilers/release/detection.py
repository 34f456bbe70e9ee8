"""One share under trial, tick by tick: too high or not, since when, whose fault: pure."""

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from crds.evidence import Alarm, Cause, Detector, Dispersion, Sums, Tally
from crds.release import Method
from reconcilers.release.rule import Rule
from reconcilers.release.sequential import (
    RATIOS,
    Grid,
    apart_step,
    at_least,
    grid,
    late_step,
    likeliest,
    log_mixture,
    log_of,
    mean,
)

#: With equal rates, errors would lie on the candidate this unevenly once in a hundred alarms.
_CANDIDATE_ONLY: Final = 0.01
#: Stable is bad as well: so many errors, at least 2, come once in a hundred times at the limit.
_STABLE_BAD: Final = 0.01
_STABLE_BAD_ERRORS: Final = 2
#: A common cause has become the candidate's alone at this evidence: 1 % in 1 000 ticks.
_APART: Final = 1e5
#: An alarm that stands needs this part of the evidence.
_STANDING: Final = 0.1
#: A common cause is over after so many times what it took to be seen without it, within these bounds.
_PATIENCE_S: Final = (30.0, 600.0)
_PATIENCE_FACTOR: Final = 3.0
#: So many errors of one tick count in full; of more, this part of its requests (or ten times the limit).
_TICK_ERRORS: Final = 3
_TICK_SHARE: Final = 0.1
_TICK_SHARE_MAX: Final = 0.5
#: A tick with so many errors, being this part of its requests, is no burst of one client's.
_SUDDEN_ERRORS: Final = 20
_SUDDEN_SHARE: Final = 0.2
#: At so many bursts of stable's half of its dispersion is believed.
_DOUBT: Final = 5
_DISPERSION_MAX: Final = 10.0


NOTHING: Final = Tally()
_NOT_APART: Final = (0.0,) * len(RATIOS)


@dataclass(frozen=True, slots=True)
class Delta:
    """What came in one tick."""

    requests: int = 0
    errors: int = 0
    stable_requests: int = 0
    stable_errors: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """One share, its limit, and the evidence that an alarm needs.

    ``bad_ticks`` are the ticks with errors since the onset without which there is no alarm; one in which much
    of much failed counts as ``sudden_ticks``.
    """

    limit: float
    method: Method
    alpha: float
    horizon_ticks: int
    min_requests: int
    bad_ticks: int
    sudden_ticks: int

    @property
    def grid(self) -> Grid:
        """The alternatives to the limit."""
        return grid(self.limit)

    @property
    def needed(self) -> float:
        """Evidence since the split that an alarm needs."""
        return 2 / self.alpha

    @property
    def needed_late(self) -> float:
        """Evidence of a later fault that an alarm needs."""
        return 2 * self.horizon_ticks / self.alpha


@dataclass(frozen=True, slots=True)
class Strength:
    """How strong the evidence is and how strong it must be, both as powers of ten."""

    log10_evidence: float
    log10_needed: float


@lru_cache(maxsize=256)
def error_trial(rule: Rule) -> Trial:
    """Return the trial of the requests that fail."""
    return Trial(rule.limit, rule.method, rule.alpha_each, rule.horizon_ticks, rule.min_requests, 2, 2)


@lru_cache(maxsize=256)
def slow_trials(rule: Rule) -> tuple[Trial, ...]:
    """Return the trials of the answers that are too slow: a pause of a second or two is none."""
    alpha, ticks, least = rule.alpha_each, rule.horizon_ticks, rule.min_requests
    return tuple(
        Trial(each.exceedances, Method.SEQUENTIAL, alpha, ticks, least, 3, 1) for each in rule.slow_limits
    )


def strength(detector: Detector, trial: Trial) -> Strength:
    """Return the stronger of the two: the evidence since the split, and that of a later fault."""
    since = log_mixture(trial.grid, detector.sums.errors, detector.sums.clean)
    late = log_of(mean(detector.late))
    needed, needed_late = math.log(trial.needed), math.log(trial.needed_late)
    if since - needed >= late - needed_late:
        return Strength(since / math.log(10), needed / math.log(10))
    return Strength(late / math.log(10), needed_late / math.log(10))


def factor(dispersion: Dispersion) -> float:
    """Return φ ≥ 1, the variance of stable's errors a tick over their mean.

    The variance is that of neighbouring ticks, so that a fault that begins at stable does not count as one.
    Few bursts say little: φ is never more than their number, and of five only half is believed.
    """
    bursts = dispersion.bursts
    if bursts <= 1:
        return 1.0
    seen = max(0.0, dispersion.squares / (2 * dispersion.errors) - 1)
    return min(_DISPERSION_MAX, bursts, 1 + seen * bursts / (bursts + _DOUBT))


def dispersed(dispersion: Dispersion, errors: int) -> Dispersion:
    """Take the errors of one more tick."""
    if not errors and not dispersion.last:
        return dispersion
    return Dispersion(
        errors=dispersion.errors + errors,
        squares=dispersion.squares + (errors - dispersion.last) ** 2,
        bursts=dispersion.bursts + (errors > dispersion.last),
        last=errors,
    )


def step(detector: Detector, delta: Delta, trial: Trial, now: datetime, elapsed_s: float) -> Detector:
    """Take one more tick; *elapsed_s* is 0 after a gap: what came meanwhile counts, the time does not."""
    spread = factor(detector.dispersion) if trial.method is Method.SEQUENTIAL else 1.0
    update: dict[str, object] = {}
    if elapsed_s:
        update["dispersion"] = dispersed(detector.dispersion, delta.stable_errors)
    if delta.requests or delta.stable_requests:
        update["total"] = added(detector.total, delta)
    alarm = detector.alarm
    if alarm is not None and alarm.apart:
        common = _common(detector, alarm, delta, trial, elapsed_s)
        update |= _over(now) if common is None else common
        return detector.model_copy(update=update)
    if delta.requests:
        update |= _counted(detector, delta, trial, now, spread)
    elif delta.stable_requests and detector.cusum > 0:
        update["recent"] = added(detector.recent, delta)
    counted = detector.model_copy(update=update)
    if alarm is None and not counted.bad_ticks and trial.method is Method.SEQUENTIAL:
        return counted
    return _judged(counted, trial, now, elapsed_s, spread)


def added(tally: Tally, delta: Delta) -> Tally:
    """Add a tick to a tally."""
    return Tally(
        requests=tally.requests + delta.requests,
        errors=tally.errors + delta.errors,
        stable_requests=tally.stable_requests + delta.stable_requests,
        stable_errors=tally.stable_errors + delta.stable_errors,
    )


def _counted(
    detector: Detector, delta: Delta, trial: Trial, now: datetime, spread: float
) -> dict[str, object]:
    """Return what one tick of the candidate's makes of the statistics."""
    errors = _believed(delta, trial) / spread
    clean = max(0, delta.requests - delta.errors) / spread
    alternatives = trial.grid
    before = detector.sums
    sums = Sums(errors=before.errors + errors, clean=before.clean + clean)
    cusum = detector.cusum + alternatives.onset_gain * errors + alternatives.onset_loss * clean
    update: dict[str, object] = {
        "sums": sums,
        "late": late_step(alternatives, detector.late, errors, clean),
        "cusum": max(0.0, cusum),
    }
    if cusum > 0:
        update["recent"] = added(detector.recent, delta)
        update["bad_ticks"] = detector.bad_ticks + _bad_ticks(delta, trial)
    else:
        update |= {"onset_at": now, "recent": NOTHING, "before": sums, "bad_ticks": 0}
    return update


def _believed(delta: Delta, trial: Trial) -> int:
    """Return the errors of a tick that count: one burst shall not decide alone.

    Leaving errors out only ever lowers the evidence, so it cannot cause a false alarm.
    """
    if delta.errors <= _TICK_ERRORS or trial.method is not Method.SEQUENTIAL:
        return delta.errors
    share = min(_TICK_SHARE_MAX, max(_TICK_SHARE, 10 * trial.limit))
    return min(delta.errors, max(_TICK_ERRORS, int(share * delta.requests)))


def _bad_ticks(delta: Delta, trial: Trial) -> int:
    is_sudden = delta.errors >= max(_SUDDEN_ERRORS, _SUDDEN_SHARE * delta.requests)
    return trial.sudden_ticks if is_sudden else int(delta.errors > 0)


def _judged(detector: Detector, trial: Trial, now: datetime, elapsed_s: float, spread: float) -> Detector:
    """Say whether there is an alarm, and whose fault it is."""
    old = detector.alarm
    if not _is_too_much(detector, trial):
        return detector if old is None else detector.model_copy(update={"alarm": None})
    onset_at = detector.onset_at or now
    cause = classify(detector.recent, trial.limit, spread)
    alarm = Alarm(
        since=old.since if old else now,
        onset_at=onset_at,
        cause=cause,
        undecided_s=(old.undecided_s + elapsed_s if old else 0.0) if cause is Cause.UNDECIDED else 0.0,
    )
    if cause is not Cause.BOTH:
        return detector.model_copy(update={"alarm": alarm})
    took_s = (now - onset_at).total_seconds()
    shortest, longest = _PATIENCE_S
    patience_s = min(longest, max(shortest, _PATIENCE_FACTOR * took_s))
    held = alarm.model_copy(update={"patience_s": patience_s, "apart": _NOT_APART})
    return detector.model_copy(update={"alarm": held, "late": (), "sums": detector.before})


def _is_too_much(detector: Detector, trial: Trial) -> bool:
    """Whether the evidence suffices for an alarm now; it may cease to, when a burst is over.

    An alarm that stands needs a tenth of it, so that it does not come and go with every error.
    """
    sums, part = detector.sums, 1.0 if detector.alarm is None else _STANDING
    match trial.method:
        case Method.OFF:
            return False
        case Method.THRESHOLD:
            requests = sums.errors + sums.clean
            return requests >= trial.min_requests and sums.errors > trial.limit * requests
        case Method.SEQUENTIAL:
            if detector.bad_ticks < trial.bad_ticks:
                return False
            late = mean(detector.late) >= trial.needed_late * part
            return late or _is_too_much_since_split(sums, trial, part)


def _is_too_much_since_split(sums: Sums, trial: Trial, part: float) -> bool:
    needed = math.log(trial.needed * part)
    if likeliest(trial.grid, sums.errors, sums.clean) < needed:
        return False
    return log_mixture(trial.grid, sums.errors, sums.clean) >= needed


def classify(recent: Tally, limit: float, spread: float) -> Cause:
    """Say whose fault it is, from what came to both since the onset."""
    errors, stable_errors = int(recent.errors / spread), int(recent.stable_errors / spread)
    together = recent.requests + recent.stable_requests
    if not recent.stable_requests:
        return Cause.UNDECIDED
    theta = recent.requests / together
    if at_least(errors, errors + stable_errors, theta) <= _CANDIDATE_ONLY:
        return Cause.CANDIDATE
    is_bad = at_least(stable_errors, recent.stable_requests, limit) <= _STABLE_BAD
    return Cause.BOTH if stable_errors >= _STABLE_BAD_ERRORS and is_bad else Cause.UNDECIDED


def _common(
    detector: Detector, alarm: Alarm, delta: Delta, trial: Trial, elapsed_s: float
) -> dict[str, object] | None:
    """Go on with a common cause, or with what has become the candidate's alone; None if it is over.

    What came during it is no evidence against the candidate: the test since the split stands still. The test
    for later faults begins anew each time that it fires, and so says whether the candidate is bad now.
    """
    spread = factor(detector.dispersion)
    together = delta.requests + delta.stable_requests
    theta = delta.requests / together if together else 0.0
    apart = apart_step(alarm.apart, theta, delta.errors / spread, delta.stable_errors / spread)
    late = detector.late
    if delta.requests:
        clean = max(0, delta.requests - delta.errors)
        late = late_step(trial.grid, late, delta.errors / spread, clean / spread)
    is_bad = mean(late) >= trial.needed
    quiet_s = 0.0 if is_bad else alarm.quiet_s + (elapsed_s if delta.requests else 0.0)
    if quiet_s >= alarm.patience_s:
        return None
    cause = Cause.CANDIDATE if mean(apart) >= _APART else Cause.BOTH
    return {
        "alarm": alarm.model_copy(update={"cause": cause, "quiet_s": quiet_s, "apart": apart}),
        "late": () if is_bad else late,
        "recent": added(detector.recent, delta),
    }


def _over(now: datetime) -> dict[str, object]:
    return {"alarm": None, "late": (), "cusum": 0.0, "onset_at": now, "recent": NOTHING, "bad_ticks": 0}
