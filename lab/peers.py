"""How a gateway calls its colour's peers: HTTP/1.1 over connections that are kept, within a time.

Plain non-blocking sockets, because a call begins inside a protocol's callback, where nothing can be awaited.
"""

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Callable
from typing import Final

Address = tuple[str, int]
#: Gets the status and the body; status 0 is no answer, and the body says why.
Done = Callable[[int, bytes], None]

TIMEOUT_S: Final = 3.0
_REQUEST: Final = "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: psa-lab-gateway\r\n\r\n"


class Peers:
    """The connections of one site to its peers; *address_of* tells where one is, None if nobody knows it."""

    def __init__(self, address_of: Callable[[str], Address | None]) -> None:
        self._address_of = address_of
        self._lines: set[_Line] = set()
        self._idle: defaultdict[Address, list[_Line]] = defaultdict(list)

    def ask(self, peer: str, target: str, done: Done) -> None:
        """Send one request; *done* is called when it has ended, at the latest after ``TIMEOUT_S``."""
        address = self._address_of(peer)
        if address is None:
            done(0, b"nobody knows where it is")
            return
        call = _Call(self, address, _REQUEST.format(target, peer).encode(), done)
        idle = self._idle[address]
        call.go(idle.pop() if idle else None)

    def close(self) -> None:
        """Cut all connections; what is under way gets no answer."""
        for line in self._lines:
            line.close()
        self._lines.clear()
        self._idle.clear()

    def new_line(self, address: Address) -> "_Line":
        """Begin to connect. OSError where not even that can be done."""
        line = _Line(address)
        self._lines.add(line)
        return line

    def keep(self, line: "_Line") -> None:
        """Take a connection back for the next request."""
        self._idle[line.address].append(line)
        line.on_readable(lambda: self.drop(line))  # it is not asked anything: the other end closes

    def drop(self, line: "_Line") -> None:
        """Close a connection."""
        line.close()
        self._lines.discard(line)
        if line in self._idle[line.address]:
            self._idle[line.address].remove(line)


class _Line:
    """One connection."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.socket = socket.socket()
        self.socket.settimeout(0)
        self.socket.connect_ex(address)  # what comes of it is seen when it is writable
        self._loop = asyncio.get_running_loop()

    def on_writable(self, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self.socket)
        self._loop.add_writer(self.socket, then)

    def on_readable(self, then: Callable[[], None]) -> None:
        self._loop.remove_writer(self.socket)
        self._loop.add_reader(self.socket, then)

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket)
            self._loop.remove_writer(self.socket)
            self.socket.close()


class _Call:
    """One request and its answer."""

    def __init__(self, peers: Peers, address: Address, request: bytes, done: Done) -> None:
        self._peers = peers
        self._address = address
        self._request = request
        self._done = done
        self._line: _Line | None = None
        self._is_fresh = False
        self._buffer = bytearray()
        self._timer = asyncio.get_running_loop().call_later(TIMEOUT_S, self._time_out)

    def go(self, idle: _Line | None) -> None:
        """Ask on a kept connection, or on a new one."""
        self._is_fresh = idle is None
        try:
            self._line = idle or self._peers.new_line(self._address)
        except OSError as exc:
            self._end(0, (exc.strerror or "no connection").encode())
            return
        self._line.on_writable(self._send)

    def _send(self) -> None:
        assert self._line is not None  # noqa: S101 - go has set it
        error = self._line.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._lose(os.strerror(error))
            return
        try:
            self._line.socket.send(self._request)  # small enough for any buffer
        except OSError as exc:
            self._lose(exc.strerror or "no connection")
            return
        self._line.on_readable(self._receive)

    def _receive(self) -> None:
        assert self._line is not None  # noqa: S101 - go has set it
        try:
            data = self._line.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as exc:
            self._lose(exc.strerror or "cut off")
            return
        if not data:
            self._lose("cut off")
            return
        self._buffer += data
        head, found, body = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            if not head.startswith(b"HTTP/1."[: len(head)]):
                self._lose("not HTTP")
            return
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0].strip()
        if len(body) >= int(length or b"0"):
            line, self._line = self._line, None
            self._peers.keep(line)
            self._end(int(head[9:12]), body)

    def _lose(self, why: str) -> None:
        """Give up, but for a kept connection that the other end had closed: then once more on a new one."""
        if self._line is not None:
            self._peers.drop(self._line)
            self._line = None
        if self._is_fresh or self._buffer:
            self._end(0, why.encode())
        else:
            self.go(None)

    def _time_out(self) -> None:
        self._is_fresh = True
        self._lose(f"no answer within {TIMEOUT_S:g} s")

    def _end(self, status: int, body: bytes) -> None:
        self._timer.cancel()
        self._done(status, body)
