"""A Proxmox VE that answers without end, byte by byte or with a bomb gives thread and memory back in time."""

import asyncio
import contextlib
import gzip
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pytest

from reconcilers.contract import NotSentError, TransientError
from reconcilers.transports.proxmox import ProxmoxTransport
from tests.fakes.https_server import Certificate, make_certificate

TOKEN: Final = "psa@pve!daemon=11111111-2222-3333-4444-555555555555"
DEADLINE_S: Final = 2.0
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Hostile:
    """What is sent first, and what over and over with a pause in between."""

    first: bytes
    endless: bytes = b""
    pause_s: float = 0.0


def _with_body(body: bytes, head: bytes = _HEAD) -> Hostile:
    return Hostile(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class _Server:
    """Serves one connection after the other, in a thread, until closed."""

    def __init__(self, certificate: Certificate, hostile: Hostile) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.file, certificate.key)
        self._hostile = hostile
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                connection.settimeout(5.0)
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    self._answer(secured)

    def _answer(self, connection: ssl.SSLSocket) -> None:
        connection.recv(65536)
        connection.sendall(self._hostile.first)
        while self._hostile.endless and not self._closing.wait(self._hostile.pause_s):
            connection.sendall(self._hostile.endless)


@contextlib.contextmanager
def asked(certificate: Certificate, hostile: Hostile) -> Iterator[ProxmoxTransport]:
    server = _Server(certificate, hostile)
    fingerprint = certificate.fingerprint
    transport = ProxmoxTransport("pve", [server.url], TOKEN, fingerprint=fingerprint, deadline_s=DEADLINE_S)
    try:
        yield transport
    finally:
        transport.close()
        server.close()


async def wait_idle(transport: ProxmoxTransport) -> None:
    """Return when all threads of the pool wait for work."""
    pool = transport._pool
    async with asyncio.timeout(1.0):
        while pool._idle_semaphore._value < len(pool._threads):
            await asyncio.sleep(0.01)


_SLOW: Final[Mapping[str, Hostile]] = {
    "the body byte by byte": Hostile(_HEAD + b"Content-Length: 99999\r\n\r\n", b" ", 0.05),
    "the head byte by byte": Hostile(b"HTTP/1.1 200 OK\r\nX: ", b"a", 0.05),
    "chunks byte by byte": Hostile(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.05),
}


@pytest.mark.parametrize("hostile", _SLOW.values(), ids=_SLOW.keys())
async def test_an_answer_that_comes_byte_by_byte_has_one_time_out_and_frees_its_thread(
    certificate: Certificate, hostile: Hostile
) -> None:
    with asked(certificate, hostile) as transport:
        begun = time.monotonic()
        with pytest.raises(TransientError):
            await transport.read(("version",))
        assert time.monotonic() - begun < DEADLINE_S, "the socket gives up before we do"
        await wait_idle(transport)


_LARGE: Final[Mapping[str, Hostile]] = {
    "a length of gigabytes": Hostile(_HEAD + b"Content-Length: 99999999999\r\n\r\n", b" " * 65536),
    "chunks": Hostile(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "no length": Hostile(_HEAD + b"\r\n", b" " * 65536),
    "packed": _with_body(gzip.compress(b" " * 300 * _MIB), _HEAD + b"Content-Encoding: gzip\r\n"),
}


@pytest.mark.parametrize("hostile", _LARGE.values(), ids=_LARGE.keys())
async def test_an_answer_without_end_takes_little_memory(certificate: Certificate, hostile: Hostile) -> None:
    with asked(certificate, hostile) as transport:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(TransientError) as caught:
            await transport.write("POST", ("nodes", "pve1", "lxc", "100", "status", "start"))
        assert not isinstance(caught.value, NotSentError), "it may have been done"
        await wait_idle(transport)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 150 * 1024


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"data":1e999}', b'{"data":' + b"9" * 10_000 + b"}"],
    ids=["deep", "inf", "long"],
)
async def test_a_body_that_no_parser_should_meet_is_no_document(
    certificate: Certificate, body: bytes
) -> None:
    with (
        asked(certificate, _with_body(body)) as transport,
        pytest.raises(TransientError, match="no Proxmox document"),
    ):
        await transport.read(("version",))
