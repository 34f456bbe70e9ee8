"""Looks at a service's children, and at its servers in HAProxy."""

from crds.balancer import TrafficSplitSpec
from crds.container import ContainerSpec
from crds.meta import ConditionType, Truth
from crds.service import VERSION, BackendRef, Color, ServiceSpec, container_key, split_key
from reconcilers.contract import AnyResource, PermanentError, Resource, TransientError, View
from reconcilers.servers import Health, NodeDown, Server
from reconcilers.service.client import ServiceClient
from reconcilers.service.model import Evidence, SeenServer, SeenServers, SeenService, SlotChild, SplitChild


async def observe_service(client: ServiceClient, service: Resource[ServiceSpec], view: View) -> SeenService:
    """Read the store, and HAProxy if the service has a backend. Never raises: no answer is a fact, too."""
    children = {child.key: child for child in view.children(service.key)}
    name, backend = service.key.name, service.spec.backend
    slots = {}
    for color in Color:
        found = children.get(container_key(name, color))
        if found is not None and isinstance(found.spec, ContainerSpec):
            slots[color] = _slot(service, found, found.spec)
    split = children.get(split_key(name))
    return SeenService(
        slots=slots,
        split=_split(service, split, split.spec)
        if split is not None and isinstance(split.spec, TrafficSplitSpec)
        else None,
        servers=await _servers(client, service.spec, backend) if backend is not None else None,
    )


async def _servers(client: ServiceClient, spec: ServiceSpec, backend: BackendRef) -> SeenServers:
    try:
        nodes = await client.look(backend.endpoint, backend.name)
    except TransientError as exc:
        return SeenServers({}, away=(str(exc),))
    except PermanentError as exc:
        return SeenServers({}, missing=(str(exc),))
    servers: dict[Color, tuple[SeenServer, ...]] = dict.fromkeys(Color, ())
    missing, away = [], []
    for node in nodes:
        if isinstance(node, NodeDown):
            away.append(f"{node.name}: {node.reason}")
            continue
        found = node.find(backend.name)
        if found is None:
            missing.append(f"{node.name} has no backend {backend.name}")
            continue
        for color in Color:
            server = found.find(spec.server_name(color))
            if server is None:
                missing.append(f"{node.name} has no server {backend.name}/{spec.server_name(color)}")
                continue
            servers[color] += (SeenServer(node.name, server.address, _evidence(server)),)
    return SeenServers(servers, tuple(missing), tuple(away))


def _evidence(server: Server) -> Evidence:
    if not server.takes_traffic:
        return Evidence.IDLE
    return Evidence.UNDECIDED if server.health is Health.DOUBTFUL else Evidence.LIVE


def _slot(service: Resource[ServiceSpec], child: AnyResource, spec: ContainerSpec) -> SlotChild:
    return SlotChild(
        is_ready=child.is_ready(),
        says=_says(child, ConditionType.READY),
        annotations=child.annotations,
        is_current=_is_current(service, child),
        spec=spec,
        version=child.annotations.get(VERSION),
    )


def _is_current(service: Resource[ServiceSpec], child: AnyResource) -> bool:
    """Whether the engine would change nothing of it, if it were declared with the spec that it has."""
    lines = service.spec.child_lines(child.key, service.lines)
    same_place = (child.origin, child.lines) == (service.origin, lines)
    return same_place and child.labels == service.labels and child.orphaned_since is None


def _split(service: Resource[ServiceSpec], child: AnyResource, spec: TrafficSplitSpec) -> SplitChild:
    degraded = child.condition(ConditionType.DEGRADED)
    is_degraded = degraded is not None and degraded.status is Truth.TRUE
    kind = ConditionType.READY if not child.is_ready() else ConditionType.DEGRADED
    return SplitChild(
        is_ready=child.is_ready(),
        says=_says(child, kind),
        is_degraded=is_degraded,
        annotations=child.annotations,
        is_current=_is_current(service, child),
        spec=spec,
    )


def _says(child: AnyResource, kind: ConditionType) -> str:
    """Return the reason of a condition; its message may move by itself."""
    found = child.condition(kind)
    if found is None or child.observed_generation != child.generation:
        return "not looked at yet"
    return found.reason
