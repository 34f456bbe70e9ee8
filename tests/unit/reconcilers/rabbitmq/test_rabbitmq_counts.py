"""What a broker counts, over restarts of one of its nodes."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry

from metrics.rabbitmq import RabbitMetrics
from reconcilers.gauges import Gauges
from reconcilers.rabbitmq.model import Broker, BrokerNode, Ends, Look, Queue, Topic
from reconcilers.rabbitmq.reconciler import RabbitReconciler
from tests.builders import START
from tests.builders_haproxy import Desk
from tests.real_rabbitmq import KEY, NamedSecrets, a_rabbit, told

NODES = tuple(BrokerNode(f"rabbit@{name}", is_running=True, pid=7, uptime_s=60) for name in ("a", "b"))
PLACE = ("psa", "mail")


class Looks:
    """A broker of two nodes that answers what it is given."""

    def __init__(self) -> None:
        self.nodes, self.published = NODES, 1000

    async def look(self, endpoint: str, topics: frozenset[Topic], ends: Collection[Ends] = ()) -> Look:
        queue = Queue(
            "classic",
            is_durable=True,
            is_auto_delete=False,
            arguments={},
            published=self.published,
            delivered=self.published,
        )
        exchanges = {("psa", ""): None}
        return Look(
            me="me",
            broker=Broker("3.12.1", "psa", self.nodes),
            vhosts=frozenset({"psa"}),
            exchanges=exchanges,  # type: ignore[arg-type]  # only that it is there counts
            queues={PLACE: queue},
        )


async def test_a_node_that_comes_or_goes_is_no_message() -> None:
    """The other one counts on; what begins anew shows that by being less than before."""
    looks, registry = Looks(), CollectorRegistry()
    client: Any = looks
    reconciler = RabbitReconciler(client, NamedSecrets(), RabbitMetrics(registry), Gauges(), lambda: START)
    desk = Desk({"RabbitMQ": reconciler})
    desk.put(a_rabbit(vhosts={"psa": {"queues": {"mail": {}}}}))
    down = replace(NODES[1], is_running=False, pid=None, uptime_s=None)
    back = replace(NODES[1], pid=None, uptime_s=None)
    counted = []
    for second, published in ((NODES[1], 1000), (down, 1010), (back, 1020), (NODES[1], 1030), (back, 5)):
        looks.nodes, looks.published = (NODES[0], second), published
        await desk.look(KEY)
        counted.append(told(registry, "queue_published_total", vhost="psa", queue="mail"))
    assert counted == [0, 10, 20, 30, 35]
