"""One connection to an application: HTTP/1.1, keep-alive, requests in order, and all its faults."""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lab.peers import Peers
from lab.site import Manner, Reaction, Site, answer

_HEAD_LIMIT: Final = 16 * 1024
_BODY_LIMIT: Final = 1 << 20
_GARBAGE: Final = b"\x16\x03\x01 this is no HTTP\n\n"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_PIECES: Final = 10


@dataclass(slots=True)
class Serving:
    """A site that is served: its clock, its peers, its open connections."""

    site: Site
    peers: Peers
    clock: Callable[[], float]
    """The time in which ``site.started_at`` is."""
    transports: set[asyncio.Transport] = field(default_factory=set)

    def abort(self) -> None:
        """Cut all connections, as the end of a container does."""
        for transport in tuple(self.transports):
            transport.abort()
        self.peers.close()


class Conversation(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._site = serving.site
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting = False
        """Whether a request is being met; the ones behind it wait."""
        self._is_proceeding = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server's promise
        self._transport = transport
        self._serving.transports.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._serving.transports.discard(self._transport)
            self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._proceed()

    def _proceed(self) -> None:
        self._is_proceeding = True
        while not self._waiting and self._take():
            pass
        self._is_proceeding = False

    def _take(self) -> bool:
        """Take the next request out of the buffer; False if it is not all there."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                self._refuse(431)
            return False
        head = bytes(self._buffer[:end])
        length = _content_length(head)
        if length is None:
            self._refuse(400)
            return False
        if len(self._buffer) < end + 4 + length:
            return False
        del self._buffer[: end + 4 + length]
        self._waiting = True
        target = head.partition(b" ")[2].partition(b" ")[0].decode("latin-1")
        met = self._site.react(target, self._serving.clock() - self._site.started_at)
        if met.delay_s:
            asyncio.get_running_loop().call_later(met.delay_s, self._meet, head, met)
        else:
            self._meet(head, met)
        return True

    def _meet(self, head: bytes, met: Reaction) -> None:
        """Do what was decided; the next request comes when the answer is whole."""
        if self._transport is None:
            return  # the client did not wait
        match met.manner:
            case Manner.WHOLE:
                self._write(head, met)
            case Manner.HANG:
                self._site.counts[met.counted] += 1
            case Manner.RESET:
                self._reset(met)
            case Manner.GARBAGE:
                self._site.counts[met.counted] += 1
                self._transport.write(_GARBAGE)
                self._transport.close()
            case Manner.CALL:
                self._call(head, met)

    def _call(self, head: bytes, met: Reaction) -> None:
        def called(status: int, body: bytes) -> None:
            answered = self._site.called(met.peer, status, body)
            if self._transport is not None:
                self._write(head, Reaction(answered.answer, answered.counted, body_s=met.body_s))

        self._serving.peers.ask(met.peer, met.target, called)

    def _write(self, head: bytes, met: Reaction) -> None:
        assert self._transport is not None  # noqa: S101 - its callers have looked
        if met.counted:
            self._site.counts[met.counted] += 1
        whole = met.answer
        if head.startswith(b"HEAD "):  # the same without the body
            whole = whole[: whole.index(b"\r\n\r\n") + 4]
        if met.body_s:
            self._dribble(head, whole, met.body_s)
            return
        self._transport.write(whole)
        self._end(head)

    def _dribble(self, head: bytes, whole: bytes, seconds: float) -> None:
        """Write the head at once and the body in pieces, over so many seconds."""
        start = whole.index(b"\r\n\r\n") + 4
        size = max(1, -(-(len(whole) - start) // _PIECES))
        pieces = [whole[at : at + size] for at in range(start, len(whole), size)] or [b""]
        loop = asyncio.get_running_loop()

        def piece(number: int) -> None:
            if self._transport is None:
                return
            self._transport.write(pieces[number])
            if number + 1 < len(pieces):
                loop.call_later(seconds / len(pieces), piece, number + 1)
            else:
                self._end(head)

        assert self._transport is not None  # noqa: S101 - its caller has looked
        self._transport.write(whole[:start])
        loop.call_later(seconds / len(pieces), piece, 0)

    def _reset(self, met: Reaction) -> None:
        assert self._transport is not None  # noqa: S101 - its caller has looked
        self._site.counts[met.counted] += 1
        self._transport.write(met.answer[: len(met.answer) // 2])
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def _end(self, head: bytes) -> None:
        """Close the connection, or go on with what the client has sent meanwhile."""
        line, _, fields = head.partition(b"\r\n")
        if not line.endswith(b"HTTP/1.1") or b"\r\nconnection: close" in b"\r\n" + fields.lower():
            if self._transport is not None:
                self._transport.close()
            return
        self._waiting = False
        if not self._is_proceeding:
            self._proceed()

    def _refuse(self, status: int) -> None:
        self._waiting = True
        if self._transport is not None:
            self._transport.write(answer(status, {"error": "this cannot be read"}, self._site.served_by))
            self._transport.close()


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
