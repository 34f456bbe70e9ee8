"""RabbitMQ in the real engine, made as the daemon makes it, before a real broker."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.rabbitmq import LabRabbit
from reconcilers.rabbitmq.client import Call
from tests.real_haproxy import until
from tests.real_rabbitmq import KEY, a_running_broker, control, transport
from tests.real_rabbitmq_daemon import a_daemon, the_example

QUEUES = [
    "analytics.ticket_stats",
    "billing.datev_export",
    "notifications.email",
    "notifications.teams",
    "search.index_update",
]
BINDINGS = {
    ("ticket.*", "notifications.email"),
    ("ticket.*", "analytics.ticket_stats"),
    ("ticket.created", "notifications.teams"),
    ("invoice.generated", "billing.datev_export"),
}


@pytest.fixture(scope="module")
def broker() -> Iterator[LabRabbit]:
    with a_running_broker() as broker:
        yield broker


async def rows(broker: LabRabbit, kind: str) -> list[dict[str, object]]:
    wire = transport(broker)
    found = (await wire.send(Call("GET", (kind, "psa"), accepts=(404,)))).body
    await wire.close()
    return found if isinstance(found, list) else []


async def is_whole(broker: LabRabbit) -> bool:
    """Whether the platform's queues and bindings are there."""
    queues = sorted(str(row["name"]) for row in await rows(broker, "queues"))
    found = {
        (row["routing_key"], row["destination"]) for row in await rows(broker, "bindings") if row["source"]
    }
    return queues == QUEUES and found == BINDINGS


async def test_the_example_is_the_platforms_messages_and_then_there_is_not_one_write(
    broker: LabRabbit, tmp_path: Path
) -> None:
    async with a_daemon(tmp_path, broker) as daemon:
        await daemon.declare(the_example(pollInterval="200ms"))
        await daemon.wait_ready()
        assert await is_whole(broker)
        for row in await rows(broker, "queues"):
            assert (row["durable"], row["arguments"]) == (
                True,
                {"x-message-ttl": 86400000, "x-max-length": 10000},
            )
        events = [row for row in await rows(broker, "exchanges") if row["name"] == "psa.events"]
        assert [(row["type"], row["durable"]) for row in events] == [("topic", True)]
        await until(lambda: asyncio.sleep(0.1, daemon.gauges.of(KEY)), lambda told: told is not None)

        async def is_quiet() -> bool:
            """Whether ten looks in a row write nothing; a young broker has not counted all yet."""
            commits, told = daemon.store.commits, daemon.gauges.of(KEY)
            await asyncio.sleep(2)
            assert daemon.gauges.of(KEY) != told, "it was not even looked at"
            return daemon.store.commits == commits

        await until(is_quiet, bool)


async def test_a_drift_is_put_right_within_the_poll_interval(broker: LabRabbit, tmp_path: Path) -> None:
    async with a_daemon(tmp_path, broker) as daemon:
        await daemon.declare(the_example(pollInterval="1s"))
        await daemon.wait_ready()
        await asyncio.to_thread(control, broker, "delete_queue", "--vhost=psa", "search.index_update")
        began = asyncio.get_running_loop().time()
        await until(lambda: is_whole(broker), bool)
        assert asyncio.get_running_loop().time() - began <= 2
        await daemon.wait_ready()


@pytest.mark.slow
@pytest.mark.parametrize("away_s", [0, 30], ids=["restarted at once", "away for long"])
async def test_57_a_wiped_broker_is_whole_again_soon_after_it_answers(
    broker: LabRabbit, tmp_path: Path, away_s: float
) -> None:
    async with a_daemon(tmp_path, broker) as daemon:
        await daemon.declare(the_example())
        await daemon.wait_ready()
        broker.kill()
        broker.wipe()
        await asyncio.sleep(away_s)
        await asyncio.to_thread(broker.start)
        began = asyncio.get_running_loop().time()
        await until(lambda: is_whole(broker), bool, seconds=15)
        assert asyncio.get_running_loop().time() - began <= 10
        # The pass that filled it is told at its end.
        await until(lambda: asyncio.sleep(0, daemon.events()), lambda told: "BrokerEmptied" in told)
        await daemon.wait_ready()
