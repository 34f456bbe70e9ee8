"""The kinds of data services: each slice, with its driver, is loaded only where an endpoint asks for it."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from daemon.engine.passes import AnyReconciler
from daemon.ports import Clock, Random
from daemon.secrets import SecretFiles, read_secret
from daemon.settings import Settings
from daemon.settings_data import ElasticsearchEndpoint, PostgresEndpoint, RabbitEndpoint, RedisEndpoint
from metrics.pgbouncer import PgbouncerMetrics
from reconcilers.contract import Secret
from reconcilers.gauges import Gauges
from reconcilers.postgres.client import PoolerClient
from reconcilers.transports.hooks import HookRunner
from reconcilers.unconfigured import UnconfiguredReconciler


@dataclass(frozen=True, slots=True)
class DataParts:
    """What a data kind is made from. ``closing`` is called, last first, when the daemon ends."""

    settings: Settings
    registry: CollectorRegistry
    clock: Clock
    random: Random
    hooks: HookRunner
    secrets: SecretFiles
    gauges: Gauges = field(default_factory=Gauges)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def has(self, endpoint_type: str) -> bool:
        """Whether the settings have an endpoint of that type."""
        return any(each.type == endpoint_type for each in self.settings.endpoints.values())


def build_data_kinds(parts: DataParts) -> Mapping[str, AnyReconciler]:
    """Make all data kinds; one without an endpoint only says so."""
    kinds: Mapping[str, tuple[str, Callable[[DataParts], AnyReconciler] | None]] = {
        "PostgresCluster": ("postgres", build_postgres),
        "RabbitMQ": ("rabbitmq", build_rabbitmq),
        "RedisInstance": ("redis", build_redis),
        "Elasticsearch": ("elasticsearch", build_elasticsearch),
    }
    return {
        kind: build(parts)
        if build is not None and parts.has(endpoint_type)
        else UnconfiguredReconciler(kind, endpoint_type)
        for kind, (endpoint_type, build) in kinds.items()
    }


def build_postgres(parts: DataParts) -> AnyReconciler:
    """Make the kind of PostgreSQL clusters."""
    # Loaded only where an endpoint asks for it: 2 MB.
    from metrics.postgres import PostgresMetrics  # noqa: PLC0415 - as above
    from reconcilers.postgres.reconciler import PostgresReconciler  # noqa: PLC0415 - as above
    from reconcilers.transports.postgres import PostgresServers  # noqa: PLC0415 - as above
    from reconcilers.transports.postgres_session import Door  # noqa: PLC0415 - as above

    servers = PostgresServers(
        {
            name: (
                Door(
                    each.user,
                    each.database,
                    functools.partial(read_secret, each.password_file),
                    each.ca_file,
                    has_patroni=bool(each.patroni),
                ),
                each.members,
            )
            for name, each in parts.settings.endpoints.items()
            if isinstance(each, PostgresEndpoint)
        }
    )
    parts.closing.append(servers.close)
    metrics = PostgresMetrics(parts.registry)
    poolers, pooler_metrics = _poolers(parts)
    return PostgresReconciler(
        servers,
        parts.secrets,
        metrics,
        parts.gauges,
        parts.clock.now,
        poolers=poolers,
        pooler_metrics=pooler_metrics,
        hooks=parts.hooks,
    )


def _poolers(parts: DataParts) -> tuple[PoolerClient | None, PgbouncerMetrics | None]:
    """Make the consoles of the endpoints that have a pooler; nothing is loaded if none has."""
    settings = {
        name: each.pooler
        for name, each in parts.settings.endpoints.items()
        if isinstance(each, PostgresEndpoint) and each.pooler is not None
    }
    if not settings:
        return None, None
    # Loaded only where a pooler asks for it: 9 MB.
    from reconcilers.transports.pgbouncer import Console, Poolers  # noqa: PLC0415 - as above
    from reconcilers.transports.postgres_session import Door  # noqa: PLC0415 - as above

    poolers = Poolers(
        {
            name: Console(
                Door(
                    each.user, "pgbouncer", functools.partial(read_secret, each.password_file), each.ca_file
                ),
                each.address,
            )
            for name, each in settings.items()
        }
    )
    parts.closing.append(poolers.close)
    return poolers, PgbouncerMetrics(parts.registry)


def build_redis(parts: DataParts) -> AnyReconciler:
    """Make the kind of Redis servers."""
    # Loaded only where an endpoint asks for it: 6 MB, 28 ms.
    from metrics.redis import RedisMetrics  # noqa: PLC0415 - as above
    from reconcilers.redis.client import RedisServers  # noqa: PLC0415 - as above
    from reconcilers.redis.reconciler import RedisReconciler  # noqa: PLC0415 - as above
    from reconcilers.transports.redis import RedisTransport  # noqa: PLC0415 - as above

    def reading(file: Path | None) -> Callable[[], Secret] | None:
        return None if file is None else functools.partial(read_secret, file)

    wires = {
        name: RedisTransport(
            name,
            each.address,
            user=each.user,
            read_password=reading(each.password_file),
            read_config_command=reading(each.config_command_file),
            ca_file=each.ca_file,
        )
        for name, each in parts.settings.endpoints.items()
        if isinstance(each, RedisEndpoint)
    }
    return RedisReconciler(
        RedisServers(wires), parts.secrets, RedisMetrics(parts.registry), parts.gauges, parts.clock.now
    )


def build_rabbitmq(parts: DataParts) -> AnyReconciler:
    """Make the kind of RabbitMQ brokers."""
    # Loaded only where an endpoint asks for it.
    from metrics.rabbitmq import RabbitMetrics  # noqa: PLC0415 - as above
    from reconcilers.rabbitmq.client import RabbitBrokers  # noqa: PLC0415 - as above
    from reconcilers.rabbitmq.reconciler import RabbitReconciler  # noqa: PLC0415 - as above
    from reconcilers.transports.rabbitmq import RabbitTransport  # noqa: PLC0415 - as above

    wires = {
        name: RabbitTransport(
            name,
            each.urls,
            user=each.user,
            read_password=functools.partial(read_secret, each.password_file),
            ca_file=each.ca_file,
        )
        for name, each in parts.settings.endpoints.items()
        if isinstance(each, RabbitEndpoint)
    }
    parts.closing.extend(wire.close for wire in wires.values())
    return RabbitReconciler(
        RabbitBrokers(wires), parts.secrets, RabbitMetrics(parts.registry), parts.gauges, parts.clock.now
    )


def build_elasticsearch(parts: DataParts) -> AnyReconciler:
    """Make the kind of Elasticsearch clusters."""
    # Loaded only where an endpoint asks for it: 1.4 MB, 21 ms.
    from metrics.elasticsearch import ElasticsearchMetrics  # noqa: PLC0415 - as above
    from reconcilers.elasticsearch.client import ElasticsearchClusters  # noqa: PLC0415 - as above
    from reconcilers.elasticsearch.reconciler import ElasticsearchReconciler  # noqa: PLC0415 - as above
    from reconcilers.transports.elasticsearch import ElasticsearchTransport  # noqa: PLC0415 - as above

    wires = {
        name: ElasticsearchTransport(
            name,
            each.urls,
            user=each.user,
            read_password=None
            if each.password_file is None
            else functools.partial(read_secret, each.password_file),
            ca_file=each.ca_file,
        )
        for name, each in parts.settings.endpoints.items()
        if isinstance(each, ElasticsearchEndpoint)
    }
    parts.closing.extend(wire.close for wire in wires.values())
    return ElasticsearchReconciler(
        ElasticsearchClusters(wires), ElasticsearchMetrics(parts.registry), parts.gauges, parts.clock.now
    )
