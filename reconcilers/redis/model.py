"""What a look at a Redis server gives, and what may be done to it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from reconcilers.contract import Secret

#: CONFIG GET and CONFIG SET take several settings at once from this version on.
OLDEST: Final = "7.0"


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica as its primary sees it. ``lag_s`` is the age of its last word, in whole seconds."""

    address: str
    is_online: bool
    offset_bytes: int
    lag_s: int


@dataclass(frozen=True, slots=True)
class Upstream:
    """The primary of a replica. ``quiet_s`` is the age of its last word, None before the first."""

    address: str
    is_linked: bool
    is_syncing: bool
    quiet_s: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Use and limit in bytes; a limit of 0 is none."""

    used_bytes: int
    limit_bytes: int
    policy: str

    @property
    def evicts(self) -> bool:
        """Whether keys make room for others at the limit; else writes are refused there."""
        return self.policy != "noeviction"


@dataclass(frozen=True, slots=True)
class Persistence:
    """AOF and snapshots. ``saved_at`` is in seconds since 1970; ``changes`` came after it."""

    has_aof: bool
    is_aof_well: bool
    is_rdb_well: bool
    saved_at: int
    changes: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What it has counted since it began, and how many clients it has."""

    clients: int
    commands: int
    evicted_keys: int
    rejected_connections: int


@dataclass(frozen=True, slots=True)
class Info:
    """What INFO says. ``settings`` are those that it tells, as CONFIG GET would."""

    version: str
    run_id: str
    mode: str
    is_loading: bool
    has_config_file: bool
    memory: Memory
    persistence: Persistence
    counts: Counts
    upstream: Upstream | None
    """The primary; None for a server that is one itself."""
    replicas: tuple[Replica, ...]
    offset_bytes: int
    keys: int
    settings: Mapping[str, str]

    @property
    def role(self) -> str:
        """What it is, for people: it changes only with a failover."""
        return "primary" if self.upstream is None else f"replica of {self.upstream.address}"


@dataclass(frozen=True, slots=True)
class Account:
    """An ACL user as the server has it: ``hashes`` are SHA-256 of its passwords."""

    is_enabled: bool
    needs_no_password: bool
    skips_checks: bool
    hashes: frozenset[str] = field(repr=False)
    commands: str = "-@all"
    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    has_selectors: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a node says of its cluster."""

    state: str
    nodes: int
    failing_slots: int


@dataclass(frozen=True, slots=True)
class Questions:
    """What a look asks beside INFO: settings by their names, ACL users, and commands."""

    settings: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class Saved(enum.Enum):
    """What this process knows of the server's own files."""

    UNKNOWN = "unknown"
    YES = "yes"
    NO = "no"
    NOWHERE = "nowhere"
    """There is no file that it could be written into."""


@dataclass(frozen=True, slots=True)
class Look:
    """A server's answers. ``me`` is the ACL user that we come as, ``own`` the password that was taken."""

    info: Info
    settings: Mapping[str, str] | None = field(repr=False)
    """Those of the questions that exist; None where there is no CONFIG command."""
    users: Mapping[str, Account | None]
    me: str
    own: Secret | None
    present_commands: frozenset[str] = frozenset()
    """Those of the questions that the server takes."""
    catalog: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Commands by their ACL category; empty where no user was asked for."""
    cluster: Cluster | None = None
    saved: Saved = Saved.UNKNOWN
    unsaved: str = ""
    """Why the last save failed, where one did."""
    refused: frozenset[tuple[str, str]] = frozenset()
    """Settings with values that this run refused among others: each goes by itself."""


@dataclass(frozen=True, slots=True)
class SeenRedis:
    """A server's answers, and the passwords that it must have, by the names of their secrets."""

    look: Look
    passwords: Mapping[str, Secret]
    primary_emptied: str | None = None
    """How the primary that it shall follow lost its keys, where one of our objects knows that."""


class SaveTo(enum.Enum):
    """Which of the server's files keeps what was set."""

    CONFIG_FILE = "config"
    ACL_FILE = "acl"


Saves = tuple[SaveTo, ...]


@dataclass(frozen=True, slots=True)
class SetConfig:
    """Set settings in one atomic command, passwords among them, and keep them."""

    endpoint: str
    settings: tuple[tuple[str, str], ...]
    secrets: tuple[tuple[str, Secret], ...]
    saves: Saves


@dataclass(frozen=True, slots=True)
class SetUser:
    """Give an ACL user exactly these rights and passwords, and keep them."""

    endpoint: str
    name: str
    rules: tuple[str, ...]
    hashes: tuple[Secret, ...]
    """SHA-256 of each password: no longer secret enough to be shown, too."""
    saves: Saves


@dataclass(frozen=True, slots=True)
class SetPassword:
    """Make this the default user's only password, and keep it. ``has_config``: requirepass can be set."""

    endpoint: str
    password: Secret
    has_config: bool
    saves: Saves


@dataclass(frozen=True, slots=True)
class Follow:
    """Make it a replica of another server: its own data go, and it copies the other's."""

    endpoint: str
    primary: str
    saves: Saves


@dataclass(frozen=True, slots=True)
class Save:
    """Write what was set into the server's files: an earlier try failed."""

    endpoint: str
    saves: Saves


RedisAction = SetConfig | SetUser | SetPassword | Follow | Save
