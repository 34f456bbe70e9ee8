"""What is seen of a PostgreSQL cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconcilers.contract import Secret
from reconcilers.hook_runs import HookResult


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of pg_settings. ``file_value`` is what the files say, None where they do not, or none may see."""

    value: str
    unit: str | None
    vartype: str
    """bool, enum, integer, real or string; and of strings, names or caseless: see SORTS of its settings."""
    context: str
    """internal, postmaster, sighup, backend, superuser, user …: how a change takes effect."""
    choices: tuple[str, ...] = ()
    pending_restart: bool = False
    file_value: str | None = None
    file_error: str | None = None
    """Why the server does not take what the files say."""
    lowest: str | None = None
    """The least that a number may be, in the setting's own unit."""
    highest: str | None = None
    """The most that a number may be."""
    is_overridden: bool = False
    """Whether the server's command line says it: no file outweighs that."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A standby's walreceiver."""

    status: str
    slot: str | None
    sender: str
    """HOST:PORT."""
    silent_s: float | None = None
    """Seconds since the last message from there, by the standby's own clock."""


@dataclass(frozen=True, slots=True)
class Downstream:
    """A row of pg_stat_replication on the primary; positions in bytes."""

    application_name: str
    state: str
    slot: str | None
    sent: int | None
    replayed: int | None


@dataclass(frozen=True, slots=True)
class SeenSlot:
    """A replication slot of a member. Bytes are None while nothing is reserved."""

    plugin: str | None
    database: str | None
    active: bool
    wal_status: str | None
    retained_bytes: int | None


@dataclass(frozen=True, slots=True)
class Archiver:
    """What pg_stat_archiver has counted; ``failing`` says that the last try failed."""

    archived: int
    failed: int
    failing: str | None = None
    """The WAL file that could not be archived."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What all databases of a member have counted since ``since``."""

    commits: int = 0
    rollbacks: int = 0
    deadlocks: int = 0
    conflicts: int = 0
    since: str = ""


@dataclass(frozen=True, slots=True)
class SeenRole:
    """A role. ``verifier`` is None where it has no password, ``""`` where nobody may see it."""

    login: bool
    superuser: bool
    createdb: bool
    replication: bool
    inherit: bool
    connection_limit: int
    member_of: frozenset[str]
    verifier: Secret | None


@dataclass(frozen=True, slots=True)
class SeenDatabase:
    """A database and what is in it; ``trouble`` says why it could not be looked into."""

    owner: str
    extensions: frozenset[str] = frozenset()
    unavailable: frozenset[str] = frozenset()
    """Extensions that are asked for and that the server does not have the files of."""
    schemas: Mapping[str, str] = field(default_factory=dict)
    """Owner of each schema."""
    objects: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Names as SCHEMA.NAME by their sort: tables, views, indexes, functions, triggers."""
    invalid_indexes: frozenset[str] = frozenset()
    last_migration: str | None = None
    trouble: str | None = None
    connections: int = 0
    """Sessions in it, ours too."""


@dataclass(frozen=True, slots=True)
class Deep:
    """What changes rarely: looked at now and then. Roles, databases and system views are the member's own."""

    settings: Mapping[str, Setting] = field(default_factory=dict)
    conninfo: Mapping[str, str] = field(default_factory=dict, repr=False)
    """How a standby is told to connect, primary_conninfo; values may be secret."""
    slot_name: str = ""
    """primary_slot_name."""
    roles: Mapping[str, SeenRole] | None = None
    databases: Mapping[str, SeenDatabase] | None = None


@dataclass(frozen=True, slots=True)
class SeenMember:
    """A member that answered. Positions in bytes since the beginning of the WAL."""

    name: str
    address: str
    is_standby: bool
    system_identifier: str
    timeline: int
    version: str
    started_at: str
    position: int | None
    """A primary's end of WAL; what a standby has replayed."""
    received: int | None = None
    """What a standby has received."""
    quiet_s: float | None = None
    """Seconds since the last transaction that a standby replayed."""
    is_paused: bool = False
    receiver: Receiver | None = None
    downstream: tuple[Downstream, ...] = ()
    slots: Mapping[str, SeenSlot] = field(default_factory=dict)
    archiver: Archiver | None = None
    connections: int = 0
    connection_limit: int = 0
    counts: Counts = Counts()
    history: tuple[tuple[int, int], ...] | None = None
    """Timelines that are over and where each ended, oldest first. None is unknown, or was not asked for."""
    has_patroni: bool = False
    """Whether Patroni runs it: then that decides, and it is only verified from here."""
    deep: Deep = Deep()


@dataclass(frozen=True, slots=True)
class LostMember:
    """A member that did not answer, or did not let us in."""

    name: str
    trouble: str


@dataclass(frozen=True, slots=True)
class PoolerSetting:
    """A row of pgBouncer's SHOW CONFIG."""

    value: str
    is_changeable: bool
    """Whether it can be set while pgBouncer runs."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A row of SHOW POOLS; ``servers`` are all connections to the server, used or not."""

    database: str
    user: str
    clients: int
    waiting: int
    servers: int
    waited_s: float
    """How long the first of those who wait does."""
    size: int | None


@dataclass(frozen=True, slots=True)
class SeenPooler:
    """pgBouncer, as its admin console describes it."""

    version: str
    settings: Mapping[str, PoolerSetting] = field(default_factory=dict)
    databases: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    pools: tuple[Pool, ...] = ()


@dataclass(frozen=True, slots=True)
class LostPooler:
    """A pgBouncer that did not answer, or did not let us in."""

    trouble: str
    reason: str = "PoolerLost"


@dataclass(frozen=True, slots=True)
class Host:
    """The Container that a member runs in, as its object is: ``address`` is None where its spec has none."""

    name: str
    address: str | None
    is_asked: bool
    """Whether somebody has asked for something that it has not answered yet."""


@dataclass(frozen=True, slots=True)
class SeenCluster:
    """All members. ``secrets`` are the passwords that the spec names, ``missing`` why one cannot be had."""

    members: tuple[SeenMember | LostMember, ...]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    new_verifiers: Mapping[str, Secret] = field(default_factory=dict)
    """What to store for each role whose password is not the secret's."""
    pooler: SeenPooler | LostPooler | None = None
    """None where the spec does not ask for it, or the endpoint has none."""

    runs: Mapping[str, HookResult] = field(default_factory=dict)
    """What became of hooks' runs and containers' restarts, by their names; absent if never asked for."""
    unseen_runs: str | None = None
    """Why that is not known."""
    hooks: frozenset[str] = frozenset()
    """The hooks of the settings."""
    hosts: Mapping[str, Host] = field(default_factory=dict)
    """The Container of each member that restarts go through, if there is one of that name."""
    sent_before: Mapping[str, int] = field(default_factory=dict)
    """Up to where the primary had sent WAL to each standby at an earlier look."""
    apart_since: Mapping[str, datetime] = field(default_factory=dict)
    """Since when each standby was seen at each look as one that cannot go on."""

    @property
    def answering(self) -> tuple[SeenMember, ...]:
        """The members that answered."""
        return tuple(each for each in self.members if isinstance(each, SeenMember))

    @property
    def writable(self) -> tuple[SeenMember, ...]:
        """The members that take writes."""
        return tuple(each for each in self.answering if not each.is_standby)

    @property
    def primary(self) -> SeenMember | None:
        """The one that takes writes; None for none or several."""
        return self.writable[0] if len(self.writable) == 1 else None

    def member(self, name: str) -> SeenMember | None:
        """Return the member of that name, if it answered."""
        return next((each for each in self.answering if each.name == name), None)
