"""Applications to talk to: a slot, a site, a listener for it, and what a plain client gets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from crds.service import Color
from lab.app_faults import AppFault
from lab.conversation import Conversation, Serving
from lab.database import Database
from lab.peers import Address, Peers
from lab.site import Site
from lab.slots import Slot

#: Never fails by chance.
ALWAYS_LATE: Callable[[], float] = lambda: 0.999_999  # noqa: E731 - a constant that is a function


def a_slot(
    host: str = "127.0.0.1",
    *,
    service: str = "psa-api-gateway",
    color: Color = Color.BLUE,
    ctid: int = 100,
    peers: tuple[str, ...] = (),
) -> Slot:
    return Slot(
        service=service,
        color=color,
        ctid=ctid,
        host=host,
        port=3000,
        server=color.value,
        template=f"local:vztmpl/{service}_{{version}}_amd64.tar.zst",
        health_path="/health",
        health={},
        backend=None,
        peers=peers,
    )


def a_site(
    slot: Slot,
    *faults: AppFault,
    version: str = "1.0.0",
    database: Database | None = None,
    draw: Callable[[], float] | None = None,
) -> Site:
    site = Site(slot, hostname="ct", version=version, database=database, draw=draw or ALWAYS_LATE)
    site.faults = faults
    return site


@asynccontextmanager
async def served(site: Site, peers: Mapping[str, Address] | None = None) -> AsyncIterator[Serving]:
    """Let *site* listen; its clock stands still."""
    serving = Serving(site, Peers((peers or {}).get), lambda: 0.0)
    loop, slot = asyncio.get_running_loop(), site.slot
    server = await loop.create_server(lambda: Conversation(serving), slot.host, slot.port)
    yield serving
    server.close()
    serving.abort()


def get(path: str, *, close: bool = False) -> bytes:
    last = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{last}\r\n".encode()


async def ask(host: str, *requests: bytes, port: int = 3000) -> list[bytes]:
    """Send all requests on one connection at once, return what comes until the other end closes."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"".join(requests))
    answer = await reader.read(-1)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return [b"HTTP/1.1 " + part for part in answer.split(b"HTTP/1.1 ")[1:]]


def body(answer: bytes) -> dict[str, object]:
    data: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return data


def status(answer: bytes) -> int:
    return int(answer[9:12])
