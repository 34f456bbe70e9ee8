"""Requests that are lost while the traffic is moved, two hundred times, under all that wrk can send."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

from crds.balancer import ServerState
from lab.heavy import run_heavy
from lab.load import Target
from lab.tally import Tally
from lab.wiring import frontend_address
from tests.bench.balancer import Entry, an_entry
from tests.bench.table import Figure

_ROUNDS: Final = 100
#: The rate that the figure is about; below it, it says nothing.
_RATE: Final = 5000
_READY, _DRAIN, _MAINT = ServerState.READY, ServerState.DRAIN, ServerState.MAINT
_HALF: Final = (50, _READY)


def measure() -> Iterator[Figure]:
    """Measure lost requests of switches, and of rollbacks."""
    yield from asyncio.run(_measured())


async def _measured() -> list[Figure]:
    async with an_entry() as entry:
        await entry.bring((100, _READY), (0, _MAINT))
        found = [await _under_load(entry, kind) for kind in ("switches", "rollbacks")]
    return [each for pair in found for each in pair]


async def _under_load(entry: Entry, kind: str) -> tuple[Figure, Figure]:
    host, _, port = frontend_address(entry.lab).rpartition(":")
    stopping, began = asyncio.Event(), time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        load = tasks.create_task(run_heavy(Target(host, int(port)), None, stopping))
        await asyncio.sleep(1)
        turns = _switches(entry) if kind == "switches" else _rollbacks(entry)
        took = [each async for each in turns]
        await asyncio.sleep(0.5)
        stopping.set()
    tally, _ = load.result()
    rate = tally.answered / (time.monotonic() - began)
    what = f"lost in {_ROUNDS} {kind} at {rate / 1000:.1f}k/s"
    goal = 0 if rate >= _RATE else -1  # too slow a machine says nothing
    lost = Figure(what, "", _lost(tally), goal, 0, "nothing may be lost")
    floor = _one_command(entry)
    name = f"one of the {kind}, p50/max"
    worst = max(took) * 1e3
    return lost, Figure(name, "ms", statistics.median(took) * 1e3, 1000, floor, "a command to HAProxy", worst)


def _lost(tally: Tally) -> int:
    return tally.failed + sum(count for status, count in tally.statuses.items() if status != 200)


async def _switches(entry: Entry) -> AsyncIterator[float]:
    """Half to the other colour, then all, the loser drained: there and back again."""
    live = "blue"
    for _ in range(_ROUNDS):
        other = "green" if live == "blue" else "blue"
        await entry.bring(_HALF, _HALF)
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        shares = {other: (100, _READY), live: (0, _DRAIN)}
        await entry.bring(shares["blue"], shares["green"])
        yield time.perf_counter() - began
        live = other
    await entry.bring((100, _READY), (0, _MAINT))


async def _rollbacks(entry: Entry) -> AsyncIterator[float]:
    """Half to green, then all back, and green into maintenance."""
    for _ in range(_ROUNDS):
        await entry.bring(_HALF, _HALF)
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        await entry.bring((100, _READY), (0, _MAINT))
        yield time.perf_counter() - began


def _one_command(entry: Entry) -> float:
    began = time.perf_counter()
    for _ in range(20):
        entry.haproxy.ask("show servers state api_backend")
    return (time.perf_counter() - began) / 20 * 1e3
