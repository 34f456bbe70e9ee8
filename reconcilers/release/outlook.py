"""What the figures of all entries allow at the end of a watch or step, and what a watch can see: pure."""

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from crds.evidence import Detector, Evidence, Tally
from crds.release import Method
from reconcilers.release.analysis import part, percent
from reconcilers.release.rule import Rule, SlowLimit
from reconcilers.release.sequential import at_most, halfway, requests_to_exclude, visible_rate

#: Promotion excludes this multiple of the limit, a step between a hundred times; neither above one half.
_PROMOTION: Final = 10
_STEP: Final = 100
_HALF: Final = 0.5
#: From n = this / limit on, a rate at the limit would hardly ever show no error (e^-4.6 = 1 %).
_MEANINGFUL: Final = 4.6


class End(enum.Enum):
    """What the figures allow."""

    PROMOTE = "promote"
    """The evidence suffices."""
    LIMIT_EXCEEDED = "limitExceeded"
    """More than the limit, from enough requests to mean it: roll back when the time is up."""
    NOT_ENOUGH = "notEnough"
    """Too little has come: wait, in the end hold."""
    BLOCKED = "blocked"
    """Something stands against it that a person must look at: wait, in the end hold."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the figures of all entries allow; ``missing`` is the number of clean requests until then."""

    end: End
    reason: str
    message: str
    missing: int = 0


def outlook(entries: Mapping[str, Evidence], rule: Rule) -> Outlook:
    """Say what the end of the watch asks for; read it again each tick (DESIGN §10)."""
    wrong = _wrong(entries)
    if wrong is not None:
        return wrong
    failing = _pooled(each.failing for each in entries.values())
    shares = [] if rule.method is Method.OFF else [_share(failing, rule.limit, rule, None)]
    for at, limit in enumerate(rule.slow_limits):
        slow = _pooled(each.slow[at] for each in entries.values() if len(each.slow) > at)
        shares.append(_share(slow, limit.exceedances, rule, limit))
    ends = [
        each for each in (*shares, *_few(entries, rule), _retried(entries, failing, rule)) if each is not None
    ]
    return min(ends, key=lambda each: _URGENCY.index(each.end), default=_promoted(failing, rule))


def step_outlook(entries: Mapping[str, Evidence], rule: Rule) -> Outlook:
    """Say whether the split may go on to its next step: a hundred times the limit is excluded since the last.

    That is the lower boundary of Wald's test, so that it may be looked at each tick.
    """
    wrong = _wrong(entries)
    if wrong is not None:
        return wrong
    tally = _since_step(entries.values())
    rate = _alternative(rule.limit, _STEP)
    gain, loss = math.log(rate / rule.limit), math.log1p(-rate) - math.log1p(-rule.limit)
    log_ratio = gain * tally.errors + loss * (tally.requests - tally.errors)
    missing = math.ceil((math.log(rule.beta) - log_ratio) / loss)
    if rule.method is Method.OFF or missing <= 0:
        return Outlook(
            End.PROMOTE, "", f"{tally.errors} of {tally.requests} requests failed since the last step"
        )
    message = f"{missing} more requests without an error exclude {percent(rate)}"
    return Outlook(End.NOT_ENOUGH, "NotEnoughTraffic", message, missing)


def watched_s(entries: Mapping[str, Evidence]) -> float:
    """Return how long all entries were really watched."""
    return min((each.watched_s for each in entries.values()), default=0.0)


def detectable_rate(requests_per_s: float, seconds: float, rule: Rule) -> float | None:
    """Return the smallest error rate that a watch of *seconds* can see at all, None if there is none.

    *requests_per_s* is the candidate's part of one entry's traffic. No rule that is wrong once in 1/alpha
    releases can see less (Wald 1945).
    """
    return visible_rate(requests_per_s * seconds, rule.limit, rule.alpha_each)


def requests_needed(rule: Rule, errors: int = 0) -> int:
    """Return the requests that the candidates need together for a promotion, with so many *errors*."""
    rate = _alternative(rule.limit, _PROMOTION)
    return max(requests_to_exclude(errors, rate, rule.beta), math.ceil(round(errors / rule.limit, 6)))


_URGENCY: Final = (End.LIMIT_EXCEEDED, End.NOT_ENOUGH, End.BLOCKED, End.PROMOTE)


