"""Hooks' families: there from the beginning, one series a hook and result."""

from prometheus_client import CollectorRegistry

from metrics.hooks import RESULTS, HookMetrics
from reconcilers.hook_runs import HookState


def test_every_end_of_a_run_has_its_series_from_the_beginning() -> None:
    registry = CollectorRegistry()
    HookMetrics(registry, ["unit"])

    for result in RESULTS:
        labels = {"hook": "unit", "result": result}
        assert registry.get_sample_value("psa_hook_runs_total", labels) == 0
    assert set(RESULTS) == {state.value for state in HookState} - {"running"}


def test_a_run_is_counted_and_a_lost_one_has_no_duration() -> None:
    registry = CollectorRegistry()
    metrics = HookMetrics(registry, ["unit"])

    metrics.ended("unit", "passed", 7.0)
    metrics.ended("unit", "lost", None)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"hook": "unit", **labels})

    assert value("psa_hook_runs_total", result="passed") == 1
    assert value("psa_hook_runs_total", result="lost") == 1
    assert value("psa_hook_duration_seconds_count") == 1
    assert value("psa_hook_duration_seconds_bucket", le="5.0") == 0
    assert value("psa_hook_duration_seconds_bucket", le="10.0") == 1
