"""The daemon's HTTP: reads on TCP and on the UNIX socket, changes on the UNIX socket only."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from crds.meta import Key, Mode
from daemon.store.store import CommitError, Store
from daemon.web.answers import Object
from daemon.web.asked import (
    Refusal,
    body_of,
    instant_of,
    is_unix,
    key_of,
    number_of,
    object_of,
    operator_of,
    reason_of,
)
from daemon.web.console import Console, UnknownObjectError
from daemon.web.liveness import LivenessDoor
from daemon.web.stream import Streams
from daemon.web.turns import Turns
from daemon.web.unix_socket import let_go, listen_unix
from daemon.web.wish_routes import WishRoutes
from daemon.web.wishes import ConflictError, Wishes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The routes, over one console."""

    def __init__(
        self,
        console: Console,
        wishes: Wishes,
        store: Store,
        exposition: Callable[[], bytes],
        unhealthy: Callable[[], str | None],
        *,
        more: Iterable[web.RouteDef] = (),
    ) -> None:
        """Let *unhealthy* say why the daemon is not ready, None if it is; *more* are routes of others.

        *exposition* returns all metrics in Prometheus's text format.
        """
        self._console = console
        self._wishes = WishRoutes(wishes, console)
        self._streams = Streams(store, self._shown)
        self._exposition = exposition
        self._unhealthy = unhealthy
        self._more = tuple(more)
        self._turns = Turns()

    def application(self) -> web.Application:
        """Return the application; it serves TCP and the UNIX socket alike."""
        app = web.Application(middlewares=[_errors, self._in_turn])
        app.on_shutdown.append(self._end_streams)
        app.add_routes([
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
            web.get("/api/v1/status", self._status),
            web.get("/api/v1/objects", self._objects),
            web.get("/api/v1/objects/{kind}", self._objects),
            web.get("/api/v1/objects/{kind}/{name}", self._object),
            web.get("/api/v1/events", self._events),
            web.get("/api/v1/stream", self._stream),
            web.post("/api/v1/catch-up", self._catch_up),
            web.post("/api/v1/plan", self._plan),
            web.post("/api/v1/reconcile", self._reconcile),
            web.post("/api/v1/mode", self._mode),
            web.post("/api/v1/suspend", self._suspend),
            web.post("/api/v1/resume", self._resume),
            *self._wishes.routes(),
            *self._more,
        ])  # fmt: skip
        return app

    @web.middleware
    async def _in_turn(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let strangers wait for each other; operators, who may have to roll back, wait for nobody."""
        if not is_unix(request):
            await self._turns.wait()
        return await handler(request)

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        reason = self._unhealthy()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=self._exposition(), headers=headers)

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self._console.status())

    async def _objects(self, request: web.Request) -> web.Response:
        return web.json_response(self._console.objects(request.match_info.get("kind")))

    async def _object(self, request: web.Request) -> web.Response:
        return web.json_response(
            self._console.object(key_of(f"{request.match_info['kind']}/{request.match_info['name']}"))
        )

    async def _events(self, request: web.Request) -> web.Response:
        key = key_of(request.query["object"]) if "object" in request.query else None
        after = number_of(request.query.get("after", "0"))
        limit = min(number_of(request.query.get("limit", "100")), 1000)
        return web.json_response(self._console.events(key, after=after, limit=limit))

    async def _catch_up(self, request: web.Request) -> web.Response:
        operator_of(request)
        await body_of(request)
        return web.json_response(await self._console.catch_up())

    async def _plan(self, request: web.Request) -> web.Response:
        # Nothing is changed, but every real system is asked: strangers shall not make us do that.
        operator_of(request)
        names = (await body_of(request)).get("objects")
        keys = [key_of(str(name)) for name in names] if isinstance(names, list) else None
        return web.json_response({"plans": await self._console.plan(keys)})

    async def _reconcile(self, request: web.Request) -> web.Response:
        actor = operator_of(request)
        await self._console.reconcile(await object_of(request), actor)
        return web.json_response({})

    async def _mode(self, request: web.Request) -> web.Response:
        actor = operator_of(request, admin=True)
        asked = (await body_of(request)).get("mode")
        if asked not in {mode.value for mode in Mode}:
            raise Refusal(400, "BadMode", f"{asked!r} is no mode", "Enforce or Observe")
        await self._console.set_mode(Mode(asked), actor)
        return web.json_response(self._console.status())

    async def _suspend(self, request: web.Request) -> web.Response:
        actor, body = operator_of(request), await body_of(request)
        until = instant_of(body.get("until"))
        await self._console.suspend(await object_of(request), until, reason_of(body), actor)
        return web.json_response({})

    async def _resume(self, request: web.Request) -> web.Response:
        actor = operator_of(request)
        await self._console.resume(await object_of(request), actor)
        return web.json_response({})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        last = request.headers.get("Last-Event-ID")
        return await self._streams.serve(request, None if last is None else number_of(last))

    def _shown(self, key: Key) -> Object | None:
        try:
            return self._console.object(key)
        except UnknownObjectError:
            return None

    async def _end_streams(self, _app: web.Application) -> None:
        self._streams.close()


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals into JSON, and refuse foreign host names: a page in a browser must not read us."""
    try:
        _check_host(request)
        return await handler(request)
    except Refusal as exc:
        return _error(exc.status, exc.code, str(exc), exc.hint)
    except UnknownObjectError as exc:
        return _error(404, "NotFound", str(exc), "psactl get lists what there is")
    except ConflictError as exc:
        return _error(409, exc.code, str(exc), exc.hint)
    except CommitError as exc:
        return _error(503, "StoreBroken", str(exc), "nothing was changed: is the disk full?")
    except web.HTTPException as exc:
        return _error(exc.status, "Http", exc.reason, None)


def _check_host(request: web.Request) -> None:
    """Refuse names other than localhost: one that a stranger's DNS made ours (rebinding) is among them."""
    if not is_unix(request) and not _is_address(_without_port(request.host)):
        raise Refusal(403, "ForeignHost", f"host {request.host!r} is not this machine", "use its IP address")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isdecimal() and ("]" in name or ":" not in name) else host
    return bare.removeprefix("[").removesuffix("]")


def _is_address(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _error(status: int, code: str, message: str, hint: str | None) -> web.Response:
    error = {"code": code, "message": message, "hint": hint}
    return web.json_response({"error": error}, status=status)


@contextlib.asynccontextmanager
async def serving(
    api: Api, path: Path, group: str, listener: socket.socket, stuck_for: Callable[[], float]
) -> AsyncIterator[None]:
    """Serve on both doors while the block runs; *listener* is closed at its end."""
    # A body that nobody wants is heard out for a second only: its sender may be a stranger.
    runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=1.0, lingering_time=1.0)
    await runner.setup()
    server = runner.server
    if server is None:
        raise RuntimeError("the runner has no server after its set-up")
    door = LivenessDoor(listener, asyncio.get_running_loop(), server, stuck_for=stuck_for)
    try:
        await web.SockSite(runner, listen_unix(path, group)).start()
        door.open()
        try:
            yield
        finally:
            let_go(path)
    finally:
        door.close()
        await runner.cleanup()