def _alternative(limit: float, multiple: int) -> float:
    rate = min(multiple * limit, _HALF)
    return rate if rate > limit else halfway(limit)


def _pooled(detectors: Iterable[Detector]) -> Tally:
    return _sum(each.total for each in detectors)


def _sum(tallies: Iterable[Tally]) -> Tally:
    all_of_them = tuple(tallies)
    return Tally(
        requests=sum(each.requests for each in all_of_them),
        errors=sum(each.errors for each in all_of_them),
        stable_requests=sum(each.stable_requests for each in all_of_them),
        stable_errors=sum(each.stable_errors for each in all_of_them),
    )


def _since_step(entries: Iterable[Evidence]) -> Tally:
    entries = tuple(entries)
    requests = sum(each.failing.total.requests - each.before_step.requests for each in entries)
    errors = sum(each.failing.total.errors - each.before_step.errors for each in entries)
    return Tally(requests=requests, errors=errors)


def _wrong(entries: Mapping[str, Evidence]) -> Outlook | None:
    """Return what is wrong at an entry right now, decided or not."""
    for name, evidence in entries.items():
        what = _wrong_at(evidence)
        if what:
            return Outlook(End.BLOCKED, "Unwell", f"{name}: {what}")
    return None


def _wrong_at(evidence: Evidence) -> str:
    if evidence.down_s > 0:
        return evidence.down_reason
    if evidence.hang_s > 0:
        return f"{evidence.excess_sessions:.0f} requests hang"
    if any(each.alarm is not None for each in (evidence.failing, *evidence.slow)):
        return "an alarm is not settled"
    return ""


def _share(tally: Tally, limit: float, rule: Rule, slow: SlowLimit | None) -> Outlook | None:
    """Judge one share of all entries; None if it is well."""
    what = "requests failed" if slow is None else f"answers took longer than {slow.limit_ms:g} ms"
    noun = "request" if slow is None else "answer"
    seen = f"{part(tally.errors, tally.requests)} {what}" if tally.requests else f"no {noun} came yet"
    shown = f"{seen}, limit {percent(limit)}"
    if _exceeds(tally.errors, tally.requests, limit):
        if _exceeds(tally.stable_errors, tally.stable_requests, limit):
            stable = part(tally.stable_errors, tally.stable_requests)
            return Outlook(End.BLOCKED, "CommonCause", f"{shown}; stable {stable}")
        return Outlook(End.LIMIT_EXCEEDED, "LimitExceeded", shown)
    rate = _alternative(limit, _PROMOTION)
    if tally.errors <= limit * tally.requests and at_most(tally.errors, tally.requests, rate) <= rule.beta:
        return None
    needed = max(
        requests_to_exclude(tally.errors, rate, rule.beta), math.ceil(round(tally.errors / limit, 6))
    )
    missing = needed - tally.requests
    reason = "NotEnoughTraffic" if slow is None or tally.requests else "NoResponseTimes"
    return Outlook(End.NOT_ENOUGH, reason, f"{shown}: {missing} more good {noun}s are needed", missing)


def _exceeds(errors: int, requests: int, limit: float) -> bool:
    return errors > limit * requests and requests * limit >= _MEANINGFUL


def _few(entries: Mapping[str, Evidence], rule: Rule) -> Iterable[Outlook]:
    if rule.low_traffic:
        return
    for name, evidence in entries.items():
        missing = rule.min_requests - evidence.failing.total.requests
        if missing > 0:
            message = f"{name}: {missing} of at least {rule.min_requests} requests are missing"
            yield Outlook(End.NOT_ENOUGH, "NotEnoughTraffic", message, missing)


def _retried(entries: Mapping[str, Evidence], failing: Tally, rule: Rule) -> Outlook | None:
    """Block a candidate whose failures HAProxy hides: with them it would exceed the limit."""
    hidden = sum(each.hidden for each in entries.values())
    if not hidden or failing.errors + hidden <= rule.limit * failing.requests:
        return None
    message = (
        f"HAProxy hid {hidden} failures in {failing.requests} requests (tried again, sent elsewhere, never "
        f"answered), limit {percent(rule.limit)}"
    )
    return Outlook(End.BLOCKED, "Retries", message)


def _promoted(failing: Tally, rule: Rule) -> Outlook:
    shown = f"{part(failing.errors, failing.requests)} requests failed, limit {percent(rule.limit)}"
    return Outlook(End.PROMOTE, "", shown)
