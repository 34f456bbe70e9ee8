"""Redis servers: memory, persistence, replication and what they count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

METHODS: Final = ("aof", "rdb")


@dataclass(frozen=True, slots=True)
class Counted:
    """What one run of a server has counted since it began."""

    commands: int
    evicted_keys: int
    rejected_connections: int


@dataclass(frozen=True, slots=True)
class RedisReading:
    """One look at a server. ``run`` is its name for this run; ages and lags in seconds."""

    run: str
    memory_used_bytes: int
    memory_limit_bytes: int
    """0 for none."""
    evicts: bool
    """Whether keys make room at the limit; else writes are refused there."""
    keys: int
    clients: int
    persistence_ok: Mapping[str, bool]
    """By method, ``aof`` only where it is on."""
    saved_at: float
    """When the last snapshot was made, in seconds since 1970."""
    unsaved_changes: int
    link_up: bool | None
    """Whether its primary is connected; None for a primary."""
    lags: Mapping[str, tuple[float, float]]
    """Seconds and bytes that each replica is behind, by its address."""
    counted: Counted


@dataclass(slots=True)
class _Server:
    run: str = ""
    counted: Counted = Counted(0, 0, 0)
    replicas: set[str] = field(default_factory=set)


class RedisMetrics:
    """All families of Redis, in a registry of the caller's. Series go with their object.

    It is the label ``redis``: ``instance`` is Prometheus's own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"psa_redis_{name}", text, ["redis", *labels], registry=registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"psa_redis_{name}", text, ["redis"], registry=registry)

        self._used = gauge("memory_used_bytes", "Memory in use")
        self._limit = gauge("memory_limit_bytes", "maxmemory; 0 is no limit")
        self._evicts = gauge("evicts", "1 where keys make room at the limit, 0 where writes are refused")
        self._keys = gauge("keys", "Keys in all databases")
        self._clients = gauge("connected_clients", "Connections of clients")
        self._well = gauge("persistence_ok", "Whether the last write of that kind succeeded", "method")
        self._saved = gauge("last_snapshot_timestamp_seconds", "When the last snapshot was made")
        self._changes = gauge("unsaved_changes", "Changes since the last snapshot")
        self._link = gauge("primary_link_up", "Whether a replica is connected to its primary")
        self._lag_s = gauge("replication_lag_seconds", "Age of a replica's last word", "replica")
        self._lag_bytes = gauge("replication_lag_bytes", "How far a replica is behind its primary", "replica")
        self._commands = counter("commands", "Commands that it carried out")
        self._evicted = counter("evicted_keys", "Keys that made room for others")
        self._rejected = counter("rejected_connections", "Connections refused because of maxclients")
        self._servers: dict[str, _Server] = {}

    def looked(self, instance: str, reading: RedisReading) -> None:
        """Take one look at the server of the object *instance*."""
        known = self._servers.setdefault(instance, _Server())
        self._used.labels(instance).set(reading.memory_used_bytes)
        self._limit.labels(instance).set(reading.memory_limit_bytes)
        self._evicts.labels(instance).set(reading.evicts)
        self._keys.labels(instance).set(reading.keys)
        self._clients.labels(instance).set(reading.clients)
        self._saved.labels(instance).set(reading.saved_at)
        self._changes.labels(instance).set(reading.unsaved_changes)
        for method in METHODS:
            if method in reading.persistence_ok:
                self._well.labels(instance, method).set(reading.persistence_ok[method])
            else:
                self._well.remove_by_labels({"redis": instance, "method": method})
        if reading.link_up is None:
            self._link.remove_by_labels({"redis": instance})
        else:
            self._link.labels(instance).set(reading.link_up)
        self._replicas(instance, known, reading.lags)
        self._count(instance, known, reading)

    def _replicas(self, instance: str, known: _Server, lags: Mapping[str, tuple[float, float]]) -> None:
        for gone in known.replicas - set(lags):
            self._lag_s.remove(instance, gone)
            self._lag_bytes.remove(instance, gone)
        known.replicas = set(lags)
        for replica, (seconds, amount) in lags.items():
            self._lag_s.labels(instance, replica).set(seconds)
            self._lag_bytes.labels(instance, replica).set(amount)

    def _count(self, instance: str, known: _Server, reading: RedisReading) -> None:
        """Add what came since the last look: nothing at the first, all of it after a restart."""
        new, old = reading.counted, known.counted
        if known.run != reading.run:
            old = Counted(0, 0, 0) if known.run else new
        known.run, known.counted = reading.run, new
        self._commands.labels(instance).inc(max(0, new.commands - old.commands))
        self._evicted.labels(instance).inc(max(0, new.evicted_keys - old.evicted_keys))
        self._rejected.labels(instance).inc(max(0, new.rejected_connections - old.rejected_connections))

    def unseen(self, instance: str) -> None:
        """Drop the figures of a server that did not answer; what it counted goes on from there."""
        known = self._servers.get(instance)
        if known is not None:
            self._replicas(instance, known, {})
            for each in self._moments():
                each.remove_by_labels({"redis": instance})

    def forget(self, instance: str) -> None:
        """Remove the series of an object."""
        self.unseen(instance)
        if self._servers.pop(instance, None) is not None:
            for each in (self._commands, self._evicted, self._rejected):
                each.remove(instance)

    def _moments(self) -> tuple[Gauge, ...]:
        numbers = (self._used, self._limit, self._evicts, self._keys, self._clients)
        return (*numbers, self._well, self._saved, self._changes, self._link)
