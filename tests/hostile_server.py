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
