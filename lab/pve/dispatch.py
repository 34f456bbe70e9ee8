"""From a request to its answer: faults, log-in, route, permission, node, parameters, function."""

from dataclasses import replace
from typing import Final

from lab.pve import access, identity, schema, work
from lab.pve.access import Identity
from lab.pve.call import Call
from lab.pve.faults import (
    DaemonGone,
    DropReply,
    Faults,
    Garbled,
    NodeBlackhole,
    NodeDown,
    PmxcfsDown,
    ProxyGone,
    Slow,
    Status,
)
from lab.pve.message import ApiError, Json, Outcome, Request, Response, died
from lab.pve.routes import ROUTES
from lab.pve.schema import Route
from lab.pve.state import World

REFUSED: Final = Response(0, "connection refused", None, outcome=Outcome.REFUSED)
NO_ROUTE_S: Final = 3.0
TIMED_OUT_S: Final = 30.0
PMXCFS: Final = "RPCEnvironment init request failed: Unable to load access control list: Connection refused"


def answer(world: World, faults: Faults, request: Request, now: float) -> Response:
    """Answer one request, with the faults that strike it."""
    node = world.nodes.get(request.via_node)
    if node is None or node.down_since is not None:
        return REFUSED
    gone = faults.of_node(node.name)
    if gone is not None and isinstance(gone.fault, NodeBlackhole | ProxyGone):
        unheard = Response(0, "", None, world.seconds(TIMED_OUT_S), Outcome.LOST)
        return REFUSED if isinstance(gone.fault, ProxyGone) else unheard
    striking = faults.of_request(request)
    delay_s = sum(world.seconds(fault.seconds) for fault in striking if isinstance(fault, Slow))
    instead = next((fault for fault in striking if not isinstance(fault, Slow)), None)
    match instead:
        case Status(applied=False) | DropReply(applied=False):
            response = _struck(world, instead)
        case Status() | DropReply() | Garbled():
            _plain(world, faults, request, now)
            response = _struck(world, instead)
        case _:
            response = _plain(world, faults, request, now)
    return replace(response, delay_s=response.delay_s + delay_s)


def _struck(world: World, fault: Status | DropReply | Garbled) -> Response:
    match fault:
        case DropReply():
            return Response(0, "", None, outcome=Outcome.LOST)
        case Garbled(text=text):
            return Response(200, "OK", None, raw=text)
        case Status(status=401, reason=reason):
            return identity.unauthorized(reason, world).response()
        case Status(status=status, reason=reason):
            bodiless = status >= 590  # noqa: PLR2004 - pveproxy's own codes have no body
            return ApiError(status, reason, empty=bodiless).response()


def _plain(world: World, faults: Faults, request: Request, now: float) -> Response:
    try:
        return _answer(world, faults, request, now)
    except ApiError as error:
        return error.response()


def _answer(world: World, faults: Faults, request: Request, now: float) -> Response:
    _check_pmxcfs(faults, request.via_node)
    if request.method == "HEAD":
        raise ApiError(501, "method 'HEAD' not available", empty=True)
    route = schema.match(world.version, request.method, request.path)
    free = route is not None and route.method.world and not request.auth.authorization
    who = Identity("") if free else identity.authenticate(world, request.auth, request.method, now)
    if route is None or (request.method, route.template) not in ROUTES:
        raise ApiError(501, f"Method '{request.method} {request.path}' not implemented")
    _check_permission(world, who, route, request)
    if route.method.node:
        _reach_node(world, faults, route, request)
    params = schema.verify(route, request.params)
    node = route.path_params.get("node", request.via_node)
    call = Call(world, params, who, now, node, request.via_node)
    before = len(world.tasks)
    data = ROUTES[request.method, route.template](call)
    for task in world.tasks[before:]:
        faults.strike_task(task, world.time_scale)
        work.begin(world, task, now)
    body: dict[str, Json] = {"data": data} | ({} if call.total is None else {"total": call.total})
    return Response(200, "OK", body, call.delay_s)


def _check_permission(world: World, who: Identity, route: Route, request: Request) -> None:
    if who.token and not route.method.allowtoken:
        detail = f"URI '{request.path}' not available with API token, need proper ticket."
        raise ApiError(403, f"Permission check failed ({detail}\n)")
    if route.method.check is not None and not who.is_root:
        given = {name: schema.as_text(value) for name, value in request.params.items()}
        access.check(world, who, route.method.check, given | dict(route.path_params))


def _check_pmxcfs(faults: Faults, node: str) -> None:
    active = faults.of_node(node)
    if active is not None and isinstance(active.fault, PmxcfsDown):
        raise ApiError(500, PMXCFS, empty=True)


def _reach_node(world: World, faults: Faults, route: Route, request: Request) -> None:
    """Proxy to the node of the path, which may be gone in many ways.

    Raises: ApiError 500, 595 or 596.
    """
    name = route.path_params["node"]
    if name not in world.nodes:
        lookup = f"failed to get address info for: {name}: Name or service not known"
        raise died(f"hostname lookup '{name}' failed - {lookup}")
    active = faults.of_node(name)
    remote = name != request.via_node
    match active.fault if active is not None else None:
        case NodeDown() if remote:
            raise ApiError(595, "No route to host", empty=True, delay_s=world.seconds(NO_ROUTE_S))
        case NodeBlackhole() if remote:
            raise ApiError(595, "Connection timed out", empty=True, delay_s=world.seconds(TIMED_OUT_S))
        case ProxyGone() if remote and active is not None:
            faults.struck(active)
            raise ApiError(596, "Connection reset by peer", empty=True)
        case DaemonGone() if route.method.protected:
            raise ApiError(595, "Connection refused", empty=True)
        case PmxcfsDown() if remote:
            raise ApiError(500, PMXCFS, empty=True)
        case _:
            return
