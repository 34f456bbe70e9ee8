"""A Redis in memory, with the opinions that we rely on; ``tests/contract`` compares with a real one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from crds.versions import is_older
from reconcilers.contract import NotSentError, Secret
from reconcilers.redis.answers import Answer
from reconcilers.redis.client import Command, Refused, Reply
from reconcilers.redis.normal import IMMUTABLE

#: What a new server has, of the settings that tests use; memory in bytes, as CONFIG GET shows it.
DEFAULTS = {
    "aclfile": "",
    "appendonly": "no",
    "appendfsync": "everysec",
    "save": "3600 1 300 100 60 10000",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "timeout": "0",
    "tcp-keepalive": "300",
    "requirepass": "",
    "masterauth": "",
    "databases": "16",
    "replica-priority": "100",
}
_UNITS = {"kb": 1024, "mb": 1024**2, "gb": 1024**3, "k": 1000, "m": 1000**2, "g": 1000**3}
_POLICIES = {"noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-ttl"}
CATALOG = {
    "admin": ("config|get", "config|set", "config|rewrite", "acl|setuser", "acl|getuser", "acl|save"),
    "dangerous": ("config|get", "config|set", "config|rewrite", "keys", "info", "replicaof", "acl|save"),
    "read": ("get", "keys"),
    "write": ("set",),
    "slow": ("acl|whoami", "acl|cat", "command|info", "cluster|info", "keys"),
}
_COMMANDS = {"get", "set", "keys", "info", "config"}
_NO_RIGHTS = "-@all"


@dataclass(frozen=True, slots=True)
class FakeUser:
    """An ACL user. ``rules`` are kept in a spelling of the server's own: sorted, without repetitions."""

    enabled: bool = False
    needs_no_password: bool = False
    hashes: frozenset[str] = frozenset()
    base: str = _NO_RIGHTS
    rules: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


ALL = FakeUser(enabled=True, needs_no_password=True, base="+@all", keys=("~*",), channels=("&*",))


