"""pgBouncer's admin console over psycopg: it speaks the simple protocol only, and no transactions.

psycopg, 12 MB, is loaded only where the settings have a pooler.
"""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.postgres.model import Pool, PoolerSetting, SeenPooler
from reconcilers.transports.postgres_session import APPLICATION_NAME, Door
from reconcilers.transports.postgres_statements import literal, quoted

Row = Mapping[str, object]
_Connection = psycopg.AsyncConnection[dict[str, Any]]
_CONSOLE: Final = "pgbouncer"
_SETTING: Final = re.compile(r"[a-z][a-z_]{0,62}")
_WRONG_PASSWORD: Final = ("authentication failed", "no such user", "not allowed")
_MICRO: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Console:
    """One pooler: how sessions are opened, and HOST:PORT."""

    door: Door
    address: str


class Poolers:
    """The admin consoles of all endpoints of the settings. One session each is kept; nothing is retried.

    Raises NotSentError, TransientError, and PermanentError WrongPassword, TlsFailed and BadSetting.
    """

    def __init__(self, consoles: Mapping[str, Console]) -> None:
        self._consoles = {name: _Session(console) for name, console in consoles.items()}

    async def close(self) -> None:
        """End all sessions."""
        for each in self._consoles.values():
            await each.close()

    def has(self, endpoint: str) -> bool:
        """Whether an endpoint has a pooler."""
        return endpoint in self._consoles

    async def look(self, endpoint: str) -> SeenPooler:
        """Ask for settings, databases and pools."""
        console = self._console(endpoint)
        version = (await console.ask("SHOW VERSION"))[0]
        settings = await console.ask("SHOW CONFIG")
        databases = await console.ask("SHOW DATABASES")
        pools = await console.ask("SHOW POOLS")
        sizes = {str(each["name"]): _number(each, "pool_size") for each in databases}
        return SeenPooler(
            version=str(version["version"]).rpartition(" ")[2],
            settings={
                str(each["key"]): PoolerSetting(str(each["value"]), each["changeable"] == "yes")
                for each in settings
            },
            databases=frozenset(sizes) - {_CONSOLE},
            paused=frozenset(str(each["name"]) for each in databases if _number(each, "paused")),
            pools=tuple(_pool(each, sizes) for each in pools if each["database"] != _CONSOLE),
        )

    async def set(self, endpoint: str, name: str, value: str) -> None:
        """Set one setting, until the pooler starts again or reads its file. Twice is the same as once."""
        if _SETTING.fullmatch(name) is None:
            raise PermanentError(f"{name!r} is no setting of pgBouncer", reason="BadSetting")
        await self._console(endpoint).ask(f"SET {name} = {literal(value)}")

    async def pause(self, endpoint: str, database: str) -> None:
        """Let running transactions end, and new ones wait. Ends within the deadline, or TransientError."""
        await self._console(endpoint).ask(f"PAUSE {quoted(database)}")

    async def resume(self, endpoint: str, database: str) -> None:
        """Let what waits go on; a database that is not paused is left as it is."""
        paused = {str(each["name"]) for each in await self._databases(endpoint) if _number(each, "paused")}
        if database in paused:
            await self._console(endpoint).ask(f"RESUME {quoted(database)}")

    async def reload(self, endpoint: str) -> None:
        """Let it read its file again, which takes back what was set and stands there otherwise."""
        await self._console(endpoint).ask("RELOAD")

    async def _databases(self, endpoint: str) -> Sequence[Row]:
        return await self._console(endpoint).ask("SHOW DATABASES")

    def _console(self, endpoint: str) -> "_Session":
        found = self._consoles.get(endpoint)
        if found is None:
            raise PermanentError(f"endpoint {endpoint} has no pooler", reason="UnknownEndpoint")
        return found


