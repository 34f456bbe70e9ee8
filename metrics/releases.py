"""Where releases are, what their users see, and how often and how fast they went back."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_DURATIONS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class ReleaseMetrics:
    """All families of releases, in a registry of the caller's. Series go with their release."""

    def __init__(
        self, registry: CollectorRegistry, *, phases: Sequence[str], triggers: Sequence[str]
    ) -> None:
        self._phases = tuple(phases)
        self._triggers = tuple(triggers)

        def gauge(name: str, text: str, *more: str) -> Gauge:
            return Gauge(f"psa_release_{name}", text, ["release", *more], registry=registry)

        self._phase = gauge("phase", "1 for the phase that a release is in", "phase")
        self._held = gauge("held", "1 while a release does not move forward")
        self._quarantined = gauge("quarantined", "Versions of a release in quarantine")
        self._limit = gauge("error_limit", "Part of the requests that may fail")
        roles = ("service", "role")
        self._ratio = gauge(
            "error_ratio", "Part of the requests that failed since the split, by role", *roles
        )
        self._requests = gauge("requests", "Requests since the split", *roles)
        self._rollbacks = Counter(
            "psa_rollbacks", "Attempts that were rolled back", ["release", "trigger"], registry=registry
        )
        self._duration = Histogram(
            "psa_rollback_duration_seconds",
            "Time from the decision until HAProxy sends all to stable",
            ["release"],
            buckets=_DURATIONS_S,
            registry=registry,
        )
        self._releases: dict[str, set[str]] = {}

    def state(self, release: str, phase: str | None, *, held: bool, quarantined: int, limit: float) -> None:
        """Set where a release is; *phase* is None before its first attempt, *limit* a share of 1."""
        if release not in self._releases:
            self._releases[release] = set()
            for trigger in self._triggers:
                self._rollbacks.labels(release, trigger)
        for each in self._phases:
            self._phase.labels(release, each).set(1 if each == phase else 0)
        self._held.labels(release).set(1 if held else 0)
        self._quarantined.labels(release).set(quarantined)
        self._limit.labels(release).set(limit)

    def ratios(self, release: str, entries: Mapping[str, Mapping[str, tuple[int, int]]]) -> None:
        """Set requests and errors of each role by entry; entries that are not there lose their series."""
        known = self._releases.setdefault(release, set())
        for gone in known - set(entries):
            for role in ("candidate", "stable"):
                self._ratio.remove(release, gone, role)
                self._requests.remove(release, gone, role)
        self._releases[release] = set(entries)
        for service, roles in entries.items():
            for role, (requests, errors) in roles.items():
                self._requests.labels(release, service, role).set(requests)
                self._ratio.labels(release, service, role).set(errors / requests if requests else 0.0)

    def rolled_back(self, release: str, trigger: str, seconds: float) -> None:
        """Count a rollback and how long it took."""
        self._rollbacks.labels(release, trigger).inc()
        self._duration.labels(release).observe(seconds)

    def keep_only(self, releases: Collection[str]) -> None:
        """Remove the series of all other releases."""
        for release in [known for known in self._releases if known not in releases]:
            self.ratios(release, {})
            del self._releases[release]
            for each in self._phases:
                self._phase.remove(release, each)
            for trigger in self._triggers:
                self._rollbacks.remove(release, trigger)
            for family in (self._held, self._quarantined, self._limit):
                family.remove(release)
            # A histogram without an observation has no series yet.
            self._duration.labels(release)
            self._duration.remove(release)
