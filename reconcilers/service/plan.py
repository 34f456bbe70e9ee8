"""What a service declares, and when it is Ready: pure. It changes nothing outside itself."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from crds.balancer import ServerShare, ServerState
from crds.meta import ConditionType, Truth
from crds.service import (
    LIVE,
    VERSION,
    BackendRef,
    Color,
    ServiceSpec,
    ServiceStatus,
    container_annotations,
    container_key,
    share_of,
    split_annotations,
    split_key,
)
from reconcilers.contract import Declare, Note, Plan, Resource, Verdict
from reconcilers.service.model import (
    LONGEST_NAME,
    Evidence,
    NoAction,
    SeenServers,
    SeenService,
    SlotChild,
    SplitChild,
)

_SOON: Final = timedelta(seconds=1)
"""How soon to look again while it is not known who is live."""
_WHOLE: Final = 100


@dataclass(frozen=True, slots=True)
class _Live:
    """Which colour has the traffic; None while nobody can say, or while it is shared equally.

    ``carrying`` are all colours with a part of it. ``is_found``: seen in HAProxy for the first time.
    """

    color: Color | None = None
    carrying: tuple[Color, ...] = ()
    is_found: bool = False
    waiting: str | None = None
    blocked: tuple[str, str] | None = None
    nobody: str | None = None


def plan_service(service: Resource[ServiceSpec], seen: SeenService, _now: datetime) -> Plan[NoAction]:
    """Declare both colours' containers, as far as there is a version for them, and the split."""
    if len(service.key.name) > LONGEST_NAME:
        length = len(service.key.name)
        text = f"the name has {length} characters; NAME-green is a host name, so {LONGEST_NAME} is all"
        return Plan(blocked=("NameTooLong", text))
    live = _live(service.spec, seen)
    containers = {color: found for color in Color if (found := _container(service, seen, live, color))}
    split = _split(service, seen, live)
    versions = {
        color.value: each.annotations[VERSION]
        for color, each in containers.items()
        if VERSION in each.annotations
    }
    return Plan(
        writes=(*_declared(seen, containers, split), *_notes(service.spec, live)),
        verdicts=tuple(_verdicts(service, seen, live, containers, split)),
        status=ServiceStatus(live=live.color.value if live.color else None, versions=versions),
        recheck_after=_SOON if live.waiting or live.blocked or live.nobody else None,
        waiting=live.waiting,
        blocked=live.blocked,
    )


def _live(spec: ServiceSpec, seen: SeenService) -> _Live:
    """Say who is live: the split if there is one, else what HAProxy shows, else what is asked for."""
    if spec.backend is None:
        return _promoted(spec, seen.slots)
    if seen.split is not None:
        parts = {color: share_of(seen.split.spec, color).part for color in Color}
        top = max(parts.values())
        leaders = [color for color, part in parts.items() if part == top]
        carrying = tuple(color for color, part in parts.items() if part > 0)
        return _Live(leaders[0] if len(leaders) == 1 else None, carrying)
    servers = seen.servers or SeenServers({}, away=("not looked at",))
    return _first_live(spec, spec.backend, servers, _candidates(seen.slots))


def _promoted(spec: ServiceSpec, slots: Mapping[Color, SlotChild]) -> _Live:
    """Say who is live behind the entry: what the last promotion wrote, else the initial colour."""
    live = tuple(color for color in Color if color in slots and slots[color].annotations.get(LIVE) == "true")
    if live:
        return _Live(live[0] if len(live) == 1 else None, live)
    if spec.initial is not None:
        return _Live(spec.initial.color, (spec.initial.color,))
    return _Live(nobody="there is no backend, no release, and `initial` is not given")


def _candidates(slots: Mapping[Color, SlotChild]) -> tuple[Color, ...]:
    """Return the colours that a release made: without a split, none of them was promoted yet."""
    return tuple(color for color in Color if color in slots and slots[color].spec.incarnation is not None)


