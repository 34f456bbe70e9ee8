"""A reload of HAProxy is noted exactly once, whatever becomes of the daemon in that very pass."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping

import pytest
from prometheus_client import CollectorRegistry

from crds.meta import Key, Mode
from daemon.engine.controller import Controller
from daemon.engine.passes import AnyReconciler
from daemon.store.operations import Apply
from daemon.store.store import Store
from metrics.engine import EngineMetrics
from metrics.traffic import TrafficMetrics
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START
from tests.builders_haproxy import NAME, a_backend, a_split_to
from tests.fakes.haproxy import FakeHaproxy
from tests.simulation.crashes import Killer, Machine
from tests.simulation.ports import SeededRandom, VirtualClock

pytestmark = pytest.mark.looptime(end=3600)

SPLIT = Key("TrafficSplit", NAME)
DECLARED = (Apply(SPLIT, "5" * 32, a_split_to("blue").spec, START),)
EACH_POINT = range(1, 7)
"""A split's steps need no intent: before and after two commands, before and after the commit."""


class SplitMachine(Machine):
    """A daemon with one traffic split before one HAProxy."""

    def __init__(self) -> None:
        self.haproxy = FakeHaproxy(a_backend())
        super().__init__(self.kinds)

    def kinds(self) -> Mapping[str, AnyReconciler]:
        metrics = TrafficMetrics(CollectorRegistry())
        return {"TrafficSplit": SplitReconciler(self.haproxy, metrics, VirtualClock().now)}

    def reloads(self) -> list[str]:
        events = self.database.events(SPLIT, after=0, limit=100)
        return [event.message for event in events if event.reason == "BalancerReloaded"]


class Disk:
    """An executor that refuses everything while it is full."""

    def __init__(self) -> None:
        self.is_full = False

    async def run(self, call: Callable[[], None]) -> None:
        if self.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        call()

    def close(self) -> None:
        pass


async def test_killed_at_any_point_of_the_pass_that_saw_it() -> None:
    for number in EACH_POINT:
        machine = SplitMachine()
        assert await machine.run(DECLARED, Killer(), seconds=3) is not None
        machine.haproxy.reload()
        killer = Killer(number)
        assert await machine.run((), killer, seconds=3) is None
        assert await machine.run((), Killer(), seconds=3) is not None
        assert machine.reloads() == ["HAProxy on edge was reloaded or restarted: pid 1001 → 1002"], (
            killer.points
        )
        assert len(killer.points) == number


async def test_while_nothing_can_be_written_down() -> None:
    machine, disk = SplitMachine(), Disk()
    store = Store(machine.database, disk)
    metrics = EngineMetrics(CollectorRegistry(), version="sim", kinds=(), systems={})
    controller = Controller(
        store, machine.kinds(), VirtualClock(), SeededRandom(1), metrics, mode=Mode.ENFORCE
    )
    await store.commit(DECLARED)
    async with asyncio.TaskGroup() as group:
        group.create_task(controller.run())
        await asyncio.sleep(5)
        disk.is_full = True
        machine.haproxy.reload()
        await asyncio.sleep(5)
        assert machine.haproxy.nodes[0].carriers("api_backend") == {"blue"}, "traffic needs no disk"
        assert machine.reloads() == []
        disk.is_full = False
        await asyncio.sleep(5)
        controller.drain()
    assert len(machine.reloads()) == 1
