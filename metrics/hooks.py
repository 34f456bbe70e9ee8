"""Hooks: how their runs ended, and how long they took."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

RESULTS: Final = ("passed", "failed", "timed-out", "stopped", "lost")
HOOK_BUCKETS_S: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class HookMetrics:
    """All families of hooks, in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry, hooks: Iterable[str]) -> None:
        self._runs = Counter("psa_hook_runs", "Ended runs of hooks", ["hook", "result"], registry=registry)
        self._seconds = Histogram(
            "psa_hook_duration_seconds",
            "Duration of a hook's run, however it ended",
            ["hook"],
            buckets=HOOK_BUCKETS_S,
            registry=registry,
        )
        for hook in hooks:
            self._seconds.labels(hook)
            for result in RESULTS:
                self._runs.labels(hook, result)

    def ended(self, hook: str, result: str, seconds: float | None) -> None:
        """Count a run; *result* is one of RESULTS, *seconds* None where nobody knows how long it took."""
        self._runs.labels(hook, result).inc()
        if seconds is not None:
            self._seconds.labels(hook).observe(seconds)
