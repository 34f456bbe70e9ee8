"""The data services of a lab: their servers at its addresses, and how the daemon's settings name them."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab import pgbouncer, postgres, rabbitmq, redis
from lab.data import Server
from lab.data_secrets import FOR_SPECS, secret, secret_file
from lab.elasticsearch import ElasticsearchConfig, LabElasticsearch
from lab.layout import Lab, LabError
from lab.pgbouncer import LabPgbouncer, PgbouncerConfig
from lab.postgres import LabPostgres, PostgresConfig
from lab.processes import MARK
from lab.rabbitmq import LabRabbit, RabbitConfig
from lab.redis import LabRedis, RedisConfig

#: Parts of PostgreSQL.
PRIMARY, REPLICA, POOLER = "postgres", "postgres-replica", "pgbouncer"
#: The endpoint's members, and their parts.
MEMBERS: Final[Mapping[str, str]] = {"primary": PRIMARY, "replica-1": REPLICA}
#: The replica's slot; its name is the design's.
SLOT: Final = "replica1"
#: Whom the daemon comes as.
_RECONCILER, _DB_USER = "psa-reconciler", "psa_reconciler"
_APP: Final = "psa_app"
#: The platform's settings that only a start changes, in a lab's sizes: the daemon sets all others.
_STARTED_WITH: Final = (
    "max_connections = 200",
    "shared_buffers = 32MB",
    "autovacuum_max_workers = 4",
)
#: Commands that the platform's design takes from Redis's clients.
_DISABLED: Final = ("FLUSHDB", "FLUSHALL")


@dataclass(frozen=True, slots=True)
class System:
    """What one system is in a lab."""

    servers: tuple[Server, ...]
    """Each listed after those that it needs."""
    endpoints: Mapping[str, Mapping[str, object]]
    """By their names in the settings."""
    urls: Mapping[str, str]
    """Where clients find its servers, by the servers' names."""
    hooks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Programs of the settings that act on its servers."""


def systems_of(lab: Lab) -> tuple[System, ...]:
    """Return the lab's systems, the slowest to boot first; none in a lab without data services."""
    return tuple(make(lab) for make in _SYSTEMS) if lab.record.data else ()


def servers_of(lab: Lab) -> tuple[Server, ...]:
    """Return the servers of all systems."""
    return tuple(server for system in systems_of(lab) for server in system.servers)


def data_settings(lab: Lab) -> Mapping[str, Mapping[str, object]]:
    """Return endpoints, hooks and secrets of the daemon's settings."""
    systems = systems_of(lab)
    return {
        "endpoints": _joined(system.endpoints for system in systems),
        "hooks": _joined(system.hooks for system in systems),
        "secrets": {name: str(secret_file(lab, name)) for name in FOR_SPECS} if systems else {},
    }


def data_urls(lab: Lab) -> Mapping[str, str]:
    """Return where clients find each server."""
    return {name: url for system in systems_of(lab) for name, url in system.urls.items()}


def check_installed() -> None:
    """LabError with what to install where a program is missing."""
    missing = [packages for packages, is_installed in _NEEDED if not is_installed()]
    if missing:
        raise LabError(
            f"data services are not installed: apt-get install {' '.join(missing)}; or `make lab` does it"
        )


def server_of(lab: Lab, name: str) -> Server:
    """Return a server by its name; KeyError if the lab has none of that name."""
    return {server.name: server for server in servers_of(lab)}[name]


def postgres_of(lab: Lab, part: str) -> LabPostgres:
    """Return the lab's primary or replica, whether or not it runs."""
    addresses = {PRIMARY: f"{lab.address('30.10')}:5432", REPLICA: f"{lab.address('30.11')}:5432"}
    config = PostgresConfig(
        addresses[part],
        password=secret(lab, "postgres-superuser"),
        replication_password=secret(lab, "replicator"),
        primary=addresses[PRIMARY] if part == REPLICA else None,
        slot=SLOT if part == REPLICA else None,
        name="primary" if part == PRIMARY else "replica-1",
        more=_STARTED_WITH,
    )
    return LabPostgres(lab.data / part, config)


def pgbouncer_of(lab: Lab) -> LabPgbouncer:
    """Return the lab's pgBouncer, whether or not it runs."""
    config = PgbouncerConfig(
        f"{lab.address('30.10')}:6432",
        server=f"{lab.address('30.10')}:5432",
        admin=_DB_USER,
        users={_DB_USER: secret(lab, "postgres-reconciler"), _APP: secret(lab, "psa-app")},
        databases=("psa_platform",),
    )
    return LabPgbouncer(lab.data / POOLER, config)


def rabbit_of(lab: Lab) -> LabRabbit:
    """Return the lab's RabbitMQ, whether or not it runs."""
    host = lab.address("30.13")
    config = RabbitConfig(
        amqp=f"{host}:5672",
        management=f"{host}:15672",
        # A port a lab: RabbitMQ wants to know it free at all addresses, and epmd binds 127.0.0.1, too.
        distribution_port=24500 + lab.record.number,
        epmd_port=24300 + lab.record.number,
        user=_RECONCILER,
        password=secret(lab, "rabbitmq-reconciler"),
    )
    return LabRabbit(lab.data / "rabbitmq", config)


def rabbit_environment(lab: Lab) -> Mapping[str, str]:
    """Return what the broker and rabbitmqctl have beside PATH and LANG: their node is at its address."""
    host = lab.address("30.13")
    names = {"RABBITMQ_USE_LONGNAME": "true", "RABBITMQ_NODENAME": f"psa@{host}"}
    return {**rabbit_of(lab).environment, **names}


