"""A server that a test lets answer badly; it leaves nothing open behind, whatever the client did."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class _Connections:
    """Serves each connection by *handle*, and knows which are open."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._open: dict[asyncio.StreamWriter, asyncio.Event] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = ended = asyncio.Event()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._handle(reader, writer)
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()
        del self._open[writer]
        ended.set()

    async def close(self) -> None:
        """End all connections and wait for what serves them."""
        for writer, ended in tuple(self._open.items()):
            writer.transport.abort()
            await ended.wait()


@contextlib.asynccontextmanager
async def hostile_server(handle: Handle, path: Path | None = None) -> AsyncIterator[str]:
    """Serve at a free loopback port, or at *path*; yield HOST:PORT or the path."""
    connections = _Connections(handle)
    if path is None:
        server = await asyncio.start_server(connections.serve, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    else:
        server, address = await asyncio.start_unix_server(connections.serve, path), str(path)
    try:
        yield address
    finally:
        server.close()
        await connections.close()


class Answering:
    """Answers what ends in *ends* with *first*, then with *endless* for as long as somebody takes it."""

    def __init__(self, first: bytes, endless: bytes, ends: bytes) -> None:
        self._first = first
        self._endless = endless
        self._ends = ends
        self.sent = 0
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(self._ends))
        writer.write(self._first)
        await writer.drain()
        while self._endless:
            writer.write(self._endless)
            await writer.drain()
            self.sent += len(self._endless)


@contextlib.asynccontextmanager
async def answering(first: bytes, endless: bytes, ends: bytes) -> AsyncIterator[tuple[str, Answering]]:
    """Serve so at a free loopback port; yield HOST:PORT and what came and went."""
    found = Answering(first, endless, ends)
    async with hostile_server(found.serve) as address:
        yield address, found
