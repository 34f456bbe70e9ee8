"""Private HAProxy instances with something to balance: small servers whose health is in the test's hand."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

from lab.haproxy import LabBackend, LabConfig, LabHaproxy, LabServer
from reconcilers.servers import Node, NodeDown

SeenT = TypeVar("SeenT")


def free_address() -> str:
    """Return a loopback address with a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextlib.contextmanager
def refusing_address() -> Iterator[str]:
    """Give a loopback address that refuses every connection while the block runs, and is nobody else's."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening
        yield f"127.0.0.1:{held.getsockname()[1]}"


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A health check that HAProxy breaks off is no news."""


class App:
    """Answers every GET with its name: 200 while it is healthy, else 500."""

    def __init__(self, name: str) -> None:
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = app.name.encode()
                self.send_response(200 if app.is_healthy else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                return

        self.name = name
        self.is_healthy = True
        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Site:
    """Two servers, and HAProxy instances before them; all end with the test."""

    folder: Path
    blue: App
    green: App
    instances: list[LabHaproxy] = field(default_factory=list)

    def backend(self, algorithm: str = "roundrobin", **options: str) -> LabBackend:
        """Return api_backend with both; *options* are words behind a server's line."""
        servers = tuple(
            LabServer(name, app.address, options=options.get(name, ""))
            for name, app in (("blue", self.blue), ("green", self.green))
        )
        return LabBackend("api_backend", servers, algorithm)

    def start(self, *backends: LabBackend, **config: object) -> LabHaproxy:
        """Start another instance; keywords are the lab's."""
        made = LabConfig(free_address(), backends or (self.backend(),), **{"check_ms": 100, **config})  # type: ignore[arg-type]  # keywords of a test
        haproxy = LabHaproxy(self.folder / str(len(self.instances)), made)
        self.instances.append(haproxy)
        haproxy.start()
        return haproxy


@contextlib.contextmanager
def a_site() -> Iterator[Site]:
    """Give a site in a short folder of its own; UNIX socket paths are short."""
    folder = Path(tempfile.mkdtemp(prefix="psa-ha-", dir="/tmp"))
    folder.chmod(0o755)  # HAProxy's worker is another user
    site = Site(folder, App("blue"), App("green"))
    try:
        yield site
    finally:
        for haproxy in site.instances:
            haproxy.stop(grace_s=0.2)
        site.blue.stop()
        site.green.stop()
        shutil.rmtree(folder)


async def until(
    look: Callable[[], Awaitable[SeenT]], is_so: Callable[[SeenT], bool], seconds: float = 10
) -> SeenT:
    """Look again and again until it is so; fail with what was seen last."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not is_so(seen := await look()):
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {seen}"
        await asyncio.sleep(0.02)
    return seen


def the_node(seen: tuple[Node | NodeDown, ...]) -> Node:
    """Return the only node, which must have answered."""
    (node,) = seen
    assert isinstance(node, Node), node
    return node


@contextlib.asynccontextmanager
async def a_babbler(
    path: Path, answer: Callable[[asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[str]:
    """Listen at a UNIX socket and give every connection to *answer*; yield the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        with contextlib.suppress(OSError):
            await answer(writer)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield f"unix://{path}"
    finally:
        server.close()
        await server.wait_closed()
