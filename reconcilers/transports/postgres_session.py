"""Sessions of asyncpg, which has no types: nothing of it leaves this module.

TCP only, never through a pooler: settings of a session would stay with whoever comes next.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from reconcilers.contract import NotSentError, PermanentError, Secret, TransientError
from reconcilers.transports.postgres_errors import of_connecting, of_network, of_talking

Row = Mapping[str, object]
APPLICATION_NAME: Final = "psa-reconciler"
#: Set after connecting and not at the door: there they would look like the server's own values.
_LIMITS: Final = """
SET statement_timeout = '{statement_ms}ms'; SET lock_timeout = '3s';
SET idle_in_transaction_session_timeout = '5s';
SET client_min_messages = 'error'; SET search_path = pg_catalog; SET row_security = off
"""
#: Sessions to one member at a time, the one that is kept open among them.
_MOST_SESSIONS: Final = 4
_CLOSE_S: Final = 1.0
#: What asyncpg ends in where a server leaves out what each PostgreSQL says of itself.
_GARBLED: Final = (AttributeError, LookupError, ValueError)
_NO_POSTGRES: Final = "what answers there is not of PostgreSQL's form"


@dataclass(frozen=True, slots=True)
class Door:
    """How sessions to one cluster are opened. The password is read at each."""

    user: str
    database: str
    read_password: Callable[[], Secret]
    ca_file: Path | None = None
    has_patroni: bool = False
    """Whether the settings say that Patroni runs the members."""
    deadline_s: float = 5.0
    """How long an exchange may take, with connecting."""
    connect_s: float = 3.0
    slow_s: float = 25.0
    """How long making a database or an extension may take, which copies files."""


class Member:
    """One server: a session that is kept open, and short ones to other databases.

    Raises NotSentError, TransientError and PermanentError. Nothing is retried here, but for a kept session
    that turns out to be closed before anything was sent.
    """

    def __init__(self, name: str, address: str, door: Door) -> None:
        host, _, port = address.rpartition(":")
        self.name, self.address = name, address
        self.where = f"{name} at {address}"
        self._host, self._port = host.strip("[]"), int(port)
        self._door = door
        self.has_patroni = door.has_patroni
        self.user = door.user
        self._kept: Any = None
        self._turn = asyncio.Lock()
        self._others = asyncio.Semaphore(_MOST_SESSIONS - 1)

    async def fetch(self, sql: str, values: tuple[object, ...], database: str | None) -> tuple[Row, ...]:
        """Run one query and return its rows."""
        async with self._session(database) as session:
            return tuple([dict(record) for record in await session.fetch(sql, *values)])

    async def execute(self, commands: tuple[str, ...], database: str | None) -> None:
        """Run commands one after the other, each in a transaction of its own."""
        async with self._session(database) as session:
            for command in commands:
                await session.execute(command)

    async def execute_slow(self, command: str, database: str | None) -> None:
        """Run a command that copies files, in a session of its own: it may take ``slow_s``."""
        door = self._door
        async with self._told(door.slow_s), self._short_session(database or door.database) as session:
            await session.execute(f"RESET search_path; SET statement_timeout = '{_most_ms(door.slow_s)}ms'")
            await session.execute(command)

    async def close(self) -> None:
        """End the session that was kept."""
        async with self._turn:
            self._drop()

    @asynccontextmanager
    async def _session(self, database: str | None) -> AsyncIterator[Any]:
        """Give a session for one exchange, at most the deadline long."""
        is_main = database in {None, self._door.database}
        opened = self._kept_session() if is_main else self._short_session(database or "")
        async with self._told(self._door.deadline_s), opened as found:
            yield found

    @asynccontextmanager
    async def _told(self, deadline_s: float) -> AsyncIterator[None]:
        """Raise what the driver's errors mean, and TransientError where there is no answer in time."""
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except TimeoutError as exc:
            raise TransientError(f"no answer within {deadline_s:g} s from {self.where}") from exc
        except asyncpg.PostgresError as exc:
            raise of_talking(exc.sqlstate, _words(exc), self.where) from exc
        except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as exc:
            raise TransientError(f"{self.where}: {str(exc) or type(exc).__name__}") from exc
        except UnicodeError as exc:
            # A database in SQL_ASCII may hold names that are no UTF-8.
            raise TransientError(f"{self.where}: an answer that is no UTF-8") from exc

    @asynccontextmanager
    async def _kept_session(self) -> AsyncIterator[Any]:
        async with self._turn:
            if self._kept is None or self._kept.is_closed():
                self._drop()
                self._kept = await self._open(self._door.database)
            is_whole = False
            try:
                yield self._kept
                is_whole = True
            except asyncpg.PostgresError as exc:
                is_whole = not _ends_session(exc.sqlstate)
                raise
            finally:
                if not is_whole:
                    self._drop()

    @asynccontextmanager
    async def _short_session(self, database: str) -> AsyncIterator[Any]:
        async with self._others:
            session = await self._open(database)
            try:
                yield session
                await session.close(timeout=_CLOSE_S)
            finally:
                session.terminate()

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.terminate()
        self._kept = None

    async def _open(self, database: str) -> Any:
        door = self._door
        password = door.read_password()
        limits = _LIMITS.format(statement_ms=_most_ms(door.deadline_s))
        try:
            async with asyncio.timeout(door.connect_s):
                session = await asyncpg.connect(
                    host=self._host,
                    port=self._port,
                    user=door.user,
                    password=password.value,
                    database=database,
                    ssl=_tls(door.ca_file),
                    timeout=door.connect_s,
                    server_settings={"application_name": APPLICATION_NAME},
                )
                await _limited(session, limits)
        except asyncpg.PostgresError as exc:
            raise of_connecting(exc.sqlstate, _words(exc), self.where, door.user) from exc
        except (asyncpg.InterfaceError, asyncpg.InternalClientError) as exc:
            raise NotSentError(f"cannot connect to {self.where}: {exc}") from exc
        except (OSError, TimeoutError) as exc:
            raise of_network(exc, self.where, is_tls=door.ca_file is not None) from exc
        except _GARBLED as exc:  # below OSError: a certificate that is refused is a ValueError, too
            raise NotSentError(f"cannot connect to {self.where}: {_NO_POSTGRES}") from exc
        return session


def _most_ms(deadline_s: float) -> int:
    """Return how long a statement may take, so that the server gives up before we do."""
    return int(deadline_s * 800)


def _tls(ca_file: Path | None) -> ssl.SSLContext | bool:
    """Return what asyncpg takes: verify-full, or no TLS at all."""
    if ca_file is None:
        return False
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise PermanentError(f"{ca_file}: {exc.strerror or exc}", reason="TlsFailed") from exc


def _words(exc: Any) -> str:
    """Return what the server said. Its DETAIL may hold values, and is left out."""
    return str(exc.args[0]) if exc.args else type(exc).__name__


def _ends_session(sqlstate: str | None) -> bool:
    return (sqlstate or "").startswith(("08", "57P"))


async def _limited(session: Any, limits: str) -> None:
    """Set the session's limits; one that does not get them is ended, and not left to the collector."""
    is_limited = False
    try:
        await session.execute(limits)
        is_limited = True
    finally:
        if not is_limited:
            session.terminate()
