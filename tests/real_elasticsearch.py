"""Servers for tests of Elasticsearch: the lab's stand-in, and noida-db, somebody else's, as a second opinion.

There is no real Elasticsearch here: none can be had from a registry that this project uses.
"""

import asyncio
import contextlib
import http.client
import os
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import noida_db  # type: ignore[import-untyped]  # a program in a wheel
from aiohttp import web

from lab.elasticsearch import ElasticsearchConfig, LabElasticsearch
from lab.processes import end, identify
from reconcilers.contract import Secret
from reconcilers.transports.elasticsearch import ElasticsearchTransport
from tests.real_haproxy import free_address

USER: Final = "psa-reconciler"
PASSWORD: Final = "correct horse battery staple"
#: noida-db says this, and has no lifecycle policies.
NOIDA_CLUSTER: Final = "docker-cluster"
_READY_S: Final = 10.0


@contextlib.contextmanager
def a_stand_in(**config: Any) -> Iterator[LabElasticsearch]:
    """Start the lab's stand-in in a folder of its own; it ends with the test."""
    with tempfile.TemporaryDirectory(prefix="psa-es-", dir="/tmp") as folder:
        server = LabElasticsearch(Path(folder), ElasticsearchConfig(free_address(), **config))
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def a_noida() -> Iterator[str]:
    """Start noida-db as nobody, in a folder of its own, and return its address; it ends with the test."""
    with tempfile.TemporaryDirectory(prefix="psa-noida-", dir="/tmp") as folder:
        root = Path(folder)
        # The program may lie where nobody reaches it, and its data must be nobody's.
        program = shutil.copy(Path(str(noida_db.__file__)).parent / "noida-db", root / "noida-db")
        host, _, port = free_address().rpartition(":")
        words = [str(program), "start", "--data-dir", str(root / "data"), "--host", host]
        words += ["--only", "elasticsearch", "--elasticsearch-port", port]
        if os.geteuid() == 0:
            shutil.chown(root, "nobody", "nogroup")
            words = ["/usr/bin/setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--", *words]
        with (root / "log").open("wb") as log:
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=root)
        process = identify(child.pid)
        assert process is not None
        try:
            _wait(f"http://{host}:{port}", child, root / "log")
            yield f"http://{host}:{port}"
        finally:
            end([process], grace_s=2.0)
            child.wait(5)


def _wait(url: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    host, _, port = url.removeprefix("http://").rpartition(":")
    deadline = time.monotonic() + _READY_S
    while True:
        connection = http.client.HTTPConnection(host, int(port), timeout=1)
        with contextlib.suppress(OSError):
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            return
        connection.close()
        assert child.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.02)


@contextlib.asynccontextmanager
async def listening(
    answer: Callable[[], web.Response], *, tls: ssl.SSLContext | None = None, delay_s: float = 0.0
) -> AsyncIterator[str]:
    """Give the address of a server that answers everything in the same way."""

    async def handle(_request: web.Request) -> web.Response:
        await asyncio.sleep(delay_s)
        return answer()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def transport(server: LabElasticsearch, **options: Any) -> ElasticsearchTransport:
    """Return a connection as the daemon has it."""
    return ElasticsearchTransport("es", [server.url], **options)


def as_user(password: str = PASSWORD, user: str = USER) -> dict[str, Any]:
    """Return the options of a transport that comes as somebody."""
    return {"user": user, "read_password": lambda: Secret(password)}
