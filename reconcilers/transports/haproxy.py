"""HAProxy's runtime API: one command a connection, a deadline on each call, nodes of a pair side by side."""

import asyncio
import re
import socket as os_socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from crds.balancer import ServerState
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.counters import CountedNode
from reconcilers.servers import Node, NodeDown, not_admin
from reconcilers.transports.haproxy_answers import (
    check_done,
    read_backends,
    read_is_admin,
    read_process,
    read_weight,
)
from reconcilers.transports.haproxy_counts import count_command, read_counted

#: A blank, ``;`` or newline would begin another word or command, so names are compared before they are sent.
_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_LARGEST_ANSWER: Final = 16 * 1024 * 1024
#: A line is a server or less, and takes the loop 5 us to read.
_MOST_LINES: Final = 50_000
_HEAVIEST: Final = 256
#: Commands at once to one node. HAProxy takes 10 (``stats maxconn``), queues some and turns the others away.
_AT_ONCE: Final = 4
AnswerT = TypeVar("AnswerT")


class HaproxyTransport:
    """One HAProxy, or several that are one pair. Nothing is retried here.

    Every call to a node ends within ``deadline_s`` seconds. Raises NotSentError where the node was not
    reached, TransientError where it did not answer as it should, PermanentError where it refused.
    """

    def __init__(
        self, name: str, sockets: Sequence[str], *, ca_file: Path | None = None, deadline_s: float = 0.5
    ) -> None:
        """Take addresses ``unix:///path`` and ``tls://host:port``; ValueError or OSError if one is no use."""
        if not sockets:
            raise ValueError(f"{name}: at least one socket is needed")
        self._context = ssl.create_default_context(cafile=ca_file) if _any_tls(sockets) else None
        self._targets = {socket: _parse(socket) for socket in sockets}
        self._names = {
            socket: f"node {number}" if len(sockets) > 1 else name for number, socket in enumerate(sockets, 1)
        }
        self._deadline_s = deadline_s
        self._rooms = {socket: asyncio.Semaphore(_AT_ONCE) for socket in sockets}

    @property
    def sockets(self) -> tuple[str, ...]:
        """The nodes' addresses, in the order of the settings."""
        return tuple(self._targets)

    async def look(self, backend: str | None = None) -> tuple[Node | NodeDown, ...]:
        """Look at all nodes at once; one that does not answer delays no other.

        Without *backend* at all of them. Raises TransientError if no node answers.
        """
        if backend is not None:
            _check_name(backend)
        return await self._all_nodes(lambda socket: self._look(socket, backend))

    async def count(self, backend: str) -> tuple[CountedNode | NodeDown, ...]:
        """Read the counters of a backend's servers on all nodes at once, one exchange a node.

        Raises TransientError if no node answers.
        """
        command = count_command(_check_name(backend))

        async def count(socket: str) -> CountedNode:
            counted = await self._ask(socket, command, lambda text: read_counted(text, backend))
            return CountedNode(self._names[socket], socket, counted.pid, counted.servers)

        return await self._all_nodes(count)

    async def set_weight(self, socket: str, backend: str, server: str, weight: int) -> None:
        """Set the absolute weight, 0 to 256. A percentage would be relative to the configuration's."""
        if not 0 <= weight <= _HEAVIEST:
            raise PermanentError(f"weight {weight} is not within 0 and 256", reason="WeightRefused")
        await self._set(socket, backend, server, f"weight {weight}")

    async def set_state(self, socket: str, backend: str, server: str, state: ServerState) -> None:
        """Set the administrative state."""
        await self._set(socket, backend, server, f"state {state.value}")

    async def get_weight(self, socket: str, backend: str, server: str) -> tuple[int, int]:
        """Return the weight now, and the configured one."""
        command = f"get weight {_check_name(backend)}/{_check_name(server)}"
        return await self._call(socket, lambda: self._ask(socket, command, read_weight))

    async def server_states(self, socket: str) -> str:
        """Return ``show servers state`` as it stands, which is what a server-state file holds."""
        return await self._call(socket, lambda: self._ask(socket, "show servers state", str))

    async def _set(self, socket: str, backend: str, server: str, what: str) -> None:
        command = f"set server {_check_name(backend)}/{_check_name(server)} {what}"

        def done(text: str) -> None:
            check_done(text, f"{command} on {self._names[socket]}")

        try:
            await self._call(socket, lambda: self._ask(socket, command, done))
        except PermanentError as exc:
            if exc.reason != "SocketNotAdmin":
                raise
            raise PermanentError(not_admin(self._names[socket], socket), reason=exc.reason) from exc

    async def _all_nodes(self, ask: Callable[[str], Awaitable[AnswerT]]) -> tuple[AnswerT | NodeDown, ...]:
        """Ask every node; TransientError if none answers."""
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._answer_or_down(socket, ask)) for socket in self._targets]
        found = tuple(task.result() for task in asked)
        down = [node for node in found if isinstance(node, NodeDown)]
        if len(down) == len(found):
            reasons = "; ".join(f"{node.name}: {node.reason}" for node in down)
            raise TransientError(f"HAProxy does not answer: {reasons}")
        return found

    async def _answer_or_down(
        self, socket: str, ask: Callable[[str], Awaitable[AnswerT]]
    ) -> AnswerT | NodeDown:
        try:
            return await self._call(socket, lambda: ask(socket))
        except (TransientError, PermanentError) as exc:
            return NodeDown(self._names[socket], socket, str(exc))

    async def _look(self, socket: str, backend: str | None) -> Node:
        process = await self._ask(socket, "show info", read_process)
        is_admin = await self._ask(socket, "show cli level", read_is_admin)
        states = await self._ask(socket, f"show servers state {backend or ''}".strip(), str)
        # 6: backends (2) and servers (4), whatever their number (-1).
        stat = await self._ask(socket, f"show stat {backend or -1} 6 -1", str)
        found = read_backends(states, stat)
        return Node(
            name=self._names[socket],
            socket=socket,
            pid=process.pid,
            version=process.version,
            uptime_s=process.uptime_s,
            is_admin=is_admin,
            # A name of digits that is no name is taken for a number by HAProxy.
            backends=tuple(each for each in found if backend in {None, each.name}),
        )

    async def _call(self, socket: str, call: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        if socket not in self._targets:
            raise PermanentError(f"no HAProxy is configured at {socket}", reason="UnknownSocket")
        try:
            async with asyncio.timeout(self._deadline_s):
                return await call()
        except TimeoutError as exc:
            raise TransientError(f"no answer within {self._deadline_s:g} s at {socket}") from exc

    async def _ask(self, socket: str, command: str, read: Callable[[str], AnswerT]) -> AnswerT:
        async with self._rooms[socket]:
            text = await self._exchange(socket, command)
        return read(text)

    async def _exchange(self, socket: str, command: str) -> str:
        try:
            reader, writer = await self._connect(socket)
        except OSError as exc:
            raise NotSentError(f"cannot connect to {socket}: {_words(exc)}") from exc
        try:
            writer.write(command.encode("ascii") + b"\n")
            await writer.drain()
            return await _read_all(reader, command)
        except OSError as exc:
            raise TransientError(f"{command} at {socket}: {_words(exc)}") from exc
        finally:
            writer.transport.abort()

    async def _connect(self, socket: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._targets[socket]
        if isinstance(target, Path):
            return await asyncio.open_unix_connection(sock=_connected(target))
        host, port = target
        return await asyncio.open_connection(host, port, ssl=self._context)


def _connected(path: Path) -> os_socket.socket:
    """Connect to a UNIX socket, which takes no time; asyncio would take a full queue for a connection."""
    found = os_socket.socket(os_socket.AF_UNIX)
    found.settimeout(0)
    try:
        found.connect(str(path))
    except OSError:
        found.close()
        raise
    return found


async def _read_all(reader: asyncio.StreamReader, command: str) -> str:
    """Return the whole answer; HAProxy ends it with an empty line and by closing."""
    parts, size = [], 0
    while part := await reader.read(65536):
        parts.append(part)
        size += len(part)
        if size > _LARGEST_ANSWER:
            raise TransientError(f"{command}: an answer of more than {_LARGEST_ANSWER} bytes")
    text = b"".join(parts).decode("utf-8", "replace")
    if not text.endswith("\n"):
        raise TransientError(f"{command}: the answer was cut short: {text[-60:]!r}")
    if text.count("\n") > _MOST_LINES:
        raise TransientError(f"{command}: an answer of more than {_MOST_LINES} lines")
    return text


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise PermanentError(f"{name!r} is not a name of HAProxy", reason="NameNotAllowed")
    return name


def _any_tls(sockets: Sequence[str]) -> bool:
    return any(socket.startswith("tls://") for socket in sockets)


def _parse(socket: str) -> Path | tuple[str, int]:
    """Return the path or the host and port of an address."""
    url = urlsplit(socket)
    if url.scheme == "unix" and not url.netloc and url.path.startswith("/"):
        return Path(url.path)
    if url.scheme == "tls" and url.hostname and url.port and not url.path:
        return url.hostname, url.port
    raise ValueError(f"{socket!r} is neither unix:///path nor tls://host:port")


def _words(exc: OSError) -> str:
    if isinstance(exc, FileNotFoundError):
        return "there is no such socket"
    if isinstance(exc, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(exc, BlockingIOError):
        return "too many talk to it already: `stats maxconn` in haproxy.cfg is 10 by default"
    if isinstance(exc, PermissionError):
        return "the daemon's user may not open it"
    if isinstance(exc, ssl.SSLError) and exc.reason == "WRONG_VERSION_NUMBER":
        # Measured with 2.6.12: it takes the words, warns of nothing, and speaks plain text.
        return "it does not speak TLS; `ssl` on a `stats socket` has no effect, a `listen` before it has"
    return exc.strerror or str(exc) or type(exc).__name__
