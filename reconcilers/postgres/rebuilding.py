"""Standbys that can never stream again as they are, and are built anew by a hook, one at a time: pure."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from crds.meta import Verb
from crds.postgres import PostgresClusterSpec
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.hook_runs import HookState
from reconcilers.postgres.actions import DropSlot, Target
from reconcilers.postgres.configuration import PostgresStep
from reconcilers.postgres.errands import hook_step, said_of
from reconcilers.postgres.model import SeenCluster, SeenMember

#: How long a standby must be apart before it is built anew: one that has just been connected comes back.
APART_FOR: Final = timedelta(minutes=2)
#: A standby is built anew at most once in this time.
_PERIOD: Final = timedelta(days=1)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def apart(spec: PostgresClusterSpec, seen: SeenCluster) -> Sequence[str]:
    """Return the standbys that stream nothing and cannot go on from where they are, as far as is seen."""
    primary = seen.primary
    members = [seen.member(name) for name in spec.replication.standbys] if primary is not None else []
    return [each.name for each in members if each is not None and _why(spec, each, primary) is not None]


def _why(spec: PostgresClusterSpec, member: SeenMember, primary: SeenMember | None) -> str | None:
    """Say why a standby is apart; None if it is not."""
    if primary is None or not member.is_standby or member.receiver is not None:
        return None
    if member.timeline != primary.timeline:
        return f"it stands on timeline {member.timeline}, {primary.name} on {primary.timeline}"
    slot = primary.slots.get(spec.replication.standbys[member.name].slot or "")
    if slot is None or slot.active:
        return None
    if slot.wal_status == "lost":
        return "its slot has lost WAL that it needs"
    if primary.position is None or slot.retained_bytes is None or member.position is None:
        return None
    begins = primary.position - slot.retained_bytes
    return (
        "its slot begins after what it has" if begins > max(member.position, member.received or 0) else None
    )


def rebuild_runs(cluster: Resource[PostgresClusterSpec], now: datetime) -> tuple[str, ...]:
    """Return the names of the runs that a plan must know about: of this day and the day before."""
    if cluster.spec.rebuild is None:
        return ()
    days = (now, now - _PERIOD)
    return tuple(_name(cluster, each, day) for each in cluster.spec.replication.standbys for day in days)


def _name(cluster: Resource[PostgresClusterSpec], member: str, at: datetime) -> str:
    what = f"{cluster.uid}/{cluster.generation}/{(at - _BEGINNING) // _PERIOD}".encode()
    return f"{cluster.key.name}.rebuild.{member}.{hashlib.sha256(what).hexdigest()[:12]}"


def rebuild_steps(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime
) -> Iterable[PostgresStep]:
    """Yield what builds the first standby anew that has been apart for long enough."""
    hook, primary = cluster.spec.rebuild, seen.primary
    if hook is None or hook not in seen.hooks or primary is None or seen.unseen_runs is not None:
        return
    known = [seen.runs[name] for name in rebuild_runs(cluster, now) if name in seen.runs]
    if not all(each.is_over for each in known):
        return
    for member in _due(cluster, seen, now):
        run, why = _name(cluster, member.name, now), _why(cluster.spec, member, primary)
        if run in seen.runs:
            continue
        slot = cluster.spec.replication.standbys[member.name].slot
        if slot is not None and slot in primary.slots and primary.slots[slot].wal_status == "lost":
            yield _drop(cluster, primary, member, slot)
        else:
            text = f"build {member.name} anew by hook {hook}: {why}"
            yield hook_step(cluster, member, run, hook, path="rebuild", text=text, needs=Verb.REBUILD)
        return


def _due(cluster: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime) -> Iterable[SeenMember]:
    for name in apart(cluster.spec, seen):
        since, member = seen.apart_since.get(name), seen.member(name)
        if member is not None and since is not None and now - since >= APART_FOR:
            yield member


def _drop(
    cluster: Resource[PostgresClusterSpec], primary: SeenMember, member: SeenMember, slot: str
) -> PostgresStep:
    """Return what drops a slot that nothing can use again; it is made anew before the standby is."""
    return Step(
        DropSlot(Target(cluster.spec.endpoint, primary.name), slot),
        StepClass.ABSOLUTE,
        target=f"slot {slot}",
        summary=f"drop slot {slot} on {primary.name}, which has lost WAL, to build {member.name} anew",
        changes=(Change(f"replication.slots.{slot}", "lost", "made anew"),),
        needs=Verb.REBUILD,
        origin=cluster.where("spec.rebuild"),
    )


def rebuild_problems(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime
) -> Iterable[tuple[str, str]]:
    """Yield reason and message of a hook that is not there, and of what will not be tried again today."""
    hook = cluster.spec.rebuild
    if hook is not None and hook not in seen.hooks:
        known = ", ".join(sorted(seen.hooks)) or "none"
        yield "UnknownHook", f"the settings have no hook {hook}; they have: {known}"
    is_due = {each.name for each in _due(cluster, seen, now)}
    for name in cluster.spec.replication.standbys if hook is not None else ():
        result = seen.runs.get(_name(cluster, name, now))
        if result is None or not result.is_over:
            continue
        has_passed, is_gone = result.state is HookState.PASSED, seen.member(name) is None
        if name in is_due or (is_gone and not has_passed):
            how = "it passed, and the standby streams nothing" if has_passed else said_of(result)
            yield "RebuildFailed", f"{name} is not built anew by hook {hook}: {how}"
