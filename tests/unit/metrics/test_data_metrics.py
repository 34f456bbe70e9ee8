"""The families of data services: they follow each look, leave out the unknown, and go with their object."""

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from metrics.elasticsearch import DiskReading, ElasticsearchMetrics, ElasticsearchReading
from metrics.pgbouncer import PgbouncerMetrics, PoolReading
from metrics.postgres import (
    MemberCounts,
    MemberReading,
    PostgresMetrics,
    PostgresReading,
    ReplicaReading,
    SlotReading,
)
from metrics.rabbitmq import NodeReading, QueueReading, RabbitMetrics, RabbitReading

PRIMARY = MemberReading(
    in_recovery=False,
    timeline=3,
    connections=42,
    connection_limit=100,
    counts=MemberCounts("a", commits=1000, rollbacks=10, deadlocks=1, archived=7, archive_failures=2),
    archive_failing=True,
    pending_restart=1,
)
STANDBY = replace(PRIMARY, in_recovery=True, archive_failing=None)
CLUSTER = PostgresReading(
    members={"db1": PRIMARY, "db2": STANDBY},
    replicas={
        "db2": ReplicaReading(
            streaming=True, paused=False, received_lag_bytes=10.0, lag_bytes=40.0, lag_seconds=0.5
        )
    },
    slots={"db2": SlotReading(active=True, lost=False, retained_bytes=16.0)},
    lag_limit_bytes=1024.0,
    slot_limit_bytes=4096.0,
)
QUEUE = QueueReading(messages=7, unacknowledged=2, consumers=1, published=100, delivered=93)
BROKER = RabbitReading(
    nodes={"rabbit@mq1": NodeReading(running=True, memory_alarm=True, memory_used_bytes=5.0)},
    queues={("/psa", "tickets"): QUEUE},
    told_at=1_700_000_000.0,
)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"psa_{name}", labels)


