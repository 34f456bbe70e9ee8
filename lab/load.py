"""An open-loop HTTP client: requests leave on schedule whatever the answers do, and every one is counted."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lab.tally import Tally, Who, who_served

MAX_RATE: Final = 1000
_REQUEST: Final = b"GET %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: psa-lab-load\r\n\r\n"
_TIMEOUT_S: Final = 5.0
_CONNECTIONS: Final = 512


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests go; ``host`` is an address."""

    host: str
    port: int
    path: str = "/"

    @property
    def request(self) -> bytes:
        """What is sent."""
        return _REQUEST % (self.path.encode(), self.host.encode())


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, load: "Load", target: Target) -> None:
        self._load = load
        self.target = target
        self._buffer = bytearray()
        self._due: float | None = None
        self._is_used = False
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection's promise
        self.transport = transport

    def send(self, due: float) -> None:
        """Send a request that was due at *due* (loop time)."""
        assert self.transport is not None  # noqa: S101 - only idle, open connections are handed out
        self._due = due
        self._timer = asyncio.get_running_loop().call_later(_TIMEOUT_S, self._time_out)
        self.transport.write(self.target.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if b"HTTP/1."[: len(self._buffer)] != self._buffer[:7]:
            self._give_up("no HTTP")
        if end < 0 or self._due is None:
            return
        head = bytes(self._buffer[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"-1")
        # Without a length the answer ends with the connection.
        if 0 <= length <= len(self._buffer) - end - 4:
            self._complete(keep=b"connection: close" not in head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._due is not None and self._buffer.find(b"\r\n\r\n") >= 0 and b"content-length:" not in (
            bytes(self._buffer).lower()
        ):  # fmt: skip
            self._complete(keep=False)
        elif self._due is not None and self._is_used and not self._buffer:
            due, self._due = self._due, None
            self._stop_timer()
            self._load.send_again(self.target, due)
        elif self._due is not None:
            self._fail("cut off")
        self._load.forget(self)

    def _complete(self, *, keep: bool) -> None:
        head = bytes(self._buffer).partition(b"\r\n\r\n")[0].lower()
        due, self._due = self._due, None
        self._buffer.clear()
        self._is_used = True
        self._stop_timer()
        if due is not None:
            self._load.count(int(head.split(b" ", 2)[1]), who_served(head), due)
        if keep and self.transport is not None:
            self._load.idle[self.target].append(self)
        elif self.transport is not None:
            self.transport.close()

    def _fail(self, reason: str) -> None:
        self._due = None
        self._stop_timer()
        self._load.fail(reason)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _time_out(self) -> None:
        self._give_up("timed out")

    def _give_up(self, reason: str) -> None:
        if self._due is not None:
            self._fail(reason)
        if self.transport is not None:
            self.transport.abort()


class Load:
    """Requests at a steady rate, to several targets in turn; ``tally`` may be read at any time."""

    def __init__(self, *targets: Target, rate: float) -> None:
        if not 0 < rate <= MAX_RATE:
            raise ValueError(f"a rate above 0 and up to {MAX_RATE}/s is needed; for more take --heavy")
        self.tally = Tally()
        self.started = datetime.now(UTC)
        """When the first request was due."""
        self.idle: dict[Target, deque[_Connection]] = {target: deque() for target in targets}
        self._targets: Sequence[Target] = targets
        self._rate = rate
        self._start = 0.0
        self._all: set[_Connection] = set()
        self._connecting = 0
        self._settled = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, seconds: float | None, stopping: asyncio.Event) -> None:
        """Send for *seconds*, or until *stopping* is set; then wait for the answers under way."""
        loop = asyncio.get_running_loop()
        self._start, sent = loop.time(), 0
        self.started = datetime.now(UTC)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while not stopping.is_set() and (seconds is None or sent < seconds * self._rate):
                due = self._start + sent / self._rate
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await stopping.wait()
                if stopping.is_set():
                    break
                sent += 1
                self._send(due)
            if not self._is_settled():
                self._settled.clear()
                await self._settled.wait()
        for connection in tuple(self._all):
            if connection.transport is not None:
                connection.transport.close()

    def count(self, status: int, who: Who, due: float) -> None:
        """Count one answer, to a request that was due at *due* (loop time)."""
        now = asyncio.get_running_loop().time()
        self.tally.answer(status, who, at_s=now - self._start, took_s=now - due)
        if self._is_settled():
            self._settled.set()

    def fail(self, reason: str) -> None:
        """Count one request that got no answer."""
        self.tally.fail(reason, at_s=asyncio.get_running_loop().time() - self._start)
        if self._is_settled():
            self._settled.set()

    def send_again(self, target: Target, due: float) -> None:
        """Send once more on a new connection what a kept one took none of before it was closed (RFC 9112)."""
        self.tally.retried += 1
        self._send_anew(target, due)

    def forget(self, connection: _Connection) -> None:
        """Take a closed connection out of use."""
        self._all.discard(connection)
        with contextlib.suppress(ValueError):
            self.idle[connection.target].remove(connection)

    def _is_settled(self) -> bool:
        return self.tally.answered + self.tally.failures.total() == self.tally.sent

    def _send(self, due: float) -> None:
        target = self._targets[self.tally.sent % len(self._targets)]
        self.tally.sent += 1
        idle = self.idle[target]
        while idle:
            # The youngest: a connection that idles long is the likeliest to be closed under way.
            connection = idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                connection.send(due)
                return
        self._send_anew(target, due)

    def _send_anew(self, target: Target, due: float) -> None:
        if self._tasks is None or len(self._all) + self._connecting >= _CONNECTIONS:
            self.fail("no connection free")
        else:
            self._tasks.create_task(self._connect(target, due))

    async def _connect(self, target: Target, due: float) -> None:
        loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, target), target.host, target.port
                )
        except TimeoutError:
            self.fail("timed out")
        except OSError:
            self.fail("refused")
        else:
            self._all.add(connection)
            connection.send(due)
        finally:
            self._connecting -= 1
