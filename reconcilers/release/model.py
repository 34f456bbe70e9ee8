"""What is seen of a release's services, and what it does outside: it runs hooks and writes reports."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from crds.balancer import TrafficSplitSpec
from crds.container import ContainerSpec
from crds.freeze import Freeze
from crds.service import Color, ServiceSpec
from reconcilers.contract import Intent, Resource
from reconcilers.counters import CountedNode
from reconcilers.gauges import Gauge
from reconcilers.hook_runs import HookResult, HookRun
from reconcilers.response_times import Answered
from reconcilers.servers import Node, NodeDown


class Well(enum.Enum):
    """What a health endpoint says."""

    YES = "yes"
    NO = "no"
    """It answers, and not as it should."""
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to a health endpoint; ``says`` is for people."""

    well: Well
    says: str


@dataclass(frozen=True, slots=True)
class SeenMember:
    """One service of the set: objects of the store, and what is outside. None and absent are not known."""

    name: str
    service: Resource[ServiceSpec] | None
    containers: Mapping[Color, Resource[ContainerSpec]] = field(default_factory=dict)
    split: Resource[TrafficSplitSpec] | None = None
    counted: tuple[CountedNode | NodeDown, ...] | None = None
    probes: Mapping[Color, Probe] = field(default_factory=dict)
    answered: Mapping[Color, Answered] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Room:
    """What a node has left, in bytes; ``memory_free`` is None where the token may not see it."""

    node: str
    is_online: bool
    memory_free: int | None


@dataclass(frozen=True, slots=True)
class Site:
    """One Proxmox cluster: what it could take. ``unseen`` says what could not be asked.

    ``templates`` are nodes and volumes, ``storage_free`` bytes by node and storage, ``guests`` names by id.
    """

    rooms: Mapping[str, Room] = field(default_factory=dict)
    storage_free: Mapping[tuple[str, str], int] = field(default_factory=dict)
    templates: frozenset[tuple[str, str]] = frozenset()
    guests: Mapping[int, str] = field(default_factory=dict)
    unseen: str | None = None


@dataclass(frozen=True, slots=True)
class SeenGate:
    """What is told of the object that a gate is about; nothing where it was not looked at."""

    is_there: bool
    last: Gauge | None = None
    hour_before: Gauge | None = None
    """The first look of the hour before, or of the daemon."""
    replicas: tuple[str, ...] = ()
    """Replicas that must tell how far they are behind; all that do if it is empty."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What is looked at before anything is changed: clusters and balancers by the name of their endpoint."""

    sites: Mapping[str, Site] = field(default_factory=dict)
    balancers: Mapping[str, tuple[Node | NodeDown, ...]] = field(default_factory=dict)
    """By service."""


@dataclass(frozen=True, slots=True)
class SeenRelease:
    """All that one look found. ``monotonic`` is this process's clock in seconds, ``process`` its name."""

    process: str
    monotonic: float
    members: tuple[SeenMember, ...]
    hooks: Mapping[str, HookResult] = field(default_factory=dict)
    """Runs of this attempt by their id; one that was never begun is not here."""
    unseen_hooks: str | None = None
    """Why it is not known which of them were begun."""
    known_hooks: Mapping[str, bool] = field(default_factory=dict)
    """Hooks of the settings; True for one that may simply be run again."""
    intents: tuple[Intent, ...] = ()
    preflight: Preflight | None = None
    freeze: Freeze | None = None
    has_report: bool = False
    """Whether the report of this attempt is written."""
    gates: Mapping[str, SeenGate] = field(default_factory=dict)
    """By their field in the file."""

    def member(self, name: str) -> SeenMember:
        """Return the service of that name."""
        return next(each for each in self.members if each.name == name)


@dataclass(frozen=True, slots=True)
class StartHook:
    """Begin to run a hook."""

    run: HookRun


@dataclass(frozen=True, slots=True)
class StopHook:
    """End a hook that nobody waits for any more. A rollback does not wait for its end either."""

    run_id: str
    is_awaited: bool = True


@dataclass(frozen=True, slots=True)
class WriteReport:
    """Keep the story of an attempt as a file."""

    name: str
    text: str


ReleaseAction = StartHook | StopHook | WriteReport
