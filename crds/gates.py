"""Gates: what must be well in data services while a release goes on; both versions use them."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints

from crds.meta import Key, Model, ObjectName
from crds.quantity import Duration, MemoryMiB, Share

QueuePath = Annotated[str, StringConstraints(pattern=r"^\S{1,255}/\S{1,255}$")]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]


class _Gate(Model):
    lasting: Duration = Field(default=timedelta(seconds=10), alias="for")
    """How long it must be broken before it holds the release; nothing moves forward meanwhile either."""


class ReplicationLag(_Gate):
    """How far the replicas of a PostgreSQL cluster may be behind."""

    cluster: ObjectName
    """The PostgresCluster."""
    limit: MemoryMiB = 100
    """WAL that a replica may have left to replay."""
    age: Duration | None = None
    """How old the last transaction that it replayed may be; not looked at if it is left out."""

    @property
    def key(self) -> Key:
        """Return the object that it is about."""
        return Key("PostgresCluster", self.cluster)


class DatabaseErrors(_Gate):
    """What a PostgreSQL cluster may count in a minute, beside what is usual there."""

    cluster: ObjectName
    """The PostgresCluster."""
    rollbacks: Share = 0.05
    """Part of the transactions that may always be rolled back."""
    deadlocks: Count = 5
    """Deadlocks that there may always be."""
    conflicts: Count = 10
    """Queries on standbys that replay may always cancel."""
    times: Annotated[float, Field(ge=1, le=1000)] = 3
    """So many times the usual may be more than that; usual is the hour before the candidate had traffic."""
    connections: Share = 0.9
    """Part of max_connections that may be in use: when it is used up, connections are refused."""

    @property
    def key(self) -> Key:
        """Return the object that it is about."""
        return Key("PostgresCluster", self.cluster)


class QueueDepth(_Gate):
    """How full queues of a RabbitMQ broker may be."""

    broker: ObjectName
    """The RabbitMQ object."""
    queues: Annotated[tuple[QueuePath, ...], Field(min_length=1, max_length=32)]
    """Queues as VHOST/QUEUE, such as /psa/tickets for the queue tickets in the virtual host /psa."""
    limit: Count
    """Messages that each may hold."""
    growth: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)] | None = None
    """By how many messages a minute each may grow; not looked at if it is left out."""

    @property
    def key(self) -> Key:
        """Return the object that it is about."""
        return Key("RabbitMQ", self.broker)


Gate = ReplicationLag | DatabaseErrors | QueueDepth


class Gates(Model):
    """What must be well in data services from the split to the end of the soak; none if left out."""

    replication_lag: ReplicationLag | None = None
    """How far replicas may be behind."""
    database_errors: DatabaseErrors | None = None
    """What databases may count."""
    queue_depth: QueueDepth | None = None
    """How full queues may be."""

    def asked(self) -> Iterator[tuple[str, Gate]]:
        """Yield each gate with its field in the file."""
        if self.replication_lag is not None:
            yield "replicationLag", self.replication_lag
        if self.database_errors is not None:
            yield "databaseErrors", self.database_errors
        if self.queue_depth is not None:
            yield "queueDepth", self.queue_depth


class GateState(enum.Enum):
    """What a gate says."""

    WELL = "well"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """Nothing was told, or too long ago: never well, never broken."""


@dataclass(frozen=True, slots=True)
class GateMark:
    """Counters and depths at an instant; what came since is counted from here."""

    at: datetime
    """When they were read."""
    epoch: str
    """Run of the server that they are of."""
    values: dict[str, float]
    """By their names."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What a database counted in the hour before the candidate got traffic."""

    seconds: float
    """How much of that hour was seen."""
    rollbacks: float
    """Part of the transactions that were rolled back."""
    deadlocks: float
    """Deadlocks a minute."""
    conflicts: float
    """Queries that replay cancelled, a minute."""


@dataclass(frozen=True, slots=True)
class GateMemo:
    """What a gate is at."""

    __pydantic_config__: ClassVar[ConfigDict] = Model.model_config

    state: GateState = GateState.UNKNOWN
    """What it says."""
    says: str = ""
    """Value, limit and sample as a sentence."""
    read_at: datetime | None = None
    """When the value was told."""
    since: datetime | None = None
    """Since when it is in this state."""
    lasted_s: float = 0.0
    """How long that was watched, in seconds."""
    marks: tuple[GateMark, ...] = ()
    """Earlier readings, the oldest first: the last minute is counted from there."""
    usual: Usual | None = None
    """What is usual, where that is known."""
