"""The dashboard of data services: PostgreSQL, RabbitMQ, Redis, Elasticsearch."""

from typing import Final

from metrics.dashboard import Dashboard, Panel, Query

_BYTES: Final = "bytes"

_FIRST: Final = (
    Panel(
        "Replicas that do not stream",
        "0 is well.",
        (Query("count(psa_postgres_replica_streaming == 0) or vector(0)"),),
        shape="stat",
        width=6,
    ),
    Panel(
        "Nodes that block publishers",
        "0 is well; memory or disk.",
        (Query("count(psa_rabbitmq_alarm == 1) or vector(0)"),),
        shape="stat",
        width=6,
    ),
    Panel(
        "Redis that cannot persist",
        "0 is well.",
        (Query("count(psa_redis_persistence_ok == 0) or vector(0)"),),
        shape="stat",
        width=6,
    ),
    Panel(
        "Elasticsearch that is not green",
        "Clusters; 0 is well.",
        (Query('count(psa_elasticsearch_health{color="green"} == 0) or vector(0)'),),
        shape="stat",
        width=6,
    ),
)
_POSTGRES: Final = (
    Panel(
        "PostgreSQL: how far replicas are behind",
        "Not received, and not replayed. Unknown is a gap, not 0.",
        (
            Query("psa_postgres_replication_received_lag_bytes", "{{replica}} not received"),
            Query("psa_postgres_replication_lag_bytes", "{{replica}} not replayed"),
            Query("psa_postgres_replication_lag_limit_bytes", "limit", is_limit=True),
        ),
        unit=_BYTES,
    ),
    Panel(
        "PostgreSQL: age of what replicas have",
        "The last transaction that was replayed, while there is more to replay.",
        (Query("psa_postgres_replication_lag_seconds", "{{replica}}"),),
        unit="s",
    ),
    Panel(
        "PostgreSQL: who takes writes, who streams",
        "One member takes writes.",
        (
            Query("psa_postgres_in_recovery == 0", "{{member}} takes writes"),
            Query("psa_postgres_replica_streaming == 1", "{{replica}} streams"),
        ),
        shape="state-timeline",
    ),
    Panel(
        "PostgreSQL: disk that slots hold back",
        "A slot that nobody reads fills the disk.",
        (
            Query("psa_postgres_slot_retained_bytes", "{{slot}}"),
            Query("psa_postgres_slot_limit_bytes", "limit", is_limit=True),
        ),
        unit=_BYTES,
    ),
    Panel(
        "PostgreSQL: connections in use",
        "Part of max_connections; at 100 % everybody is refused.",
        (Query("psa_postgres_connections / psa_postgres_connection_limit", "{{member}}"),),
        unit="percentunit",
    ),
    Panel(
        "pgBouncer: pools",
        "Who waits, and connections to servers against what is allowed.",
        (
            Query("psa_pgbouncer_clients_waiting", "{{database}} {{user}} waiting"),
            Query("psa_pgbouncer_pool_used", "{{database}} {{user}} used"),
            Query("psa_pgbouncer_pool_size", "{{database}} {{user}} allowed", is_limit=True),
        ),
    ),
    Panel(
        "PostgreSQL: transactions rolled back",
        "Part of all that ended in the last minute.",
        (
            Query(
                "rate(psa_postgres_rollbacks_total[1m])"
                " / (rate(psa_postgres_commits_total[1m]) + rate(psa_postgres_rollbacks_total[1m]) > 0)",
                "{{member}}",
            ),
        ),
        unit="percentunit",
        width=8,
    ),
    Panel(
        "PostgreSQL: what went wrong, a minute",
        "Deadlocks, cancelled queries, WAL not archived.",
        (
            Query("increase(psa_postgres_deadlocks_total[1m])", "{{member}} deadlocks"),
            Query("increase(psa_postgres_conflicts_total[1m])", "{{member}} cancelled"),
            Query("increase(psa_postgres_archive_failures_total[1m])", "{{member}} not archived"),
        ),
        width=8,
    ),
    Panel(
        "PostgreSQL: age of the last good backup",
        "Hours since it was due; never good is a gap.",
        (
            Query("(time() - psa_postgres_backup_timestamp_seconds) / 3600", "{{backup}}"),
            Query("psa_postgres_backup_max_age_seconds / 3600", "{{backup}} limit", is_limit=True),
        ),
        unit="h",
        width=8,
    ),
)
_QUEUES: Final = (
    Panel(
        "RabbitMQ: messages in queues",
        "The broker counts every few seconds.",
        (Query("psa_rabbitmq_queue_messages", "{{vhost}} {{queue}}"),),
    ),
    Panel(
        "RabbitMQ: through the queues, a second",
        "In and out; what goes in and not out stays.",
        (
            Query("rate(psa_rabbitmq_queue_published_total[1m])", "{{queue}} in", is_quiet=True),
            Query("rate(psa_rabbitmq_queue_delivered_total[1m])", "{{queue}} out", is_quiet=True),
        ),
        unit="ops",
    ),
    Panel(
        "RabbitMQ: consumers",
        "By queue; a queue without one fills.",
        (Query("psa_rabbitmq_queue_consumers", "{{vhost}} {{queue}}"),),
    ),
    Panel(
        "RabbitMQ: memory of nodes",
        "At the limit publishers are blocked.",
        (
            Query("psa_rabbitmq_memory_used_bytes", "{{node}}"),
            Query("psa_rabbitmq_memory_limit_bytes", "limit", is_limit=True),
        ),
        unit=_BYTES,
    ),
)
_CACHE: Final = (
    Panel(
        "Redis: memory",
        "At the limit keys are evicted, or writes refused.",
        (
            Query("psa_redis_memory_used_bytes", "{{redis}}"),
            Query("psa_redis_memory_limit_bytes > 0", "limit", is_limit=True),
        ),
        unit=_BYTES,
    ),
    Panel(
        "Redis: commands, evictions, refusals, a second",
        "Evicted keys made room for others; refused connections met maxclients.",
        (
            Query("rate(psa_redis_commands_total[1m])", "{{redis}} commands"),
            Query("rate(psa_redis_evicted_keys_total[1m])", "{{redis}} evicted"),
            Query("rate(psa_redis_rejected_connections_total[1m])", "{{redis}} refused"),
        ),
        unit="ops",
    ),
)
_INDEX: Final = (
    Panel(
        "Elasticsearch: health",
        "Red: documents are not to be had. Yellow: fewer copies than there should be.",
        (Query("psa_elasticsearch_health == 1", "{{cluster}} {{color}}"),),
        shape="state-timeline",
    ),
    Panel(
        "Elasticsearch: disks",
        "Above the dashed line shards move away; later indices become read-only.",
        (
            Query("psa_elasticsearch_disk_used_bytes / psa_elasticsearch_disk_size_bytes", "{{node}}"),
            Query("psa_elasticsearch_disk_high_ratio", "high watermark", is_limit=True),
        ),
        unit="percentunit",
    ),
)
DATA: Final = Dashboard(
    uid="psa-data",
    title="PSA: data services",
    says="Are the copies complete, does anything fill up, and does anybody wait?",
    panels=(*_FIRST, *_POSTGRES, *_QUEUES, *_CACHE, *_INDEX),
)
