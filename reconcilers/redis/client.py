"""What this slice asks of a Redis server: a few commands in one exchange, and what their answers come to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from crds.versions import is_older
from reconcilers.contract import PermanentError, Secret, TransientError
from reconcilers.redis.answers import (
    Answer,
    read_account,
    read_cluster,
    read_info,
    read_list,
    read_pairs,
    read_text,
    read_words,
)
from reconcilers.redis.configuration import shown
from reconcilers.redis.model import OLDEST, Account, Cluster, Info, Look, Questions, Saved, Saves, SaveTo

#: Codes of refusals that end by themselves.
_PASSING: Final = frozenset({"LOADING", "BUSY", "MASTERDOWN", "READONLY", "MISCONF", "OOM", "CLUSTERDOWN"})
#: Reasons of refusals that are about one setting.
_OF_ONE: Final = frozenset({"ImmutableConfig", "SettingRefused"})
#: Settings whose values are told to nobody.
_PASSWORDS: Final = frozenset({"masterauth", "requirepass"})
_PREAMBLE: Final = re.compile(r"CONFIG SET failed( \(possibly related to argument '[^']*'\))? - ")
_NO_COMMAND: Final = "unknown command"
_NO_FILE: Final = "the server was started without a configuration file"
_NO_USERS_FILE: Final = "users are kept in no file: the server has neither an ACL file nor a CONFIG command"
_NO_RESTART: Final = "needs a changed file and a restart"


@dataclass(frozen=True, slots=True)
class Refused:
    """An error that the server answered one command with; ``code`` is its first word, such as NOPERM."""

    code: str
    text: str


Command = tuple[str, ...]
Reply = Answer | Refused


class Wire(Protocol):
    """The transport, as far as this slice uses it; it raises the contract's errors."""

    @property
    def user(self) -> str:
        """The ACL user that we come as."""
        ...

    @property
    def password(self) -> Secret | None:
        """The password that the settings give now, None without one."""
        ...

    @property
    def address(self) -> str:
        """HOST:PORT."""
        ...

    async def ask(self, *commands: Command) -> tuple[Reply, ...]:
        """Send all commands at once, and return the answer of each."""
        ...


class RedisClient(Protocol):
    """The calls of this slice; ``RedisServers`` has them over a transport."""

    def address(self, endpoint: str) -> str | None:
        """Return HOST:PORT of an endpoint, None if there is no such one."""
        ...

    async def look(self, endpoint: str, questions: Questions) -> Look: ...
    async def set_config(self, endpoint: str, settings: Sequence[tuple[str, str]], saves: Saves) -> None: ...
    async def set_user(self, endpoint: str, name: str, rules: Sequence[str], saves: Saves) -> None: ...
    async def set_password(
        self, endpoint: str, password: Secret, hash_hex: str, *, has_config: bool, saves: Saves
    ) -> None: ...
    async def follow(self, endpoint: str, host: str, port: str, saves: Saves) -> None: ...
    async def save(self, endpoint: str, saves: Saves) -> None: ...


@dataclass(slots=True)
class _Known:
    """What is remembered of a server: the ACL categories of a run, and whether the last save worked."""

    run_id: str = ""
    catalog: Mapping[str, frozenset[str]] | None = None
    saved: Saved = Saved.UNKNOWN
    unsaved: str = ""
    refused: set[tuple[str, str]] = field(default_factory=set)


