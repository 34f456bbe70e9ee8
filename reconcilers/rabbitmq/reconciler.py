"""RabbitMQ as the engine drives it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from crds.meta import Key
from crds.rabbitmq import RabbitMQSpec
from metrics.rabbitmq import NodeReading, QueueReading, RabbitMetrics, RabbitReading
from reconcilers.contract import (
    DONE,
    Outcome,
    PermanentError,
    Plan,
    Resource,
    Secrets,
    Step,
    TransientError,
    View,
)
from reconcilers.gauges import Gauge, Gauges
from reconcilers.rabbitmq.apply import apply_action
from reconcilers.rabbitmq.client import RabbitClient
from reconcilers.rabbitmq.model import BrokerNode, Look, MissingError, Place, Queue, RabbitAction, SeenBroker
from reconcilers.rabbitmq.observe import observe_rabbitmq
from reconcilers.rabbitmq.plan import plan_rabbitmq


class RabbitReconciler:
    """A RabbitMQ broker: what it holds, and who may do what with it."""

    kind = "RabbitMQ"
    poll_interval = timedelta(seconds=5)
    pass_deadline = timedelta(seconds=10)

    def __init__(
        self,
        client: RabbitClient,
        secrets: Secrets,
        metrics: RabbitMetrics,
        gauges: Gauges,
        now: Callable[[], datetime],
    ) -> None:
        """Take *now*, the wall time that figures are told with."""
        self._client = client
        self._secrets = secrets
        self._metrics = metrics
        self._gauges = gauges
        self._now = now

    def endpoint(self, resource: Resource[RabbitMQSpec]) -> str | None:
        return resource.spec.endpoint

    async def observe(self, resource: Resource[RabbitMQSpec], view: View) -> SeenBroker:
        try:
            seen = await observe_rabbitmq(self._client, self._secrets, resource)
        except (TransientError, PermanentError, asyncio.CancelledError):  # cancelled: its time is up
            self._gauges.forget(resource.key)
            self._metrics.unseen(resource.key.name)
            raise
        self._tell(resource, seen.look)
        return seen

    def plan(self, resource: Resource[RabbitMQSpec], seen: SeenBroker, now: datetime) -> Plan[RabbitAction]:
        return plan_rabbitmq(resource, seen, now)

    def _tell(self, resource: Resource[RabbitMQSpec], look: Look) -> None:
        """Keep the figures of this look, for those queues that the file names."""
        now = self._now()
        queues = {place: queue for place, queue in look.queues.items() if _is_asked(resource.spec, place)}
        values: dict[str, float] = {}
        for (vhost, name), queue in queues.items():
            if queue.messages is not None:
                values[f"depth:{vhost}/{name}"] = queue.messages
            if queue.consumers is not None:
                values[f"consumers:{vhost}/{name}"] = queue.consumers
        self._gauges.tell(resource.key, Gauge(now, values, epoch=_epoch(look)))
        reading = RabbitReading(
            nodes={node.name: _node(node) for node in look.broker.nodes},
            queues={place: _queue(queue) for place, queue in queues.items()},
            told_at=now.timestamp(),
        )
        self._metrics.looked(resource.key.name, reading)

    async def apply(self, step: Step[RabbitAction]) -> Outcome:
        try:
            await apply_action(self._client, step.action)
        except MissingError as exc:
            raise PermanentError(str(exc), reason="MissingEnd") from exc
        return DONE

    def gone(self, key: Key) -> None:
        self._gauges.forget(key)
        self._metrics.forget(key.name)


def _is_asked(spec: RabbitMQSpec, place: Place) -> bool:
    vhost, name = place
    return vhost in spec.vhosts and name in spec.vhosts[vhost].queues


def _epoch(look: Look) -> str:
    """Name this run of the broker: its nodes with their processes."""
    return ",".join(f"{node.name}:{node.pid}" for node in look.broker.nodes if node.is_running)


def _node(node: BrokerNode) -> NodeReading:
    return NodeReading(
        running=node.is_running,
        memory_alarm=node.memory_alarm,
        disk_alarm=node.disk_alarm,
        partitioned=bool(node.partitions),
        memory_used_bytes=node.memory_used_bytes,
        memory_limit_bytes=node.memory_limit_bytes,
        disk_free_bytes=node.disk_free_bytes,
        disk_limit_bytes=node.disk_limit_bytes,
    )


def _queue(queue: Queue) -> QueueReading:
    return QueueReading(
        messages=queue.messages,
        unacknowledged=queue.unacknowledged,
        consumers=queue.consumers,
        published=queue.published,
        delivered=queue.delivered,
    )
