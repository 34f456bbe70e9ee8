"""Proxmox VE: API calls through proxmoxer, in one bounded pool of threads a cluster."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import requests
from proxmoxer.core import ResourceException

from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.transports.proxmox_errors import NodeSilentError, Refusal, classify
from reconcilers.transports.proxmox_session import (
    Endpoint,
    GarbledAnswerError,
    Token,
    Trust,
    connect,
    is_distrusted,
    is_unsent,
)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
ApiPath: TypeAlias = Sequence[str]
Method: TypeAlias = Literal["POST", "PUT", "DELETE"]
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

_THREADS: Final = 8
_HOSTS_TRIED: Final = 3
# Shares of our deadline that the sockets get: three hosts that do not answer still end before it.
_CONNECT_SHARE: Final = 0.07
_READ_SHARE: Final = 0.22
_WRITE_SHARE: Final = 0.75  # of 45 s: pveproxy waits 30 s for another node, and 3 s before a 401
#: What a path segment may be made of: `/`, `%`, `?` and `..` would lead to another resource.
_SEGMENT: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:@!-]+")


class _Connections(threading.local):
    """One thread's connections, by host and by whether they write."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, bool], Endpoint] = {}


class ProxmoxTransport:
    """The API of one cluster. Several hosts are one cluster; any of them passes calls on to the others.

    *token* is ``user@realm!tokenid=UUID``. A call takes at most *deadline_s*. Raises ValueError for a token,
    URL or fingerprint that is none.
    """

    def __init__(
        self,
        name: str,
        urls: Iterable[str],
        token: str,
        *,
        fingerprint: str | None = None,
        ca_file: Path | None = None,
        deadline_s: float = 45.0,
    ) -> None:
        self.name = name
        self.deadline_s = deadline_s
        self._urls = tuple(_checked(url) for url in urls)
        if not self._urls:
            raise ValueError(f"endpoint {name} has no URL")
        self._token = Token.parse(token)
        self._trust = Trust(fingerprint, ca_file)
        self._context = self._trust.context()
        self._preferred = 0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"proxmox-{name}")
        self._connections = _Connections()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    @property
    def token_id(self) -> str:
        """The public name of the token, ``user@realm!tokenid``, as tasks carry it."""
        return self._token.id

    async def read(self, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
        """GET; hosts that do not answer are passed over.

        Raises AbsentError, NodeSilentError or another TransientError, PermanentError.
        """
        return await self._in_thread("GET", path, params, self._read)

    async def write(self, method: Method, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
        """POST, PUT or DELETE, sent once.

        Raises NotSentError if it surely did not happen, TransientError if nobody knows, PermanentError.
        """
        return await self._in_thread(method, path, params, self._write)

    def close(self) -> None:
        """End the pool and the connections; calls under way end by their own time-outs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for session in self._sessions:
                session.close()

    async def _in_thread(
        self, method: str, path: ApiPath, params: Mapping[str, str], call: Callable[..., Json]
    ) -> Json:
        where = _join(path)
        work = self._pool.submit(call, method, where, dict(params))
        try:
            async with asyncio.timeout(self.deadline_s):
                return await asyncio.wrap_future(work)
        except TimeoutError as exc:
            message = f"{method} {where}: no answer from {self.name} within {self.deadline_s:g} s"
            # A call that still waited for a thread is taken back, and was never sent.
            raise (NotSentError if work.cancel() else TransientError)(message) from exc

    def _read(self, method: str, path: str, params: dict[str, str]) -> Json:
        failure: TransientError = NotSentError(f"{method} {path}: no host")
        for url in self._in_order():
            try:
                return self._send(url, method, path, params)
            except NodeSilentError as exc:
                # The host is well; another one may reach the node all the same.
                failure = exc
            except _NoAnswerError as exc:
                failure = failure if isinstance(failure, NodeSilentError) else exc
        raise failure

    def _write(self, method: str, path: str, params: dict[str, str]) -> Json:
        failure: TransientError = NotSentError(f"{method} {path}: no host")
        for url in self._in_order():
            try:
                return self._send(url, method, path, params)
            except _UnreachableError as exc:
                failure = exc
        raise failure

    def _in_order(self) -> Iterable[str]:
        """Return the hosts to try, the one that answered last first."""
        first = self._preferred
        return (*self._urls[first:], *self._urls[:first])[:_HOSTS_TRIED]

    def _send(self, url: str, method: str, path: str, params: dict[str, str]) -> Json:
        endpoint = self._endpoint(url, writes=method != "GET")
        what = f"{method} {path} on {urlsplit(url).netloc}"
        failure: TransientError | PermanentError
        try:
            answer: Json = _verb(endpoint.resource, method)(path, **params)
        except ResourceException as exc:
            self._preferred = self._urls.index(url)
            failure = classify(_refusal(method, path, exc))
        except GarbledAnswerError as exc:
            failure = _NoAnswerError(f"{what}: {exc}")
        except requests.RequestException as exc:
            failure = _connection_error(what, exc)
        else:
            self._preferred = self._urls.index(url)
            return answer
        # Raised here, the error does not keep the driver's frames, and with them the connection, alive.
        raise failure

    def _endpoint(self, url: str, *, writes: bool) -> Endpoint:
        made = self._connections.made
        if (url, writes) not in made:
            share = _WRITE_SHARE if writes else _READ_SHARE
            timeout_s = (self.deadline_s * _CONNECT_SHARE, self.deadline_s * share)
            made[url, writes] = endpoint = connect(
                url, self._token, self._trust, self._context, timeout_s=timeout_s
            )
            with self._lock:
                self._sessions.append(endpoint.session)
        return made[url, writes]


class _NoAnswerError(TransientError):
    """One host gave no usable answer; another one may."""


class _UnreachableError(_NoAnswerError, NotSentError):
    """There was no connection to this host."""


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{url!r} is not of the form https://host:8006")
    return url


def _join(path: ApiPath) -> str:
    for segment in path:
        if _SEGMENT.fullmatch(segment) is None:
            raise PermanentError(f"{segment!r} cannot be part of an API path", reason="InvalidRequest")
    return "/".join(path)


def _verb(resource: Any, method: str) -> Callable[..., Json]:
    verbs: dict[str, Callable[..., Json]] = {
        "GET": resource.get,
        "POST": resource.post,
        "PUT": resource.put,
        "DELETE": resource.delete,
    }
    return verbs[method]


def _refusal(method: str, path: str, error: ResourceException) -> Refusal:
    document: dict[str, Any] = error.errors or {}
    fields = document.get("errors")
    return Refusal(
        method=method,
        path=path,
        status=error.status_code,
        reason=str(error.content),
        message=str(document.get("message") or ""),
        fields={str(k): str(v) for k, v in fields.items()} if isinstance(fields, dict) else {},
    )


def _connection_error(what: str, error: requests.RequestException) -> TransientError | PermanentError:
    if is_distrusted(error):
        return PermanentError(
            f"{what}: certificate refused: {_innermost(error)}", reason="CertificateChanged"
        )
    if is_unsent(error):
        return _UnreachableError(f"{what}: {_innermost(error)}")
    return _NoAnswerError(f"{what}: {_innermost(error)}")


def _innermost(error: BaseException) -> str:
    """Return the text of the deepest cause, without requests' and urllib3's wrapping."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return str(error)
        error = inner
