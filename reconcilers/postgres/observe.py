"""Looks at the members of a PostgreSQL cluster: each time at what moves, now and then at what it is."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from crds.container import ContainerSpec
from crds.postgres import PostgresClusterSpec
from reconcilers.contract import PermanentError, Resource, Secret, Secrets, TransientError, View
from reconcilers.hook_runs import HookResult
from reconcilers.postgres.accounts import named_roles
from reconcilers.postgres.actions import Target
from reconcilers.postgres.client import Hooks, PoolerClient, PostgresClient
from reconcilers.postgres.errands import backup_runs
from reconcilers.postgres.model import (
    Deep,
    Host,
    LostMember,
    LostPooler,
    SeenCluster,
    SeenMember,
    SeenPooler,
)
from reconcilers.postgres.rebuilding import rebuild_runs
from reconcilers.postgres.removals import NOTHING_ASKED
from reconcilers.postgres.restarting import asked_restart, container_key, restart_runs
from reconcilers.postgres.timelines import History, read_history

#: How old a deep look may be.
DEEP_FOR: Final = timedelta(seconds=60)
#: Always looked at: what a standby must have as much of as the primary, and whether WAL is archived.
_ALWAYS: Final = (
    "archive_mode",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
    "wal_level",
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A deep look: of which run and role of the server, and for which spec."""

    deep: Deep
    at: datetime
    started_at: str
    is_standby: bool
    uid: str
    generation: int

    def holds(self, cluster: Resource[PostgresClusterSpec], member: SeenMember, now: datetime) -> bool:
        """Whether there is no reason yet to look again."""
        is_same = (self.uid, self.generation) == (cluster.uid, cluster.generation)
        is_same_run = (self.started_at, self.is_standby) == (member.started_at, member.is_standby)
        return is_same and is_same_run and timedelta(0) <= now - self.at < DEEP_FOR


Memory = dict[Target, Remembered]


async def observe_postgres(
    client: PostgresClient,
    secrets: Secrets,
    cluster: Resource[PostgresClusterSpec],
    memory: Memory,
    now: datetime,
) -> SeenCluster:
    """Ask all members at the same time; one that does not answer is lost, and no reason to fail.

    *memory* has the deep looks, and is given those that are made: all of them for as long as a standby does
    not stream, because the cause may be among what changes rarely. PermanentError UnknownEndpoint.
    """
    names = client.members(cluster.spec.endpoint)
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(_look(client, Target(cluster.spec.endpoint, name))) for name in names]
    cheap = await _with_histories(client, cluster.spec.endpoint, [each.result() for each in looks])
    if not all(_streams(each) for each in cheap):
        for name in names:
            memory.pop(Target(cluster.spec.endpoint, name), None)
    async with asyncio.TaskGroup() as group:
        whole = [group.create_task(_member(client, cluster, each, memory, now)) for each in cheap]
    known, missing = _passwords(secrets, cluster.spec)
    return SeenCluster(tuple(each.result() for each in whole), known, missing)


async def observe_pooler(poolers: PoolerClient, spec: PostgresClusterSpec) -> SeenPooler | LostPooler | None:
    """Look at the pooler, where the spec asks for it and the endpoint has one."""
    if spec.pooler is None or not poolers.has(spec.endpoint):
        return None
    try:
        return await poolers.look(spec.endpoint)
    except PermanentError as exc:
        return LostPooler(str(exc), exc.reason)
    except TransientError as exc:
        return LostPooler(str(exc))


async def observe_runs(
    hooks: Hooks | None, cluster: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime
) -> SeenCluster:
    """Look at the hooks' runs that backups and restarts are about; what cannot be had is a fact, too."""
    if hooks is None:
        return seen
    runs: dict[str, HookResult] = {}
    trouble = None
    wanted = (*backup_runs(cluster, now), *restart_runs(cluster, seen.members), *rebuild_runs(cluster, now))
    for name in wanted:
        try:
            found = await hooks.look(name)
        except TransientError as exc:
            trouble = str(exc)
            break
        if found is not None:
            runs[name] = found
    return replace(seen, runs=runs, unseen_runs=trouble, hooks=frozenset(hooks.known))


