"""A small HTTP server that answers as a test wants it to, and a client that tells what a user saw."""

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import AsyncIterator
from typing import Final

from tests.hostile_server import hostile_server

_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_BODY_TO_COME: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nok"
#: Answers the key of RFC 6455 (1.3); HAProxy compares.
_SWITCH: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class Manner(enum.Enum):
    """How a request is met."""

    WHOLE = "whole"
    NOT_FOUND = "404"
    UNAVAILABLE = "503"
    EARLY_HINTS = "103, then 200"
    SLOW_BODY = "slow body"
    CLOSE = "closes"
    RESET = "resets"
    GARBAGE = "garbage"
    HANG = "hangs"
    HALF_BODY = "half a body, then closes"
    STUCK_BODY = "half a body, then nothing"
    UPGRADE = "101, and talks until the client goes"
    UPGRADE_CLOSE = "101, and closes"
    UPGRADE_RESET = "101, and resets"


class FaultyServer:
    """Answers every request in the manner that is set; health checks are nothing to it."""

    def __init__(self) -> None:
        self.address = ""
        self.manner = Manner.WHOLE

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer all requests of a connection."""
        while await reader.readuntil(b"\r\n\r\n"):
            if not await self._answer(reader, writer):
                break

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays for another one."""
        writer.write(_BEGINNINGS.get(self.manner, b""))
        await writer.drain()
        match self.manner:
            case Manner.WHOLE | Manner.NOT_FOUND | Manner.UNAVAILABLE | Manner.EARLY_HINTS:
                return True
            case Manner.SLOW_BODY:
                await asyncio.sleep(0.1)
                writer.write(b"ok")
                return True
            case Manner.HANG | Manner.STUCK_BODY | Manner.UPGRADE:
                await reader.read()
            case Manner.HALF_BODY | Manner.UPGRADE_CLOSE:
                await asyncio.sleep(0.05)
            case Manner.RESET:
                reset(writer)
            case Manner.UPGRADE_RESET:
                await asyncio.sleep(0.05)
                reset(writer)
            case Manner.CLOSE | Manner.GARBAGE:
                pass
        return False


_BEGINNINGS: Final = {
    Manner.WHOLE: _OK,
    Manner.NOT_FOUND: b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    Manner.UNAVAILABLE: b"HTTP/1.1 503 Unavailable\r\nContent-Length: 2\r\n\r\nno",
    Manner.EARLY_HINTS: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + _OK,
    Manner.SLOW_BODY: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    Manner.GARBAGE: b"\x00\xff no HTTP at all\r\n\r\n",
    Manner.HALF_BODY: _BODY_TO_COME,
    Manner.STUCK_BODY: _BODY_TO_COME,
    Manner.UPGRADE: _SWITCH,
    Manner.UPGRADE_CLOSE: _SWITCH,
    Manner.UPGRADE_RESET: _SWITCH,
}


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def a_faulty_server() -> AsyncIterator[FaultyServer]:
    """Serve at a free loopback port."""
    faulty = FaultyServer()
    async with hostile_server(faulty.converse) as faulty.address:
        yield faulty
