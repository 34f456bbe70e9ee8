"""The real engine with one data kind, before a real server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from prometheus_client import CollectorRegistry

from crds.meta import Mode
from daemon.data_kinds import DataParts
from daemon.engine.controller import Controller
from daemon.engine.passes import AnyReconciler
from daemon.kinds import build_hooks
from daemon.ports import SystemClock, SystemRandom
from daemon.secrets import SecretFiles
from daemon.settings import Settings
from daemon.store.database import Database
from daemon.store.store import Store
from metrics.engine import EngineMetrics
from reconcilers.gauges import Gauges
from tests.simulation.ports import InlineExecutor


@contextlib.asynccontextmanager
async def engine_with(
    settings: Settings, kind: str, build: Callable[[DataParts], AnyReconciler]
) -> AsyncIterator[tuple[Store, CollectorRegistry, Gauges]]:
    """Run the engine with *kind* alone, on the endpoints of *settings*, until the block ends."""
    registry, clock, random = CollectorRegistry(), SystemClock(), SystemRandom()
    hooks = build_hooks(settings, registry)
    parts = DataParts(settings, registry, clock, random, hooks, SecretFiles(settings.secrets))
    reconcilers = {kind: build(parts)}
    store = Store(Database(":memory:"), InlineExecutor())
    systems = {name: each.type for name, each in settings.endpoints.items()}
    metrics = EngineMetrics(registry, version="test", kinds=reconcilers, systems=systems)
    controller = Controller(store, reconcilers, clock, random, metrics, mode=Mode.ENFORCE)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(controller.run())
            try:
                yield store, registry, parts.gauges
            finally:
                controller.drain()
        assert running.done()
    finally:
        store.close()
        await hooks.close()
        for close in reversed(parts.closing):
            await close()
