"""How long HAProxy's servers took to answer, and how many lines of its log told of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

RESULTS: Final = ("accepted", "foreign", "malformed", "unknown", "dropped")
"""Read; of another program; cut or garbled; of a server that nobody asked for; more than could be read."""
_NAME: Final = "psa_backend_response_seconds"
_LABELS: Final = ("endpoint", "backend", "server")


@dataclass(frozen=True, slots=True)
class Times:
    """One server's answers so far; ``buckets`` are upper bounds in seconds with the answers within."""

    endpoint: str
    backend: str
    server: str
    buckets: tuple[tuple[float, int], ...]
    answers: int
    sum_s: float


class ResponseMetrics(Collector):
    """Reads the times when it is asked, so that a line of the log costs nothing here."""

    def __init__(
        self, registry: CollectorRegistry, endpoints: Iterable[str], times: Callable[[], Iterable[Times]]
    ) -> None:
        self._times = times
        self._lines = Counter(
            "psa_haproxy_log_lines", "Lines of HAProxy's log", ["endpoint", "result"], registry=registry
        )
        for endpoint in endpoints:
            for result in RESULTS:
                self._lines.labels(endpoint, result)
        registry.register(self)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram of all servers."""
        text = "Time from the connection to a server until the head of its answer, as HAProxy's log tells"
        family = HistogramMetricFamily(_NAME, text, labels=_LABELS)
        for each in self._times():
            buckets = [(f"{bound:g}", count) for bound, count in each.buckets]
            family.add_metric(
                [each.endpoint, each.backend, each.server],
                [*buckets, ("+Inf", each.answers)],
                sum_value=each.sum_s,
            )
        yield family

    def lines(self, endpoint: str, result: str, number: int) -> None:
        """Count lines of one sort."""
        self._lines.labels(endpoint, result).inc(number)
