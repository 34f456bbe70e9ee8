"""What may be done to a PostgreSQL cluster, one action for each step of a plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconcilers.contract import Secret
from reconcilers.hook_runs import HookRun


@dataclass(frozen=True, slots=True)
class Target:
    """A member of an endpoint."""

    endpoint: str
    member: str


@dataclass(frozen=True, slots=True)
class SetSetting:
    """ALTER SYSTEM SET and a reload."""

    target: Target
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Connect:
    """Tell a standby where to stream from: primary_conninfo, primary_slot_name, and a reload."""

    target: Target
    conninfo: Mapping[str, str] = field(repr=False)
    """Empty to leave it."""
    slot: str | None
    """None to leave it."""


@dataclass(frozen=True, slots=True)
class ResumeReplay:
    """Let a standby replay what it has received."""

    target: Target


@dataclass(frozen=True, slots=True)
class MakeSlot:
    """Make a slot on the primary; logical with a plugin and a database."""

    target: Target
    name: str
    plugin: str | None = None
    database: str | None = None


@dataclass(frozen=True, slots=True)
class PutRole:
    """Make a role, or change these attributes of it."""

    target: Target
    name: str
    is_new: bool
    options: tuple[str, ...] = ()
    """Words of CREATE ROLE, such as LOGIN."""
    connection_limit: int | None = None
    verifier: Secret | None = None
    groups: tuple[str, ...] = ()
    """Roles to become a member of."""


@dataclass(frozen=True, slots=True)
class MakeDatabase:
    """Make a database."""

    target: Target
    name: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class GiveDatabase:
    """Change a database's owner."""

    target: Target
    name: str
    owner: str


@dataclass(frozen=True, slots=True)
class MakeExtension:
    """Make an extension in a database."""

    target: Target
    database: str
    name: str


@dataclass(frozen=True, slots=True)
class PutSchema:
    """Make a schema in a database, or give one to its owner."""

    target: Target
    database: str
    name: str
    owner: str | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class DropSlot:
    """Drop a slot that nobody reads."""

    target: Target
    name: str


@dataclass(frozen=True, slots=True)
class DropDatabase:
    """Drop a database that nobody is connected to."""

    target: Target
    name: str


@dataclass(frozen=True, slots=True)
class SetPooler:
    """SET on pgBouncer's console."""

    target: Target
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class RunHook:
    """Begin a hook's run."""

    target: Target
    run: HookRun


PostgresAction = (
    SetSetting
    | Connect
    | ResumeReplay
    | MakeSlot
    | PutRole
    | MakeDatabase
    | GiveDatabase
    | MakeExtension
    | PutSchema
    | DropSlot
    | DropDatabase
    | SetPooler
    | RunHook
)
