"""The daemon's HTTP: reads on TCP and on the UNIX socket, changes on the UNIX socket only."""

import asyncio
import contextlib
import grp
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from crds.meta import Key, Mode
from daemon.store.operations import Event
from daemon.store.store import Changed, Store
from daemon.web.answers import Json, event_answer, object_answer
from daemon.web.console import Console, UnknownObjectError
from daemon.web.liveness import LivenessDoor

_PEER: Final = struct.Struct("3i")
_QUEUE: Final = 256
_HEARTBEAT_S: Final = 15.0
_LOCAL_HOSTS: Final = ("localhost", "127.", "[::1]", "::1")

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
        self._store = store
        self._registry = registry
        self._unhealthy = unhealthy

    def application(self) -> web.Application:
        """Return the application; it serves TCP and the UNIX socket alike."""
        app = web.Application(middlewares=[_errors])
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
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        for event in self._missed(request.headers.get("Last-Event-ID")):
            await response.write(_event_frame(event))
        with contextlib.suppress(ConnectionResetError):
            async with self._following() as frames:
                while True:
                    await response.write(await _next_frame(frames))
        return response

    def _missed(self, last: str | None) -> tuple[Event, ...]:
        """Return what happened since the event that the reader saw last; a new reader has missed nothing."""
        return () if last is None else self._store.events(None, after=_number(last), limit=1000)

    @contextlib.asynccontextmanager
    async def _following(self) -> AsyncIterator["asyncio.Queue[bytes]"]:
        """Follow the store's commits; a reader that is too slow loses the connection."""
        frames: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)

        def heard(changes: Sequence[Changed], events: Sequence[Event]) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                for change in changes:
                    if change.after is not None:
                        answer = object_answer(change.after, self._store.state.children(change.key))
                        frames.put_nowait(_frame("object", answer))
                for event in events:
                    frames.put_nowait(_event_frame(event))

        stop = self._store.listen(heard)
        try:
            yield frames
        finally:
            stop()


async def _next_frame(frames: "asyncio.Queue[bytes]") -> bytes:
    if frames.full():
        raise ConnectionResetError
    try:
        async with asyncio.timeout(_HEARTBEAT_S):
            return await frames.get()
    except TimeoutError:
        return b": still here\n\n"


def _frame(name: str, answer: Json, number: int | None = None) -> bytes:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: {json.dumps(answer)}\n\n".encode()


def _event_frame(event: Event) -> bytes:
    return _frame("event", event_answer(event), event.id)


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
    except web.HTTPException as exc:
        return _error(exc.status, "Http", exc.reason, None)


def _check_host(request: web.Request) -> None:
    if not _is_unix(request) and not request.host.startswith(_LOCAL_HOSTS):
        raise Refusal(403, "ForeignHost", f"host {request.host!r} is not this machine")


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
    _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if admin and uid not in {0, os.geteuid()}:
        raise Refusal(403, "NotAdmin", f"uid {uid} may not do this", "root and the daemon's user may")
    return f"uid {uid}"


async def _body(request: web.Request) -> dict[str, Json]:
    try:
        body = await request.json() if request.body_exists else {}
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
    if not text.isdecimal():
        raise Refusal(400, "BadNumber", f"{text!r} is no number")
    return int(text)


def _instant(text: Json) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise Refusal(400, "BadTime", f"{text!r} is no time", "such as 2026-11-24T18:00:00Z") from None
    return found.astimezone(UTC)


async def listen_unix(runner: web.AppRunner, path: Path, group: str) -> None:
    """Serve on the UNIX socket: 0660, of *group* if the machine has it; OSError if somebody answers there."""
    _make_way(path)
    before = os.umask(0o117)
    try:
        await web.UnixSite(runner, str(path)).start()
    finally:
        os.umask(before)
    with contextlib.suppress(KeyError, PermissionError):
        os.chown(path, -1, grp.getgrnam(group).gr_gid)


def _make_way(path: Path) -> None:
    """Make the socket's folder, and remove a socket that a dead daemon left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise OSError(f"{path}: another daemon answers there")


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
        await listen_unix(runner, path, group)
        door.open()
        yield
    finally:
        door.close()
        await runner.cleanup()
