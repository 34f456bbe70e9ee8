"""RabbitMQ's management API over aiohttp: asserted paths, several nodes, one deadline a request."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from reconcilers.contract import NotSentError, PermanentError, Secret, TransientError
from reconcilers.rabbitmq.client import Call, Reply
from reconcilers.transports.http_body import BodyError, json_of, read_body
from reconcilers.transports.http_errors import of_connection
from reconcilers.transports.rabbitmq_errors import no_api, of_answer

_SUCCESS: Final = range(200, 300)
_LARGEST_PART: Final = 512
_CONNECT_S: Final = 1.0
_PROBE_S: Final = 0.5
#: Both ports of a broker are moved together, as a rule: 5672 and 15672.
_TO_AMQP: Final = 10000
#: At once, on one node: a look asks a dozen things.
_CONNECTIONS: Final = 12
#: A broker that starts or stops has one without the other for some seconds, too.
_WITHOUT_API_S: Final = 15.0


class RabbitTransport:
    """The management API of one broker. Nothing is retried here; another node is asked if one is not reached.

    Every request ends within ``deadline_s`` seconds. Raises NotSentError where no node was reached,
    TransientError where none answered or the answer is no JSON, PermanentError WrongCredentials,
    MissingPrivilege, Refused, InequivalentArguments, ManagementPluginMissing, TlsFailed, UnsafeName and
    SecretUnavailable.
    """

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        *,
        user: str,
        read_password: Callable[[], Secret],
        ca_file: Path | None = None,
        deadline_s: float = 4.0,
    ) -> None:
        """Take ``http://HOST:15672`` of each node. *read_password* is called anew for each request."""
        self._name = name
        self._urls = tuple(urls)
        self._user = user
        self._read_password = read_password
        self._ca_file = ca_file
        self._deadline_s = deadline_s
        self._first = 0
        self._without_api_since: float | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def user(self) -> str:
        """The user that we come as."""
        return self._user

    async def send(self, call: Call) -> Reply:
        """Send one request to the node that answered last, or the next one that can be reached."""
        target = path_of(call)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._send(call, target)
        except TimeoutError as exc:
            text = f"{call.method} {target}: no answer within {self._deadline_s:g} s from {self._name}"
            raise TransientError(text) from exc

    async def _send(self, call: Call, target: str) -> Reply:
        refusals = []
        for index in self._order():
            base = self._urls[index]
            try:
                reply = await self._ask(base, call, target)
            except aiohttp.ClientError as exc:
                failure = of_connection(exc, self._where(base), self._deadline_s)
                if not isinstance(failure, NotSentError):
                    raise failure from exc
                refusals.append(str(failure))
            except BodyError as exc:
                text = f"{call.method} {target}: {self._where(base)} gives {exc}"
                raise TransientError(text) from None
            else:
                self._first, self._without_api_since = index, None
                if reply.status in _SUCCESS or reply.status in call.accepts:
                    return reply
                what = f"{call.method} {target}"
                raise of_answer(what, self._where(base), self._user, reply.status, reply.body)
        await self._check_plugin()
        raise NotSentError("; ".join(refusals))

    async def _check_plugin(self) -> None:
        """Raise what a broker that has been there without its API for a while means."""
        now = asyncio.get_running_loop().time()
        for base in self._urls:
            if await _has_amqp(base):
                self._without_api_since = self._without_api_since or now
                if now - self._without_api_since >= _WITHOUT_API_S:
                    raise no_api(self._where(base))
                raise NotSentError(f"{self._where(base)} is there, and its management API is not, or not yet")
        self._without_api_since = None

    def _order(self) -> Iterator[int]:
        """Yield the node that answered last, then the others in their order."""
        first = self._first
        yield first
        yield from (index for index in range(len(self._urls)) if index != first)

    async def _ask(self, base: str, call: Call, target: str) -> Reply:
        url = URL(f"{base}{target}{'?' if call.query else ''}{call.query}", encoded=True)
        login = base64.b64encode(f"{self._user}:{self._read_password().value}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        data = None if call.body is None else json.dumps(call.body).encode()
        async with self._open().request(
            call.method, url, headers=headers, data=data, allow_redirects=False
        ) as response:
            content = await read_body(response)
            is_success = response.status in _SUCCESS
        return Reply(response.status, _parse(content, is_strict=is_success))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """Return the session; it is made inside the loop. Proxies of the environment are not for us."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=self._context())
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
            # Cookies of a hostile server would be kept, and sent back, for ever.
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _context(self) -> ssl.SSLContext | bool:
        if self._ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise PermanentError(f"the CA file {self._ca_file}: {exc}", reason="TlsFailed") from exc

    def _where(self, base: str) -> str:
        return f"{self._name} at {urlsplit(base).netloc}"


def path_of(call: Call) -> str:
    """Return the path of a call. PermanentError UnsafeName for a part that could lead somewhere else.

    Quoting alone is not enough: ``..`` is made of characters that need none.
    """
    for part in call.path:
        if not part or part in {".", ".."} or len(part) > _LARGEST_PART or not part.isprintable():
            raise PermanentError(f"{part!r} is no name that can stand in a path", reason="UnsafeName")
    return "/api/" + "/".join(quote(part, safe="") for part in call.path)


def _parse(content: bytes, *, is_strict: bool) -> object:
    """Return the JSON of a body, None without one; what is none is an error only after success."""
    if not content:
        return None
    try:
        return json_of(content)
    except BodyError:
        if is_strict:
            raise
        return None


async def _has_amqp(base: str) -> bool:
    """Whether the broker itself is there, ten thousand ports below, where the API is not."""
    parts = urlsplit(base)
    if parts.hostname is None or parts.port is None or parts.port <= _TO_AMQP:
        return False
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PROBE_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port - _TO_AMQP)
        writer.close()
        return True
    return False
