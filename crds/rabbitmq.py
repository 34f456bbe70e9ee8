"""RabbitMQ: what a broker holds, and what is verified of it. Bodies of messages are never touched."""

import enum
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    model_validator,
)

from crds.lines import one_line
from crds.meta import Claim, EndpointName, Model, SecretName, Selection, Spec
from crds.patterns import quick, understood
from crds.quantity import MemoryMiB
from crds.versions import VersionFloor

_RESERVED: Final = "amq."


def _unreserved(name: str) -> str:
    if name.startswith(_RESERVED):
        raise ValueError(f"names that begin with {_RESERVED} are the broker's own")
    return name


def _expression(text: str) -> str:
    understood(text)
    return text


def _pattern(text: str) -> str:
    quick(text)
    return text


#: RabbitMQ takes any name; these are safe as one part of a path, in a sentence and as a label.
NamedThing = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,126}$")]
DeclaredName = Annotated[NamedThing, AfterValidator(_unreserved)]
VhostName = Annotated[str, StringConstraints(pattern=r"^(/|/?[A-Za-z0-9][A-Za-z0-9_.:-]{0,62})$")]
BrokerUser = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$")]
UserTag = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
#: Without ``~``: with arguments, 3.10 takes that one, and cannot list any binding from then on.
RoutingKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.*#:@/-]{0,255}$")]
ArgumentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
Line = Annotated[str, one_line(255)]
Expression = Annotated[Line, AfterValidator(_expression)]
#: Which queues it matches is told before anything is changed.
Pattern = Annotated[Line, AfterValidator(_pattern)]
Value = StrictBool | StrictInt | Line
Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]


class ExchangeType(enum.Enum):
    """How an exchange chooses the queues of a message."""

    DIRECT = "direct"
    FANOUT = "fanout"
    HEADERS = "headers"
    TOPIC = "topic"


class QueueType(enum.Enum):
    """How a queue keeps its messages."""

    CLASSIC = "classic"
    QUORUM = "quorum"


class PolicyTarget(enum.Enum):
    """What a policy is for. The kinds of queues are told apart from RabbitMQ 3.12 on."""

    ALL = "all"
    EXCHANGES = "exchanges"
    QUEUES = "queues"
    CLASSIC_QUEUES = "classic_queues"
    QUORUM_QUEUES = "quorum_queues"


class UserWish(Model):
    """A user. Its password is compared with the broker's salted hash, and sent only if it differs."""

    password: SecretName
    """Secret that is its password: a user without one is never made."""
    tags: tuple[UserTag, ...] | None = None
    """What it may do in the management API, such as monitoring; [] takes all away."""


class VhostLimits(Model):
    """Limits of a virtual host."""

    max_connections: Count | None = None
    """Connections at the same time."""
    max_queues: Count | None = None
    """Queues."""


class Permission(Model):
    """Regular expressions of names; an empty one grants nothing."""

    configure: Expression
    """What it may declare and delete."""
    write: Expression
    """Exchanges that it may publish to, queues that it may bind."""
    read: Expression
    """Queues that it may read, exchanges that it may bind to."""


class TopicPermission(Model):
    """Regular expressions of routing keys at a topic exchange."""

    write: Expression
    """What it may publish."""
    read: Expression
    """What it may bind."""


class ExchangeWish(Model):
    """An exchange. Nothing of it can be changed later; what is left out is not compared."""

    type: ExchangeType
    """How it chooses queues."""
    durable: StrictBool | None = None
    """Whether it outlives a restart; made so unless this is false."""
    auto_delete: StrictBool | None = None
    """Whether it goes with its last binding; made without unless this is true."""
    internal: StrictBool | None = None
    """Whether only other exchanges may publish to it; made without unless this is true."""
    arguments: dict[ArgumentName, Value] = Field(default_factory=dict)
    """Arguments such as alternate-exchange."""


