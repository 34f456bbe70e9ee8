"""Answers of a server that may send without end, or a byte now and then: bounded in time and in size.

A socket's own time-out begins anew with each byte, and a thread that waits for the rest is lost to the pool.
"""

import http.client
import io
import socket
import time
from typing import Any, Final

from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection

_LARGEST: Final = 32 * 1024 * 1024
"""Bytes of head and body; an inventory of ten thousand containers has about 5 MB."""


class _Bounded(io.RawIOBase):
    """What comes through *connection*; OSError where it is too late or too much."""

    def __init__(self, source: Any, connection: socket.socket) -> None:
        self._source = source
        self._connection = connection
        self._patience_s = connection.gettimeout()
        self._until = None if self._patience_s is None else _now() + self._patience_s
        self._room = _LARGEST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            left_s = self._until - _now()
            if left_s <= 0:
                raise TimeoutError(f"the answer was not whole within {self._patience_s:g} s")
            self._connection.settimeout(left_s)
        try:
            read: int | None = self._source.readinto(buffer)
        finally:
            # The next request goes out with it.
            self._connection.settimeout(self._patience_s)
        self._room -= read or 0
        if self._room < 0:
            raise OSError(f"an answer of more than {_LARGEST // 1024**2} MiB")
        return read

    def close(self) -> None:
        self._source.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Bounded(self.fp.detach(), sock))


class _Connection(HTTPSConnection):
    response_class = _Answer


class BoundedPool(HTTPSConnectionPool):
    """Connections whose time-out to read is for the whole answer."""

    ConnectionCls = _Connection


def _now() -> float:
    return time.monotonic()  # noqa: TID251 - the driver's thread has no Clock
