"""The families of Redis: they follow each look, count over restarts, and go with their object."""

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from metrics.redis import Counted, RedisMetrics, RedisReading

READING = RedisReading(
    run="a",
    memory_used_bytes=900,
    memory_limit_bytes=1000,
    evicts=False,
    keys=7,
    clients=3,
    persistence_ok={"rdb": True, "aof": False},
    saved_at=1_700_000_000.0,
    unsaved_changes=5,
    link_up=None,
    lags={"10.0.30.13:6379": (1.0, 42.0)},
    counted=Counted(100, 10, 1),
)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"psa_redis_{name}", {"redis": "psa-redis", **labels})


def test_a_look_sets_every_gauge() -> None:
    registry = CollectorRegistry()
    RedisMetrics(registry).looked("psa-redis", READING)

    assert value(registry, "memory_used_bytes") == 900
    assert value(registry, "memory_limit_bytes") == 1000
    assert value(registry, "persistence_ok", method="rdb") == 1
    assert value(registry, "persistence_ok", method="aof") == 0
    assert value(registry, "replication_lag_bytes", replica="10.0.30.13:6379") == 42
    assert value(registry, "primary_link_up") is None, "a primary has none"


def test_counters_begin_with_the_first_look_and_go_on_after_a_restart() -> None:
    registry = CollectorRegistry()
    metrics = RedisMetrics(registry)
    metrics.looked("psa-redis", READING)
    assert value(registry, "commands_total") == 0
    metrics.looked("psa-redis", replace(READING, counted=Counted(130, 12, 1)))
    metrics.looked("psa-redis", replace(READING, run="b", counted=Counted(20, 1, 0)))

    assert value(registry, "commands_total") == 50
    assert value(registry, "evicted_keys_total") == 3


def test_a_replica_that_is_gone_and_a_method_that_is_off_lose_their_series() -> None:
    registry = CollectorRegistry()
    metrics = RedisMetrics(registry)
    metrics.looked("psa-redis", READING)
    metrics.looked("psa-redis", replace(READING, lags={}, persistence_ok={"rdb": True}, link_up=True))

    assert value(registry, "replication_lag_seconds", replica="10.0.30.13:6379") is None
    assert value(registry, "persistence_ok", method="aof") is None
    assert value(registry, "primary_link_up") == 1


def test_a_server_that_does_not_answer_has_no_figures_and_keeps_its_counters() -> None:
    registry = CollectorRegistry()
    metrics = RedisMetrics(registry)
    metrics.looked("psa-redis", READING)
    metrics.unseen("psa-redis")
    metrics.unseen("never-seen")

    assert value(registry, "memory_used_bytes") is None
    assert value(registry, "commands_total") == 0


def test_the_series_go_with_their_object() -> None:
    registry = CollectorRegistry()
    metrics = RedisMetrics(registry)
    metrics.looked("psa-redis", READING)
    metrics.forget("another")
    metrics.forget("psa-redis")

    assert b'redis="psa-redis"' not in generate_latest(registry)
