"""Elasticsearch over aiohttp: one request a call, the nodes in their order, passwords as they are now."""

import base64
import re
import ssl
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from reconcilers.contract import NotSentError, PermanentError, Secret, TransientError
from reconcilers.elasticsearch.client import NoMasterError, Reply, Request
from reconcilers.transports.elasticsearch_errors import of_answer
from reconcilers.transports.http_body import BodyError, json_of, read_body
from reconcilers.transports.http_errors import of_connection

_CONNECTIONS: Final = 4
#: Models have checked names before; here nothing else may become part of a path.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9._@*,-]*")


class ElasticsearchTransport:
    """One cluster. Nothing is retried here; a node that cannot be reached is passed over.

    Every request ends within ``deadline_s`` seconds a node. Raises NotSentError where no node was reached,
    TransientError where one did not answer or cannot now (``retry_after_s`` as it asked), NoMasterError, and
    PermanentError WrongCredentials, MissingPrivilege, TlsFailed, SecretUnavailable, HostileName,
    StaticSetting, MappingConflict, UnknownSetting, InUse, ManagedByFileSettings and RequestRefused.
    """

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        *,
        user: str | None = None,
        read_password: Callable[[], Secret] | None = None,
        ca_file: Path | None = None,
        deadline_s: float = 5.0,
    ) -> None:
        """Take the addresses. *read_password* reads the secret: a password, or without a user a key."""
        self._name = name
        self._urls = [URL(each) for each in urls]
        self._user = user
        self._read_password = read_password
        self._ca_file = ca_file
        self._deadline_s = deadline_s
        self._timeout = aiohttp.ClientTimeout(total=deadline_s, sock_connect=deadline_s / 2)
        self._session: aiohttp.ClientSession | None = None
        self._first = 0

    async def ask(self, request: Request) -> Reply:
        """Send *request* to the first node that takes it, beginning with the one that answered last."""
        headers = self._headers()
        failure: TransientError | None = None
        for step in range(len(self._urls)):
            number = (self._first + step) % len(self._urls)
            try:
                reply = await self._ask(self._urls[number], request, headers)
            except (NotSentError, NoMasterError) as exc:
                failure = failure or exc
            else:
                self._first = number
                return reply
        raise failure or NotSentError(f"{self._name} has no address")

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, base: URL, request: Request, headers: dict[str, str]) -> Reply:
        where = f"{self._name} at {base.authority}"
        try:
            async with self._open().request(
                request.method,
                _url(base, request),
                headers=headers,
                data=None if request.body is None else request.body.encode(),
                allow_redirects=False,
            ) as response:
                status, answer_headers = response.status, response.headers
                raw = await read_body(response)
            body = json_of(raw or b"{}")
        except BodyError as exc:
            raise TransientError(f"{where} gives {exc}: something else answers there") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise of_connection(exc, where, self._deadline_s) from exc
        if status == HTTPStatus.NOT_FOUND or status < HTTPStatus.MULTIPLE_CHOICES:
            return Reply(status, body)
        raise of_answer(status, body, answer_headers, where, self._who())

    def _who(self) -> str:
        if self._user is not None:
            return f"user {self._user}"
        return "nobody" if self._read_password is None else "the API key"

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._read_password is not None:
            secret = self._read_password().value
            if self._user is None:
                headers["Authorization"] = f"ApiKey {secret}"
            else:
                pair = base64.b64encode(f"{self._user}:{secret}".encode()).decode()
                headers["Authorization"] = f"Basic {pair}"
        return headers

    def _open(self) -> aiohttp.ClientSession:
        """Return the session; it is made inside the loop. Proxies of the environment are not for us."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=self._tls())
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _tls(self) -> ssl.SSLContext | bool:
        if self._ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self._ca_file))
        except (OSError, ssl.SSLError) as exc:
            raise PermanentError(f"{self._ca_file}: {exc}", reason="TlsFailed") from exc


def _url(base: URL, request: Request) -> URL:
    for segment in request.segments:
        if not _SEGMENT.fullmatch(segment) or ".." in segment.split(","):
            raise PermanentError(f"{segment[:80]!r} is no part of a path", reason="HostileName")
    path = "/" + "/".join(request.segments)
    return base.with_path(path, encoded=True).with_query(list(request.query))
