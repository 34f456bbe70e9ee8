"""One container's application: a tiny HTTP/1.1 server with its answers made beforehand."""

import asyncio
import json
import random
from collections import Counter
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from lab.slots import Slot

_HEAD_LIMIT: Final = 16 * 1024
_BODY_LIMIT: Final = 1 << 20


class AppFault(BaseModel):
    """What is wrong with an application; the default is nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unhealthy: bool = False
    """The health endpoint answers 503."""
    latency: float = Field(default=0.0, ge=0, le=60)
    """Seconds before each answer."""
    error_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of requests, health checks aside, that get a 500."""
    hang: bool = False
    """Requests are taken and never answered."""
    refuse: bool = False
    """Connections are refused."""


def answer(status: str, body: object) -> bytes:
    """Return a whole HTTP answer with a JSON body."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class Site:
    """The application of one slot at one version: answers, faults, counts of what it served."""

    def __init__(self, slot: Slot, *, hostname: str, version: str) -> None:
        self.slot = slot
        self.hostname = hostname
        self.version = version
        self.fault = AppFault()
        self.counts: Counter[int] = Counter()
        self.transports: set[asyncio.Transport] = set()
        self._health_target = slot.health_path.encode()
        self._health = answer("200 OK", {"status": "healthy", **slot.health, "version": version})
        self._unhealthy = answer("503 Service Unavailable", {"status": "unhealthy", "version": version})
        self._error = answer("500 Internal Server Error", {"error": "as asked for by a fault"})
        whoami = {
            "service": slot.service, "color": slot.color.value, "version": version, "hostname": hostname
        }  # fmt: skip
        self._page = answer("200 OK", whoami)

    def respond(self, target: bytes) -> bytes:
        """Return the answer to a request for *target*; health checks are not counted."""
        if target == self._health_target:
            return self._unhealthy if self.fault.unhealthy else self._health
        if self.fault.error_rate and random.random() < self.fault.error_rate:  # noqa: S311 - no secret
            self.counts[500] += 1
            return self._error
        self.counts[200] += 1
        return self._page

    def abort(self) -> None:
        """Cut all connections, as the end of a container does."""
        for transport in tuple(self.transports):
            transport.abort()


class Conversation(asyncio.Protocol):
    """One connection of a client: requests in order, keep-alive, pipelining."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server's promise
        self._transport = transport
        self._site.transports.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._site.transports.discard(self._transport)
            self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._proceed()

    def _proceed(self) -> None:
        while not self._waiting and self._transport is not None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _HEAD_LIMIT:
                    self._refuse("431 Request Header Fields Too Large")
                return
            head = bytes(self._buffer[:end])
            length = _content_length(head)
            if length is None:
                self._refuse("400 Bad Request")
                return
            if len(self._buffer) < end + 4 + length:
                return
            del self._buffer[: end + 4 + length]
            self._take(head)

    def _take(self, head: bytes) -> None:
        fault = self._site.fault
        if fault.hang:
            self._waiting = True
        elif fault.latency:
            self._waiting = True
            asyncio.get_running_loop().call_later(fault.latency, self._finish, head)
        else:
            self._write(head)

    def _finish(self, head: bytes) -> None:
        self._waiting = False
        self._write(head)
        self._proceed()

    def _write(self, head: bytes) -> None:
        if self._transport is None:
            return  # the client did not wait
        method, _, rest = head.partition(b" ")
        target, _, tail = rest.partition(b" ")
        whole = self._site.respond(target)
        # To HEAD the same without the body.
        self._transport.write(whole[: whole.index(b"\r\n\r\n") + 4] if method == b"HEAD" else whole)
        if not tail.startswith(b"HTTP/1.1") or b"\r\nconnection: close" in tail.lower():
            self._transport.close()

    def _refuse(self, status: str) -> None:
        if self._transport is not None:
            self._transport.write(answer(status, {"error": status}))
            self._transport.close()
            self._transport = None


def _content_length(head: bytes) -> int | None:
    """Return the length of the body that follows, None if it is not one that we read."""
    lower = head.lower()
    if b"\r\ntransfer-encoding:" in lower:
        return None
    _, found, rest = lower.partition(b"\r\ncontent-length:")
    text = rest.partition(b"\r\n")[0].strip()
    if not found:
        return 0
    return int(text) if text.isdigit() and len(text) < 8 and int(text) <= _BODY_LIMIT else None  # noqa: PLR2004