@dataclass
class FakeRedis:
    """One server and its files. It forgets with ``restart`` what was not written into them."""

    address: str = "127.0.0.1:6379"
    user: str = "default"
    has_file: bool = True
    has_config: bool = True
    is_file_writable: bool = True
    is_loading: bool = False
    is_down: bool = False
    keys: int = 0
    used_bytes: int = 1_000_000
    primary: str | None = None
    version: str = "7.0.15"
    mode: str = "standalone"
    named: str = "redis"
    """Whose word its mode has: Valkey's since its version 8 is ``server``."""
    runs: int = 1
    settings: dict[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    users: dict[str, FakeUser] = field(default_factory=lambda: {"default": ALL})
    calls: list[Command] = field(default_factory=list)
    own: Secret | None = None
    """The password that the settings give the daemon."""
    _file: tuple[dict[str, str], dict[str, FakeUser], str | None] | None = None

    def __post_init__(self) -> None:
        self._file = (dict(self.settings), dict(self.users), self.primary)

    @property
    def password(self) -> Secret | None:
        return self.own

    @property
    def saved_settings(self) -> dict[str, str]:
        """What its file says."""
        return {} if self._file is None else self._file[0]

    @property
    def saved_users(self) -> dict[str, FakeUser]:
        return {} if self._file is None else self._file[1]

    def restart(self) -> None:
        """Begin a new run with what the files say."""
        self.runs += 1
        if self._file is not None:
            settings, users, self.primary = self._file
            self.settings, self.users = dict(settings), dict(users)

    async def ask(self, *commands: Command) -> tuple[Reply, ...]:
        if self.is_down:
            raise NotSentError("cannot connect: nobody listens there")
        self.calls += commands
        return tuple(self._answer(command) for command in commands)

    def _answer(self, command: Command) -> Reply:
        answers: dict[str, Callable[[Sequence[str]], Reply]] = {
            "INFO": lambda _: self._info(),
            "CONFIG": self._config,
            "REPLICAOF": self._follow,
            "COMMAND": lambda words: [[name] if name.lower() in _COMMANDS else None for name in words[1:]],
            "ACL": self._acl,
        }
        if command[0] not in answers or (command[0] == "CONFIG" and not self.has_config):
            return Refused("ERR", "unknown command")
        return answers[command[0]](command[1:])

    def _config(self, words: Sequence[str]) -> Reply:
        match words:
            case ["GET", *names] if len(names) > 1 and is_older(self.version, "7.0"):
                return Refused("ERR", "Unknown subcommand or wrong number of arguments for 'GET'.")
            case ["GET", *names]:
                found = [(name, self.settings[name]) for name in names if name in self.settings]
                return [word for pair in found for word in pair]
            case ["SET", *pairs]:
                return self._set(dict(zip(pairs[::2], pairs[1::2], strict=True)))
            case _:
                return self._rewrite()

    def _follow(self, words: Sequence[str]) -> Reply:
        self.primary, self.keys = ":".join(words), 0
        return "OK"

    def _set(self, asked: dict[str, str]) -> Reply:
        """Set all or nothing, in the server's own spelling."""
        for name in asked:
            if name not in self.settings:
                return Refused("ERR", f"Unknown option or number of arguments for CONFIG SET - '{name}'")
        normal = {}
        for name, value in asked.items():
            found = self._normal(name, value)
            if found is None or name in IMMUTABLE:
                why = "can't set immutable config" if name in IMMUTABLE else "argument is not good"
                text = f"CONFIG SET failed (possibly related to argument '{name}') - {why}"
                return Refused("ERR", text)
            normal[name] = found
        if "requirepass" in normal and normal["requirepass"] != self.settings["requirepass"]:
            self._password(normal["requirepass"])
        self.settings |= normal
        return "OK"

    def _password(self, text: str) -> None:
        hashes = frozenset({hashlib.sha256(text.encode()).hexdigest()} if text else ())
        self.users["default"] = replace(self.users["default"], needs_no_password=not text, hashes=hashes)

    def _normal(self, name: str, value: str) -> str | None:
        match name:
            case "maxmemory":
                return _bytes(value)
            case "appendonly":
                return value.lower() if value.lower() in {"yes", "no"} else None
            case "maxmemory-policy":
                return value.lower() if value.lower() in _POLICIES else None
            case "timeout" | "tcp-keepalive" | "replica-priority" | "databases":
                return value if value == "0" or (value.isdigit() and value[0] != "0") else None
            case _:
                return value

    def _rewrite(self) -> Reply:
        if not self.has_file:
            return Refused("ERR", "The server is running without a config file")
        if not self.is_file_writable:
            return Refused("ERR", "Rewriting config file: Permission denied")
        self._file = (dict(self.settings), dict(self.users), self.primary)
        return "OK"

    def _acl(self, words: Sequence[str]) -> Reply:
        match words:
            case ["WHOAMI"]:
                return self.user
            case ["CAT", *names]:
                return list(CATALOG[names[0]] if names else CATALOG)
            case ["GETUSER", name]:
                return None if name not in self.users else _shown(self.users[name])
            case ["SETUSER", name, *rules]:
                return self._set_user(name, rules)
            case _:
                return Refused("ERR", "This Redis instance is not configured to use an ACL file.")

    def _set_user(self, name: str, rules: Sequence[str]) -> Reply:
        user = self.users.get(name, FakeUser())
        for rule in rules:
            found = _changed(user, rule)
            if found is None:
                text = f"Error in ACL SETUSER modifier '{rule}': Unknown command or category name in ACL"
                return Refused("ERR", text)
            user = found
        self.users[name] = user
        return "OK"

    def _info(self) -> str:
        host, _, port = (self.primary or ":").rpartition(":")
        replica = [
            "role:slave",
            f"master_host:{host}",
            f"master_port:{port}",
            "master_link_status:up",
            "master_last_io_seconds_ago:1",
            "master_sync_in_progress:0",
            "slave_read_only:1",
        ]
        lines = [
            "# Server",
            f"redis_version:{self.version}",
            f"{self.named}_mode:{self.mode}",
            f"run_id:{self.runs:040x}",
            f"config_file:{'/etc/redis.conf' if self.has_file else ''}",
            "connected_clients:1",
            f"used_memory:{self.used_bytes}",
            f"maxmemory:{self.settings['maxmemory']}",
            f"maxmemory_policy:{self.settings['maxmemory-policy']}",
            f"loading:{int(self.is_loading)}",
            "rdb_changes_since_last_save:0",
            "rdb_last_save_time:1700000000",
            "rdb_last_bgsave_status:ok",
            f"aof_enabled:{int(self.settings['appendonly'] == 'yes')}",
            "aof_last_bgrewrite_status:ok",
            "aof_last_write_status:ok",
            f"total_commands_processed:{len(self.calls)}",
            "evicted_keys:0",
            "rejected_connections:0",
            *(["role:master"] if self.primary is None else replica),
            "master_repl_offset:0",
            f"cluster_enabled:{int(self.mode == 'cluster')}",
            *([f"db0:keys={self.keys},expires=0,avg_ttl=0"] if self.keys else []),
        ]
        return "\r\n".join(lines) + "\r\n"


def _bytes(value: str) -> str | None:
    for unit in sorted(_UNITS, key=len, reverse=True):
        if value.lower().endswith(unit) and value[: -len(unit)].isdigit():
            return str(int(value[: -len(unit)]) * _UNITS[unit])
    return value if value.isdigit() else None


def _changed(user: FakeUser, rule: str) -> FakeUser | None:
    """Return the user after one rule, None for one that the server does not know."""
    nothing: frozenset[str] = frozenset()
    words = {
        "reset": FakeUser(),
        "on": replace(user, enabled=True),
        "off": replace(user, enabled=False),
        "nopass": replace(user, needs_no_password=True, hashes=nothing),
        "resetchannels": replace(user, channels=()),
        "resetpass": replace(user, needs_no_password=False, hashes=nothing),
        "+@all": replace(user, base="+@all", rules=()),
        "-@all": replace(user, base="-@all", rules=()),
    }
    if rule in words:
        return words[rule]
    match rule[0]:
        case "#":
            return replace(user, needs_no_password=False, hashes=user.hashes | {rule[1:]})
        case "~" | "%":
            return replace(user, keys=(*user.keys, rule))
        case "&":
            return replace(user, channels=(*user.channels, rule))
        case _:
            return _with_right(user, rule)


def _with_right(user: FakeUser, rule: str) -> FakeUser | None:
    name = rule[1:].lower()
    commands = {each for group in CATALOG.values() for each in group}
    bases = {each.partition("|")[0] for each in commands}
    if name.removeprefix("@") not in {*CATALOG, *commands, *bases}:
        return None
    others = [each for each in user.rules if each[1:] != name]
    return replace(user, rules=(*others, rule.lower()))


def _shown(user: FakeUser) -> Answer:
    flags = [
        "on" if user.enabled else "off",
        *(["nopass"] if user.needs_no_password else []),
        "sanitize-payload",
    ]
    return [
        "flags",
        flags,
        "passwords",
        sorted(user.hashes),
        "commands",
        " ".join((user.base, *user.rules)),
        "keys",
        " ".join(user.keys),
        "channels",
        " ".join(user.channels),
        "selectors",
        [],
    ]
