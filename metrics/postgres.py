"""PostgreSQL clusters: members, replication, slots, archiving, connections and what their databases count."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from metrics.looks import Counts, Family, Moments, Series

_PREFIX = "psa_postgres"
_MEMBER = ("member",)
_REPLICA = ("replica",)
_SLOT = ("slot",)
_BACKUP = ("backup",)


@dataclass(frozen=True, slots=True)
class MemberCounts:
    """What a member has counted since ``epoch``, a name for this run of its statistics."""

    epoch: str
    commits: int = 0
    rollbacks: int = 0
    deadlocks: int = 0
    conflicts: int = 0
    archived: int = 0
    archive_failures: int = 0


@dataclass(frozen=True, slots=True)
class MemberReading:
    """One look at a member that answered."""

    in_recovery: bool
    timeline: int
    connections: int
    connection_limit: int
    counts: MemberCounts
    archive_failing: bool | None = None
    """Whether the last try to archive failed; None for a member that does not archive."""
    pending_restart: int | None = None
    """Settings that wait for a restart."""


@dataclass(frozen=True, slots=True)
class ReplicaReading:
    """How far a replica is behind. What nobody can tell is None, never 0."""

    streaming: bool
    paused: bool
    received_lag_bytes: float | None = None
    """WAL that it does not have yet."""
    lag_bytes: float | None = None
    """WAL that it has not replayed yet."""
    lag_seconds: float | None = None
    """Age of the last transaction that it replayed; 0 while it has replayed all that it received."""


@dataclass(frozen=True, slots=True)
class SlotReading:
    """One replication slot of the primary."""

    active: bool
    lost: bool
    """Whether WAL that it needs is gone."""
    retained_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class PostgresReading:
    """One look at a cluster. A member that does not answer is None."""

    members: Mapping[str, MemberReading | None]
    replicas: Mapping[str, ReplicaReading] = field(default_factory=dict)
    """Standbys of the spec, those that do not stream, too."""
    slots: Mapping[str, SlotReading] = field(default_factory=dict)
    backups: Mapping[str, tuple[float | None, float]] = field(default_factory=dict)
    """When each backup that was good last was due, in seconds since 1970 or None, and how old it may be."""
    lag_limit_bytes: float | None = None
    slot_limit_bytes: float | None = None


class PostgresMetrics:
    """All families of PostgreSQL, in a registry of the caller's; PostgresReconciler tells each look."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._moments = Moments(
            registry,
            _PREFIX,
            "cluster",
            Family("member_up", "Whether a member answers", _MEMBER),
            Family("in_recovery", "1 for a standby, 0 for a member that takes writes", _MEMBER),
            Family("timeline", "Timeline that a member is on", _MEMBER),
            Family("split_brain", "1 while more than one member takes writes"),
            Family("connections", "Connections of clients to a member", _MEMBER),
            Family("connection_limit", "max_connections of a member", _MEMBER),
            Family("pending_restart_settings", "Settings that wait for a restart", _MEMBER),
            Family("archive_failing", "Whether the last try to archive WAL failed", _MEMBER),
            Family("replica_streaming", "Whether a replica receives WAL", _REPLICA),
            Family("replay_paused", "Whether somebody paused a replica's replay", _REPLICA),
            Family("replication_received_lag_bytes", "WAL that a replica does not have yet", _REPLICA),
            Family("replication_lag_bytes", "WAL that a replica has not replayed yet", _REPLICA),
            Family("replication_lag_seconds", "Age of what a replica has replayed", _REPLICA),
            Family("replication_lag_limit_bytes", "Lag that the file allows"),
            Family("slot_active", "Whether somebody reads from a slot", _SLOT),
            Family("slot_lost", "Whether WAL that a slot needs is gone", _SLOT),
            Family("slot_retained_bytes", "Disk that a slot holds back", _SLOT),
            Family("slot_limit_bytes", "Disk that the file allows a slot to hold back"),
            Family("backup_timestamp_seconds", "When the last good backup was due", _BACKUP),
            Family("backup_max_age_seconds", "How old the file lets it become", _BACKUP),
        )
        self._counts = Counts(
            registry,
            _PREFIX,
            ("cluster", "member"),
            Family("commits", "Transactions that were committed"),
            Family("rollbacks", "Transactions that were rolled back"),
            Family("deadlocks", "Deadlocks"),
            Family("conflicts", "Queries of a standby that replay cancelled"),
            Family("archived", "WAL files that were archived"),
            Family("archive_failures", "Tries to archive WAL that failed"),
        )

    def looked(self, cluster: str, reading: PostgresReading) -> None:
        """Take one look at the members of the object *cluster*."""
        values: dict[Series, float | None] = {
            ("split_brain",): sum(not each.in_recovery for each in reading.members.values() if each) > 1,
            ("replication_lag_limit_bytes",): reading.lag_limit_bytes,
            ("slot_limit_bytes",): reading.slot_limit_bytes,
        }
        for name, member in reading.members.items():
            values["member_up", name] = member is not None
            if member is not None:
                values |= _of_member(name, member)
                self._counts.tell((cluster, name), member.counts.epoch, _counted(member.counts))
        for name, replica in reading.replicas.items():
            values |= _of_replica(name, replica)
        for name, slot in reading.slots.items():
            values["slot_active", name] = slot.active
            values["slot_lost", name] = slot.lost
            values["slot_retained_bytes", name] = slot.retained_bytes
        for name, (at, max_age) in reading.backups.items():
            values["backup_timestamp_seconds", name] = at
            values["backup_max_age_seconds", name] = max_age
        self._moments.tell(cluster, values)

    def unseen(self, cluster: str) -> None:
        """Drop the figures of a cluster that was not looked at in time; what it counted goes on."""
        self._moments.tell(cluster, {})

    def forget(self, cluster: str) -> None:
        """Remove the series of an object."""
        self._moments.forget(cluster)
        self._counts.forget(cluster)


def _of_member(name: str, member: MemberReading) -> dict[Series, float | None]:
    return {
        ("in_recovery", name): member.in_recovery,
        ("timeline", name): member.timeline,
        ("connections", name): member.connections,
        ("connection_limit", name): member.connection_limit,
        ("pending_restart_settings", name): member.pending_restart,
        ("archive_failing", name): member.archive_failing,
    }


def _of_replica(name: str, replica: ReplicaReading) -> dict[Series, float | None]:
    return {
        ("replica_streaming", name): replica.streaming,
        ("replay_paused", name): replica.paused,
        ("replication_received_lag_bytes", name): replica.received_lag_bytes,
        ("replication_lag_bytes", name): replica.lag_bytes,
        ("replication_lag_seconds", name): replica.lag_seconds,
    }


def _counted(counts: MemberCounts) -> dict[str, float]:
    return {
        "commits": counts.commits,
        "rollbacks": counts.rollbacks,
        "deadlocks": counts.deadlocks,
        "conflicts": counts.conflicts,
        "archived": counts.archived,
        "archive_failures": counts.archive_failures,
    }
