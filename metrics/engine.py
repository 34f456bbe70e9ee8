"""What the engine exports: passes, queue, conditions, endpoints, source."""

import platform
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from metrics.conditions import ConditionSeries

RESULTS: Final = ("unchanged", "applied", "waiting", "held", "withheld", "failed", "stalled", "stale")
EFFECTS: Final = ("ok", "failed", "started", "unknown")
"""The first two are ends; a task that began, or a call without an answer, is counted again at its end."""
PASS_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class EngineMetrics:
    """All families of the engine; but for the conditions in a registry of the caller's.

    Series of an object go with it.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        version: str,
        kinds: Iterable[str],
        systems: Mapping[str, str],
    ) -> None:
        """Make the families; *systems* maps each endpoint's name to its type (``pve`` to ``proxmox``)."""
        self._registry = registry
        self._systems = systems
        build = Gauge("psa_build_info", "Version of the daemon", ["version", "python"], registry=registry)
        build.labels(version, platform.python_version()).set(1)
        self._conditions = ConditionSeries()
        self._reconciled = Counter(
            "psa_reconcile", "Passes over objects, by result", ["kind", "result"], registry=registry
        )
        self._seconds = Histogram(
            "psa_reconcile_duration_seconds",
            "Duration of a pass",
            ["kind"],
            buckets=PASS_BUCKETS_S,
            registry=registry,
        )
        self._make_gauges(registry)
        self._begin_at_zero(kinds)

    def _make_gauges(self, registry: CollectorRegistry) -> None:
        self._depth = Gauge(
            "psa_workqueue_depth", "Objects with a next look planned or due", registry=registry
        )
        self._latency = Histogram(
            "psa_workqueue_latency_seconds",
            "From due to the start of the pass",
            buckets=PASS_BUCKETS_S,
            registry=registry,
        )
        self._drift = Gauge(
            "psa_drift_fields",
            "Steps between an object and its spec; what is due or was asked for is none",
            ["kind", "name"],
            registry=registry,
        )
        text = "Mutations of outside systems: ended (ok, failed), or not yet (started, unknown)"
        self._effects = Counter("psa_effects", text, ["system", "result"], registry=registry)
        self._target = Gauge(
            "psa_target_up",
            "Whether the last look at an endpoint worked",
            ["system", "endpoint"],
            registry=registry,
        )
        self._breaker = Gauge(
            "psa_breaker_open",
            "Whether passes are kept away from an endpoint",
            ["endpoint"],
            registry=registry,
        )
        self._lag = Gauge(
            "psa_event_loop_lag_seconds", "Lateness of the loop's last heartbeat", registry=registry
        )
        self._make_source_gauges(registry)

    def _make_source_gauges(self, registry: CollectorRegistry) -> None:
        self._files = Gauge(
            "psa_source_files", "Files of the watched directory", ["state"], registry=registry
        )
        self._healthy = Gauge(
            "psa_source_healthy", "Whether the watched directory is readable", registry=registry
        )
        self._reload = Gauge(
            "psa_config_last_reload_successful",
            "Whether the settings in force are the newest",
            registry=registry,
        )
        self._mode = Gauge(
            "psa_mode_enforce", "1 when differences are removed, 0 in Observe", registry=registry
        )

    def _begin_at_zero(self, kinds: Iterable[str]) -> None:
        for kind in kinds:
            self._seconds.labels(kind)
            for result in RESULTS:
                self._reconciled.labels(kind, result)
        for endpoint, system in self._systems.items():
            self._breaker.labels(endpoint).set(0)
            self._target.labels(system, endpoint)
            for result in EFFECTS:
                self._effects.labels(system, result)
        for state in ("valid", "invalid"):
            self._files.labels(state)
        self._reload.set(1)

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """Count a pass."""
        self._reconciled.labels(kind, result).inc()
        self._seconds.labels(kind).observe(seconds)

    def queue_depth(self, depth: int) -> None:
        """Set how many objects have a next look planned or due."""
        self._depth.set(depth)

    def queue_latency(self, seconds: float) -> None:
        """Observe how long a key was due before its pass began."""
        self._latency.observe(seconds)

    def drift(self, kind: str, name: str, steps: int) -> None:
        """Set how many steps lie between an object and its spec."""
        self._drift.labels(kind, name).set(steps)

    def effect(self, endpoint: str, result: str) -> None:
        """Count a mutation outside; *result* is one of EFFECTS."""
        self._effects.labels(self._systems.get(endpoint, "none"), result).inc()

    def target(self, endpoint: str, up: bool) -> None:  # noqa: FBT001 - the value of a gauge
        """Set whether the last look at an endpoint worked."""
        self._target.labels(self._systems.get(endpoint, "none"), endpoint).set(up)

    def breaker(self, endpoint: str, is_open: bool) -> None:  # noqa: FBT001 - the value of a gauge
        """Set whether passes are kept away from an endpoint."""
        self._breaker.labels(endpoint).set(is_open)

    def loop_lag(self, seconds: float) -> None:
        """Set how late the loop's last heartbeat was."""
        self._lag.set(seconds)

    def source(self, *, valid: int, invalid: int, healthy: bool) -> None:
        """Set what the last look at the watched directory found."""
        self._files.labels("valid").set(valid)
        self._files.labels("invalid").set(invalid)
        self._healthy.set(healthy)

    def conditions(self, kind: str, name: str, statuses: Mapping[str, str]) -> None:
        """Set one series a condition and status, 1 for the status that it has; *statuses* is by type."""
        self._conditions.set(kind, name, statuses)

    def forget(self, kind: str, name: str) -> None:
        """Remove all series of an object that is gone."""
        self._drift.remove_by_labels({"kind": kind, "name": name})
        self._conditions.forget(kind, name)

    def reloaded(self, *, successful: bool) -> None:
        """Set whether the settings in force are the newest."""
        self._reload.set(successful)

    def mode(self, *, enforce: bool) -> None:
        """Set whether differences are removed."""
        self._mode.set(enforce)

    def exposition(self) -> bytes:
        """Return the registry and the conditions in Prometheus's text format."""
        return generate_latest(self._registry) + self._conditions.text()