def _first_live(
    spec: ServiceSpec, backend: BackendRef, seen: SeenServers, candidates: Collection[Color]
) -> _Live:
    """Decide what the record begins with; neither what is not known decides it, nor a release's candidate."""
    if seen.missing:
        return _Live(blocked=("UnknownServer", "; ".join(seen.missing)))
    if seen.away:
        return _Live(waiting=f"who is live cannot be known: {'; '.join(seen.away)}")
    evidence = {color: {server.evidence for server in seen.servers[color]} for color in Color}
    live = [color for color in Color if Evidence.LIVE in evidence[color] and color not in candidates]
    if len(live) == len(Color):
        idle = f"`set server {backend.name}/{spec.server_name(Color.GREEN)} state maint`"
        text = f"both colours have traffic in {backend.name}: close the idle one by hand, such as {idle}"
        return _Live(blocked=("BothLive", text))
    undecided = [color for color in Color if color not in live and Evidence.UNDECIDED in evidence[color]]
    if undecided:
        names = " and ".join(f"{backend.name}/{spec.server_name(color)}" for color in undecided)
        return _Live(waiting=f"HAProxy has not checked {names} yet")
    color = live[0] if live else spec.initial.color if spec.initial is not None else None
    if color is not None:
        return _Live(color, (color,), is_found=bool(live))
    return _Live(nobody=f"nobody has traffic in {backend.name}, and `initial` is not given")


def _container(
    service: Resource[ServiceSpec], seen: SeenService, live: _Live, color: Color
) -> Declare | None:
    """Keep a slot that has a container; make the initial one's where the traffic does not contradict it."""
    name, child, initial = service.key.name, seen.slots.get(color), service.spec.initial
    if child is not None:
        return _kept(service, child, color)
    if initial is None or color is not initial.color or color is not live.color:
        return None
    spec = service.spec.container_spec(name, color, initial.version)
    annotations = container_annotations(name, color, initial.version)
    return Declare(container_key(name, color), spec, service.labels, annotations)


def _kept(service: Resource[ServiceSpec], child: SlotChild, color: Color) -> Declare:
    """Follow the service's file in a slot that exists; what a release wrote stays."""
    name, made = service.key.name, child.spec
    key = container_key(name, color)
    if child.version is None:
        return Declare(key, made, service.labels, child.annotations)
    spec = service.spec.container_spec(
        name, color, child.version, incarnation=made.incarnation, replace=made.replace, restart=made.restart
    )
    annotations = {**child.annotations, **container_annotations(name, color, child.version)}
    return Declare(key, spec, service.labels, annotations)


def _split(service: Resource[ServiceSpec], seen: SeenService, live: _Live) -> Declare | None:
    """Keep the record's weights and follow the spec's names; without a record the live colour has all."""
    spec = service.spec
    if spec.backend is None or (seen.split is None and live.color is None):
        return None
    name, before = service.key.name, seen.split
    blue, green = (_kept_or_first(spec, seen, live, color) for color in Color)
    split = spec.split_spec(name, blue, green, before.spec.override if before is not None else None)
    annotations = {**(before.annotations if before is not None else {}), **split_annotations(name)}
    return Declare(split_key(name), split, service.labels, annotations)


def _declared(
    seen: SeenService, containers: Mapping[Color, Declare], split: Declare | None
) -> tuple[Declare, ...]:
    """Return all children, or nothing if each is as it shall be.

    What was seen may be old when it is written: declaring the split's weights again for no reason would undo
    what a release has written in between.
    """
    pairs = [(seen.slots.get(color), containers.get(color)) for color in Color] + [(seen.split, split)]
    if all(_is_same(child, declare) for child, declare in pairs):
        return ()
    return tuple(declare for _, declare in pairs if declare is not None)


def _is_same(child: SlotChild | SplitChild | None, declare: Declare | None) -> bool:
    if child is None or declare is None:
        return child is None and declare is None
    return child.is_current and (child.spec, child.annotations) == (declare.spec, declare.annotations)