def of_cluster(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return value(registry, f"postgres_{name}", cluster="psa-db", **labels)


def of_queue(registry: CollectorRegistry, name: str) -> float | None:
    return value(registry, f"rabbitmq_queue_{name}", broker="psa-mq", vhost="/psa", queue="tickets")


def test_a_cluster_tells_its_lag_in_bytes_and_seconds_beside_its_limits() -> None:
    registry = CollectorRegistry()
    PostgresMetrics(registry).looked("psa-db", CLUSTER)

    assert of_cluster(registry, "replication_received_lag_bytes", replica="db2") == 10
    assert of_cluster(registry, "replication_lag_bytes", replica="db2") == 40
    assert of_cluster(registry, "replication_lag_seconds", replica="db2") == 0.5
    assert of_cluster(registry, "replication_lag_limit_bytes") == 1024
    assert of_cluster(registry, "slot_retained_bytes", slot="db2") == 16
    assert of_cluster(registry, "split_brain") == 0
    assert of_cluster(registry, "archive_failing", member="db1") == 1
    assert of_cluster(registry, "archive_failing", member="db2") is None, "a standby does not archive"


def test_a_lag_that_nobody_can_tell_is_absent_and_not_0() -> None:
    registry = CollectorRegistry()
    metrics = PostgresMetrics(registry)
    metrics.looked("psa-db", CLUSTER)
    metrics.looked(
        "psa-db", replace(CLUSTER, replicas={"db2": ReplicaReading(streaming=False, paused=False)})
    )

    assert of_cluster(registry, "replica_streaming", replica="db2") == 0
    assert of_cluster(registry, "replication_lag_bytes", replica="db2") is None
    assert of_cluster(registry, "replication_lag_seconds", replica="db2") is None


def test_a_member_that_does_not_answer_is_down_and_keeps_what_it_counted() -> None:
    registry = CollectorRegistry()
    metrics = PostgresMetrics(registry)
    metrics.looked("psa-db", CLUSTER)
    metrics.looked("psa-db", replace(CLUSTER, members={"db1": PRIMARY, "db2": None}, slots={}))

    assert of_cluster(registry, "member_up", member="db2") == 0
    assert of_cluster(registry, "connections", member="db2") is None
    assert of_cluster(registry, "slot_active", slot="db2") is None
    assert of_cluster(registry, "commits_total", member="db2") == 0


def test_two_members_that_take_writes_are_a_split_brain() -> None:
    registry = CollectorRegistry()
    PostgresMetrics(registry).looked("psa-db", replace(CLUSTER, members={"db1": PRIMARY, "db2": PRIMARY}))

    assert of_cluster(registry, "split_brain") == 1


def test_a_backup_that_was_never_good_has_no_date_and_is_asked_for_all_the_same() -> None:
    registry = CollectorRegistry()
    backups = {"nightly": (1000.0, 3600.0), "weekly": (None, 7200.0)}
    PostgresMetrics(registry).looked("psa-db", replace(CLUSTER, backups=backups))

    assert of_cluster(registry, "backup_timestamp_seconds", backup="nightly") == 1000
    assert of_cluster(registry, "backup_timestamp_seconds", backup="weekly") is None
    assert of_cluster(registry, "backup_max_age_seconds", backup="weekly") == 7200


def test_databases_count_from_the_first_look_on_and_over_a_reset() -> None:
    registry = CollectorRegistry()
    metrics = PostgresMetrics(registry)
    metrics.looked("psa-db", CLUSTER)
    for counts in (MemberCounts("a", commits=1030), MemberCounts("b", commits=20)):
        metrics.looked("psa-db", replace(CLUSTER, members={"db1": replace(PRIMARY, counts=counts)}))

    assert of_cluster(registry, "commits_total", member="db1") == 50


def test_pools_tell_who_waits_and_a_pooler_without_an_answer_only_that() -> None:
    registry = CollectorRegistry()
    metrics = PgbouncerMetrics(registry)
    metrics.looked("psa-db", {("psa", "crm"): PoolReading(20, 5, 10, 1.5, size=10)})
    pool = {"cluster": "psa-db", "database": "psa", "user": "crm"}

    assert value(registry, "pgbouncer_clients_waiting", **pool) == 5
    assert (
        value(registry, "pgbouncer_pool_used", **pool) == value(registry, "pgbouncer_pool_size", **pool) == 10
    )

    metrics.looked("psa-db", None)

    assert value(registry, "pgbouncer_up", cluster="psa-db") == 0
    assert value(registry, "pgbouncer_clients_waiting", **pool) is None


def test_a_queue_tells_its_depth_its_consumers_and_what_went_through() -> None:
    registry = CollectorRegistry()
    metrics = RabbitMetrics(registry)
    metrics.looked("psa-mq", BROKER)
    more = replace(QUEUE, published=130, delivered=120)
    metrics.looked("psa-mq", replace(BROKER, queues={("/psa", "tickets"): more}))

    assert of_queue(registry, "messages") == 7
    assert of_queue(registry, "messages_ready") == 5
    assert of_queue(registry, "messages_unacked") == 2
    assert of_queue(registry, "published_total") == 30
    node = {"broker": "psa-mq", "node": "rabbit@mq1"}
    assert value(registry, "rabbitmq_alarm", **node, resource="memory") == 1
    assert value(registry, "rabbitmq_alarm", **node, resource="disk") == 0
    assert value(registry, "rabbitmq_disk_free_bytes", **node) is None


def test_a_depth_that_the_broker_does_not_know_yet_is_absent() -> None:
    registry = CollectorRegistry()
    metrics = RabbitMetrics(registry)
    metrics.looked("psa-mq", BROKER)
    metrics.looked("psa-mq", replace(BROKER, queues={("/psa", "tickets"): QueueReading(None, None, None)}))

    assert of_queue(registry, "messages") is None
    assert of_queue(registry, "messages_ready") is None
    assert of_queue(registry, "consumers") is None


def test_a_broker_that_does_not_answer_has_no_depths() -> None:
    registry = CollectorRegistry()
    metrics = RabbitMetrics(registry)
    metrics.looked("psa-mq", BROKER)
    metrics.unseen("psa-mq")

    assert value(registry, "rabbitmq_up", broker="psa-mq") == 0
    assert of_queue(registry, "messages") is None
    assert of_queue(registry, "published_total") == 0


def test_an_index_tells_its_colour_and_how_full_its_disks_are() -> None:
    registry = CollectorRegistry()
    metrics = ElasticsearchMetrics(registry)
    metrics.looked("psa-logs", ElasticsearchReading("yellow", 1, 3, disks={"es1": DiskReading(9.0, 10.0)}))
    cluster = {"cluster": "psa-logs"}

    assert value(registry, "elasticsearch_health", **cluster, color="yellow") == 1
    assert value(registry, "elasticsearch_health", **cluster, color="green") == 0
    assert value(registry, "elasticsearch_unassigned_shards", **cluster) == 3
    assert value(registry, "elasticsearch_disk_used_bytes", **cluster, node="es1") == 9
    assert value(registry, "elasticsearch_read_only_indices", **cluster) is None

    metrics.unseen("psa-logs")

    assert value(registry, "elasticsearch_up", **cluster) == 0
    assert value(registry, "elasticsearch_health", **cluster, color="yellow") is None


def test_all_series_go_with_their_object() -> None:
    registry = CollectorRegistry()
    postgres, pools = PostgresMetrics(registry), PgbouncerMetrics(registry)
    rabbit, index = RabbitMetrics(registry), ElasticsearchMetrics(registry)
    postgres.looked("psa-db", CLUSTER)
    pools.looked("psa-db", {("psa", "crm"): PoolReading(1, 0, 1, 0.0)})
    rabbit.looked("psa-mq", BROKER)
    index.looked("psa-logs", ElasticsearchReading("green", 1, 0))
    for each in (postgres, pools, rabbit, index):
        each.forget("another")
    assert b'="psa-' in generate_latest(registry)

    for each, name in ((postgres, "psa-db"), (pools, "psa-db"), (rabbit, "psa-mq"), (index, "psa-logs")):
        each.forget(name)

    assert b'="psa-' not in generate_latest(registry)
