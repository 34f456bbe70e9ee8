"""A private RabbitMQ: what looks cost, how soon 500 queues are made, and how soon a wiped broker is whole."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

from lab.rabbitmq import LabRabbit
from reconcilers.contract import TransientError
from reconcilers.rabbitmq.client import Call
from tests.bench import machine
from tests.bench.table import Figure
from tests.real_haproxy import until
from tests.real_rabbitmq import KEY, Driven, a_rabbit, a_running_broker, drive, transport
from tests.real_rabbitmq_daemon import a_daemon, the_example

_QUEUES: Final = 500
_BINDINGS: Final = 200
_LOOKS: Final = 100
#: Seconds that the broker stays away, each time: the longer, the more looks have failed.
_AWAY_S: Final = (0, 0, 5, 15, 40)
_BOUND: Final = 4
_OVERVIEW: Final = Call("GET", ("overview",), "columns=cluster_name")
_LIST: Final = Call("GET", ("queues",), "disable_stats=true&enable_queue_totals=true")


def measure() -> Iterator[Figure]:
    """Measure the example first, then a large virtual host, then brokers that lost all."""
    with a_running_broker() as broker, tempfile.TemporaryDirectory(prefix="psa-bench-") as folder:
        yield from asyncio.run(_example(broker))
        yield from asyncio.run(_large(broker))
        found = asyncio.run(_wiped(broker, Path(folder)))
        what = "RabbitMQ: wiped to whole, p50/max"
        yield Figure(what, "s", statistics.median(found), 10, 5, "the poll interval", max(found), 10)


async def _example(broker: LabRabbit) -> list[Figure]:
    """Measure looks at the platform's own objects."""
    wire = transport(broker)
    driven = drive(wire, a_rabbit(**{**the_example(), "endpoint": "rabbit"}), rabbitmq_app="app-secret")
    began = time.perf_counter()
    await driven.quiet()
    whole = (time.perf_counter() - began) * 1e3
    floor = await _p50(lambda: wire.send(_OVERVIEW))
    looks = await _looks(driven)
    await wire.close()
    p50, p99 = statistics.median(looks), machine.p99(looks)
    return [
        Figure("RabbitMQ: one look, p50/p99", "ms", p50, 30, floor, "one small request", p99, 30),
        Figure("RabbitMQ: from new to as asked", "ms", whole, 2000, floor, "one small request"),
    ]


async def _large(broker: LabRabbit) -> list[Figure]:
    """Measure 500 queues and 200 bindings from nothing, and looks at them."""
    wire = transport(broker)
    queues = {
        f"queue-{number}": {"durable": True, "arguments": {"x-max-length": 1000}} for number in range(_QUEUES)
    }
    bindings = [
        {"source": "events", "queue": f"queue-{number}", "routingKey": f"{number}.#"}
        for number in range(_BINDINGS)
    ]
    wish = {"exchanges": {"events": {"type": "topic"}}, "queues": queues, "bindings": bindings}
    driven = drive(wire, a_rabbit(vhosts={"large": wish}))
    began = time.perf_counter()
    await driven.quiet()
    whole = time.perf_counter() - began
    least_s = await _p50(lambda: wire.send(_OVERVIEW)) / 1e3 * (_QUEUES + _BINDINGS)
    floor = await _p50(lambda: wire.send(_LIST))
    looks = await _looks(driven)
    await wire.close()
    p50, p99 = statistics.median(looks), machine.p99(looks)
    return [
        Figure("RabbitMQ: 500 queues, 200 bound", "s", whole, 10, least_s, "as many small requests"),
        Figure("RabbitMQ: look at them, p50/p99", "ms", p50, 150, floor, "the list of queues", p99, 150),
    ]


async def _looks(driven: Driven) -> list[float]:
    found = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await driven.desk.look(KEY)
        found.append((time.perf_counter() - began) * 1e3)
    return found


async def _p50(ask: Callable[[], Awaitable[object]]) -> float:
    found = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await ask()
        found.append((time.perf_counter() - began) * 1e3)
    return statistics.median(found)


async def _wiped(broker: LabRabbit, folder: Path) -> list[float]:
    """Return after how many seconds the example is whole again, from the broker's first answer."""
    found, wire = [], transport(broker)

    async def declared() -> int:
        try:
            reply = await wire.send(Call("GET", ("bindings", "psa"), accepts=(404,)))
        except TransientError:
            return 0
        rows = reply.body if isinstance(reply.body, list) else []
        return len([row for row in rows if row["source"]])

    async with a_daemon(folder, broker) as daemon:
        await daemon.declare(the_example())
        await daemon.wait_ready()
        for away_s in _AWAY_S:
            broker.kill()
            broker.wipe()
            await asyncio.sleep(away_s)
            await asyncio.to_thread(broker.start)
            began = time.perf_counter()
            await until(declared, lambda count: count >= _BOUND, seconds=30)
            found.append(time.perf_counter() - began)
            await daemon.wait_ready(seconds=30)
    await wire.close()
    return found
