"""What a scrape of a large platform costs: all of it is done on the daemon's loop."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from crds.meta import ConditionType
from metrics.conditions import ConditionSeries
from metrics.engine import EngineMetrics
from tests.bench.table import Figure

_OBJECTS: Final = 1000
_ROUNDS: Final = 20


def measure() -> Iterator[Figure]:
    """Write out the series of a thousand containers, and let prometheus_client do the same."""
    statuses = {each.value: "True" for each in ConditionType}
    metrics = EngineMetrics(CollectorRegistry(), version="0", kinds=["Container"], systems={"pve": "proxmox"})
    plain, registry = ConditionSeries(), CollectorRegistry()
    registry.register(plain)
    for number in range(_OBJECTS):
        metrics.conditions("Container", f"psa-{number}", statuses)
        metrics.drift("Container", f"psa-{number}", 0)
        plain.set("Container", f"psa-{number}", statuses)
    floor = _quickest(lambda: generate_latest(registry))
    yield Figure(
        "/metrics of 1000 containers", "ms", _quickest(metrics.exposition), 50, floor, "prometheus_client"
    )


def _quickest(write: Callable[[], bytes]) -> float:
    took = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        write()
        took.append((time.perf_counter() - began) * 1000)
    return min(took)
