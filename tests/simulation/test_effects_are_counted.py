"""``psa_effects_total`` says what became of each mutation, when it is known and not before."""

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from crds.meta import Key, Mode
from daemon.engine.controller import Controller
from daemon.store.database import Database
from daemon.store.operations import Apply
from daemon.store.store import Store
from lab.pve.faults import FailTask
from metrics.engine import EngineMetrics
from tests.builders import START, a_container_spec
from tests.builders_haproxy import a_backend
from tests.fakes.haproxy import FakeHaproxy
from tests.simulation.ports import InlineExecutor, SeededRandom, VirtualClock
from tests.simulation.world import World, a_world

pytestmark = pytest.mark.looptime(end=3600)

REDIS = Key("Container", "psa-redis")


class Run:
    """The engine over an empty cluster, with its counters."""

    def __init__(self, world: World, store: Store) -> None:
        self.world, self.store = world, store
        self._registry = CollectorRegistry()
        systems = {"pve": "proxmox"}
        metrics = EngineMetrics(self._registry, version="sim", kinds=(), systems=systems)
        self.controller = Controller(
            self.store, self.world.reconcilers(), VirtualClock(), SeededRandom(1), metrics, mode=Mode.ENFORCE
        )

    def again(self) -> "Run":
        """Return another process in the same place."""
        return Run(self.world, self.store)

    async def declare(self, **fields: object) -> None:
        await self.store.commit([Apply(REDIS, "1" * 32, a_container_spec(ctid=210, **fields), START)])

    async def for_seconds(self, seconds: float) -> list[dict[str, float]]:
        """Let the engine work, and return the counters as they were, each time that they moved."""
        seen = [self.counted()]
        async with asyncio.TaskGroup() as group:
            group.create_task(self.controller.run())
            for _ in range(int(seconds * 10)):
                await asyncio.sleep(0.1)
                seen.append(self.counted())
            self.controller.drain()
        return [seen[0], *(after for before, after in pairwise(seen) if after != before)]

    def counted(self) -> dict[str, float]:
        names = ("ok", "failed", "started", "unknown")
        return {name: self._value(name) for name in names if self._value(name)}

    def _value(self, result: str) -> float:
        labels = {"system": "proxmox", "result": result}
        return self._registry.get_sample_value("psa_effects_total", labels) or 0.0


@contextlib.contextmanager
def a_run() -> Iterator[Run]:
    run = Run(a_world(FakeHaproxy(a_backend())), Store(Database(":memory:"), InlineExecutor()))
    yield run
    run.store.close()


async def test_a_task_has_started_first_and_is_ok_when_it_ends() -> None:
    with a_run() as run:
        await run.declare()
        seen = await run.for_seconds(60)
        assert seen[1] == {"started": 1}
        assert seen[-1] == {"started": 2, "ok": 2}, "the container was created and started"
        assert all(each.get("ok", 0) <= each["started"] for each in seen[1:])


async def test_a_task_that_fails_was_never_ok() -> None:
    with a_run() as run:
        run.world.cluster.add_fault(FailTask("vzstart", count=1), START.timestamp())
        await run.declare()
        assert (await run.for_seconds(60))[-1] == {"started": 3, "ok": 2, "failed": 1}


@pytest.mark.parametrize("path", ["lxc", "status/start"])
async def test_a_lost_answer_is_unknown_until_its_task_is_found(path: str) -> None:
    with a_run() as run:
        run.world.proxmox.lose_answers_of = path
        await run.declare()
        assert (await run.for_seconds(120))[-1] == {"unknown": 1, "started": 1, "ok": 2}


async def test_what_has_no_task_is_ok_or_unknown_at_once() -> None:
    with a_run() as run:
        await run.declare()
        await run.for_seconds(30)
        run.world.proxmox.lose_answers_of = "config"
        await run.declare(memory="6Gi")
        assert (await run.again().for_seconds(30))[-1] == {"unknown": 1}
        await run.declare(memory="8Gi")
        assert (await run.again().for_seconds(30))[-1] == {"ok": 1}
