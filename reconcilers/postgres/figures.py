"""What a look at a cluster comes to as figures, for metrics and for the gates of releases."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from crds.postgres import PostgresClusterSpec
from metrics.pgbouncer import PoolReading
from metrics.postgres import MemberCounts, MemberReading, PostgresReading, ReplicaReading, SlotReading
from reconcilers.postgres.model import LostPooler, SeenCluster, SeenMember, SeenPooler, SeenSlot
from reconcilers.postgres.replication import MEBIBYTE, behind_bytes, behind_s

_STREAMING: Final = "streaming"


def figures(seen: SeenCluster) -> tuple[Mapping[str, float], str] | None:
    """Return values by name, and the run that counters belong to; None without exactly one primary.

    ``lag_bytes:MEMBER`` and ``lag_seconds:MEMBER`` of each standby, absent where unknown; ``commits``,
    ``rollbacks``, ``deadlocks`` and ``conflicts`` of all members that answer, ``connections_ratio`` of the
    primary.
    """
    primary = seen.primary
    if primary is None:
        return None
    values: dict[str, float] = {}
    for member in seen.answering:
        if member.is_standby:
            lags = (("lag_bytes", behind_bytes(member, primary)), ("lag_seconds", behind_s(member, primary)))
            values |= {f"{name}:{member.name}": float(lag) for name, lag in lags if lag is not None}
    counts = [each.counts for each in seen.answering]
    values["commits"] = sum(each.commits for each in counts)
    values["rollbacks"] = sum(each.rollbacks for each in counts)
    values["deadlocks"] = sum(each.deadlocks for each in counts)
    values["conflicts"] = sum(each.conflicts for each in counts)
    if primary.connection_limit:
        values["connections_ratio"] = primary.connections / primary.connection_limit
    epoch = " ".join(f"{each.name}={each.counts.since}" for each in seen.answering)
    return values, epoch


def reading(spec: PostgresClusterSpec, seen: SeenCluster, good: Mapping[str, datetime]) -> PostgresReading:
    """Return a look as the metrics want it; *good* is when each backup that was good last was due."""
    primary = seen.primary
    found = {each.name: seen.member(each.name) for each in seen.members}
    members = {name: None if each is None else _member(each) for name, each in found.items()}
    standbys = {*spec.replication.standbys, *(each.name for each in seen.answering if each.is_standby)}
    return PostgresReading(
        members=members,
        replicas={name: _replica(seen.member(name), primary) for name in standbys},
        slots={name: _slot(each) for name, each in primary.slots.items()} if primary is not None else {},
        backups={
            name: (good[name].timestamp() if name in good else None, each.max_age.total_seconds())
            for name, each in spec.backups.items()
        },
        lag_limit_bytes=spec.replication.lag_limit * MEBIBYTE,
        slot_limit_bytes=spec.replication.slot_limit * MEBIBYTE,
    )


def pools(seen: SeenPooler | LostPooler) -> Mapping[tuple[str, str], PoolReading] | None:
    """Return the pools by database and user; None where nobody answered."""
    if isinstance(seen, LostPooler):
        return None
    return {
        (each.database, each.user): PoolReading(
            each.clients, each.waiting, each.servers, each.waited_s, each.size
        )
        for each in seen.pools
    }


def _member(member: SeenMember) -> MemberReading:
    archiver, mode = member.archiver, member.deep.settings.get("archive_mode")
    archives = archiver is not None and mode is not None and mode.value != "off"
    counts = member.counts
    return MemberReading(
        in_recovery=member.is_standby,
        timeline=member.timeline,
        connections=member.connections,
        connection_limit=member.connection_limit,
        counts=MemberCounts(
            epoch=counts.since,
            commits=counts.commits,
            rollbacks=counts.rollbacks,
            deadlocks=counts.deadlocks,
            conflicts=counts.conflicts,
            archived=archiver.archived if archiver is not None else 0,
            archive_failures=archiver.failed if archiver is not None else 0,
        ),
        archive_failing=archiver.failing is not None if archiver is not None and archives else None,
        pending_restart=sum(each.pending_restart for each in member.deep.settings.values()),
    )


def _replica(member: SeenMember | None, primary: SeenMember | None) -> ReplicaReading:
    if member is None:
        return ReplicaReading(streaming=False, paused=False)
    behind = behind_bytes(member, primary)
    received = None
    if behind is not None and primary is not None and primary.position is not None:
        received = None if member.received is None else max(0, primary.position - member.received)
    return ReplicaReading(
        streaming=member.receiver is not None and member.receiver.status == _STREAMING,
        paused=member.is_paused,
        received_lag_bytes=received,
        lag_bytes=behind,
        lag_seconds=behind_s(member, primary),
    )


def _slot(found: SeenSlot) -> SlotReading:
    return SlotReading(
        active=found.active, lost=found.wal_status == "lost", retained_bytes=found.retained_bytes
    )
