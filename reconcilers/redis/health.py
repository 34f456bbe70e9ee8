"""What is verified of a Redis server and not set: version, persistence, memory, commands. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from crds.redis import RedisInstanceSpec, RedisInstanceStatus, RedisReplication
from crds.versions import is_older
from reconcilers.amounts import between
from reconcilers.redis.configuration import attested
from reconcilers.redis.model import OLDEST, Saved, SeenRedis
from reconcilers.redis.replication import replication_troubles

#: From this part of the limit on, writes will soon be refused.
_NEARLY_FULL: Final = 0.9
Trouble = tuple[str, str]


def too_old(seen: SeenRedis) -> Trouble | None:
    """Return reason and message if this program cannot work with the version."""
    version = seen.look.info.version
    if not is_older(version, OLDEST):
        return None
    return "VersionTooLow", f"it runs Redis {version}, this program needs at least {OLDEST}"


def not_ready(spec: RedisInstanceSpec, seen: SeenRedis) -> Iterable[Trouble]:
    """Yield what is wrong and can only be changed in the server's file."""
    version, floor = seen.look.info.version, spec.minimum_version
    if floor is not None and is_older(version, floor):
        yield "VersionTooLow", f"it runs Redis {version}, at least {floor} is asked"
    present = sorted(seen.look.present_commands)
    if present:
        text = f"{', '.join(present)} can be run: rename-command in the server's file disables it"
        yield "CommandEnabled", text


def unattested(spec: RedisInstanceSpec, seen: SeenRedis) -> Trouble | None:
    """Return what a person must vouch for, because the server has no CONFIG command."""
    verified, rest = attested(spec, seen)
    open_ones = [name for name in rest if name not in spec.signed]
    if not open_ones:
        return None
    known = f"INFO confirms {', '.join(verified)}; " if verified else ""
    text = (
        f"the server has no CONFIG command, or not by the name that the settings give: {known}a person"
        f" must read {', '.join(open_ones)} in its file, and name them in spec.signed"
    )
    return "ConfigUnavailable", text


def degraded(
    spec: RedisInstanceSpec, seen: SeenRedis, status: RedisInstanceStatus, now: datetime
) -> Iterable[Trouble]:
    """Yield what it lacks while it works."""
    info = seen.look.info
    if status.emptied is not None:
        yield "EmptyPrimary", f"{status.emptied}: a replica that connects copies that, and loses its keys"
    yield from _persistence(spec, seen, now)
    if status.unsaved is not None:
        yield "NotPersisted", f"what was set is lost with a restart, and set again then: {status.unsaved}"
    yield from replication_troubles(spec, info)
    yield from _memory(seen)
    cluster = seen.look.cluster
    if cluster is not None and (cluster.state != "ok" or cluster.failing_slots):
        slots = between(cluster.failing_slots)
        yield "ClusterNotOk", f"the cluster of {cluster.nodes} nodes is {cluster.state}, {slots} slots fail"


def _persistence(spec: RedisInstanceSpec, seen: SeenRedis, now: datetime) -> Iterable[Trouble]:
    found = seen.look.info.persistence
    if not found.is_rdb_well:
        yield "PersistenceFailing", "the last snapshot failed: writes are refused unless it is told otherwise"
    if found.has_aof and not found.is_aof_well:
        yield "PersistenceFailing", "the last write or rewrite of the append-only file failed"
    limit = spec.max_unsaved
    if limit is not None and found.changes and now.timestamp() - found.saved_at > limit.total_seconds():
        yield "SnapshotTooOld", f"changes wait for a snapshot for more than {limit.total_seconds():g} s"


def _memory(seen: SeenRedis) -> Iterable[Trouble]:
    found = seen.look.info.memory
    if found.limit_bytes == 0 or found.evicts:
        return
    if found.used_bytes >= found.limit_bytes:
        yield "OutOfMemory", f"all of {found.limit_bytes} bytes are in use: writes are refused"
    elif found.used_bytes > _NEARLY_FULL * found.limit_bytes:
        yield "MemoryNearLimit", f"more than 90 % of {found.limit_bytes} bytes are in use"


def unsaved(before: RedisInstanceStatus, seen: SeenRedis, spec: RedisInstanceSpec) -> str | None:
    """Return why what is set would be lost with a restart, None if it would not."""
    look = seen.look
    if look.saved in {Saved.NO, Saved.NOWHERE}:
        return look.unsaved
    asks = bool(spec.config or spec.users or spec.password or spec.replication != RedisReplication())
    if asks and not look.info.has_config_file:
        return "the server was started without a configuration file"
    # Another process of ours may have failed to save; a restart has shown what the files hold.
    is_same_run = before.run_id == look.info.run_id
    return before.unsaved if look.saved is Saved.UNKNOWN and is_same_run else None
