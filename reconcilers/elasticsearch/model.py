"""What a look at an Elasticsearch cluster gives, and what may be done to it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

Body = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class About:
    """Who answered. ``distribution`` is empty for Elasticsearch itself."""

    version: str
    cluster_name: str
    cluster_uuid: str
    distribution: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """The cluster's health: counts of nodes, shards and waiting changes of its state."""

    status: str
    nodes: int
    data_nodes: int
    active_shards: int
    relocating_shards: int
    initializing_shards: int
    unassigned_shards: int
    pending_tasks: int
    longest_wait_ms: int
    """For how long the oldest waiting change of the cluster's state waits."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The data path of a node."""

    used_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Settings by their full names; transient ones hide persistent ones."""

    persistent: Body
    transient: Body


@dataclass(frozen=True, slots=True)
class SeenPolicy:
    """A lifecycle policy, and who uses it."""

    phases: Body
    indices: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenIndex:
    """An index: its explicit settings by full names, its mapping, and its aliases with their options."""

    settings: Body
    mappings: Body
    aliases: Mapping[str, Body]


@dataclass(frozen=True, slots=True)
class Aged:
    """An index under a lifecycle policy; its age counts from its creation or rollover, in seconds."""

    index: str
    policy: str
    age_s: float


@dataclass(frozen=True, slots=True)
class Questions:
    """What a look asks for, by names."""

    policies: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenCluster:
    """A cluster's answers; None stands for what does not exist."""

    about: About
    health: Health
    settings: ClusterSettings
    policies: Mapping[str, SeenPolicy | None] = field(default_factory=dict)
    components: Mapping[str, Body | None] = field(default_factory=dict)
    templates: Mapping[str, Body | None] = field(default_factory=dict)
    indices: Mapping[str, SeenIndex] = field(default_factory=dict)
    """Those of the questions that exist."""
    aliases: Mapping[str, Mapping[str, Body]] = field(default_factory=dict)
    """Options by index, by alias; an alias that nobody has is empty."""
    matched: Mapping[str, Body] = field(default_factory=dict)
    """Blocks and lifecycle settings of the indices that the templates' patterns match."""
    lifecycle: str | None = None
    """RUNNING, STOPPING or STOPPED; None where no policy is asked for."""
    stuck: Mapping[str, str] = field(default_factory=dict)
    """Why ILM is stuck, by index."""
    aged: tuple[Aged, ...] | None = None
    """All indices under a policy; None where no change needs to know."""
    disks: Mapping[str, Disk] = field(default_factory=dict)
    """The data path of each node, by its name."""


@dataclass(frozen=True, slots=True)
class NoMaster:
    """A node answered and has no master: nothing can be said of the cluster, and nothing changed."""

    message: str


SeenElasticsearch = SeenCluster | NoMaster


class Thing(enum.Enum):
    """What a request puts or deletes, for people."""

    CLUSTER_SETTINGS = "cluster settings"
    POLICY = "lifecycle policy"
    COMPONENT = "component template"
    TEMPLATE = "index template"
    INDEX = "index"
    INDEX_SETTINGS = "settings of index"
    MAPPING = "mapping of index"


@dataclass(frozen=True, slots=True)
class Put:
    """Make or change one thing; ``body`` is JSON. ``adds``: nothing that exists is changed by it."""

    endpoint: str
    thing: Thing
    name: str
    body: str
    adds: bool = False


@dataclass(frozen=True, slots=True)
class ChangeAliases:
    """Take aliases and give them in one atomic request; ``indices`` are those that it touches."""

    endpoint: str
    alias: str
    body: str
    indices: tuple[str, ...]
    adds: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one thing."""

    endpoint: str
    thing: Thing
    name: str
    adds: bool = False


ElasticAction = Put | ChangeAliases | Delete
