"""HTTP requests to health endpoints: one GET, a deadline, a small answer, no redirects."""

from dataclasses import dataclass
from typing import Final

import aiohttp

from reconcilers.contract import TransientError

_LARGEST: Final = 64 * 1024
#: Who waits for a connection waits within its deadline; both colours of 64 services are one release.
_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and body, as far as it is of a reasonable size."""

    status: int
    body: bytes


class HttpProbe:
    """Asks health endpoints. Nothing is retried; a call ends within ``deadline_s`` seconds."""

    def __init__(self, deadline_s: float = 1.0) -> None:
        self._timeout = aiohttp.ClientTimeout(total=deadline_s)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, host: str, port: int, path: str) -> HttpAnswer:
        """Return what ``http://host:port/path`` answers; TransientError if it does not, or not in time."""
        url = f"http://{host}:{port}{path}"
        try:
            async with self._open().get(url, allow_redirects=False) as response:
                return HttpAnswer(response.status, await _body_of(response))
        except TimeoutError as exc:
            raise TransientError(f"{url}: no answer within {self._timeout.total:g} s") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise TransientError(f"{url}: {str(exc) or type(exc).__name__}") from exc

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """Return the session; it is made inside the loop. Proxies of the environment are not for us."""
        if self._session is None:
            # A connection of its own each time: what is tested is that the service takes new ones.
            connector = aiohttp.TCPConnector(force_close=True, limit=_AT_ONCE)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, trust_env=False, auto_decompress=False
            )
        return self._session


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, however many pieces it comes in, up to a reasonable size."""
    parts, room = [], _LARGEST
    while room and (part := await response.content.read(room)):
        parts.append(part)
        room -= len(part)
    return b"".join(parts)
