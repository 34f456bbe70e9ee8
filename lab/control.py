"""Control sockets: one small JSON request a connection over a UNIX socket, both ends of it."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

Route = Callable[[object], Awaitable[object]]
_LIMIT: Final = 1 << 20


class ControlError(Exception):
    """The other end is not there, refused, or answered nonsense."""


async def call(
    socket: Path, method: str, path: str, body: object = None, *, timeout_s: float = 5.0
) -> object:
    """Send one request, return the answer (decoded if it is JSON); ControlError if it is not 200."""
    try:
        async with asyncio.timeout(timeout_s):
            status, payload = await _exchange(socket, method, path, body)
    except TimeoutError as exc:
        raise ControlError(f"{method} {path} on {socket}: no answer within {timeout_s:g} s") from exc
    except (OSError, asyncio.IncompleteReadError) as exc:
        raise ControlError(f"{method} {path} on {socket}: {exc}") from exc
    if status != 200:  # noqa: PLR2004 - OK
        raise ControlError(f"{method} {path}: {status} {payload.decode(errors='replace').strip()}")
    return _decoded(payload)


def _decoded(payload: bytes) -> object:
    """Return JSON as what it says, anything else as text."""
    try:
        answer: object = json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")
    return answer


def call_now(socket: Path, method: str, path: str, body: object = None, *, timeout_s: float = 5.0) -> object:
    """Do the same outside of an event loop."""
    return asyncio.run(call(socket, method, path, body, timeout_s=timeout_s))


async def _exchange(socket: Path, method: str, path: str, body: object) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_unix_connection(socket, limit=_LIMIT)
    try:
        content = b"" if body is None else json.dumps(body).encode()
        # 1.0: the answer ends with the connection, never chunked.
        head = (
            f"{method} {path} HTTP/1.0\r\nHost: lab\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        answer = await reader.readuntil(b"\r\n\r\n")
        return int(answer.split(b" ", 2)[1]), await reader.read(-1)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def serve(socket: Path, routes: Mapping[tuple[str, str], Route]) -> asyncio.Server:
    """Serve *routes* (by method and path); each gets the decoded body, ValueError becomes 400."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                writer.write(await _answer(reader, routes))
                await writer.drain()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away, or does not speak HTTP
        finally:
            writer.close()

    return await asyncio.start_unix_server(converse, socket, limit=_LIMIT)


async def _answer(reader: asyncio.StreamReader, routes: Mapping[tuple[str, str], Route]) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
    fields = dict(line.lower().split(":", 1) for line in head.split("\r\n")[1:] if ":" in line)
    content = await reader.readexactly(min(int(fields.get("content-length", "0")), _LIMIT))
    route = routes.get((method, target))
    if route is None:
        known = ", ".join(" ".join(pair) for pair in routes)
        return _response("404 Not Found", {"error": f"nothing at {method} {target}; there is {known}"})
    try:
        return _response("200 OK", await route(json.loads(content) if content else None))
    except ValueError as exc:
        return _response("400 Bad Request", {"error": str(exc)})


def _response(status: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content
