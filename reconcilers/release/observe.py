"""Looks at what the phase of a release needs to know. Never raises: no answer is a fact, too."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, cast

from crds.balancer import TrafficSplitSpec
from crds.container import ContainerSpec
from crds.freeze import FREEZE, freeze_at
from crds.gates import Gates
from crds.meta import Key
from crds.postgres import PostgresClusterSpec
from crds.release import Attempt, Member, Phase, ReleaseMemo, ReleaseSpec, ReleaseStatus
from crds.service import VERSION, Color, ServiceSpec, container_key, split_key
from reconcilers.contract import PermanentError, Resource, TransientError, View
from reconcilers.counters import CountedNode
from reconcilers.gauges import Gauges
from reconcilers.hook_runs import HookResult, HookState
from reconcilers.release.client import (
    Balancers,
    Hooks,
    Prober,
    Proxmox,
    Reports,
    ResponseLog,
    probe,
    read_site,
)
from reconcilers.release.model import Preflight, Probe, SeenGate, SeenMember, SeenRelease, Site
from reconcilers.release.phases import ENDED, WATCHED
from reconcilers.release.preparation import hooks_of, run_id
from reconcilers.release.report import report_name
from reconcilers.release.supervision import rule_of
from reconcilers.response_times import Answered
from reconcilers.servers import Node, NodeDown

_COUNTED: Final = WATCHED | {Phase.PRE_CHECK, Phase.DEPLOY_CANDIDATE}
_CANDIDATES: Final = WATCHED | {Phase.HEALTH_CHECK}
#: Beside the candidate, too: what fails for both is no fault of the candidate's.
_STABLES: Final = WATCHED | {Phase.PRE_CHECK, Phase.ROLLED_BACK}
#: How long a cluster may take to tell all; less than a pass, so that the phase's deadline is looked at.
_SITE_S: Final = 8.0
#: How long after its end an attempt is still looked after.
_AFTER: Final = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Outside:
    """All that a release looks at. *clusters* are by the name of their endpoint."""

    balancers: Balancers
    clusters: Mapping[str, Proxmox]
    prober: Prober
    hooks: Hooks
    responses: ResponseLog | None
    """None where no HAProxy sends its log here."""
    reports: Reports
    gauges: Gauges = field(default_factory=Gauges)
    """What data services told last."""


async def observe_release(
    outside: Outside,
    release: Resource[ReleaseSpec],
    view: View,
    *,
    process: str,
    monotonic: float,
    now: datetime,
) -> SeenRelease:
    """Read the store, and outside only what the attempt's phase asks for."""
    status = release.status if isinstance(release.status, ReleaseStatus) else ReleaseStatus()
    attempt = status.attempt
    names = dict.fromkeys((*release.spec.services, *(attempt.members if attempt is not None else ())))
    hooks, unseen_hooks = await _hooks(outside.hooks, release, attempt)
    async with asyncio.TaskGroup() as tasks:
        members = [
            tasks.create_task(_member(outside, release, attempt, _stored(view, name), now)) for name in names
        ]
        preflight = tasks.create_task(_preflight(outside, attempt, view, hooks))
        has_report = tasks.create_task(_has_report(outside.reports, release, attempt))
    return SeenRelease(
        process=process,
        monotonic=monotonic,
        members=tuple(each.result() for each in members),
        hooks=hooks,
        unseen_hooks=unseen_hooks,
        known_hooks=outside.hooks.known,
        intents=view.intents(release.key),
        preflight=preflight.result(),
        freeze=freeze_at(view.value(FREEZE), now),
        has_report=has_report.result(),
        gates=_gates(outside.gauges, release.spec.gates, view),
    )


def _gates(gauges: Gauges, gates: Gates, view: View) -> Mapping[str, SeenGate]:
    found: dict[str, SeenGate] = {}
    for name, gate in gates.asked():
        stored = view.get(gate.key)
        spec = stored.spec if stored is not None else None
        found[name] = SeenGate(
            is_there=stored is not None,
            last=gauges.of(gate.key),
            hour_before=gauges.hour_before(gate.key),
            replicas=tuple(spec.replication.standbys) if isinstance(spec, PostgresClusterSpec) else (),
        )
    return found


def _stored(view: View, name: str) -> SeenMember:
    service, split = view.get(Key("Service", name)), view.get(split_key(name))
    containers = {color: view.get(container_key(name, color)) for color in Color}
    return SeenMember(
        name=name,
        service=cast("Resource[ServiceSpec]", service)
        if service is not None and isinstance(service.spec, ServiceSpec)
        else None,
        containers={
            color: cast("Resource[ContainerSpec]", found)
            for color, found in containers.items()
            if found is not None and isinstance(found.spec, ContainerSpec)
        },
        split=cast("Resource[TrafficSplitSpec]", split)
        if split is not None and isinstance(split.spec, TrafficSplitSpec)
        else None,
    )


async def _member(
    outside: Outside, release: Resource[ReleaseSpec], attempt: Attempt | None, seen: SeenMember, now: datetime
) -> SeenMember:
    member = attempt.members.get(seen.name) if attempt is not None else None
    if attempt is None or member is None or seen.service is None:
        return seen
    counts = attempt.phase in _COUNTED or _is_fresh(attempt, now)
    asks = _asked(attempt, member) if counts or attempt.phase not in ENDED else ()
    async with asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(_counted(outside.balancers, seen.service.spec)) if counts else None
        probing = {color: tasks.create_task(_probed(outside.prober, seen, attempt, color)) for color in asks}
    return replace(
        seen,
        counted=counting.result() if counting is not None else None,
        probes={color: found for color, task in probing.items() if (found := task.result()) is not None},
        answered=_answered(outside.responses, release.spec, attempt, seen.service.spec),
    )


