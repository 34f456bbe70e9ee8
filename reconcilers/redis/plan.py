"""What a Redis server needs, and what is verified of it: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crds.meta import ConditionType, Truth
from crds.redis import RedisInstanceSpec, RedisInstanceStatus
from reconcilers.contract import Note, Plan, Resource, Step, StepClass, Verdict
from reconcilers.redis.accounts import user_problems, user_steps
from reconcilers.redis.configuration import (
    RedisStep,
    attested,
    saves_for,
    setting_problems,
    setting_steps,
)
from reconcilers.redis.health import Trouble, degraded, not_ready, too_old, unattested, unsaved
from reconcilers.redis.model import RedisAction, Save, Saved, SeenRedis
from reconcilers.redis.replication import emptied, follow_steps, role_problems

RedisPlan = Plan[RedisAction]
_SOON: Final = timedelta(seconds=1)
"""A server that loads tells nobody when it is done."""


def plan_redis(redis: Resource[RedisInstanceSpec], seen: SeenRedis, now: datetime) -> RedisPlan:
    """Set what may be set, verify the rest, and say what differs."""
    before = redis.status if isinstance(redis.status, RedisInstanceStatus) else RedisInstanceStatus()
    if seen.look.info.is_loading:
        return _loading(before)
    status = _status(redis.spec, before, seen)
    old = too_old(seen)
    if old is not None:
        return Plan(status=status, blocked=old)
    steps = (*setting_steps(redis, seen), *follow_steps(redis, seen), *user_steps(redis, seen))
    # The gate lets nothing through behind a step that may not be done.
    steps = tuple(sorted(steps, key=lambda step: step.needs not in {None, *redis.spec.allow}))
    if not steps and status.unsaved is not None:
        steps = _save_again(redis, seen)
    return Plan(
        steps=tuple(replace(step, independent=True) for step in steps),
        writes=tuple(_notes(before, status)),
        verdicts=tuple(_verdicts(redis.spec, seen, status, now, steps)),
        status=status,
        blocked=_first(
            (
                *role_problems(redis.spec, seen),
                *user_problems(redis.spec, seen),
                *setting_problems(redis.spec, seen),
            )
        ),
    )


def _loading(before: RedisInstanceStatus) -> RedisPlan:
    """Wait: what it will hold is not there yet, and nothing can be said of its keys."""
    message = "it loads its data from the disk: nothing is changed until it has them"
    # The run is noted when it can be looked at whole; what was emptied is seen only then.
    return Plan(waiting=message, status=before, recheck_after=_SOON)


def _status(spec: RedisInstanceSpec, before: RedisInstanceStatus, seen: SeenRedis) -> RedisInstanceStatus:
    info, settings = seen.look.info, seen.look.settings
    verified, unverified = attested(spec, seen)
    cluster = seen.look.cluster
    return RedisInstanceStatus(
        version=info.version,
        run_id=info.run_id,
        role=info.role,
        replicas=tuple(sorted(each.address for each in info.replicas if each.is_online)),
        cluster=None if cluster is None else f"{cluster.state}, {cluster.nodes} nodes",
        persistence=_persistence(info.settings if settings is None else settings),
        has_keys=info.keys > 0,
        emptied=emptied(before, info),
        unsaved=unsaved(before, seen, spec),
        config_command="unavailable" if settings is None else "available",
        verified=verified,
        unverified=unverified,
    )


def _persistence(settings: Mapping[str, str]) -> str:
    """Say how it keeps its data: ``AOF everysec, snapshots 900 1 300 10``."""
    fsync = settings.get("appendfsync", "on")
    aof = f"AOF {fsync}" if settings.get("appendonly") == "yes" else "no AOF"
    if "save" not in settings:
        return aof
    return f"{aof}, snapshots {settings['save']}" if settings["save"] else f"{aof}, no snapshots"


def _save_again(redis: Resource[RedisInstanceSpec], seen: SeenRedis) -> tuple[RedisStep, ...]:
    saves = tuple(dict.fromkeys((*saves_for(seen), *saves_for(seen, users=True))))
    is_hopeless = seen.look.saved is Saved.NOWHERE or not seen.look.info.has_config_file
    if not saves or is_hopeless:
        return ()
    endpoint = redis.spec.endpoint
    step: RedisStep = Step(
        Save(endpoint, saves),
        StepClass.ABSOLUTE,
        target=f"files of Redis {endpoint}",
        summary="write what was set into the server's own file: the last try failed",
        origin=redis.where("spec"),
    )
    return (step,)


def _verdicts(
    spec: RedisInstanceSpec,
    seen: SeenRedis,
    status: RedisInstanceStatus,
    now: datetime,
    steps: tuple[RedisStep, ...],
) -> Iterable[Verdict]:
    """Say Ready only where "no steps left" is not the whole truth; Degraded always."""
    wrong, signature = [*not_ready(spec, seen)], unattested(spec, seen)
    if status.emptied is not None and "replicas" in status.emptied:
        wrong.append(("EmptyPrimary", status.emptied))
    if wrong:
        yield _verdict(ConditionType.READY, Truth.FALSE, wrong)
    elif signature is not None and not steps and not [*setting_problems(spec, seen)]:
        yield Verdict(ConditionType.READY, Truth.UNKNOWN, *signature)
    elif [type(step.action) for step in steps] == [Save] and seen.look.saved is Saved.NO:
        text = "all is in force; the server's own file does not have it yet"
        yield Verdict(ConditionType.READY, Truth.TRUE, "AsAsked", text)
    trouble = [*wrong, *degraded(spec, seen, status, now)]
    if trouble:
        yield _verdict(ConditionType.DEGRADED, Truth.TRUE, trouble)
    else:
        yield Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole")


def _verdict(kind: ConditionType, truth: Truth, found: list[Trouble]) -> Verdict:
    return Verdict(kind, truth, found[0][0], "; ".join(dict.fromkeys(message for _, message in found)))


def _first(problems: tuple[Trouble, ...]) -> Trouble | None:
    """Return the first reason with all messages."""
    return (problems[0][0], "; ".join(message for _, message in problems)) if problems else None


def _notes(before: RedisInstanceStatus, status: RedisInstanceStatus) -> Iterable[Note]:
    if before.run_id not in {None, status.run_id} and before.run_id and status.run_id:
        text = (
            f"Redis was restarted: run {before.run_id[:8]} → {status.run_id[:8]}; what was set at run time"
            " and not saved is set again"
        )
        yield Note("RedisRestarted", text)
    if before.role not in {None, status.role}:
        yield Note("RoleChanged", f"{before.role} → {status.role}", warning=True)
    if status.emptied is not None and before.emptied is None:
        yield Note("EmptyPrimary", status.emptied, warning=True)
