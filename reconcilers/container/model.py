"""What is seen of a container, and what can be done to it."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from reconcilers.contract import Intent

GIB: Final = 1024**3
#: ``name=eth0,bridge=vmbr0`` in the order in which it was written.
Properties = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container is meant to be."""

    endpoint: str
    node: str
    ctid: int

    def __str__(self) -> str:
        return f"CT {self.ctid} on {self.endpoint}"


@dataclass(frozen=True, slots=True)
class Volume:
    """The root disk. ``size_bytes`` is None where the configuration does not say it."""

    storage: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Config:
    """A container's configuration with what is pending merged in; defaults are Proxmox's own.

    ``hostname``, ``cores`` and ``root`` are None where the file has no such line.
    """

    digest: str
    hostname: str | None = None
    cores: int | None = None
    memory_mib: int = 512
    swap_mib: int = 512
    root: Volume | None = None
    net0: Properties = ()
    features: Properties = ()
    nameserver: str = ""
    searchdomain: str = ""
    tags: frozenset[str] = frozenset()
    on_boot: bool = False
    startup: Properties = ()
    protection: bool = False
    description: str = ""
    unprivileged: bool = False
    is_template: bool = False


NO_CONFIG: Final = Config(digest="")


@dataclass(frozen=True, slots=True)
class SeenContainer:
    """The container on the node where it is meant to be.

    ``lock`` is Proxmox's lock, ``ha_state`` what the cluster's HA wants of it; None where there is none.
    ``pending`` names the options that take effect with the next start.
    """

    node: str
    is_running: bool
    config: Config
    lock: str | None = None
    ha_state: str | None = None
    pending: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """No guest in the cluster has the id; the permissions prove that we would see it."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A guest has the id on another node, or is no container at all."""

    node: str
    is_container: bool


@dataclass(frozen=True, slots=True)
class Silent:
    """The API answers, its node does not: what is there is unknown."""

    message: str


World = SeenContainer | Absent | Elsewhere | Silent


class TaskState(enum.Enum):
    """How a Proxmox task stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    ENDED = "ended"
    """It is over, and Proxmox cannot say how: only the container can tell."""
    LOST = "lost"
    """Proxmox does not know it: nobody can say whether it still runs."""


@dataclass(frozen=True, slots=True)
class SeenTask:
    """A Proxmox task. ``kind`` is its type (``vzcreate``), ``begun_at`` is by the node's clock."""

    upid: str
    kind: str
    user: str
    begun_at: datetime
    state: TaskState
    message: str = ""
    """Exit status, and for a failed one its last log lines."""


@dataclass(frozen=True, slots=True)
class SeenIntent:
    """An open intent and the task that carries it out; None if no such task was found."""

    intent: Intent
    task: SeenTask | None


@dataclass(frozen=True, slots=True)
class Seen:
    """All that one look found. ``world`` is None while a task of ours is still at work on it.

    ``is_quorate`` is None where the token may not ask.
    """

    world: World | None
    intents: tuple[SeenIntent, ...] = ()
    is_quorate: bool | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Make the container; it is not started."""

    place: Place
    options: Properties


@dataclass(frozen=True, slots=True)
class Configure:
    """Set and delete options, unless the configuration changed since it was read."""

    place: Place
    digest: str
    options: Properties
    deleted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resize:
    """Grow the root disk to ``gib``."""

    place: Place
    gib: int


@dataclass(frozen=True, slots=True)
class Start:
    place: Place


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Ask the container to shut down, and give up after ``timeout``."""

    place: Place
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Stop:
    """Cut the power."""

    place: Place


@dataclass(frozen=True, slots=True)
class Reboot:
    """Shut the container down and start it again, in one task; after ``timeout`` Proxmox cuts its power."""

    place: Place
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Destroy:
    """Remove the container and its disks."""

    place: Place


ContainerAction = Create | Configure | Resize | Start | Shutdown | Stop | Reboot | Destroy