class RedisServers:
    """The calls of this slice, for all endpoints of the settings."""

    def __init__(self, wires: Mapping[str, Wire]) -> None:
        self._wires = wires
        self._known: dict[str, _Known] = {name: _Known() for name in wires}

    def address(self, endpoint: str) -> str | None:
        found = self._wires.get(endpoint)
        return None if found is None else found.address

    async def look(self, endpoint: str, questions: Questions) -> Look:
        """Ask all at once. PermanentError MissingPrivilege names every right that is missing."""
        wire, known = self._wire(endpoint), self._known[endpoint]
        commands: list[Command] = [("INFO",), ("ACL", "WHOAMI"), ("CONFIG", "GET", *questions.settings)]
        commands += [("ACL", "GETUSER", name) for name in questions.users]
        if questions.commands:
            commands.append(("COMMAND", "INFO", *questions.commands))
        replies = await wire.ask(*commands)
        _check_rights(wire.user, commands, replies)
        info = read_info(read_text("INFO", _answer(commands[0], replies[0])))
        if info.run_id != known.run_id:
            known.run_id, known.catalog, known.refused = info.run_id, None, set()
        if is_older(info.version, OLDEST):  # what it answers to the rest is an error, or of another form
            return Look(info, info.settings, {}, wire.user, wire.password)
        users: Sequence[tuple[str, Reply]] = list(
            zip(questions.users, replies[3 : 3 + len(questions.users)], strict=True)
        )
        return Look(
            info=info,
            settings=_settings(commands[2], replies[2]),
            users={name: _account(name, reply) for name, reply in users},
            me=read_text("ACL WHOAMI", _answer(commands[1], replies[1])),
            own=wire.password,
            present_commands=_present(questions.commands, replies[-1]),
            catalog=await self._catalog(wire, known) if questions.users else {},
            cluster=await self._cluster(wire, info),
            saved=known.saved,
            unsaved=known.unsaved,
            refused=frozenset(known.refused),
        )

    async def _catalog(self, wire: Wire, known: _Known) -> Mapping[str, frozenset[str]]:
        """Return the commands of each ACL category, which are the same for as long as the server runs."""
        if known.catalog is None:
            listing: Command = ("ACL", "CAT")
            names = read_words("ACL CAT", _answer(listing, (await _ask(wire, listing))[0]))
            commands: list[Command] = [("ACL", "CAT", name) for name in names]
            replies = await _ask(wire, *commands)
            known.catalog = {
                name: frozenset(read_words("ACL CAT", _answer(command, reply)))
                for name, command, reply in zip(names, commands, replies, strict=True)
            }
        return known.catalog

    async def _cluster(self, wire: Wire, info: Info) -> Cluster | None:
        if info.mode != "cluster":
            return None
        command: Command = ("CLUSTER", "INFO")
        return read_cluster(read_text("CLUSTER INFO", _answer(command, (await _ask(wire, command))[0])))

    async def set_config(self, endpoint: str, settings: Sequence[tuple[str, str]], saves: Saves) -> None:
        """Set all of *settings* at once; where one is refused, each by itself, and remember the refused.

        PermanentError if there was only one; TransientError where there are others, which are set then.
        """
        words = [word for pair in settings for word in pair]
        try:
            await self._change(endpoint, (("CONFIG", "SET", *words),), saves)
        except PermanentError as exc:
            if exc.reason not in _OF_ONE or len(settings) == 1:
                raise
            refused = await self._set_each(endpoint, settings, saves)
            self._known[endpoint].refused |= refused.keys()
            raise TransientError("; ".join(map(str, refused.values())) or str(exc)) from exc

    async def _set_each(
        self, endpoint: str, settings: Sequence[tuple[str, str]], saves: Saves
    ) -> Mapping[tuple[str, str], PermanentError]:
        """Set each of *settings* that the server takes, and return the others with what it said."""
        wire = self._wire(endpoint)
        commands: list[Command] = [("CONFIG", "SET", name, value) for name, value in settings]
        replies = await wire.ask(*commands)
        _check_rights(wire.user, commands, replies)
        refused = {}
        for pair, command, reply in zip(settings, commands, replies, strict=True):
            try:
                _answer(command, reply)
            except PermanentError as exc:
                refused[pair] = exc
        await self._change(endpoint, (), saves)
        return refused

    async def set_user(self, endpoint: str, name: str, rules: Sequence[str], saves: Saves) -> None:
        """Make the user what *rules* say, in one command."""
        await self._change(endpoint, (("ACL", "SETUSER", name, *rules),), saves)

    async def set_password(
        self, endpoint: str, password: Secret, hash_hex: str, *, has_config: bool, saves: Saves
    ) -> None:
        """Make it the only password of the default user, and what CONFIG says of it."""
        config: tuple[Command, ...] = (("CONFIG", "SET", "requirepass", password.value),)
        # CONFIG SET does nothing where the value is the same, whatever became of the user since.
        user: Command = ("ACL", "SETUSER", "default", "resetpass", f"#{hash_hex}")
        await self._change(endpoint, (*(config if has_config else ()), user), saves)

    async def follow(self, endpoint: str, host: str, port: str, saves: Saves) -> None:
        """Make it a replica."""
        await self._change(endpoint, (("REPLICAOF", host, port),), saves)

    async def save(self, endpoint: str, saves: Saves) -> None:
        """Write the server's files. TransientError if it cannot."""
        await self._change(endpoint, (), saves)
        known = self._known[endpoint]
        if known.unsaved:
            raise TransientError(known.unsaved)

    async def _change(self, endpoint: str, changes: Sequence[Command], saves: Saves) -> None:
        """Change and save in one exchange, so that no crash of ours comes between."""
        wire, known = self._wire(endpoint), self._known[endpoint]
        commands = [*changes, *(_SAVING[each] for each in saves)]
        replies = await wire.ask(*commands)
        _check_rights(wire.user, commands, replies)
        for command, reply in zip(changes, replies, strict=False):
            _answer(command, reply)
        troubles = [_saving(each, reply) for each, reply in zip(saves, replies[len(changes) :], strict=True)]
        failed = [each for each in troubles if each]
        known.unsaved = "; ".join(failed)
        if failed:
            known.saved = Saved.NOWHERE if set(failed) <= {_NO_FILE, _NO_USERS_FILE} else Saved.NO
        elif saves:
            known.saved = Saved.YES

    def _wire(self, endpoint: str) -> Wire:
        found = self._wires.get(endpoint)
        if found is None:
            raise PermanentError(
                f"the settings have no endpoint {endpoint} of type redis", reason="UnknownEndpoint"
            )
        return found


