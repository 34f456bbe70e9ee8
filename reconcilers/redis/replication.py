"""A server's place in its replication: what may be set, and what is only said. Pure."""

from collections.abc import Iterable

from crds.meta import Verb
from crds.redis import RedisInstanceSpec, RedisInstanceStatus, RedisRole
from reconcilers.amounts import between
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.redis.configuration import RedisStep, saves_for
from reconcilers.redis.model import Follow, Info, SeenRedis


def follow_steps(redis: Resource[RedisInstanceSpec], seen: SeenRedis) -> tuple[RedisStep, ...]:
    """Return the step that makes it a replica of the asked primary: its own keys go with it."""
    wanted, info = redis.spec.replication.replica_of, seen.look.info
    upstream = info.upstream
    is_so = upstream is not None and upstream.address == wanted
    if wanted is None or is_so or any(follow_problems(redis.spec, seen)):
        return ()
    endpoint = redis.spec.endpoint
    gone = f": its {between(info.keys)} keys go, and it copies those of {wanted}" if info.keys else ""
    step: RedisStep = Step(
        Follow(endpoint, wanted, saves_for(seen)),
        StepClass.ABSOLUTE,
        target=f"replication of {endpoint}",
        summary=f"make {endpoint} a replica of {wanted}{gone}",
        changes=(Change("spec.replication.replicaOf", info.role, wanted),),
        needs=Verb.REPLACE_DATA if info.keys else None,
        origin=redis.where("spec.replication.replicaOf"),
    )
    return (step,)


def follow_problems(spec: RedisInstanceSpec, seen: SeenRedis) -> Iterable[tuple[str, str]]:
    """Yield why no replica is made of it although that is asked."""
    wanted = spec.replication.replica_of
    upstream = seen.look.info.upstream
    if wanted is None or (upstream is not None and upstream.address == wanted):
        return
    if seen.look.info.mode == "cluster":
        yield "ClusterMode", f"a cluster decides who follows whom: {wanted} cannot be set on a node of one"
    if seen.primary_emptied is not None and seen.look.info.keys:
        text = (
            f"{wanted} came back without its keys ({seen.primary_emptied}), and this server still has"
            f" {between(seen.look.info.keys)} keys: it is not made its replica"
        )
        yield "EmptyPrimary", text


def role_problems(spec: RedisInstanceSpec, seen: SeenRedis) -> Iterable[tuple[str, str]]:
    """Yield that it is something else than asked: who is the primary is not decided here."""
    wanted, info = spec.replication, seen.look.info
    if wanted.role is RedisRole.PRIMARY and info.upstream is not None:
        text = (
            f"primary is asked, it is a {info.role} and refuses writes: after a failover change the spec;"
            f" else a person says REPLICAOF NO ONE"
        )
        yield "RoleDiffers", text
    if wanted.role is RedisRole.REPLICA and info.upstream is None and wanted.replica_of is None:
        yield "RoleDiffers", "replica is asked, it is a primary: say whose in replicaOf"
    yield from follow_problems(spec, seen)


def replication_troubles(spec: RedisInstanceSpec, info: Info) -> Iterable[tuple[str, str]]:
    """Yield what is not well between a primary and its replicas."""
    upstream, limit = info.upstream, spec.replication.max_lag
    if upstream is not None and upstream.is_syncing:
        yield "Syncing", f"it copies everything from {upstream.address} and is behind until then"
    elif upstream is not None and not upstream.is_linked:
        yield "LinkDown", f"no link to its primary {upstream.address}"
    elif upstream is not None and limit is not None and (upstream.quiet_s or 0) > limit.total_seconds():
        text = f"nothing was heard from {upstream.address} for more than {limit.total_seconds():g} s"
        yield "ReplicationLag", text
    if upstream is None:
        yield from _downstream(spec, info)


def _downstream(spec: RedisInstanceSpec, info: Info) -> Iterable[tuple[str, str]]:
    wanted, limit = spec.replication.replicas, spec.replication.max_lag
    online = [each for each in info.replicas if each.is_online]
    if wanted is not None and len(online) < wanted:
        yield "ReplicasMissing", f"{len(online)} of {wanted} replicas are online"
    late = [each.address for each in online if limit is not None and each.lag_s > limit.total_seconds()]
    if late and limit is not None:
        text = f"nothing was heard from {', '.join(late)} for more than {limit.total_seconds():g} s"
        yield "ReplicationLag", text


def emptied(before: RedisInstanceStatus, info: Info) -> str | None:
    """Return the restart that took all keys with it; it is said until there are keys again."""
    if info.keys or info.upstream is not None:
        return None
    if before.emptied is not None:
        return before.emptied
    if not before.has_keys or before.run_id in {None, info.run_id}:
        return None
    others = f"; its replicas were {', '.join(before.replicas)}" if before.replicas else ""
    return f"restarted as {info.run_id[:8]} without any of its keys{others}"
