"""The daemon's HTTP: reads on TCP and on the UNIX socket, changes on the UNIX socket only."""

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from crds.meta import Key, Mode
from daemon.store.store import CommitError, Store
from daemon.web.answers import Json, Object
from daemon.web.console import Console, UnknownObjectError
from daemon.web.liveness import LivenessDoor
from daemon.web.stream import Streams
from daemon.web.unix_socket import let_go, listen_unix, peer_uid

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """What is asked is not done; *status* is HTTP's, *code* one CamelCase word."""

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.hint = hint


class Api:
    """The routes, over one console."""

    def __init__(
        self, console: Console, store: Store, registry: CollectorRegistry, unhealthy: Callable[[], str | None]
    ) -> None:
        """Let *unhealthy* say why the daemon is not ready, None if it is."""
        self._console = console
        self._streams = Streams(store, self._shown)
        self._registry = registry
        self._unhealthy = unhealthy

    def application(self) -> web.Application:
        """Return the application; it serves TCP and the UNIX socket alike."""
        app = web.Application(middlewares=[_errors])
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
        ])  # fmt: skip
        return app

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        reason = self._unhealthy()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(self._registry), headers=headers)

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self._console.status())

    async def _objects(self, request: web.Request) -> web.Response:
        return web.json_response(self._console.objects(request.match_info.get("kind")))

    async def _object(self, request: web.Request) -> web.Response:
        return web.json_response(
            self._console.object(_key(f"{request.match_info['kind']}/{request.match_info['name']}"))
        )

    async def _events(self, request: web.Request) -> web.Response:
        key = _key(request.query["object"]) if "object" in request.query else None
        after = _number(request.query.get("after", "0"))
        limit = min(_number(request.query.get("limit", "100")), 1000)
        return web.json_response(self._console.events(key, after=after, limit=limit))

    async def _catch_up(self, request: web.Request) -> web.Response:
        await _body(request)
        return web.json_response(await self._console.catch_up())

    async def _plan(self, request: web.Request) -> web.Response:
        names = (await _body(request)).get("objects")
        keys = [_key(str(name)) for name in names] if isinstance(names, list) else None
        return web.json_response({"plans": await self._console.plan(keys)})

    async def _reconcile(self, request: web.Request) -> web.Response:
        actor = _operator(request)
        await self._console.reconcile(await _object_of(request), actor)
        return web.json_response({})

    async def _mode(self, request: web.Request) -> web.Response:
        actor = _operator(request, admin=True)
        asked = (await _body(request)).get("mode")
        if asked not in {mode.value for mode in Mode}:
            raise Refusal(400, "BadMode", f"{asked!r} is no mode", "Enforce or Observe")
        await self._console.set_mode(Mode(asked), actor)
        return web.json_response(self._console.status())

    async def _suspend(self, request: web.Request) -> web.Response:
        actor, body = _operator(request), await _body(request)
        until = _instant(body.get("until"))
        reason = str(body.get("reason") or "no reason given")
        await self._console.suspend(await _object_of(request), until, reason, actor)
        return web.json_response({})

    async def _resume(self, request: web.Request) -> web.Response:
        actor = _operator(request)
        await self._console.resume(await _object_of(request), actor)
        return web.json_response({})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        last = request.headers.get("Last-Event-ID")
        return await self._streams.serve(request, None if last is None else _number(last))

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
    except CommitError as exc:
        return _error(503, "StoreBroken", str(exc), "nothing was changed: is the disk full?")
    except web.HTTPException as exc:
        return _error(exc.status, "Http", exc.reason, None)


def _check_host(request: web.Request) -> None:
    """Refuse names other than localhost: one that a stranger's DNS made ours (rebinding) is among them."""
    if not _is_unix(request) and not _is_address(_without_port(request.host)):
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


def _connection(request: web.Request) -> socket.socket | None:
    found: socket.socket | None = request.transport.get_extra_info("socket") if request.transport else None
    return found


def _is_unix(request: web.Request) -> bool:
    connection = _connection(request)
    return connection is not None and connection.family == socket.AF_UNIX


def _operator(request: web.Request, *, admin: bool = False) -> str:
    """Return who asks, by the kernel's word; refuse TCP, and where *admin* is needed all but root and us."""
    connection = _connection(request)
    if connection is None or not _is_unix(request):
        raise Refusal(403, "ReadOnly", "TCP only reads", "use psactl on the machine itself")
    uid = peer_uid(connection)
    if admin and uid not in {0, os.geteuid()}:
        raise Refusal(403, "NotAdmin", f"uid {uid} may not do this", "root and the daemon's user may")
    return f"uid {uid}"


async def _body(request: web.Request) -> dict[str, Json]:
    if request.content_type != "application/json":
        # A page of another site can post text to us, but no JSON.
        raise Refusal(400, "BadJson", "the body is no JSON", "Content-Type: application/json")
    try:
        body = await request.json()
    except ValueError:
        raise Refusal(400, "BadJson", "the body is no JSON") from None
    if not isinstance(body, dict):
        raise Refusal(400, "BadJson", "the body is no JSON object")
    return body


async def _object_of(request: web.Request) -> Key:
    return _key(str((await _body(request)).get("object", "")))


def _key(text: str) -> Key:
    try:
        return Key.parse(text)
    except ValueError as exc:
        raise Refusal(400, "BadName", str(exc)) from None


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refusal(400, "BadNumber", f"{text!r} is no number")
    return int(text)


def _instant(text: Json) -> datetime | None:
    if text is None:
        return None
    hint = "such as 2026-11-24T18:00:00Z"
    try:
        found = datetime.fromisoformat(str(text))
        if found.tzinfo is None:
            raise Refusal(400, "BadTime", f"{text!r} has no time zone", hint)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refusal(400, "BadTime", f"{text!r} is no time", hint) from None


@contextlib.asynccontextmanager
async def serving(
    api: Api, path: Path, group: str, listener: socket.socket, stuck_for: Callable[[], float]
) -> AsyncIterator[None]:
    """Serve on both doors while the block runs; *listener* is closed at its end."""
    runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=1.0)
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
