"""HTTP over the daemon's UNIX socket. Every call has a time-out; nothing is retried here."""

import errno
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from daemon.cli.failures import CommandError, DeniedError, NotFoundError, RefusedError, UnreachableError

ANSWER_S: Final = 10.0
"""How long an answer may take."""
PLAN_S: Final = 120.0
"""How long a plan may take: it looks at each real thing anew."""
SILENCE_S: Final = 40.0
"""How long a stream may be silent; the daemon says something every 15 s."""
_LARGEST_LINE: Final = 8 << 20
_LONGEST_PATH: Final = 107
"""sockaddr_un has room for 108 bytes, the last one is its end."""


class _UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a path."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect; OSError as the kernel says."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event; ``id`` is None where the server gave none."""

    event: str
    data: Any
    id: int | None = None


class DaemonClient:
    """The daemon's API. Raises UnreachableError, DeniedError, NotFoundError and CommandError."""

    def __init__(self, path: Path, answer_s: float = ANSWER_S) -> None:
        self.path = path
        self._answer_s = answer_s

    def get(self, *segments: str, **query: str | int) -> Any:
        """Return the JSON at the path of these segments under /api/v1."""
        path = "/api/v1/" + "/".join(quote(segment, safe="") for segment in segments)
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None, self._answer_s)

    def post(self, action: str, body: object, timeout_s: float | None = None) -> Any:
        """Send *body* to /api/v1/*action* and return the JSON that comes back."""
        return self._ask("POST", f"/api/v1/{action}", body, timeout_s or self._answer_s)

    def _ask(self, method: str, path: str, body: object, timeout_s: float) -> Any:
        connection = _UnixConnection(self.path, timeout_s)
        text = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            raise unreachable(self.path, exc, timeout_s) from exc
        finally:
            connection.close()
        return _understood(self.path, answer.status, raw)

    def stream(self, last_id: int = 0, deadline: float | None = None) -> "Stream":
        """Open the stream of changes; events after *last_id* come again. *deadline* is monotonic time."""
        connection = _UnixConnection(self.path, self._answer_s)
        headers = {"Last-Event-ID": str(last_id)} if last_id else {}
        try:
            connection.request("GET", "/api/v1/stream", headers=headers)
            link = connection.sock
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                _understood(self.path, answer.status, answer.read())
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            raise unreachable(self.path, exc, self._answer_s) from exc
        except CommandError:
            connection.close()
            raise
        return Stream(self.path, connection, link, answer, deadline)


class Stream:
    """Frames as they come. Close it, or use it as a context."""

    def __init__(
        self,
        path: Path,
        connection: http.client.HTTPConnection,
        link: socket.socket,
        answer: http.client.HTTPResponse,
        deadline: float | None,
    ) -> None:
        self._path = path
        self._connection = connection
        self._link = link
        self._answer = answer
        self._deadline = deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        self._connection.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames; return at the deadline; raise UnreachableError when the daemon goes."""
        fields: dict[str, str] = {}
        while (line := self._line()) is not None:
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif "data" in fields:
                number = fields.get("id", "")
                yield Frame(
                    fields.get("event", "message"),
                    json.loads(fields["data"]),
                    int(number) if number.isdecimal() else None,
                )
                fields = {}
            else:
                fields = {}

    def _line(self) -> str | None:
        """Return the next line, None at the deadline."""
        patience = SILENCE_S
        if self._deadline is not None:
            patience = min(patience, self._deadline - time.monotonic())
            if patience <= 0:
                return None
        try:
            self._link.settimeout(patience)
            raw = self._answer.readline(_LARGEST_LINE)
        except TimeoutError as exc:
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return None
            raise UnreachableError(f"{self._path}: silent for {SILENCE_S:g} s") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise UnreachableError(f"{self._path}: the daemon ended the connection: {exc}") from exc
        if not raw:
            raise UnreachableError(f"{self._path}: the daemon ended the connection")
        return raw.decode("utf-8", "replace").rstrip("\r\n")


def unreachable(path: Path, exc: OSError | http.client.HTTPException, timeout_s: float) -> CommandError:
    """Say why nobody answers at *path*, and what to do."""
    if isinstance(exc, PermissionError):
        return DeniedError(f"{path}: permission denied", "be root, or a member of the socket's group (psa)")
    if isinstance(exc, TimeoutError):
        return UnreachableError(
            f"{path}: no answer within {timeout_s:g} s", "systemctl status psa-reconciler"
        )
    if isinstance(exc, OSError) and exc.errno == errno.ENOENT:
        hint = "is it running? systemctl status psa-reconciler; elsewhere: --socket PATH or PSA_SOCKET"
        return UnreachableError(f"no daemon: there is no socket {path}", hint)
    if isinstance(exc, ConnectionRefusedError):
        return _unheard(path)
    if len(os.fsencode(path)) > _LONGEST_PATH:
        hint = "give one relative to the folder that you are in"
        return UnreachableError(f"{path}: a socket's path has {_LONGEST_PATH} bytes at most", hint)
    return UnreachableError(f"{path}: {type(exc).__name__} {exc}")


def _unheard(path: Path) -> UnreachableError:
    if not path.is_socket():
        return UnreachableError(f"{path} is no socket", "--socket PATH or PSA_SOCKET names the daemon's")
    return UnreachableError(f"{path}: nobody listens any more", "systemctl start psa-reconciler")


def _understood(path: Path, status: int, raw: bytes) -> Any:
    try:
        answer = json.loads(raw)
    except ValueError:
        raise CommandError(
            f"{path}: the answer is no JSON (HTTP {status})", "is this the daemon's socket?"
        ) from None
    if status < http.HTTPStatus.BAD_REQUEST:
        return answer
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        raise CommandError(f"{path}: HTTP {status} without a reason")
    message, hint = str(error.get("message") or f"HTTP {status}"), error.get("hint")
    match status:
        case http.HTTPStatus.NOT_FOUND:
            raise NotFoundError(message, hint)
        case http.HTTPStatus.FORBIDDEN:
            raise DeniedError(message, hint)
        case http.HTTPStatus.BAD_REQUEST:
            raise RefusedError(message, hint)
        case _:
            raise CommandError(message, hint)
