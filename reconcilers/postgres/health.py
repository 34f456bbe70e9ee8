"""What is verified of a cluster, as reasons and sentences: pure.

A sentence names the limit that is exceeded, and no figure that moves: those are metrics. It stays the same,
and is stored once, for as long as what it says is so.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from crds.postgres import PostgresClusterSpec
from crds.versions import is_older
from reconcilers.contract import Resource
from reconcilers.postgres.model import LostMember, SeenCluster, SeenMember
from reconcilers.postgres.replication import MEBIBYTE, SILENT_S, behind_bytes, is_silent, rows_of

Trouble = tuple[str, str]
#: From this share of max_connections on there is soon no way in.
_CROWDED: Final = 0.9
_STREAMING: Final = "streaming"
#: The reason of what is neither true nor false: who takes writes is hidden from us.
PRIMARY_UNSEEN: Final = "PrimaryUnseen"


def too_old(spec: PostgresClusterSpec, seen: SeenCluster) -> Trouble | None:
    """Say which member is older than what is asked, with both versions."""
    wanted = spec.minimum_version
    if wanted is None:
        return None
    old = [each for each in seen.answering if is_older(each.version, wanted)]
    if not old:
        return None
    found = ", ".join(f"{each.name} is {each.version}" for each in old)
    return "VersionTooLow", f"{found}; {wanted} or newer is needed"


def not_ready(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterator[Trouble]:
    """Yield what keeps the cluster from doing what it is there for."""
    primary = seen.primary
    lost = {each.name: each.trouble for each in seen.members if isinstance(each, LostMember)}
    if primary is None:
        yield _no_primary(seen, "; ".join(f"{name}: {trouble}" for name, trouble in lost.items()))
    for name in cluster.spec.replication.standbys:
        if name in lost:
            yield "StandbyLost", f"{name}: {lost[name]}"
        else:
            yield from _standby(cluster.spec, seen, name, primary)


def _no_primary(seen: SeenCluster, away: str) -> Trouble:
    """Tell a cluster that takes no writes from one whose primary is hidden from us only."""
    if not seen.answering:
        return PRIMARY_UNSEEN, f"no member answers: {away}"
    for each in seen.answering if away else ():
        if each.receiver is not None and each.receiver.status == _STREAMING:
            stream = f"{each.name} streams from {each.receiver.sender}"
            return PRIMARY_UNSEEN, f"{away}; but {stream}: it lives, and only we do not reach it"
    return "NoPrimary", f"no member takes writes{f' ({away})' if away else ''}; nothing is promoted from here"


def _standby(
    spec: PostgresClusterSpec, seen: SeenCluster, name: str, primary: SeenMember | None
) -> Iterator[Trouble]:
    member = seen.member(name)
    if member is None:
        yield "UnknownMember", f"the endpoint has no member {name}"
        return
    if not member.is_standby:
        yield "NotAStandby", f"{name} takes writes, and must be a standby"
        return
    if primary is None:
        return
    state = _link(spec, member, primary)
    if state != _STREAMING:
        yield (
            "NotStreaming",
            f"{name} receives nothing from {primary.name} ({state}): how far it is behind is unknown",
        )
        return
    if is_silent(member, seen.sent_before.get(name)):
        heard = f"{name} was sent WAL by {primary.name} and has heard nothing for more than {SILENT_S} s"
        yield "ReceiverSilent", f"{heard}: its receiver says that it streams, and hangs"
    behind, limit = behind_bytes(member, primary), spec.replication.lag_limit * MEBIBYTE
    if behind is not None and behind > limit:
        asked = f"{spec.replication.lag_limit} MiB, the limit,"
        yield "ReplicationLag", f"{name} is more than {asked} behind {primary.name}"


def _link(spec: PostgresClusterSpec, member: SeenMember, primary: SeenMember) -> str:
    """Return the state of a standby's stream: as the primary has it, where we know how it is called there."""
    rows = rows_of(spec, member.name, primary)
    if member.receiver is None or (rows is not None and not rows):
        return "not connected"
    return rows[0].state if rows else member.receiver.status


def degraded(
    cluster: Resource[PostgresClusterSpec],
    seen: SeenCluster,
    lacking: Iterable[str],
    restarts: tuple[str, ...],
) -> Iterator[Trouble]:
    """Yield what works with less than was asked for."""
    yield from _lost_others(cluster.spec, seen)
    for text in lacking:
        yield "SchemaIncomplete", text
    for member in seen.answering:
        if member.connection_limit and member.connections >= _CROWDED * member.connection_limit:
            used = f"{_CROWDED * 100:.0f} % or more of {member.connection_limit}"
            yield "ConnectionsNearLimit", f"{member.name}: {used} connections are in use"
    if seen.primary is not None:
        yield from _primary(cluster.spec, seen.primary)
    if restarts:
        yield "PendingRestart", f"written, and waiting for a restart: {', '.join(restarts)}"


def _lost_others(spec: PostgresClusterSpec, seen: SeenCluster) -> Iterator[Trouble]:
    for member in seen.members:
        if isinstance(member, LostMember) and member.name not in spec.replication.standbys:
            yield "MemberLost", f"{member.name}: {member.trouble}"


def _primary(spec: PostgresClusterSpec, primary: SeenMember) -> Iterator[Trouble]:
    limit = spec.replication.slot_limit * MEBIBYTE
    for name, slot in primary.slots.items():
        held = slot.retained_bytes or 0
        if slot.wal_status == "lost":
            yield "SlotLost", f"slot {name} has lost WAL that its reader needs: the reader must be built anew"
        elif not slot.active and held > limit:
            asked = f"{spec.replication.slot_limit} MiB of WAL, the limit"
            yield "SlotHoldsDisk", f"slot {name} is not in use and holds more than {asked}"
    if not spec.archived or primary.archiver is None:
        return
    if primary.archiver.failing is not None:
        yield "ArchiverFailing", f"{primary.name} cannot archive {primary.archiver.failing}"
    mode = primary.deep.settings.get("archive_mode")
    if mode is not None and mode.value == "off":
        yield "NotArchived", f"archive_mode is off on {primary.name}: nothing is archived"
