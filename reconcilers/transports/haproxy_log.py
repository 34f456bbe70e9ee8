"""Takes HAProxy's log from a datagram socket and feeds the response times; a flood costs a counter."""

import asyncio
import contextlib
import os
import socket
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from reconcilers.response_times import ServerTimes, slot_of
from reconcilers.transports.haproxy_log_line import LONGEST, claims, read_line

log = structlog.stdlib.get_logger()

_AT_ONCE: Final = 128
"""Lines that are read before the loop has its turn again: about a millisecond."""
_UNREAD: Final = 1
"""So many times ``a_second`` lines more are taken out and dropped; then they are left to lie."""
_BUFFER_BYTES: Final = 4 << 20
#: HAProxy runs as a user of its own and must be able to send; what comes is believed only for known servers.
_MODE: Final = 0o666
_QUEUE: Final = Path("/proc/sys/net/unix/max_dgram_qlen")
_SHORT_QUEUE: Final = 100

Count = Callable[[str, int], None]


class HaproxyLog:
    """One endpoint's log. ``open`` begins to read, ``close`` ends it.

    It reads by itself: ``asyncio.DatagramProtocol`` takes one datagram a turn of the loop, which costs five
    times as much (``tests.bench log``).
    """

    def __init__(
        self,
        address: str,
        servers: Mapping[bytes, ServerTimes],
        monotonic: Callable[[], float],
        count: Count,
        *,
        a_second: int = 10_000,
    ) -> None:
        """Take *address*, ``unix:///path`` or ``udp://127.0.0.1:port``.

        *count* is told results and numbers of lines. Of more lines than *a_second* the rest is dropped: what
        remains is a sample, and shares and quantiles are as right as a sample's.
        """
        self._address = urlsplit(address)
        self._servers = servers
        self._monotonic = monotonic
        self._count = count
        self._a_second = a_second
        self._second = -1
        self._came = 0
        self._socket: socket.socket | None = None
        self._resuming: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Bind and begin to read. Raises OSError where the address cannot be had."""
        self._socket = _bound_unix(Path(self._address.path)) if self._is_unix else self._bound_udp()
        self._socket.settimeout(0.0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        """Read no more."""
        if self._socket is None:
            return
        if self._resuming is not None:
            self._resuming.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        if self._is_unix:
            Path(self._address.path).unlink(missing_ok=True)

    @property
    def bound(self) -> str | tuple[str, int]:
        """Return where it listens: a path, or address and port. Raises OSError while it does not."""
        if self._socket is None:
            raise OSError(9, "the log is not open")
        found: str | tuple[str, int] = self._socket.getsockname()
        return found

    @property
    def _is_unix(self) -> bool:
        return self._address.scheme == "unix"

    def _bound_udp(self) -> socket.socket:
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            found.bind((self._address.hostname or "127.0.0.1", self._address.port or 0))
        except OSError as exc:
            found.close()
            raise OSError(exc.errno, f"udp://{self._address.netloc}: {exc.strerror or exc}") from None
        return found

    def _read(self) -> None:
        """Take what has come, a bounded number of lines, and count it in one go."""
        counts: Counter[str] = Counter()
        now = self._monotonic()
        slot, second = slot_of(now), int(now)
        if second != self._second:
            self._second, self._came = second, 0
        for _ in range(_AT_ONCE):
            line = self._next()
            if line is None:
                break
            self._came += 1
            counts[self._take(line, slot) if self._came <= self._a_second else "dropped"] += 1
        for result, number in counts.items():
            self._count(result, number)
        if self._came > (1 + _UNREAD) * self._a_second:
            self._pause(second + 1 - now)

    def _pause(self, seconds: float) -> None:
        """Leave the socket alone for the rest of a second: even to take lines out costs something."""
        loop = asyncio.get_running_loop()
        if self._socket is not None:
            loop.remove_reader(self._socket)
            self._resuming = loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _next(self) -> bytes | None:
        try:
            return self._socket.recv(LONGEST) if self._socket is not None else None
        except (BlockingIOError, InterruptedError, ConnectionError):
            return None

    def _take(self, line: bytes, slot: int) -> str:
        found = read_line(line)
        if found is None:
            return "malformed" if claims(line) else "foreign"
        times = self._servers.get(found.server)
        if times is None:
            return "unknown"
        if found.answer_ms is not None:
            times.add(found.answer_ms, slot)
        return "accepted"


def _bound_unix(path: Path) -> socket.socket:
    """Bind a socket at *path*; one that a former daemon left is replaced, anything else is not."""
    _make_way(path)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        found.bind(os.fspath(path))
        path.chmod(_MODE)
    except OSError as exc:
        found.close()
        raise OSError(exc.errno, f"{path}: {exc.strerror or exc}") from None
    _warn_of_a_short_queue(path)
    return found


def _make_way(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(17, "something that is no socket is in the way", str(path))
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    with probe, contextlib.suppress(ConnectionRefusedError):
        probe.connect(os.fspath(path))
        raise OSError(98, f"{path}: another daemon reads there")
    path.unlink(missing_ok=True)


def _warn_of_a_short_queue(path: Path) -> None:
    """Tell where the kernel holds few datagrams, as it does without systemd: bursts lose lines there."""
    try:
        queue = int(_QUEUE.read_text())
    except (OSError, ValueError):
        return
    if queue < _SHORT_QUEUE:
        reason = (
            f"net.unix.max_dgram_qlen is {queue}: HAProxy drops more lines than that at once; 512 is usual"
        )
        log.warning("haproxy_log.queue_short", path=str(path), reason=reason)
