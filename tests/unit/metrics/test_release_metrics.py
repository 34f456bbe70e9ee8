"""Series of releases: one phase at a time, counters that go on over attempts, and nothing left behind."""

import pytest
from prometheus_client import CollectorRegistry

from metrics.releases import ReleaseMetrics

GATEWAY = {"release": "psa-suite", "service": "psa-api-gateway"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ReleaseMetrics:
    return ReleaseMetrics(registry, phases=("Watch", "RolledBack"), triggers=("rule", "alert"))


def series(registry: CollectorRegistry) -> set[str]:
    found = {sample.name for family in registry.collect() for sample in family.samples if sample.labels}
    return {name for name in found if not name.endswith("_created")}


def told(metrics: ReleaseMetrics, *, requests: int, errors: int) -> None:
    roles = {"candidate": (requests, errors), "stable": (requests, 0)}
    metrics.totals("psa-suite", {"psa-api-gateway": roles})


def test_a_release_is_in_one_phase(registry: CollectorRegistry, metrics: ReleaseMetrics) -> None:
    metrics.state("psa-suite", "Watch", held=True, quarantined=2, limit=0.001)
    values = {
        phase: registry.get_sample_value("psa_release_phase", {"release": "psa-suite", "phase": phase})
        for phase in ("Watch", "RolledBack")
    }
    assert values == {"Watch": 1, "RolledBack": 0}
    assert registry.get_sample_value("psa_release_held", {"release": "psa-suite"}) == 1
    assert registry.get_sample_value("psa_release_quarantined", {"release": "psa-suite"}) == 2
    assert registry.get_sample_value("psa_release_error_limit", {"release": "psa-suite"}) == 0.001


def test_rollbacks_stand_at_zero_before_the_first(
    registry: CollectorRegistry, metrics: ReleaseMetrics
) -> None:
    metrics.state("psa-suite", None, held=False, quarantined=0, limit=0.001)
    labels = {"release": "psa-suite", "trigger": "alert"}
    assert registry.get_sample_value("psa_rollbacks_total", labels) == 0
    metrics.rolled_back("psa-suite", "alert", 0.2)
    assert registry.get_sample_value("psa_rollbacks_total", labels) == 1
    assert registry.get_sample_value("psa_rollback_duration_seconds_sum", {"release": "psa-suite"}) == 0.2


def test_requests_count_on_over_the_next_attempt(
    registry: CollectorRegistry, metrics: ReleaseMetrics
) -> None:
    candidate = {**GATEWAY, "role": "candidate"}
    told(metrics, requests=100, errors=5)
    told(metrics, requests=150, errors=6)
    assert registry.get_sample_value("psa_release_errors_total", candidate) == 6
    assert registry.get_sample_value("psa_release_error_ratio", candidate) == 0.04
    told(metrics, requests=10, errors=1)
    assert registry.get_sample_value("psa_release_requests_total", candidate) == 160
    assert registry.get_sample_value("psa_release_errors_total", candidate) == 7
    assert registry.get_sample_value("psa_release_error_ratio", candidate) == 0.1


def test_a_release_that_goes_leaves_no_series(registry: CollectorRegistry, metrics: ReleaseMetrics) -> None:
    metrics.state("psa-suite", "Watch", held=False, quarantined=0, limit=0.001)
    told(metrics, requests=10, errors=1)
    metrics.forget("another")
    assert "psa_release_phase" in series(registry)
    metrics.forget("psa-suite")
    assert series(registry) == set()


def test_an_entry_that_goes_leaves_no_series(registry: CollectorRegistry, metrics: ReleaseMetrics) -> None:
    told(metrics, requests=10, errors=1)
    metrics.totals("psa-suite", {})
    assert series(registry) == set()
