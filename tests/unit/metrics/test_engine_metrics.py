"""What Prometheus reads of the engine: names, labels, zeros from the start, and nothing left behind."""

import platform

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from metrics.conditions import STATUSES, ConditionSeries
from metrics.engine import EFFECTS, RESULTS, EngineMetrics

FAMILIES = {
    "psa_build_info",
    "psa_resource_condition",
    "psa_reconcile_total",
    "psa_reconcile_duration_seconds",
    "psa_workqueue_depth",
    "psa_workqueue_latency_seconds",
    "psa_drift_fields",
    "psa_effects_total",
    "psa_target_up",
    "psa_breaker_open",
    "psa_event_loop_lag_seconds",
    "psa_source_files",
    "psa_source_healthy",
    "psa_config_last_reload_successful",
    "psa_mode_enforce",
}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> EngineMetrics:
    systems = {"pve": "proxmox", "edge": "haproxy"}
    return EngineMetrics(registry, version="1.2.3", kinds=["Container", "Service"], systems=systems)


def series(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of the series called *name*, by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def conditions(metrics: EngineMetrics) -> dict[tuple[str, ...], float]:
    """Return the values of the conditions as they are exported, by kind, name, type and status."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        if family.name == "psa_resource_condition"
        for sample in family.samples
    }


def test_all_families_are_there(metrics: EngineMetrics) -> None:
    lines = metrics.exposition().decode().splitlines()
    assert {
        line.split()[2] for line in lines if line.startswith("# TYPE") and "_created" not in line
    } == FAMILIES


@pytest.mark.usefixtures("metrics")
def test_the_build_is_told(registry: CollectorRegistry) -> None:
    assert series(registry, "psa_build_info") == {("1.2.3", platform.python_version()): 1.0}


@pytest.mark.usefixtures("metrics")
def test_counters_stand_at_zero_before_anything_happens(registry: CollectorRegistry) -> None:
    assert series(registry, "psa_reconcile_total") == {
        (kind, result): 0.0 for kind in ("Container", "Service") for result in RESULTS
    }
    assert series(registry, "psa_effects_total") == {
        (system, result): 0.0 for system in ("proxmox", "haproxy") for result in EFFECTS
    }
    assert series(registry, "psa_reconcile_duration_seconds_count") == {("Container",): 0, ("Service",): 0}
    assert series(registry, "psa_target_up") == {("proxmox", "pve"): 0.0, ("haproxy", "edge"): 0.0}
    assert series(registry, "psa_breaker_open") == {("pve",): 0.0, ("edge",): 0.0}
    assert series(registry, "psa_source_files") == {("valid",): 0.0, ("invalid",): 0.0}


def test_a_pass_is_counted_and_timed(registry: CollectorRegistry, metrics: EngineMetrics) -> None:
    metrics.reconciled("Container", "applied", 0.2)
    assert series(registry, "psa_reconcile_total")["Container", "applied"] == 1
    assert series(registry, "psa_reconcile_duration_seconds_sum")["Container",] == pytest.approx(0.2)


def test_the_status_that_a_condition_has_is_1_and_the_others_0(metrics: EngineMetrics) -> None:
    metrics.conditions("Container", "psa-redis", {"Ready": "False"})
    metrics.conditions("Container", "psa-redis", {"Ready": "True"})
    found = conditions(metrics)
    assert {key[3]: value for key, value in found.items()} == {"True": 1.0, "False": 0.0, "Unknown": 0.0}
    assert set(STATUSES) == {"True", "False", "Unknown"}


def test_an_object_that_goes_leaves_no_series_and_takes_no_other_with_it(
    registry: CollectorRegistry, metrics: EngineMetrics
) -> None:
    for kind, name in (("Container", "one"), ("Container", "two"), ("Service", "one")):
        metrics.conditions(kind, name, {"Ready": "True", "Synced": "True"})
        metrics.drift(kind, name, 2)
    metrics.forget("Container", "one")
    assert {key[:2] for key in conditions(metrics)} == {
        ("Container", "two"),
        ("Service", "one"),
    }
    assert set(series(registry, "psa_drift_fields")) == {("Container", "two"), ("Service", "one")}


def test_an_object_of_which_nothing_was_said_can_go(metrics: EngineMetrics) -> None:
    metrics.forget("Container", "never-seen")


def test_effects_are_counted_by_system_and_health_by_endpoint(
    registry: CollectorRegistry, metrics: EngineMetrics
) -> None:
    metrics.effect("pve", "failed")
    metrics.target("pve", True)  # noqa: FBT003 - the value of a gauge
    metrics.breaker("edge", True)  # noqa: FBT003 - the value of a gauge
    assert series(registry, "psa_effects_total")["proxmox", "failed"] == 1
    assert series(registry, "psa_target_up") == {("proxmox", "pve"): 1.0, ("haproxy", "edge"): 0.0}
    assert series(registry, "psa_breaker_open") == {("pve",): 0.0, ("edge",): 1.0}


def test_gauges_say_what_was_said_last(registry: CollectorRegistry, metrics: EngineMetrics) -> None:
    metrics.queue_depth(7)
    metrics.queue_latency(0.02)
    metrics.loop_lag(0.5)
    metrics.source(valid=3, invalid=1, healthy=True)
    metrics.reloaded(successful=False)
    metrics.mode(enforce=True)
    values = {
        name: next(iter(series(registry, name).values()))
        for name in (
            "psa_workqueue_depth",
            "psa_workqueue_latency_seconds_count",
            "psa_event_loop_lag_seconds",
            "psa_source_healthy",
            "psa_config_last_reload_successful",
            "psa_mode_enforce",
        )
    }
    assert list(values.values()) == [7, 1, 0.5, 1, 0, 1]
    assert series(registry, "psa_source_files") == {("valid",): 3.0, ("invalid",): 1.0}


def test_two_daemons_in_one_process_do_not_share_numbers(metrics: EngineMetrics) -> None:
    other = CollectorRegistry()
    EngineMetrics(other, version="2", kinds=[], systems={}).queue_depth(3)
    metrics.queue_depth(9)
    assert series(other, "psa_workqueue_depth") == {(): 3.0}


def test_the_text_of_the_conditions_is_what_a_registry_would_say() -> None:
    found, registry = ConditionSeries(), CollectorRegistry()
    registry.register(found)
    for name in ("one", "two", "gone"):
        found.set("Container", name, {"Ready": "True", "Stalled": "Unknown"})
    found.set("Container", "two", {"Ready": "False"})
    found.forget("Container", "gone")
    text = text_string_to_metric_families(found.text().decode())
    assert list(text) == list(registry.collect())