class _Session:
    """A console's session, which is opened anew after any failure."""

    def __init__(self, console: Console) -> None:
        self._door = console.door
        host, _, port = console.address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._where = f"pgBouncer at {console.address}"
        self._kept: _Connection | None = None
        self._turn = asyncio.Lock()

    async def ask(self, command: str) -> Sequence[Row]:
        """Run one command and return its rows, none where it has none."""
        async with self._turn:
            is_whole = False
            try:
                session = await self._session()
                rows = await self._exchange(session, command)
                is_whole = True
            except psycopg.errors.ProtocolViolation as exc:
                is_whole = True
                words = f"{self._where} refuses {command.partition('=')[0].strip()}: {_first_line(exc)}"
                raise PermanentError(words, reason="BadSetting") from exc
            except psycopg.Error as exc:
                raise TransientError(f"{self._where}: {_first_line(exc)}") from exc
            finally:
                if not is_whole:
                    await self._drop()
        return rows

    async def close(self) -> None:
        async with self._turn:
            await self._drop()

    async def _session(self) -> _Connection:
        if self._kept is None or self._kept.closed:
            self._kept = await self._open()
        return self._kept

    async def _exchange(self, session: _Connection, command: str) -> Sequence[Row]:
        # Not asyncio.timeout: a psycopg that is cancelled asks the server for 5 s to cancel, too.
        deadline = _Deadline(session.pgconn.socket)
        timer = asyncio.get_running_loop().call_later(self._door.deadline_s, deadline.pass_by)
        try:
            # Its words are ours, its names and values quoted: the console takes no parameters.
            cursor = await session.execute(command)
            return await cursor.fetchall() if cursor.description is not None else ()
        except psycopg.OperationalError as exc:
            if deadline.is_past:
                words = f"no answer within {self._door.deadline_s:g} s from {self._where}"
                raise TransientError(words) from exc
            raise
        finally:
            timer.cancel()

    async def _open(self) -> _Connection:
        door = self._door
        password = door.read_password()
        try:
            async with asyncio.timeout(door.connect_s):
                return await psycopg.AsyncConnection.connect(
                    host=self._host,
                    port=self._port,
                    user=door.user,
                    password=password.value,
                    dbname=_CONSOLE,
                    application_name=APPLICATION_NAME,
                    gssencmode="disable",
                    autocommit=True,
                    prepare_threshold=None,
                    cursor_factory=psycopg.AsyncClientCursor,
                    row_factory=dict_row,
                    sslmode="disable" if door.ca_file is None else "verify-full",
                    sslrootcert=None if door.ca_file is None else str(door.ca_file),
                )
        except TimeoutError as exc:
            raise NotSentError(f"cannot connect to {self._where}: no answer") from exc
        except psycopg.Error as exc:
            text = _first_line(exc)
            if any(each in text for each in _WRONG_PASSWORD):
                raise PermanentError(
                    f"{self._where} refuses user {door.user}: {text}", reason="WrongPassword"
                ) from exc
            if _is_about_tls(text):
                raise PermanentError(f"no TLS with {self._where}: {text}", reason="TlsFailed") from exc
            raise NotSentError(f"cannot connect to {self._where}: {text}") from exc

    async def _drop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()


class _Deadline:
    """Cuts a connection when its time is up, so that whoever waits for it sees its end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.is_past = False

    def pass_by(self) -> None:
        self.is_past = True
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._descriptor)) as copy:
            copy.shutdown(socket.SHUT_RDWR)


def _pool(row: Row, sizes: Mapping[str, int]) -> Pool:
    database = str(row["database"])
    servers = sum(_number(row, each) for each in ("sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login"))
    return Pool(
        database=database,
        user=str(row["user"]),
        clients=_number(row, "cl_active"),
        waiting=_number(row, "cl_waiting"),
        servers=servers,
        waited_s=_number(row, "maxwait") + _number(row, "maxwait_us") * _MICRO,
        size=sizes.get(database),
    )


def _is_about_tls(text: str) -> bool:
    """Whether one side speaks TLS and the other does not, or a certificate is refused."""
    # A system call that fails below TLS is the network's failure.
    return ("SSL" in text or "certificate" in text) and "SSL SYSCALL" not in text


def _number(row: Row, name: str) -> int:
    value = row[name]
    return value if isinstance(value, int) else int(str(value or 0))


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0] or type(exc).__name__
