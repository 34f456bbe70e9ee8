"""How much traffic there is, and so what a watch will be able to see: pure."""

from typing import Final

from crds.release import Check
from crds.service import Color
from reconcilers.release.analysis import percent
from reconcilers.release.outlook import detectable_rate
from reconcilers.release.supervision import rule_of
from reconcilers.release.traffic import requests
from reconcilers.release.turn import Turn

_RATE_OVER_S: Final = 1.0
"""How long the traffic is counted before it is believed."""


def counted(turn: Turn) -> Turn:
    """Measure how much traffic each entry has now: it says what the watch can see."""
    before, rates = dict(turn.memo.before), dict(turn.memo.rates)
    for seen in turn.seen.members:
        total = requests(seen, (Color.BLUE, Color.GREEN)) if seen.name in turn.attempt.entries else None
        if total is None or seen.name in rates:
            continue
        first, at = before.setdefault(seen.name, (total, turn.seen.monotonic))
        passed = turn.seen.monotonic - at
        if total < first or passed < 0:
            before[seen.name] = (total, turn.seen.monotonic)
        elif passed >= _RATE_OVER_S:
            rates[seen.name] = (total - first) / passed
    return turn.remembers(before=before, rates=rates)


def foreseen(turn: Turn) -> Turn:
    """Say what the watch can see at today's traffic, and whose candidate will not have its minimum."""
    rule, spec = rule_of(turn.spec, len(turn.attempt.entries)), turn.spec
    part = (spec.split[-1] if spec.split else 100) / 100
    rates = {name: rate * part for name, rate in turn.memo.rates.items()}
    if not rates or not turn.attempt.has_stable:
        return turn
    seen = [detectable_rate(rate, spec.watch.total_seconds(), rule) for rate in rates.values()]
    worst = max((rate for rate in seen if rate is not None), default=None)
    sees = (
        "no error rate at all"
        if worst is None or None in seen
        else f"error rates of {percent(worst)} and more"
    )
    traffic = ", ".join(f"{name} {rate:.3g}/s" for name, rate in rates.items())
    coming = {name: rate * spec.longest_watch.total_seconds() for name, rate in rates.items()}
    few = [
        f"{name} will have about {requests:.0f} of {rule.min_requests} requests"
        for name, requests in coming.items()
        if requests < rule.min_requests and not rule.low_traffic
    ]
    says = f"with the candidates' part of today's traffic ({traffic}) the watch can see {sees}"
    text = "; ".join([says, *few])
    if few:
        text += ": lowTraffic: true, a longer watch, or `psactl release promote`"
    return turn.sees(text).checked(Check(name="traffic", passed=True, message=text))