def _kept_or_first(spec: ServiceSpec, seen: SeenService, live: _Live, color: Color) -> ServerShare:
    server = spec.server_name(color)
    if seen.split is not None:
        return share_of(seen.split.spec, color).model_copy(update={"server": server})
    if color is live.color:
        return ServerShare(server=server, weight=_WHOLE, state=ServerState.READY)
    return ServerShare(server=server, weight=0, state=ServerState.MAINT)


def _notes(spec: ServiceSpec, live: _Live) -> Iterable[Note]:
    if not live.is_found or live.color is None or spec.backend is None:
        return
    text = f"{live.color.value} has the traffic in {spec.backend.name} already: it stays live"
    if spec.initial is not None and spec.initial.color is not live.color:
        text += f", although initial says {spec.initial.color.value}"
    yield Note("LiveColorFound", text)


def _verdicts(
    service: Resource[ServiceSpec],
    seen: SeenService,
    live: _Live,
    containers: Mapping[Color, Declare],
    split: Declare | None,
) -> Iterable[Verdict]:
    not_ready = _not_ready(service, seen, live, containers, split)
    unfollowed = _unfollowed(service.spec, seen.slots)
    if not_ready is not None:
        yield Verdict(ConditionType.READY, Truth.FALSE, *not_ready)
    elif unfollowed is not None and live.blocked is None and live.waiting is None:
        yield Verdict(ConditionType.READY, Truth.TRUE, "AsAsked", unfollowed)
    trouble = [*_wrong_addresses(service.spec, seen.servers)]
    if seen.split is not None and seen.split.is_degraded:
        trouble.append(("SplitDegraded", f"TrafficSplit/{service.key.name}: {seen.split.says}"))
    if trouble:
        text = "; ".join(message for _, message in trouble)
        yield Verdict(ConditionType.DEGRADED, Truth.TRUE, trouble[0][0], text)
    else:
        yield Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole")


def _not_ready(
    service: Resource[ServiceSpec],
    seen: SeenService,
    live: _Live,
    containers: Mapping[Color, Declare],
    split: Declare | None,
) -> tuple[str, str] | None:
    """Return why the service is not Ready, None if only waiting or a block can tell."""
    if live.nobody is not None:
        return "NoLiveColor", live.nobody
    for color in live.carrying:
        key, child = container_key(service.key.name, color), seen.slots.get(color)
        if color not in containers:
            hint = f"initial: {{color: {color.value}, version: …}}"
            return (
                "VersionUnknown",
                f"{color.value} has the traffic, but no version of it is known: give {hint}",
            )
        says = _says(child, containers[color])
        if says is not None:
            return "ContainerNotReady", f"{key}: {says}"
    says = _says(seen.split, split)
    if service.spec.backend is not None and live.carrying and says is not None:
        return "SplitNotReady", f"TrafficSplit/{service.key.name}: {says}"
    return None


def _says(child: SlotChild | SplitChild | None, declare: Declare | None) -> str | None:
    """Return why a child is not as this very plan asks for it, None if it is."""
    if child is None or (declare is not None and child.spec != declare.spec):
        return "not looked at yet"
    return None if child.is_ready else child.says


def _unfollowed(spec: ServiceSpec, slots: Mapping[Color, SlotChild]) -> str | None:
    """Say that ``initial`` is no way to deploy: a slot keeps the version that it began with."""
    if spec.initial is None or spec.initial.color not in slots:
        return None
    runs = slots[spec.initial.color].version
    if runs is None or runs == spec.initial.version:
        return None
    color = spec.initial.color.value
    return f"initial.version {spec.initial.version} is not followed: {color} has {runs} already"


def _wrong_addresses(spec: ServiceSpec, seen: SeenServers | None) -> Iterable[tuple[str, str]]:
    for color, servers in seen.servers.items() if seen is not None and spec.backend is not None else ():
        slot = spec.colors[color]
        asked = f"{slot.address.split('/')[0]}:{slot.port}"
        for server in servers:
            if server.address != asked:
                name = f"{spec.backend.name if spec.backend else ''}/{spec.server_name(color)}"
                found = server.address or "no IP address"
                text = f"{name} on {server.node} goes to {found}, but {color.value} listens at {asked}"
                yield "AddressDiffers", text
