"""Where releases are, what their users see, and how often and how fast they went back."""

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: The parts that the two versions of a service play in a release.
ROLES: Final = ("candidate", "stable")
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
        self._requests = Counter(
            "psa_release_requests", "Requests, by role", ["release", *roles], registry=registry
        )
        self._errors = Counter(
            "psa_release_errors", "Requests that failed, by role", ["release", *roles], registry=registry
        )
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
        self._last: dict[tuple[str, str, str], tuple[int, int]] = {}

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

    def totals(self, release: str, entries: Mapping[str, Mapping[str, tuple[int, int]]]) -> None:
        """Take requests and errors since the split of each role by entry; entries that go lose their series.

        Fewer than before are another attempt's, which count on.
        """
        known = self._releases.setdefault(release, set())
        for gone in known - set(entries):
            for role in ROLES:
                for family in (self._ratio, self._requests, self._errors):
                    family.remove(release, gone, role)
                self._last.pop((release, gone, role), None)
        self._releases[release] = set(entries)
        for service, roles in entries.items():
            for role, (requests, errors) in roles.items():
                where = (release, service, role)
                before = self._last.get(where, (0, 0))
                if requests < before[0] or errors < before[1]:
                    before = (0, 0)
                self._requests.labels(*where).inc(requests - before[0])
                self._errors.labels(*where).inc(errors - before[1])
                self._ratio.labels(*where).set(errors / requests if requests else 0.0)
                self._last[where] = (requests, errors)

    def rolled_back(self, release: str, trigger: str, seconds: float) -> None:
        """Count a rollback and how long it took."""
        self._rollbacks.labels(release, trigger).inc()
        self._duration.labels(release).observe(seconds)

    def forget(self, release: str) -> None:
        """Remove the series of a release."""
        if release not in self._releases:
            return
        self.totals(release, {})
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
