"""pgBouncer in front of a PostgreSQL cluster: who waits, and how full its pools are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from metrics.looks import Family, Moments, Series

_POOL: Final = ("database", "user")


@dataclass(frozen=True, slots=True)
class PoolReading:
    """A row of SHOW POOLS, with the size that its database allows."""

    clients: int
    """Clients that have a server or need none."""
    waiting: int
    servers: int
    """Server connections, used and idle."""
    waited_s: float
    """How long the first of those who wait does."""
    size: int | None = None


class PgbouncerMetrics:
    """All families of pgBouncer, in a registry of the caller's; PostgresReconciler tells each look."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._moments = Moments(
            registry,
            "psa_pgbouncer",
            "cluster",
            Family("up", "Whether the admin console answers"),
            Family("clients_active", "Clients that do not wait", _POOL),
            Family("clients_waiting", "Clients that wait for a server", _POOL),
            Family("wait_seconds", "How long the first of them has waited", _POOL),
            Family("pool_used", "Connections to servers", _POOL),
            Family("pool_size", "Connections to servers that are allowed", _POOL),
        )

    def looked(self, cluster: str, pools: Mapping[tuple[str, str], PoolReading] | None) -> None:
        """Take one look at the pools of *cluster*, by database and user; None where nobody answered."""
        values: dict[Series, float | None] = {("up",): pools is not None}
        for pool, reading in (pools or {}).items():
            values["clients_active", *pool] = reading.clients
            values["clients_waiting", *pool] = reading.waiting
            values["wait_seconds", *pool] = reading.waited_s
            values["pool_used", *pool] = reading.servers
            values["pool_size", *pool] = reading.size
        self._moments.tell(cluster, values)

    def unseen(self, cluster: str) -> None:
        """Drop the figures of a pooler that was not looked at in time."""
        self._moments.tell(cluster, {})

    def forget(self, cluster: str) -> None:
        """Remove the series of an object."""
        self._moments.forget(cluster)
