"""Service, TrafficSplit and LoadBalancer in the real engine before real HAProxy instances, with users."""

import asyncio
import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry

from crds.balancer import ServerState, TrafficSplitSpec
from crds.container import ContainerSpec
from crds.meta import ConditionType, Key, Mode, Spec
from daemon.engine.controller import Controller
from daemon.ports import SystemClock, SystemRandom
from daemon.store.database import Database
from daemon.store.operations import Apply
from daemon.store.store import Store
from lab.haproxy import LabHaproxy
from metrics.engine import EngineMetrics
from metrics.traffic import TrafficMetrics
from reconcilers.balancer.reconciler import BalancerReconciler
from reconcilers.contract import DONE, Outcome, Plan, Reconciler, Resource, Step, View
from reconcilers.service.reconciler import ServiceReconciler
from reconcilers.split.reconciler import SplitReconciler
from reconcilers.transports.haproxy import HaproxyTransport
from reconcilers.transports.haproxy_endpoints import HaproxyEndpoints
from tests.builders import START
from tests.builders_haproxy import NAME, a_service_spec
from tests.real_haproxy import Site, until
from tests.simulation.ports import InlineExecutor

SERVICE: Final = Key("Service", NAME)
SPLIT: Final = Key("TrafficSplit", NAME)


class Containers:
    """Every container is there at once: Proxmox is not what is tested here."""

    kind = "Container"
    poll_interval = timedelta(seconds=60)
    pass_deadline = timedelta(seconds=5)

    def endpoint(self, resource: Resource[ContainerSpec]) -> str | None:
        return None

    async def observe(self, resource: Resource[ContainerSpec], view: View) -> None:
        await asyncio.sleep(0)

    def plan(self, resource: Resource[ContainerSpec], seen: None, now: datetime) -> Plan[None]:
        return Plan()

    async def apply(self, step: Step[None]) -> Outcome:
        await asyncio.sleep(0)
        return DONE

    def gone(self, key: Key) -> None:
        """Nothing is remembered."""


class Platform:
    """The engine with the three kinds, its store, and the instances that it drives."""

    def __init__(self, site: Site, store: Store, registry: CollectorRegistry, *instances: LabHaproxy) -> None:
        self.site, self.store, self.registry, self.instances = site, store, registry, instances

    async def declare(self, key: Key, spec: Spec) -> None:
        uid = f"{len(self.store.state.objects):032x}"
        await self.store.commit([Apply(key, uid, spec, START)])

    async def declare_service(self, *, live: str | None = "blue") -> None:
        """Declare the service with the addresses that the site has."""
        slots = {"blue": (100, self.site.blue), "green": (1100, self.site.green)}
        colors = {
            color: {
                "ctid": ctid,
                "node": "pve1",
                "address": f"127.0.0.1/{8 + index}",
                "port": int(app.address.split(":")[1]),
            }
            for index, (color, (ctid, app)) in enumerate(slots.items())
        }
        initial = {"color": live, "version": "1.0.0"} if live else None
        await self.declare(SERVICE, a_service_spec(colors=colors, initial=initial))

    async def shift(self, *, live: str) -> None:
        """Write the split as a release would: *live* has all, the other nothing, and is closed."""
        found = self.store.state.objects[SPLIT]
        assert isinstance(found.spec, TrafficSplitSpec)
        shares = {
            name: getattr(found.spec, name).model_copy(
                update={
                    "weight": 100 if name == live else 0,
                    "state": ServerState.READY if name == live else ServerState.MAINT,
                }
            )
            for name in ("blue", "green")
        }
        spec = found.spec.model_copy(update=shares)
        await self.store.commit([Apply(SPLIT, found.uid, spec, START, owner=SERVICE)])

    def says(self, key: Key, kind: ConditionType = ConditionType.READY) -> tuple[str, str, str] | None:
        found = self.store.state.objects.get(key)
        said = found.condition(kind) if found is not None else None
        return (said.status.value, said.reason, said.message) if said is not None else None

    async def wait_ready(self, key: Key) -> None:
        async def look() -> tuple[str, str, str] | None:
            await asyncio.sleep(0)
            found = self.store.state.objects.get(key)
            return self.says(key) if found is not None and found.is_ready() else None

        await until(look, lambda said: said is not None and said[0] == "True")

    async def wait_said(self, key: Key, kind: ConditionType, reason: str) -> tuple[str, str, str]:
        async def look() -> tuple[str, str, str] | None:
            await asyncio.sleep(0)
            return self.says(key, kind)

        found = await until(look, lambda said: said is not None and said[1] == reason)
        assert found is not None
        return found

    async def wait_servers(self, *expected: str, instance: int = 0) -> None:
        async def look() -> tuple[str, ...]:
            await asyncio.sleep(0)
            return servers_of(self.instances[instance])

        await until(look, lambda servers: servers == expected)

    async def wait_noted(self, key: Key, reason: str) -> None:
        """Return once there is such an event: it is kept with the pass's result, after the last command."""

        async def look() -> list[str]:
            await asyncio.sleep(0)
            return self.reasons(key)

        await until(look, lambda reasons: reason in reasons)

    def reasons(self, key: Key) -> list[str]:
        return [event.reason for event in self.store.events(key)]


def servers_of(haproxy: LabHaproxy) -> tuple[str, ...]:
    """Return weight and admin state of all servers, as HAProxy itself prints them."""
    rows = [line.split() for line in haproxy.ask("show servers state").splitlines()[2:] if line.strip()]
    return tuple(f"{row[3]} {row[7]} {row[6]}" for row in rows)


@contextlib.asynccontextmanager
async def a_platform(
    site: Site, *instances: LabHaproxy, state_file: Path | None = None
) -> AsyncIterator[Platform]:
    registry = CollectorRegistry()
    transport = HaproxyTransport("edge", [each.address for each in instances])
    endpoints = HaproxyEndpoints(
        {"edge": transport}, state_files={"edge": [state_file] if state_file else []}
    )
    reconcilers: dict[str, Reconciler[Any, Any, Any]] = {
        "Container": Containers(),
        "LoadBalancer": BalancerReconciler(endpoints),
        "Service": ServiceReconciler(endpoints),
        "TrafficSplit": SplitReconciler(endpoints, TrafficMetrics(registry), SystemClock().now),
    }
    store = Store(Database(":memory:"), InlineExecutor())
    metrics = EngineMetrics(registry, version="test", kinds=reconcilers, systems={"edge": "haproxy"})
    controller = Controller(store, reconcilers, SystemClock(), SystemRandom(), metrics, mode=Mode.ENFORCE)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(controller.run())
        try:
            yield Platform(site, store, registry, *instances)
        finally:
            controller.drain()
    assert running.done()
    store.close()


class Users:
    """Ask the frontend again and again on new connections, and count who answered what."""

    def __init__(self, haproxy: LabHaproxy, threads: int = 2) -> None:
        self.answers: Counter[str] = Counter()
        self._address = haproxy.config.frontend
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._enough.is_set():
            connection = http.client.HTTPConnection(self._address, timeout=5)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                self.answers[f"{answer.status} {answer.read().decode()}"] += 1
            except OSError as exc:
                self.answers[repr(exc)] += 1
            finally:
                connection.close()