def with_hosts(cluster: Resource[PostgresClusterSpec], seen: SeenCluster, view: View) -> SeenCluster:
    """Add the Containers that restarts go through, and what became of those that they were asked for."""
    named = cluster.spec.restart.containers if cluster.spec.restart is not None else {}
    hosts: dict[str, Host] = {}
    runs = dict(seen.runs)
    for member, name in named.items():
        found = view.get(container_key(name))
        if found is None or not isinstance(found.spec, ContainerSpec):
            continue
        network = found.spec.network
        address = network.address.partition("/")[0] if network is not None else None
        hosts[member] = Host(name, address, any(each.answer is None for each in found.requests))
        answering = seen.member(member)
        if answering is not None:
            runs |= asked_restart(cluster, answering, found)
    return replace(seen, hosts=hosts, runs=runs)


async def _look(client: PostgresClient, target: Target) -> SeenMember | LostMember:
    try:
        return await client.look(target)
    except (TransientError, PermanentError) as exc:
        return LostMember(target.member, str(exc))


async def _with_histories(
    client: PostgresClient, endpoint: str, seen: list[SeenMember | LostMember]
) -> list[SeenMember | LostMember]:
    """Ask members for their past, where more than one takes writes."""
    writable = [each for each in seen if isinstance(each, SeenMember) and not each.is_standby]
    if len(writable) <= 1:
        return seen
    async with asyncio.TaskGroup() as group:
        asked = {
            each.name: group.create_task(_history(client, Target(endpoint, each.name), each.timeline))
            for each in writable
        }
    return [
        replace(each, history=asked[each.name].result())
        if isinstance(each, SeenMember) and each.name in asked
        else each
        for each in seen
    ]


async def _history(client: PostgresClient, target: Target, timeline: int) -> History | None:
    if timeline == 1:
        return ()  # the first one: nothing was before it
    try:
        text = await client.history(target, timeline)
    except (TransientError, PermanentError):
        return None
    return None if text is None else read_history(text)


def _streams(seen: SeenMember | LostMember) -> bool:
    if isinstance(seen, LostMember) or not seen.is_standby:
        return True
    return seen.receiver is not None and seen.receiver.status == "streaming"


async def _member(
    client: PostgresClient,
    cluster: Resource[PostgresClusterSpec],
    seen: SeenMember | LostMember,
    memory: Memory,
    now: datetime,
) -> SeenMember | LostMember:
    if isinstance(seen, LostMember):
        return seen
    target = Target(cluster.spec.endpoint, seen.name)
    last = memory.get(target)
    if last is None or not last.holds(cluster, seen, now):
        try:
            deep = await _deep(client, cluster.spec, target, seen)
        except (TransientError, PermanentError) as exc:
            return LostMember(seen.name, str(exc))
        last = Remembered(deep, now, seen.started_at, seen.is_standby, cluster.uid, cluster.generation)
        memory[target] = last
    return replace(seen, deep=last.deep)


async def _deep(client: PostgresClient, spec: PostgresClusterSpec, target: Target, seen: SeenMember) -> Deep:
    return await client.look_deep(
        target,
        settings=tuple(dict.fromkeys((*spec.settings, *_ALWAYS))),
        roles=sorted(named_roles(spec)),
        databases={**dict.fromkeys(spec.absent.databases, NOTHING_ASKED), **spec.databases},
        is_standby=seen.is_standby,
    )


def _passwords(secrets: Secrets, spec: PostgresClusterSpec) -> tuple[Mapping[str, Secret], Mapping[str, str]]:
    """Read the secrets that the spec names; why one cannot be had is a fact, too."""
    known: dict[str, Secret] = {}
    missing: dict[str, str] = {}
    for name in _asked(spec):
        try:
            known[name] = secrets.read(name)
        except PermanentError as exc:
            missing[name] = str(exc)
    return known, missing


def _asked(spec: PostgresClusterSpec) -> Iterable[str]:
    names = {each.password for each in spec.roles.values()}
    names |= {each.password for each in spec.replication.standbys.values()}
    return sorted(each for each in names if each is not None)
