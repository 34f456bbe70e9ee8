"""What one entry's tick costs: taking the counters in, and judging them."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from crds.evidence import Evidence
from reconcilers.counters import CountedNode, CountedServer, Counters
from reconcilers.release.analysis import judge
from reconcilers.release.rule import Rule, Sample, SlowLimit, Slowness
from reconcilers.release.watching import advance
from reconcilers.servers import Health
from tests.bench.table import Figure

_TICKS: Final = 5000
_START: Final = datetime(2026, 11, 25, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


def measure() -> Iterator[Figure]:
    """Measure a tick of an entry at 200 requests a second, two in a thousand of which fail."""
    floor = _per_tick(_copied, Rule()) * 1e6
    limits = tuple(
        SlowLimit(share, limit_ms) for share, limit_ms in ((0.5, 50.0), (0.95, 200.0), (0.99, 500.0))
    )
    for what, rule in (
        ("errors", Rule()),
        ("errors, p95", Rule(slow_limits=limits[1:2])),
        ("errors, p50, p95, p99", Rule(slow_limits=limits)),
    ):
        found = _per_tick(_judged, rule) * 1e6
        yield Figure(f"decision: {what}", "us", found, 100, floor, "a copy of the evidence")


def _per_tick(tick: Callable[[Evidence, Sample, Rule, datetime], Evidence], rule: Rule) -> float:
    samples = [_sample(number, rule) for number in range(_TICKS)]
    evidence, now = Evidence(), _START
    began = time.perf_counter()
    for sample in samples:
        now += _SECOND
        evidence = tick(evidence, sample, rule, now)
    return (time.perf_counter() - began) / _TICKS


def _judged(evidence: Evidence, sample: Sample, rule: Rule, now: datetime) -> Evidence:
    found = advance(evidence, sample, rule, now, elapsed_s=1.0)
    judge(found, rule, last_step_at=_START)
    return found


def _copied(evidence: Evidence, _sample: Sample, _rule: Rule, now: datetime) -> Evidence:
    return evidence.model_copy(update={"ticked_at": now})


def _sample(number: int, rule: Rule) -> Sample:
    """Return what the counters say after so many seconds."""
    servers = tuple(
        CountedServer(
            name,
            Health.UP,
            Counters(
                200 * number, number * rate // 10, 0, 0, 0, 0, sessions=2, queued=0, attempts=200 * number
            ),
        )
        for name, rate in (("blue", 2), ("green", 4))
    )
    return Sample(
        candidate="green",
        stable="blue",
        nodes=(CountedNode("edge", "unix:///run/edge.sock", 1001, servers),),
        weight=50,
        stable_weight=50,
        is_read_back=True,
        slowness=tuple(Slowness(200, 8, 200, 8) for _ in rule.slow_limits),
        candidate_probe=True,
        is_running=True,
        stable_probe=True,
    )
