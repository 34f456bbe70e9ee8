"""The daemon's door for alerts with all that is behind it but the outside: real sockets, real disk."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from crds.meta import Key, Mode
from crds.release import ReleaseSpec
from daemon.engine.controller import Controller
from daemon.engine.feed import Feed
from daemon.ports import SystemClock, SystemRandom
from daemon.store.database import Database
from daemon.store.operations import Apply
from daemon.store.store import Store, WriterThread
from daemon.web.alert_access import Access
from daemon.web.alert_door import AlertDoor
from daemon.web.alert_route import PATH
from daemon.web.console import DAEMON, Console
from daemon.web.liveness import listen_tcp
from daemon.web.server import Api, serving
from daemon.web.wishes import Wishes
from metrics.alerts import AlertMetrics
from metrics.engine import EngineMetrics
from reconcilers.contract import Request
from tests.builders_alerts import RELEASE, an_attempt, key_of
from tests.fakes.releases import AnsweringReleases
from tests.integration.test_api import OneSnapshot

TOKEN = "0123456789abcdef0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ACCESS = Access.of((TOKEN,), None, None)
TRUSTED = {**BEARER, "Content-Type": "application/json"}


class Gate:
    """A writer thread that a test can close: commits wait until it is open again, or fail."""

    def __init__(self) -> None:
        self._thread = WriterThread()
        self.opened = asyncio.Event()
        self.opened.set()
        self.error: Exception | None = None
        self.waiting = 0

    async def run(self, call: Callable[[], None]) -> None:
        self.waiting += 1
        await self.opened.wait()
        self.waiting -= 1
        if self.error is not None:
            raise self.error
        await self._thread.run(call)

    def close(self) -> None:
        self._thread.close()


@dataclass
class Site:
    """A daemon whose one release is watched, and what is seen of it."""

    store: Store
    gate: Gate
    releases: AnsweringReleases
    registry: CollectorRegistry
    tcp: aiohttp.ClientSession
    unix: aiohttp.ClientSession
    url: str
    task: "asyncio.Task[None]"

    async def post(self, body: object, headers: Mapping[str, str] = TRUSTED) -> tuple[int, Any]:
        """Send a message, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.tcp.post(PATH, data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    def counted(self, result: str) -> float:
        """Return the metric."""
        return self.registry.get_sample_value("psa_alerts_total", {"result": result}) or 0.0

    def requests(self, name: str = RELEASE) -> tuple[Request, ...]:
        """Return what was asked of a release."""
        return self.store.state.objects[key_of(name)].requests

    def events(self, key: Key) -> list[tuple[str, str, str | None]]:
        """Return the events that alerts have left on an object."""
        found = self.store.events(key, limit=1000)
        return [(each.reason, each.message, each.actor) for each in found if each.reason.startswith("Alert")]

    @property
    def daemons(self) -> list[tuple[str, str, str | None]]:
        """Return those on the daemon itself."""
        return self.events(DAEMON)


@contextlib.asynccontextmanager
async def a_site(folder: Path, access: Access | None = ACCESS) -> AsyncIterator[Site]:
    """Run the daemon's web side with a store in *folder*; the release has been watched for minutes."""
    gate, clock, registry = Gate(), SystemClock(), CollectorRegistry()
    store = Store(Database(folder / "state.db"), gate)
    metrics = EngineMetrics(registry, version="test", kinds=["Release"], systems={})
    releases = AnsweringReleases()
    releases.fields = watched()
    controller = Controller(store, {"Release": releases}, clock, SystemRandom(), metrics, mode=Mode.ENFORCE)
    feed = Feed(OneSnapshot(), store, clock, SystemRandom(), metrics)
    console = Console(store, controller, feed, clock, version="1", systems={}, paths={})
    door = AlertDoor(store, clock, AlertMetrics(registry), access)
    wishes = Wishes(store, controller, clock)
    api = Api(console, wishes, store, metrics.exposition, lambda: None, more=door.routes)
    listener = listen_tcp("127.0.0.1:0")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    path = folder / "run" / "api.sock"
    async with serving(api, path, "no-such-group", listener, lambda: 0.0), asyncio.TaskGroup() as group:
        alerts = group.create_task(door.run())
        running = group.create_task(controller.run())
        spec = ReleaseSpec(version="1.1.0", services=("psa-api-gateway",))
        await store.commit([Apply(key_of(), "r" * 32, spec, clock.now())])
        while store.state.objects[key_of()].status is None:
            await asyncio.sleep(0.005)
        async with (
            aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as unix,
            aiohttp.ClientSession(url) as tcp,
        ):
            yield Site(store, gate, releases, registry, tcp, unix, url, alerts)
        gate.opened.set()
        alerts.cancel()
        controller.drain()
        await running
    store.close()


def watched() -> dict[str, object]:
    """Return the fields of an attempt that has been watched since long before any alert of a test began."""
    kept = {"members", "phase", "began_at", "entered_at", "step_at", "split_at"}
    return an_attempt().model_dump(include=kept)
