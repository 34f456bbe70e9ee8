"""Answers /livez from a thread of its own, and hands every other connection to the loop."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final

_FIRST_BYTES_S: Final = 1.0
_LIVEZ: Final = b"GET /livez"


class LivenessDoor:
    """Listens on the TCP address; a loop that hangs cannot keep it from answering.

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
    ) -> None:
        self._listener = listener
        self._loop = loop
        self._protocol = protocol
        self._stuck_for = stuck_for
        self._limit_s = limit_s
        self._thread = threading.Thread(target=self._serve, name="liveness", daemon=True)

    def open(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=2 * _FIRST_BYTES_S)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._greet(connection)

    def _greet(self, connection: socket.socket) -> None:
        connection.settimeout(_FIRST_BYTES_S)
        try:
            first = connection.recv(len(_LIVEZ), socket.MSG_PEEK)
            if first == _LIVEZ:
                self._answer(connection)
                return
        except OSError:
            connection.close()
            return
        connection.settimeout(0.0)
        handed = self._loop.connect_accepted_socket(self._protocol, connection)
        asyncio.run_coroutine_threadsafe(handed, self._loop)

    def _answer(self, connection: socket.socket) -> None:
        late = self._stuck_for()
        alive = late <= self._limit_s
        text = "alive\n" if alive else f"the loop has not turned for {late:.0f} s\n"
        status = "200 OK" if alive else "503 Service Unavailable"
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        connection.recv(4096)
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
