"""What a look at a RabbitMQ broker gives, and what may be done to it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconcilers.contract import Secret, TransientError

Scalar = bool | int | float | str
Arguments = Mapping[str, object]
Place = tuple[str, str]
"""Virtual host and name."""
Ends = tuple[str, str, str, str]
"""Of bindings: virtual host, source, kind and name of the destination; the last two empty for any."""


class MissingError(TransientError):
    """What a change builds on is not there: it was refused, or went since the last look."""


@dataclass(frozen=True, slots=True)
class BrokerNode:
    """One node as the node that answers knows it; figures of one that is down are None."""

    name: str
    is_running: bool
    pid: int | None = None
    uptime_s: float | None = None
    memory_alarm: bool = False
    disk_alarm: bool = False
    memory_used_bytes: int | None = None
    memory_limit_bytes: int | None = None
    disk_free_bytes: int | None = None
    disk_limit_bytes: int | None = None
    partitions: tuple[str, ...] = ()
    """Nodes that it does not see although they run."""


@dataclass(frozen=True, slots=True)
class Broker:
    """What the broker says of itself."""

    version: str
    cluster_name: str
    nodes: tuple[BrokerNode, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """A user: the hash is base64 of four bytes of salt and the digest."""

    tags: frozenset[str]
    hash: str = field(repr=False)
    algorithm: str = "rabbit_password_hashing_sha256"


@dataclass(frozen=True, slots=True)
class Grant:
    """Regular expressions of names."""

    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class TopicGrant:
    """Regular expressions of routing keys."""

    write: str
    read: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange as it was made."""

    type: str
    is_durable: bool
    is_auto_delete: bool
    is_internal: bool
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it was made, and how full it is; a figure that the broker does not know yet is None."""

    type: str
    is_durable: bool
    is_auto_delete: bool
    arguments: Arguments
    messages: int | None = None
    unacknowledged: int | None = None
    consumers: int | None = None
    published: int | None = None
    """Messages that came in since it was made or the node began."""
    delivered: int | None = None
    """Messages that went out since then, to consumers or on request."""


@dataclass(frozen=True, slots=True)
class Link:
    """A binding's identity. ``kind`` is ``queue`` or ``exchange``; arguments are in order of their names."""

    vhost: str
    source: str
    kind: str
    destination: str
    routing_key: str
    arguments: tuple[tuple[str, str], ...] = ()
    """Each value as JSON, so that 1, 1.0 and true stay apart."""

    @property
    def ends(self) -> Ends:
        return self.vhost, self.source, self.kind, self.destination

    def __str__(self) -> str:
        key = f" → {self.routing_key}" if self.routing_key else ""
        more = " with arguments" if self.arguments else ""
        return f"{self.source}{key}{more} → {self.kind} {self.destination}"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as the broker has it."""

    pattern: str
    target: str
    priority: int
    definition: Arguments


@dataclass(frozen=True, slots=True)
class Look:
    """A broker's answers. A mapping that was not asked for is empty."""

    me: str
    """The user that we come as."""
    broker: Broker
    vhosts: frozenset[str] = frozenset()
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    users: Mapping[str, Account] = field(default_factory=dict)
    grants: Mapping[Place, Grant] = field(default_factory=dict)
    """By virtual host and user."""
    topic_grants: Mapping[tuple[str, str, str], TopicGrant] = field(default_factory=dict)
    """By virtual host, user and exchange."""
    exchanges: Mapping[Place, Exchange] = field(default_factory=dict)
    queues: Mapping[Place, Queue] = field(default_factory=dict)
    links: Mapping[Link, str] = field(default_factory=dict)
    """Bindings, each with the key that the API deletes it by."""
    unlisted: frozenset[Ends] = frozenset()
    """Ends between which the broker fails to list the bindings."""
    policies: Mapping[Place, Policy] = field(default_factory=dict)


class Topic(enum.Enum):
    """What a look asks for beside the broker itself; each may need more rights."""

    VHOSTS = "vhosts"
    """Virtual hosts, and their exchanges, which prove that we see what is in them."""
    LIMITS = "limits"
    USERS = "users"
    PERMISSIONS = "permissions"
    TOPIC_PERMISSIONS = "topic permissions"
    QUEUES = "queues"
    BINDINGS = "bindings"
    POLICIES = "policies"


@dataclass(frozen=True, slots=True)
class SeenBroker:
    """A broker's answers, and the passwords that its users must have, by the names of their secrets."""

    look: Look
    passwords: Mapping[str, Secret]


@dataclass(frozen=True, slots=True)
class MakeVhost:
    """Make a virtual host."""

    endpoint: str
    vhost: str


@dataclass(frozen=True, slots=True)
class SetLimit:
    """Set one limit of a virtual host."""

    endpoint: str
    vhost: str
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class SetUser:
    """Give a user exactly these tags, and a password: a new one, or the hash that the broker has."""

    endpoint: str
    name: str
    tags: tuple[str, ...]
    password: Secret | Account


@dataclass(frozen=True, slots=True)
class SetPermission:
    """Give a user these rights in a virtual host."""

    endpoint: str
    vhost: str
    user: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class SetTopicPermission:
    """Give a user these rights at an exchange."""

    endpoint: str
    vhost: str
    user: str
    exchange: str
    grant: TopicGrant


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Make a policy this, whole."""

    endpoint: str
    vhost: str
    name: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class DeclareExchange:
    """Make an exchange."""

    endpoint: str
    vhost: str
    name: str
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class DeclareQueue:
    """Make a queue; a type of ``""`` is the virtual host's default."""

    endpoint: str
    vhost: str
    name: str
    queue: Queue


@dataclass(frozen=True, slots=True)
class Bind:
    """Make a binding with these arguments."""

    endpoint: str
    link: Link
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Unbind:
    """Delete a binding by the API's key."""

    endpoint: str
    link: Link
    key: str


@dataclass(frozen=True, slots=True)
class DeleteQueue:
    """Delete a queue, if it is still empty and unused."""

    endpoint: str
    vhost: str
    name: str
    is_classic: bool
    """Whether the broker itself checks that in the same moment; it does not for quorum queues."""


@dataclass(frozen=True, slots=True)
class DeleteExchange:
    """Delete an exchange, if nothing is bound to it."""

    endpoint: str
    vhost: str
    name: str


@dataclass(frozen=True, slots=True)
class DeletePolicy:
    """Delete a policy."""

    endpoint: str
    vhost: str
    name: str


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """Delete a user; its connections end."""

    endpoint: str
    name: str


RabbitAction = (
    MakeVhost
    | SetLimit
    | SetUser
    | SetPermission
    | SetTopicPermission
    | SetPolicy
    | DeclareExchange
    | DeclareQueue
    | Bind
    | Unbind
    | DeleteQueue
    | DeleteExchange
    | DeletePolicy
    | DeleteUser
)
