"""Answers /livez from a thread of its own, and hands every other connection to the loop."""

import asyncio
import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from daemon.web.crowd import Crowd

MOST_CONNECTIONS: Final = 512
"""Connections that the loop has at once."""
_FIRST_BYTES_S: Final = 1.0
"""How long a new connection may be silent before it is closed."""
_MOST_SILENT: Final = 256
"""So many connections may be silent at once; another one closes the oldest."""
_LIVEZ: Final = (b"GET /livez ", b"GET /livez?")
_LARGEST_REQUEST: Final = 65536


class LivenessDoor:
    """Listens on the TCP address; neither a loop that hangs nor a silent client keeps it from answering.

    *stuck_for* returns the seconds since the loop's last heartbeat; more than *limit_s* answers 503.
    """

    def __init__(
        self,
        listener: socket.socket,
        loop: asyncio.AbstractEventLoop,
        protocol: Callable[[], asyncio.BaseProtocol],
        *,
        stuck_for: Callable[[], float],
        limit_s: float = 10.0,
        most: int = MOST_CONNECTIONS,
    ) -> None:
        self._listener = listener
        self._loop = loop
        self._protocol = protocol
        self._stuck_for = stuck_for
        self._limit_s = limit_s
        self._crowd = Crowd(most)
        self._closing = threading.Event()
        self._silent: dict[socket.socket, float] = {}
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._serve, name="liveness", daemon=True)

    def open(self) -> None:
        """Begin to answer."""
        self._listener.settimeout(0.0)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        if self._thread.ident is not None:
            self._thread.join(timeout=2 * _FIRST_BYTES_S)
        self._selector.close()
        self._listener.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            for ready, _ in self._selector.select(timeout=_FIRST_BYTES_S):
                if ready.fileobj is self._listener:
                    self._accept()
                elif isinstance(ready.fileobj, socket.socket):
                    self._greet(ready.fileobj)
            self._close_silent()
        for connection in tuple(self._silent):
            self._forget(connection)
            connection.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            # The client went away, or there are no descriptors left: in both cases life goes on.
            self._closing.wait(0.01)
            return
        connection.settimeout(0.0)
        self._silent[connection] = time.monotonic() + _FIRST_BYTES_S  # noqa: TID251 - a thread has no Clock
        self._selector.register(connection, selectors.EVENT_READ)

    def _close_silent(self) -> None:
        now = time.monotonic()  # noqa: TID251 - a thread has no Clock
        surplus = len(self._silent) - _MOST_SILENT
        for position, (connection, until) in enumerate(tuple(self._silent.items())):
            if position < surplus or until <= now:
                self._forget(connection)
                connection.close()

    def _forget(self, connection: socket.socket) -> None:
        del self._silent[connection]
        self._selector.unregister(connection)

    def _greet(self, connection: socket.socket) -> None:
        """Answer or hand over, by the first bytes; a request line in pieces is the loop's business."""
        self._forget(connection)
        try:
            first = connection.recv(len(_LIVEZ[0]), socket.MSG_PEEK)
            if first.startswith(_LIVEZ):
                self._answer(connection)
                return
        except OSError:
            connection.close()
            return
        asyncio.run_coroutine_threadsafe(self._hand_over(connection), self._loop)

    async def _hand_over(self, connection: socket.socket) -> None:
        transport, _ = await self._loop.connect_accepted_socket(self._protocol, connection)
        self._crowd.admit(transport)

    def _answer(self, connection: socket.socket) -> None:
        late = self._stuck_for()
        alive = late <= self._limit_s
        text = "alive\n" if alive else f"the loop has not turned for {late:.0f} s\n"
        status = "200 OK" if alive else "503 Service Unavailable"
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        # What is left unread at the close would reset the connection before the answer is read.
        connection.recv(_LARGEST_REQUEST)
        connection.sendall(f"{head}Connection: close\r\n\r\n{text}".encode())
        connection.close()


def listen_tcp(address: str) -> socket.socket:
    """Return a listening socket for ``host:port``; raise OSError naming the address."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
    except OSError as exc:
        listener.close()
        raise OSError(exc.errno, f"{address}: {exc.strerror}") from None
    listener.listen(64)
    return listener
