"""A lab's HAProxy with both colours of the gateway behind it, driven by the engine alone: no daemon."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from crds.balancer import ServerShare, ServerState, TrafficSplitSpec
from crds.meta import Key, Mode
from crds.service import Color
from daemon.engine.controller import Controller
from daemon.ports import SystemClock, SystemRandom
from daemon.store.database import Database
from daemon.store.operations import Apply, Saw
from daemon.store.store import Store, WriterThread
from lab.haproxy import LabConfig, LabHaproxy, pair
from lab.layout import Lab
from lab.start import Options, prepare, start_platform
from lab.wiring import frontend_address
from metrics.engine import EngineMetrics
from metrics.traffic import TrafficMetrics
from reconcilers.split.reconciler import SplitReconciler
from reconcilers.transports.haproxy import HaproxyTransport
from reconcilers.transports.haproxy_endpoints import HaproxyEndpoints
from tests.lab.lab_containers import run_container

GATEWAY: Final = "psa-api-gateway"
SPLIT: Final = Key("TrafficSplit", GATEWAY)
#: Quicker than the lab's own, so that two hundred openings take a minute.
_CHECK_MS: Final = 100
_READY_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The engine with one split, and the HAProxy that it drives."""

    lab: Lab
    store: Store
    haproxy: LabHaproxy

    async def bring(self, blue: tuple[int, ServerState], green: tuple[int, ServerState]) -> None:
        """Ask for weights and states as a release does; return when HAProxy has them."""
        shares = {
            name: ServerShare(server=name, weight=weight, state=state)
            for name, (weight, state) in (("blue", blue), ("green", green))
        }
        there = self.store.state.objects.get(SPLIT)
        spec = TrafficSplitSpec(service=GATEWAY, endpoint="edge", backend="api_backend", **shares)
        clock = SystemClock()
        await self.store.commit([Apply(SPLIT, "0" * 32, spec, clock.now(), saw=Saw.of(there))])
        deadline = clock.monotonic() + _READY_S
        while not self.store.state.objects[SPLIT].is_ready():
            if clock.monotonic() > deadline:
                raise RuntimeError(f"HAProxy does not get {shares}: {self.store.state.objects[SPLIT]}")
            await clock.sleep(0.002)


@contextlib.asynccontextmanager
async def an_entry() -> AsyncIterator[Entry]:
    """Bring up the lab and the engine, with both colours UP and nothing asked yet."""
    with tempfile.TemporaryDirectory(prefix="psa-bench-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - HAProxy is another user, and nothing waits here
        options = Options(Path(folder) / "lab", services=1, time_scale=0.05)
        lab, lock = await asyncio.to_thread(prepare, options, _silent)
        try:
            await asyncio.to_thread(start_platform, lab, options, lock, _silent)
            for color, version in ((Color.BLUE, "1.0.0"), (Color.GREEN, "1.1.0")):
                await asyncio.to_thread(run_container, lab, GATEWAY, color, version)
            async with _driven(lab, await asyncio.to_thread(_quick_checks, lab)) as entry:
                yield entry
        finally:
            os.close(lock)
            await asyncio.to_thread(lambda: lab.parts.end_all(grace_s=1))


_silent: Final[Callable[[str], None]] = lambda _line: None  # noqa: E731 - nobody listens


def _quick_checks(lab: Lab) -> LabHaproxy:
    """Give HAProxy a configuration with quick checks."""
    backend = pair(f"{lab.address('20.10')}:3000", f"{lab.address('20.110')}:3001")
    config = LabConfig(frontend_address(lab), (backend,), check_ms=_CHECK_MS)
    haproxy = LabHaproxy(lab.root / "haproxy", config, socket=lab.socket("haproxy"))
    haproxy.reload(config)
    return haproxy


@contextlib.asynccontextmanager
async def _driven(lab: Lab, haproxy: LabHaproxy) -> AsyncIterator[Entry]:
    clock, registry = SystemClock(), CollectorRegistry()
    edge = HaproxyEndpoints({"edge": HaproxyTransport("edge", [haproxy.address])})
    splits = SplitReconciler(edge, TrafficMetrics(registry), clock.now)
    store = Store(Database(lab.state / "bench.db"), WriterThread())
    metrics = EngineMetrics(registry, version="bench", kinds=["TrafficSplit"], systems={"edge": "haproxy"})
    controller = Controller(
        store, {"TrafficSplit": splits}, clock, SystemRandom(), metrics, mode=Mode.ENFORCE
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(controller.run())
        try:
            yield Entry(lab, store, haproxy)
        finally:
            controller.drain()
            await running
            store.close()
