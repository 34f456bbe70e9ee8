"""An open-loop HTTP client: requests leave on schedule whatever the answers do, and every one is counted."""

import asyncio
import contextlib
import json
import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

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


@dataclass(slots=True)
class Tally:
    """What users saw. ``sent`` is the sum of all answers, all failures and what is still under way."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    """Requests without an answer, by reason: refused, cut off, timed out, no connection free."""
    served_by: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Good answers by service, colour and version."""
    milliseconds: list[float] = field(default_factory=list)
    """Time from when a request was due to its whole answer."""

    @property
    def failed(self) -> int:
        """Requests without an answer or with a status of 500 and above."""
        bad = sum(count for status, count in self.statuses.items() if status >= 500)  # noqa: PLR2004
        return bad + sum(self.failures.values())

    @property
    def answered(self) -> int:
        """Requests that got any answer."""
        return sum(self.statuses.values())

    def percentile(self, share: float) -> float | None:
        """Return the latency that *share* of the answers did not exceed, in ms; None without answers."""
        ordered = sorted(self.milliseconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None

    def as_data(self) -> dict[str, object]:
        """Return all counts as JSON data."""
        return {
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "failures": dict(sorted(self.failures.items())),
            "servedBy": [
                {"service": service, "color": color, "version": version, "count": count}
                for (service, color, version), count in sorted(self.served_by.items())
            ],
            "latencyMs": {"p50": self.percentile(0.5), "p99": self.percentile(0.99)},
        }


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = bytearray()
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection's promise
        self.transport = transport

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at *due* (loop time)."""
        assert self.transport is not None  # noqa: S101 - only idle, open connections are handed out
        self._due = due
        self._timer = asyncio.get_running_loop().call_later(_TIMEOUT_S, self._time_out)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
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
        elif self._due is not None:
            self._fail("cut off")
        self._load.forget(self)

    def _complete(self, *, keep: bool) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        status, body = int(self._buffer.split(b" ", 2)[1]), bytes(self._buffer[end + 4 :])
        due, self._due = self._due, None
        self._buffer.clear()
        if self._timer is not None:
            self._timer.cancel()
        if due is not None:
            self._load.count(status, body, asyncio.get_running_loop().time() - due)
        if keep and self.transport is not None:
            self._load.idle.append(self)
        elif self.transport is not None:
            self.transport.close()

    def _fail(self, reason: str) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
        self._load.fail(reason)

    def _time_out(self) -> None:
        self._fail("timed out")
        if self.transport is not None:
            self.transport.abort()


class Load:
    """Requests at a steady rate; ``tally`` may be read at any time."""

    def __init__(self, target: Target, *, rate: float) -> None:
        if not 0 < rate <= MAX_RATE:
            raise ValueError(f"a rate above 0 and up to {MAX_RATE}/s is needed; for more take wrk")
        self.tally = Tally()
        self.idle: deque[_Connection] = deque()
        self._target = target
        self._rate = rate
        self._request = _REQUEST % (target.path.encode(), target.host.encode())
        self._all: set[_Connection] = set()
        self._connecting = 0
        self._settled = asyncio.Event()

    async def run(self, seconds: float | None, stopping: asyncio.Event) -> None:
        """Send for *seconds*, or until *stopping* is set; then wait for the answers under way."""
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), 0
        async with asyncio.TaskGroup() as tasks:
            while not stopping.is_set() and (seconds is None or sent < seconds * self._rate):
                due = start + sent / self._rate
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await stopping.wait()
                if stopping.is_set():
                    break
                sent += 1
                self._send(due, tasks)
        if not self._is_settled():
            self._settled.clear()
            await self._settled.wait()
        for connection in tuple(self._all):
            if connection.transport is not None:
                connection.transport.close()

    def count(self, status: int, body: bytes, seconds: float) -> None:
        """Count one answer."""
        self.tally.statuses[status] += 1
        self.tally.milliseconds.append(seconds * 1000)
        if status == 200:  # noqa: PLR2004 - OK
            self.tally.served_by[_server_of(body)] += 1
        if self._is_settled():
            self._settled.set()

    def fail(self, reason: str) -> None:
        """Count one request that got no answer."""
        self.tally.failures[reason] += 1
        if self._is_settled():
            self._settled.set()

    def forget(self, connection: _Connection) -> None:
        """Take a closed connection out of use."""
        self._all.discard(connection)
        with contextlib.suppress(ValueError):
            self.idle.remove(connection)

    def _is_settled(self) -> bool:
        return self.tally.answered + sum(self.tally.failures.values()) == self.tally.sent

    def _send(self, due: float, tasks: asyncio.TaskGroup) -> None:
        self.tally.sent += 1
        while self.idle:
            # The youngest: a connection that idles long is the likeliest to be closed under way.
            connection = self.idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                connection.send(self._request, due)
                return
        if len(self._all) + self._connecting >= _CONNECTIONS:
            self.fail("no connection free")
            return
        tasks.create_task(self._connect(due))

    async def _connect(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), self._target.host, self._target.port
                )
        except TimeoutError:
            self.fail("timed out")
        except OSError:
            self.fail("refused")
        else:
            self._all.add(connection)
            connection.send(self._request, due)
        finally:
            self._connecting -= 1


def _server_of(body: bytes) -> tuple[str, str, str]:
    """Return service, colour and version from an answer of the application; ``?`` for what is missing."""
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    fields: Mapping[str, object] = data if isinstance(data, dict) else {}
    service, color, version = (str(fields.get(name, "?")) for name in ("service", "color", "version"))
    return service, color, version