def elasticsearch_of(lab: Lab) -> LabElasticsearch:
    """Return the lab's stand-in for Elasticsearch, whether or not it runs."""
    accounts = {_RECONCILER: secret(lab, "elasticsearch-reconciler")}
    config = ElasticsearchConfig(f"{lab.address('30.14')}:9200", accounts=accounts)
    return LabElasticsearch(lab.data / "elasticsearch", config)


def redis_of(lab: Lab) -> LabRedis:
    """Return the lab's Redis, whether or not it runs."""
    config = RedisConfig(
        f"{lab.address('30.12')}:6379",
        password=secret(lab, "redis-password"),
        config_command=secret(lab, "redis-config-command"),
        disabled=_DISABLED,
    )
    return LabRedis(lab.data / "redis", config)


def _postgres(lab: Lab) -> System:
    primary, replica, pooler = postgres_of(lab, PRIMARY), postgres_of(lab, REPLICA), pgbouncer_of(lab)
    endpoint = {
        "type": "postgres",
        "members": {name: postgres_of(lab, part).config.address for name, part in MEMBERS.items()},
        "user": _DB_USER,
        "passwordFile": str(secret_file(lab, "postgres-reconciler")),
        "pooler": {
            "address": pooler.config.address,
            "user": _DB_USER,
            "passwordFile": str(secret_file(lab, "postgres-reconciler")),
        },
    }
    servers = (
        Server(PRIMARY, primary, complete=lambda: _let_in(lab, primary)),
        Server(REPLICA, replica, needs=(PRIMARY,)),
        Server(POOLER, pooler),
    )
    urls = {part: f"postgresql://{postgres_of(lab, part).config.address}" for part in MEMBERS.values()}
    urls |= {POOLER: f"postgresql://{pooler.config.address}"}
    hooks = {f"pg-{action}": _postgres_hook(lab, action) for action in ("backup", "restart", "rebuild")}
    return System(servers, {"psa-db": endpoint}, urls, hooks)


def _postgres_hook(lab: Lab, action: str) -> Mapping[str, object]:
    """Return a hook of the settings; env marks what it starts, for `down`."""
    start = ["/usr/bin/env", f"{MARK}={lab.record.mark}", sys.executable]
    return {
        "argv": [*start, "-m", "lab.postgres_hook", action, str(lab.root)],
        "directory": str(Path(__file__).parents[1]),
        "timeout": "2m",
        "idempotent": True,
    }


def _let_in(lab: Lab, primary: LabPostgres) -> None:
    """Make what a cluster must have before the daemon comes: the daemon's role, and the replica's slot."""
    role = f"CREATE ROLE {_DB_USER} SUPERUSER LOGIN PASSWORD '{secret(lab, 'postgres-reconciler')}'"
    _make(primary, role, unless=f"FROM pg_roles WHERE rolname = '{_DB_USER}'")
    slot = f"SELECT pg_create_physical_replication_slot('{SLOT}', true)"
    _make(primary, slot, unless=f"FROM pg_replication_slots WHERE slot_name = '{SLOT}'")


def _make(primary: LabPostgres, sql: str, *, unless: str) -> None:
    if not primary.run(f"SELECT 1 {unless}"):
        primary.run(sql)


def _rabbitmq(lab: Lab) -> System:
    program = rabbit_of(lab)
    endpoint = {
        "type": "rabbitmq",
        "urls": [f"http://{program.config.management}"],
        "user": _RECONCILER,
        "passwordFile": str(secret_file(lab, "rabbitmq-reconciler")),
    }
    return System(
        (Server("rabbitmq", program, environment=rabbit_environment(lab)),),
        {"psa-rabbitmq": endpoint},
        {"rabbitmq": f"http://{program.config.management}/", "amqp": f"amqp://{program.config.amqp}"},
    )


def _elasticsearch(lab: Lab) -> System:
    program = elasticsearch_of(lab)
    endpoint = {
        "type": "elasticsearch",
        "urls": [program.url],
        "user": _RECONCILER,
        "passwordFile": str(secret_file(lab, "elasticsearch-reconciler")),
    }
    servers = (Server("elasticsearch", program),)
    return System(servers, {"psa-elasticsearch": endpoint}, {"elasticsearch": f"{program.url}/"})


def _redis(lab: Lab) -> System:
    program = redis_of(lab)
    address = program.config.address
    endpoint = {
        "type": "redis",
        "address": address,
        "passwordFile": str(secret_file(lab, "redis-password")),
        "configCommandFile": str(secret_file(lab, "redis-config-command")),
    }
    return System(
        (Server("redis", program),),
        {"psa-redis": endpoint},
        {"redis": f"redis://{address}"},
    )


_SYSTEMS: Final[tuple[Callable[[Lab], System], ...]] = (_rabbitmq, _postgres, _redis, _elasticsearch)
_NEEDED: Final[tuple[tuple[str, Callable[[], bool]], ...]] = (
    (postgres.PACKAGES, postgres.is_installed),
    (pgbouncer.PACKAGES, pgbouncer.is_installed),
    ("rabbitmq-server", rabbitmq.is_installed),
    ("redis-server", redis.is_installed),
)


def _joined(parts: Iterable[Mapping[str, Mapping[str, object]]]) -> Mapping[str, object]:
    return {name: value for part in parts for name, value in part.items()}
