"""Redis over redis-py: one connection an exchange, so that passwords are those of now; one deadline each.

redis-py cannot be imported in part (its package imports cluster, sentinel and all: 6 MB, 28 ms), so this
module is loaded only where the settings have such an endpoint.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import redis.exceptions as errors
from redis._parsers.resp2 import _AsyncRESP2Parser
from redis.asyncio.connection import Connection, SSLConnection

from reconcilers.contract import NotSentError, PermanentError, Secret, TransientError
from reconcilers.redis.client import Command, Refused, Reply
from reconcilers.transports.redis_errors import is_wrong_password, of_connecting, of_talking

_DEFAULT_USER: Final = "default"
#: What the driver's parser ends in where a length is no number, a line has no end, or lists hold lists.
_GARBLED: Final = (ValueError, RecursionError)
_NO_REDIS: Final = "gives an answer that is not of Redis's form"
_LARGEST: Final = 16 * 1024 * 1024
"""Bytes of one reply; what COMMAND INFO says of all commands has 100 000."""
_CODES: Final = frozenset({"LOADING", "BUSY", "MASTERDOWN", "MISCONF", "CLUSTERDOWN", "UNKILLABLE"})


class _BoundedParser(_AsyncRESP2Parser):
    """The driver's own, for a server that may announce, or send, more than we have memory."""

    async def _read(self, length: int) -> bytes:
        self._check(length)
        found: bytes = await super()._read(length)
        return found

    async def _readline(self) -> bytes:
        self._check(0)
        found: bytes = await super()._readline()
        return found

    def _check(self, more: int) -> None:
        if self._pos + more > _LARGEST:
            raise errors.InvalidResponse(f"an answer of more than {_LARGEST // 1024**2} MiB")


class RedisTransport:
    """One Redis server. Nothing is retried here.

    Every exchange ends within ``deadline_s`` seconds. Raises NotSentError where the server was not reached,
    TransientError where it did not answer, PermanentError WrongPassword, TlsFailed, ProtectedMode and
    SecretUnavailable.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        user: str | None = None,
        read_password: Callable[[], Secret] | None = None,
        read_config_command: Callable[[], Secret] | None = None,
        ca_file: Path | None = None,
        deadline_s: float = 2.0,
    ) -> None:
        """Take HOST:PORT. The two functions read a secret anew: the password, and what CONFIG is called."""
        host, _, port = address.rpartition(":")
        self._address = address
        self._host, self._port = host.strip("[]"), int(port)
        self._name = name
        self._user = user or _DEFAULT_USER
        self._read_password = read_password
        self._read_config_command = read_config_command
        self._ca_file = ca_file
        self._deadline_s = deadline_s
        self._worked: Secret | None = None

    @property
    def user(self) -> str:
        """The ACL user that we come as."""
        return self._user

    @property
    def password(self) -> Secret | None:
        """The password that the settings give now; the server may still have the one before."""
        return None if self._read_password is None else self._read_password()

    @property
    def address(self) -> str:
        """HOST:PORT, as the settings have it."""
        return self._address

    @property
    def where(self) -> str:
        """Name and address, for people."""
        return f"{self._name} at {self._host}:{self._port}"

    async def ask(self, *commands: Command) -> tuple[Reply, ...]:
        """Send all commands in one go; an error that the server answers one with is its reply."""
        words = [self._words(command) for command in commands]
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._exchange(words)
        except TimeoutError as exc:
            raise TransientError(f"no answer within {self._deadline_s:g} s from {self.where}") from exc

    def _words(self, command: Command) -> Command:
        if command[0] != "CONFIG" or self._read_config_command is None:
            return command
        return (self._read_config_command().value, *command[1:])

    async def _exchange(self, commands: list[Command]) -> tuple[Reply, ...]:
        connection = await self._open()
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            return tuple([await _reply(connection) for _ in commands])
        except (errors.RedisError, OSError) as exc:
            raise of_talking(exc, self.where) from exc
        except _GARBLED as exc:
            raise TransientError(f"{self.where} {_NO_REDIS}") from exc
        finally:
            await connection.disconnect(nowait=True)

    async def _open(self) -> Connection:
        """Connect with the password of now; where that is refused, with the one that was taken last.

        A file with the next password is so followed although the server still has the last one.
        """
        refusal: PermanentError | TransientError | None = None
        for password in self._passwords():
            connection = self._connection(password)
            try:
                await connection.connect()  # type: ignore[no-untyped-call]  # the driver's
            except (errors.RedisError, OSError) as exc:
                failure = of_connecting(exc, self.where, self._user, is_tls=self._ca_file is not None)
                refusal = refusal or failure
                if not is_wrong_password(failure):
                    raise failure from exc
            except _GARBLED as exc:  # below OSError: a certificate that is refused is a ValueError, too
                await connection.disconnect(nowait=True)
                raise NotSentError(f"{self.where} {_NO_REDIS}") from exc
            else:
                self._worked = password
                return connection
        raise refusal or PermanentError(f"no password for {self.where}", reason="WrongPassword")

    def _passwords(self) -> Iterator[Secret | None]:
        now = self.password
        yield now
        if self._worked is not None and self._worked != now:
            yield self._worked

    def _connection(self, password: Secret | None) -> Connection:
        options: dict[str, Any] = {
            "host": self._host,
            "port": self._port,
            "socket_timeout": self._deadline_s,
            "socket_connect_timeout": self._deadline_s / 2,
            "protocol": 2,
            "parser_class": _BoundedParser,
            "driver_info": None,  # CLIENT SETINFO is an error in Redis 7.0, and a right more
            "decode_responses": True,
            "encoding_errors": "surrogateescape",
        }
        if password is not None:
            # Two words, because AUTH with one is refused where the default user needs no password.
            options |= {"username": self._user, "password": password.value}
        if self._ca_file is None:
            return Connection(**options)
        return SSLConnection(**options, ssl_ca_certs=str(self._ca_file), ssl_check_hostname=True)


async def _reply(connection: Connection) -> Reply:
    try:
        reply: Reply = await connection.read_response()
    except errors.NoPermissionError as exc:
        return Refused("NOPERM", str(exc))
    except errors.ReadOnlyError as exc:
        return Refused("READONLY", str(exc))
    except errors.OutOfMemoryError as exc:
        return Refused("OOM", str(exc))
    except errors.ResponseError as exc:
        return _refused(str(exc))
    return reply


def _refused(text: str) -> Refused:
    # The server repeats what it was told: the secret name of CONFIG, and a password behind it.
    if text.startswith(("unknown command", "unknown subcommand")):
        return Refused("ERR", "unknown command")
    # redis-py takes away ERR, and no other code.
    code, _, rest = text.partition(" ")
    return Refused(code, rest) if code in _CODES else Refused("ERR", text)
