"""A small HTTPS server that answers what a test tells it, and remembers what it was asked."""

import contextlib
import hashlib
import http.server
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_OPENSSL: Final = "/usr/bin/openssl"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1 and its SHA-256 fingerprint as people write it."""

    file: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        der = ssl.PEM_cert_to_DER_cert(self.file.read_text())
        digits = hashlib.sha256(der).hexdigest().upper()
        return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


def make_certificate(folder: Path, name: str = "pve") -> Certificate:
    """Make a key and a certificate that is its own authority."""
    file, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [
        _OPENSSL,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(key), "-out", str(file), "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return Certificate(file, key)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    authorization: str
    body: str


@dataclass(frozen=True, slots=True)
class Say:
    """An answer: status, reason and body; *location* makes it a redirect."""

    status: int = 200
    reason: str = "OK"
    body: str = '{"data":null}'
    location: str = ""


class _HangUp(Exception):  # noqa: N818 - a signal of the script, not an error
    pass


def hang_up(_: Asked) -> Say:
    """Close the connection without an answer, after the request was read."""
    raise _HangUp


@dataclass(slots=True)
class HttpsServer:
    """*answer* decides; *asked* is all that arrived, in order."""

    url: str
    answer: Callable[[Asked], Say] = lambda _: Say()
    asked: list[Asked] = field(default_factory=list)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # closing waits for every connection

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.file, certificate.key)
        self.script = HttpsServer(url=f"https://127.0.0.1:{self.server_address[1]}")

    def handle_error(self, *_: object) -> None:
        """A client that refuses the certificate or hangs up is what the tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 2
    server: _Server

    def setup(self) -> None:
        # The handshake happens here, in the connection's own thread.
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        asked = Asked(self.command, self.path, self.headers.get("Authorization") or "", body)
        self.server.script.asked.append(asked)
        try:
            said = self.server.script.answer(asked)
        except _HangUp:
            self.close_connection = True
            return
        self.send_response(said.status, said.reason)
        if said.location:
            self.send_header("Location", said.location)
        payload = said.body.encode()
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(certificate: Certificate) -> Iterator[HttpsServer]:
    """Run a server on a free port of 127.0.0.1 until the block ends."""
    server = _Server(certificate)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