_SAVING: Final[Mapping[SaveTo, Command]] = {
    SaveTo.CONFIG_FILE: ("CONFIG", "REWRITE"),
    SaveTo.ACL_FILE: ("ACL", "SAVE"),
}


async def _ask(wire: Wire, *commands: Command) -> tuple[Reply, ...]:
    replies = await wire.ask(*commands)
    _check_rights(wire.user, commands, replies)
    return replies


def _check_rights(user: str, commands: Sequence[Command], replies: Sequence[Reply]) -> None:
    """Raise PermanentError MissingPrivilege for all commands that our user may not run."""
    missing = [
        _right(command)
        for command, reply in zip(commands, replies, strict=True)
        if isinstance(reply, Refused) and reply.code == "NOPERM"
    ]
    if missing:
        rights = " ".join(f"+{each}" for each in dict.fromkeys(missing))
        words = f"user {user} may not do all that is needed; on the server: ACL SETUSER {user} {rights}"
        raise PermanentError(words, reason="MissingPrivilege")


def _right(command: Command) -> str:
    has_parts = command[0] in {"CONFIG", "ACL", "COMMAND", "CLUSTER"}
    return "|".join(command[:2] if has_parts else command[:1]).lower()


def _answer(command: Command, reply: Reply) -> Answer:
    """Return the answer; raise what a refusal means."""
    if not isinstance(reply, Refused):
        return reply
    what = " ".join(command[:2])
    if "immutable config" in reply.text or "protected config" in reply.text:
        raise PermanentError(f"{_refusal(command, reply.text)}; it {_NO_RESTART}", reason="ImmutableConfig")
    if _NO_COMMAND in reply.text:
        raise PermanentError(f"{what}: the server does not have this command", reason="CommandDisabled")
    if reply.code in _PASSING:
        raise TransientError(f"{what}: {reply.code} {reply.text}")
    raise PermanentError(_refusal(command, reply.text), reason="SettingRefused")


def _refusal(command: Command, text: str) -> str:
    """Say which setting was refused, with its value unless that is a password, and why; each word once."""
    match command:
        case ("CONFIG", "SET", name, value):
            what = name if name in _PASSWORDS else f"{name} {shown(value)}"
            return f"{what}: {_PREAMBLE.sub('', text, count=1)}"
        case _:
            what = " ".join(command[:2])
            return text if what in text else f"{what}: {text}"


def _settings(command: Command, reply: Reply) -> Mapping[str, str] | None:
    if isinstance(reply, Refused) and _NO_COMMAND in reply.text:
        return None
    pairs = read_pairs("CONFIG GET", _answer(command, reply))
    return {name: read_text("CONFIG GET", value) for name, value in pairs.items()}


def _account(name: str, reply: Reply) -> Account | None:
    return read_account(_answer(("ACL", "GETUSER", name), reply))


def _present(asked: Sequence[str], reply: Reply) -> frozenset[str]:
    if not asked:
        return frozenset()
    rows = read_list("COMMAND INFO", _answer(("COMMAND", "INFO"), reply))
    return frozenset(name for name, row in zip(asked, rows, strict=True) if row)


def _saving(target: SaveTo, reply: Reply) -> str:
    """Return why a file was not written, empty if it was."""
    if not isinstance(reply, Refused):
        return ""
    if "without a config file" in reply.text:
        return _NO_FILE
    if "not configured to use an ACL file" in reply.text:
        return _NO_USERS_FILE
    return f"{' '.join(_SAVING[target])}: {reply.text}"