class QueueWish(Model):
    """A queue. Nothing of it can be changed later; what is left out is not compared."""

    type: QueueType | None = None
    """How it keeps messages; the virtual host's default, which is classic, if it is left out."""
    durable: StrictBool | None = None
    """Whether it outlives a restart; made so unless this is false."""
    auto_delete: StrictBool | None = None
    """Whether it goes with its last consumer; made without unless this is true."""
    arguments: dict[ArgumentName, Value] = Field(default_factory=dict)
    """Arguments such as x-message-ttl (ms) or x-max-length; many can stand in a policy, which can change."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if "x-queue-type" in self.arguments:
            raise ValueError("x-queue-type is the field type")
        if self.type is QueueType.QUORUM and (self.durable is False or self.auto_delete):
            raise ValueError("a quorum queue is always durable, and never goes by itself")
        return self


class BindingWish(Model):
    """Messages of an exchange that go on to a queue, or to another exchange."""

    source: NamedThing
    """The exchange that they come from."""
    queue: NamedThing | None = None
    """The queue that they go to."""
    exchange: NamedThing | None = None
    """The exchange that they go to, instead of a queue."""
    routing_key: RoutingKey = ""
    """Which messages: a key, or a pattern such as ticket.* at a topic exchange."""
    arguments: dict[ArgumentName, Value] = Field(default_factory=dict)
    """What a headers exchange compares."""

    @model_validator(mode="after")
    def _one_destination(self) -> Self:
        if (self.queue is None) is (self.exchange is None):
            raise ValueError("one destination is needed: queue or exchange")
        return self


class PolicyWish(Model):
    """Settings for all queues or exchanges whose name matches; of several, the highest priority counts."""

    pattern: Pattern
    """Regular expression of names."""
    apply_to: PolicyTarget = PolicyTarget.ALL
    """What it is for."""
    priority: Annotated[int, Field(strict=True, ge=-1000, le=1000)] = 0
    """Which of several counts."""
    definition: Annotated[dict[ArgumentName, Value], Field(min_length=1)]
    """All that it sets, such as max-length or dead-letter-exchange; what is not here is taken out of it."""


class VhostAbsent(Model):
    """What must not be there. Nothing is deleted because a file leaves it out, only because it is here."""

    bindings: tuple[BindingWish, ...] = ()
    """Bindings; needs allow: [unbind]."""
    queues: tuple[DeclaredName, ...] = ()
    """Queues, once they are empty and unused; needs allow: [delete-queue]."""
    exchanges: tuple[DeclaredName, ...] = ()
    """Exchanges, once nothing is bound to them; needs allow: [delete-exchange]."""
    policies: tuple[NamedThing, ...] = ()
    """Policies; needs allow: [lossy-policy] if another one then cuts messages off."""


class VhostWish(Model):
    """A virtual host. Deleting one is no business of this program: all that it holds would go with it."""

    limits: VhostLimits = VhostLimits()
    """Limits of the whole."""
    permissions: dict[BrokerUser, Permission] = Field(default_factory=dict)
    """What users may do in it."""
    topic_permissions: dict[BrokerUser, dict[NamedThing, TopicPermission]] = Field(default_factory=dict)
    """What users may do at topic exchanges, by user and exchange."""
    policies: dict[NamedThing, PolicyWish] = Field(default_factory=dict)
    """Policies by name."""
    exchanges: dict[DeclaredName, ExchangeWish] = Field(default_factory=dict)
    """Exchanges by name."""
    queues: dict[DeclaredName, QueueWish] = Field(default_factory=dict)
    """Queues by name."""
    bindings: tuple[BindingWish, ...] = ()
    """Bindings."""
    absent: VhostAbsent = VhostAbsent()
    """What must not be there."""

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        both = [
            *(name for name in self.absent.queues if name in self.queues),
            *(name for name in self.absent.exchanges if name in self.exchanges),
            *(name for name in self.absent.policies if name in self.policies),
            *(str(each.queue or each.exchange) for each in self.absent.bindings if each in self.bindings),
        ]
        if both:
            raise ValueError(f"{both[0]} is asked for, and absent, too: leave one out")
        return self


class NodesWish(Model):
    """What is verified of the nodes; each stands in the broker's own configuration."""

    running: Annotated[int, Field(strict=True, ge=1, le=64)] | None = None
    """How many nodes must run."""
    memory_limit: MemoryMiB | None = None
    """Memory from which on publishers are blocked, vm_memory_high_watermark.absolute."""
    disk_free_limit: MemoryMiB | None = None
    """Free disk below which publishers are blocked, disk_free_limit.absolute."""


class BrokerAbsent(Model):
    """What must not be there, of the whole broker."""

    users: tuple[BrokerUser, ...] = ()
    """Users, such as guest; needs allow: [delete-user]."""


class RabbitMQSpec(Spec):
    """A RabbitMQ broker or cluster, through its management API; version 3.10 or newer."""

    endpoint: EndpointName
    """The broker, one of the settings' endpoints."""
    minimum_version: VersionFloor | None = None
    """Lowest version that is accepted."""
    nodes: NodesWish = NodesWish()
    """What is verified of the nodes."""
    users: dict[BrokerUser, UserWish] = Field(default_factory=dict)
    """Users by name; others are left alone."""
    vhosts: dict[VhostName, VhostWish] = Field(default_factory=dict)
    """Virtual hosts by name; others, and what else is in these, are left alone."""
    absent: BrokerAbsent = BrokerAbsent()
    """What must not be there."""

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        both = [name for name in self.absent.users if name in self.users]
        if both:
            raise ValueError(f"{both[0]} is asked for, and absent, too: leave one out")
        return self

    def selects(self) -> tuple[Selection, ...]:
        """Select the endpoint."""
        return (Selection(self.endpoint, "rabbitmq"),)

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim each named thing: two objects may share a broker, and a virtual host, never a queue."""
        at = self.endpoint
        found = [Claim(f"user {user} on {at}", ("spec", "users", user)) for user in self.users]
        for vhost, wish in self.vhosts.items():
            path = ("spec", "vhosts", vhost)
            for kind, names in (
                ("exchange", wish.exchanges),
                ("queue", wish.queues),
                ("policy", wish.policies),
            ):
                plural = "policies" if kind == "policy" else f"{kind}s"
                found += [Claim(f"{kind} {each} in {vhost} on {at}", (*path, plural, each)) for each in names]
        return tuple(found)


class NodeStatus(Model):
    """One node of a broker, as it was last seen."""

    running: bool
    """Whether it runs."""
    pid: int | None = None
    """Its process; another one means a restart."""
    since: AwareDatetime | None = None
    """Since when it runs, to within some seconds."""


class RabbitMQStatus(Model):
    """What was last seen of a broker. Depths and rates always move: they are metrics, not here."""

    version: str | None = None
    """Version of the broker."""
    cluster_name: str | None = None
    """Name of the cluster; a broker made anew may have another one."""
    nodes: dict[str, NodeStatus] = Field(default_factory=dict)
    """The nodes by their names."""
    alarms: tuple[str, ...] = ()
    """Alarms that block publishers."""
    filled: bool = False
    """Whether it held exchanges or queues that are asked for."""