def _is_fresh(attempt: Attempt, now: datetime) -> bool:
    return (
        attempt.phase is Phase.ROLLED_BACK
        and attempt.ended_at is not None
        and now - attempt.ended_at < _AFTER
    )


def _asked(attempt: Attempt, member: Member) -> tuple[Color, ...]:
    """Return the colours whose health endpoints are asked in this phase."""
    colors = []
    if attempt.phase in _CANDIDATES:
        colors.append(member.candidate)
    if attempt.phase in _STABLES and member.stable is not None:
        colors.append(member.stable)
    return tuple(colors)


async def _counted(balancers: Balancers, spec: ServiceSpec) -> tuple[CountedNode | NodeDown, ...] | None:
    if spec.backend is None:
        return None
    try:
        return await balancers.count(spec.backend.endpoint, spec.backend.name)
    except (TransientError, PermanentError):
        return None


async def _probed(prober: Prober, seen: SeenMember, attempt: Attempt, color: Color) -> Probe | None:
    member, service = attempt.members[seen.name], seen.service
    if service is None:
        return None
    version: str | None = attempt.version
    if color is not member.candidate:
        child = seen.containers.get(color)
        version = child.annotations.get(VERSION) if child is not None else member.stable_version
    slot = service.spec.colors[color]
    address = slot.address.partition("/")[0]
    return await probe(prober, address, slot.port, service.spec.health, version or "unknown")


def _answered(
    log: ResponseLog | None, spec: ReleaseSpec, attempt: Attempt, service: ServiceSpec
) -> Mapping[Color, Answered]:
    if log is None or service.backend is None or attempt.phase not in WATCHED:
        return {}
    limits = tuple(each.limit_ms for each in rule_of(spec, 1).slow_limits)
    found = {
        color: log.answers(service.backend.endpoint, service.backend.name, service.server_name(color), limits)
        for color in Color
    }
    return {color: answers for color, answers in found.items() if answers is not None}


async def _hooks(
    hooks: Hooks, release: Resource[ReleaseSpec], attempt: Attempt | None
) -> tuple[Mapping[str, HookResult], str | None]:
    """Look at the runs of the attempt's phase, once it has ended at none; say what stands in the way."""
    if attempt is None or attempt.phase in ENDED:
        return {}, None
    memo = release.memo
    if not isinstance(memo, ReleaseMemo) or memo.attempt != attempt.number:
        memo = ReleaseMemo(attempt=attempt.number)
    found: dict[str, HookResult] = {}
    for hook, service in hooks_of(release.spec, attempt):
        name = run_id(release.key.name, attempt, memo, hook, service)
        try:
            result = await hooks.look(name)
        except TransientError as exc:
            return found, str(exc)
        if result is not None:
            found[name] = result
    return found, None


async def _preflight(
    outside: Outside, attempt: Attempt | None, view: View, hooks: Mapping[str, HookResult]
) -> Preflight | None:
    is_busy = any(run.state is HookState.RUNNING for run in hooks.values())
    if attempt is None or attempt.phase is not Phase.PRE_CHECK or is_busy:
        return None
    stored = [_stored(view, name) for name in attempt.members]
    specs = {seen.name: seen.service.spec for seen in stored if seen.service is not None}
    endpoints = {spec.container.endpoint for spec in specs.values()}
    async with asyncio.TaskGroup() as tasks:
        sites = {name: tasks.create_task(_site(outside, attempt, name, specs)) for name in endpoints}
        nodes = {name: tasks.create_task(_looked(outside.balancers, spec)) for name, spec in specs.items()}
    return Preflight(
        sites={name: task.result() for name, task in sites.items()},
        balancers={name: task.result() for name, task in nodes.items()},
    )


async def _site(outside: Outside, attempt: Attempt, endpoint: str, specs: Mapping[str, ServiceSpec]) -> Site:
    cluster = outside.clusters.get(endpoint)
    if cluster is None:
        return Site(unseen=f"the settings have no Proxmox endpoint {endpoint}")
    here = {name: spec for name, spec in specs.items() if spec.container.endpoint == endpoint}
    nodes = {name: spec.colors[attempt.members[name].candidate].node for name, spec in here.items()}
    templates = [(nodes[name], spec.container.template.partition(":")[0]) for name, spec in here.items()]
    disks = [(nodes[name], spec.container.storage) for name, spec in here.items()]
    try:
        async with asyncio.timeout(_SITE_S):
            return await read_site(cluster, templates, disks)
    except TimeoutError:
        return Site(unseen=f"no answer within {_SITE_S:g} s")


async def _looked(balancers: Balancers, spec: ServiceSpec) -> tuple[Node | NodeDown, ...]:
    if spec.backend is None:
        return ()
    try:
        return await balancers.look(spec.backend.endpoint, spec.backend.name)
    except (TransientError, PermanentError):
        return ()


async def _has_report(reports: Reports, release: Resource[ReleaseSpec], attempt: Attempt | None) -> bool:
    if attempt is None or attempt.phase not in {Phase.ROLLED_BACK, Phase.FAILED}:
        return False
    return await reports.has(report_name(release.key.name, attempt.number))
