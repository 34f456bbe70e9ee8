"""RabbitMQ brokers: nodes and their alarms, and how full the queues of the spec are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry

from metrics.looks import Counts, Family, Moments, Series

_NODE: Final = ("node",)
_QUEUE: Final = ("vhost", "queue")


@dataclass(frozen=True, slots=True)
class NodeReading:
    """One node as the broker tells of it; figures of a node that is down are None."""

    running: bool
    memory_alarm: bool = False
    disk_alarm: bool = False
    partitioned: bool = False
    memory_used_bytes: float | None = None
    memory_limit_bytes: float | None = None
    disk_free_bytes: float | None = None
    disk_limit_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class QueueReading:
    """How full a queue is. What the broker does not know yet is None, never 0."""

    messages: int | None
    unacknowledged: int | None
    consumers: int | None
    published: int | None = None
    """Messages that came in since its node began; less than before where that has begun anew."""
    delivered: int | None = None
    """Messages that went out since then."""


@dataclass(frozen=True, slots=True)
class RabbitReading:
    """One look at a broker."""

    nodes: Mapping[str, NodeReading]
    queues: Mapping[tuple[str, str], QueueReading] = field(default_factory=dict)
    """Queues of the spec by virtual host and name: no others, so that their number is bounded."""
    told_at: float | None = None
    """When the broker counted the depths, in seconds since 1970: it does so every few seconds."""


class RabbitMetrics:
    """All families of RabbitMQ, in a registry of the caller's; RabbitReconciler tells each look."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._moments = Moments(
            registry,
            "psa_rabbitmq",
            "broker",
            Family("up", "Whether the management API answers"),
            Family("node_running", "Whether a node runs", _NODE),
            Family("alarm", "1 while an alarm of a node blocks publishers", ("node", "resource")),
            Family("node_partitioned", "1 while a node does not see another one that runs", _NODE),
            Family("memory_used_bytes", "Memory of a node", _NODE),
            Family("memory_limit_bytes", "Memory from which on publishers are blocked", _NODE),
            Family("disk_free_bytes", "Free disk of a node", _NODE),
            Family("disk_limit_bytes", "Free disk below which publishers are blocked", _NODE),
            Family("queue_messages", "Messages in a queue, ready or not acknowledged", _QUEUE),
            Family("queue_messages_ready", "Messages that wait for a consumer", _QUEUE),
            Family("queue_messages_unacked", "Messages that a consumer has not acknowledged", _QUEUE),
            Family("queue_consumers", "Consumers of a queue", _QUEUE),
            Family("queue_told_timestamp_seconds", "When the broker counted the depths"),
        )
        self._counts = Counts(
            registry,
            "psa_rabbitmq_queue",
            ("broker", *_QUEUE),
            Family("published", "Messages that came into a queue"),
            Family("delivered", "Messages that left a queue for a consumer"),
        )

    def looked(self, broker: str, reading: RabbitReading) -> None:
        """Take one look at the object *broker*."""
        values: dict[Series, float | None] = {
            ("up",): 1.0,
            ("queue_told_timestamp_seconds",): reading.told_at,
        }
        for name, node in reading.nodes.items():
            values |= _of_node(name, node)
        for (vhost, name), queue in reading.queues.items():
            values |= _of_queue((vhost, name), queue)
            if queue.published is not None and queue.delivered is not None:
                counted = {"published": queue.published, "delivered": queue.delivered}
                # No name for the time that they are counted in: nobody tells when a queue's own node began.
                self._counts.tell((broker, vhost, name), "", counted)
        self._moments.tell(broker, values)

    def unseen(self, broker: str) -> None:
        """Drop the figures of a broker that did not answer; what it counted goes on from there."""
        self._moments.tell(broker, {("up",): 0.0})

    def forget(self, broker: str) -> None:
        """Remove the series of an object."""
        self._moments.forget(broker)
        self._counts.forget(broker)


def _of_node(name: str, node: NodeReading) -> dict[Series, float | None]:
    return {
        ("node_running", name): node.running,
        ("alarm", name, "memory"): node.memory_alarm,
        ("alarm", name, "disk"): node.disk_alarm,
        ("node_partitioned", name): node.partitioned,
        ("memory_used_bytes", name): node.memory_used_bytes,
        ("memory_limit_bytes", name): node.memory_limit_bytes,
        ("disk_free_bytes", name): node.disk_free_bytes,
        ("disk_limit_bytes", name): node.disk_limit_bytes,
    }


def _of_queue(place: tuple[str, str], queue: QueueReading) -> dict[Series, float | None]:
    is_known = queue.messages is not None and queue.unacknowledged is not None
    ready = (queue.messages or 0) - (queue.unacknowledged or 0) if is_known else None
    return {
        ("queue_messages", *place): queue.messages,
        ("queue_messages_ready", *place): ready,
        ("queue_messages_unacked", *place): queue.unacknowledged,
        ("queue_consumers", *place): queue.consumers,
    }
