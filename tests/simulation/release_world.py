"""A platform with releases in virtual time: users behind HAProxy, applications, hooks, reports."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from prometheus_client import CollectorRegistry

from crds.meta import Key
from crds.release import ReleaseSpec
from crds.service import ServiceSpec
from daemon.engine.passes import AnyReconciler
from daemon.store.operations import Apply
from lab.pve.cluster import PveCluster, RunningContainer
from metrics.releases import ReleaseMetrics
from reconcilers.contract import TransientError
from reconcilers.gauges import Gauges
from reconcilers.hook_runs import HookResult, HookRun, HookState
from reconcilers.release.observe import Outside
from reconcilers.release.reconciler import ReleaseReconciler
from reconcilers.response_times import Answered
from reconcilers.transports.http_probe import HttpAnswer
from reconcilers.unconfigured import UnconfiguredReconciler
from tests.builders import START
from tests.fakes.haproxy import FakeBackend, FakeHaproxy, FakeServer
from tests.simulation.crashes import Machine
from tests.simulation.crowd import Application, Crowd, Users
from tests.simulation.world import World, a_world

RELEASE: Final = Key("Release", "psa-suite")


def service_spec(number: int = 0, **fields: object) -> ServiceSpec:
    """Return the *number*-th service; the first one is the entry."""
    first = number == 0
    blue, green = f"10.0.20.{10 + number}/24", f"10.0.20.{110 + number}/24"
    return ServiceSpec.model_validate(
        {
            **({"backend": {"endpoint": "edge", "name": "api_backend"}} if first else {}),
            "health": {"expect": {"status": "healthy"}},
            "container": {
                "endpoint": "pve",
                "template": f"local:vztmpl/{service_name(number)}_{{version}}_amd64.tar.zst",
                "cores": 2,
                "memory": "4Gi",
                "disk": "10Gi",
                "network": {"bridge": "vmbr1", "vlan": 20, "gateway": "10.0.20.1"},
            },
            "colors": {
                "blue": {"ctid": 100 + number, "node": "pve1", "address": blue, "port": 3000},
                "green": {"ctid": 1100 + number, "node": "pve2", "address": green, "port": 3001},
            },
            "initial": {"color": "blue", "version": "1.0.0"},
            **fields,
        }
    )


def service_name(number: int) -> str:
    return ("psa-api-gateway", "psa-crm", "psa-tickets")[number]


def release_spec(version: str = "1.1.0", services: int = 1, **fields: object) -> ReleaseSpec:
    """Return a release with short times."""
    return ReleaseSpec.model_validate(
        {
            "version": version,
            "services": [service_name(number) for number in range(services)],
            "watch": "30s",
            "soak": "2m",
            "minHealthy": "2s",
            "drain": "5s",
            "errorRate": {"limit": "1%", "minRequests": 50},
            **fields,
        }
    )


def declared(key: Key, spec: ServiceSpec | ReleaseSpec) -> Apply:
    """Return what a file with that object says."""
    return Apply(key, key.name.encode().hex()[:32].ljust(32, "0"), spec, START)


@dataclass
class ScriptedHooks:
    """Hooks that pass at once, but for those that are told otherwise.

    ``seconds`` is how long a hook takes, by its name; one that runs when the daemon ends is lost.
    """

    known: Mapping[str, bool] = field(default_factory=lambda: {"unit": True, "audit": False, "smoke": True})
    outcomes: dict[str, HookState] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    runs: dict[str, HookResult] = field(default_factory=dict)
    begun: Counter[str] = field(default_factory=Counter)
    stopped: list[str] = field(default_factory=list)
    _ends_at: dict[str, float] = field(default_factory=dict)

    async def start(self, run: HookRun) -> str:
        assert run.run_id not in self.runs, "a run's name is used once"
        self.begun[run.run_id] += 1
        self._ends_at[run.run_id] = asyncio.get_running_loop().time() + self.seconds.get(run.hook, 0.0)
        self.runs[run.run_id] = HookResult(run.hook, HookState.RUNNING, "running")
        return run.run_id

    async def look(self, run_id: str) -> HookResult | None:
        found = self.runs.get(run_id)
        is_over = self._ends_at.get(run_id, 0.0) <= asyncio.get_running_loop().time()
        if found is not None and found.state is HookState.RUNNING and is_over:
            state = self.outcomes.get(found.hook, HookState.PASSED)
            seconds = self.seconds.get(found.hook, 0.0)
            self.runs[run_id] = HookResult(found.hook, state, state.value, seconds=seconds)
        return self.runs.get(run_id)

    async def stop(self, run_id: str) -> None:
        self.dismiss(run_id)

    def dismiss(self, run_id: str) -> None:
        self.stopped.append(run_id)
        found = self.runs[run_id]
        self.runs[run_id] = HookResult(found.hook, HookState.STOPPED, "stopped")

    def restarted(self) -> None:
        """Lose what ran when the daemon ended."""
        for run_id, found in self.runs.items():
            if found.state is HookState.RUNNING and self._ends_at[run_id] > asyncio.get_running_loop().time():
                self.runs[run_id] = HookResult(found.hook, HookState.LOST, "lost")


@dataclass
class ReleaseWorld:
    """All that outlives the daemon."""

    world: World
    hooks: ScriptedHooks = field(default_factory=ScriptedHooks)
    users: Users = field(default_factory=Users)
    versions: dict[str, Application] = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)
    told: Callable[[Gauges], None] | None = None
    """What data services tell, once a second; each process has gauges of its own."""
    runs: int = 0
    has_log: bool = False
    """Whether HAProxy's log tells of response times."""
    ill_hosts: set[str] = field(default_factory=set)
    """Containers whose health endpoint fails, by their host name."""
    ill_after_rollback: bool = False
    """Whether stable's health endpoint fails for 20 s once a version was rolled back."""

    @classmethod
    def of(cls, nodes: int = 1) -> Self:
        """Return a platform with templates, and nothing on it."""
        world = cls(a_world(an_edge(nodes)))
        for number in range(3):
            for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
                world.cluster.add_template("local", f"{service_name(number)}_{version}_amd64.tar.zst")
        return world

    def __post_init__(self) -> None:
        self.gauges = Gauges()
        self.crowd = Crowd(self.haproxy, self.users, self.versions, self.version_at)

    @property
    def cluster(self) -> PveCluster:
        return self.world.cluster

    @property
    def haproxy(self) -> FakeHaproxy:
        return self.world.haproxy

    def reconcilers(self) -> Mapping[str, AnyReconciler]:
        """Return what a new process would have."""
        self.runs += 1
        self.hooks.restarted()
        self.gauges = Gauges()
        loop = asyncio.get_running_loop()
        metrics = ReleaseMetrics(CollectorRegistry(), phases=(), triggers=())
        outside = Outside(
            balancers=self.haproxy,
            clusters={"pve": self.world.proxmox},
            prober=self,
            hooks=self.hooks,
            responses=self,
            reports=self,
            gauges=self.gauges,
        )
        others = self.world.reconcilers()
        release = ReleaseReconciler(
            outside,
            metrics,
            process=f"run {self.runs}",
            monotonic=loop.time,
            now=self.world.clock.now,
            shelter=self.world.shelter,
        )
        database = UnconfiguredReconciler("PostgresCluster", "postgres")
        return {**others, "Release": release, "PostgresCluster": database}

    async def get(self, host: str, port: int, path: str) -> HttpAnswer:
        """Answer as the container behind the address would."""
        await asyncio.sleep(0.002)
        version = self.version_at(host)
        if version is None:
            raise TransientError(f"http://{host}:{port}{path}: connection refused")
        application = self.versions.get(version, Application())
        if self.ill_after_rollback and self._was_rolled_back():
            raise TransientError(f"http://{host}:{port}{path}: connection refused")
        if application.hangs:
            await asyncio.sleep(1.0)
            raise TransientError(f"http://{host}:{port}{path}: no answer within 1 s")
        is_ill = application.is_ill or self.host_at(host) in self.ill_hosts
        status = "unhealthy" if is_ill else "healthy"
        body = json.dumps({"status": status, "version": version}).encode()
        return HttpAnswer(503 if is_ill else 200, body)

    def _was_rolled_back(self) -> bool:
        """Whether traffic was seen on two versions, and is now on one."""
        node = self.haproxy.nodes[0]
        shares = [server.share for server in node.state.values()]
        return len([served for served in self.users.served.values() if served]) > 1 and shares.count(0) == 1

    def version_at(self, host: str) -> str | None:
        """Return the version that serves at an address, None if nothing does."""
        found = self._running_at(host)
        return None if found is None else found.ostemplate.rpartition("_amd64")[0].rpartition("_")[2]

    def host_at(self, host: str) -> str | None:
        """Return the host name of the container at an address."""
        found = self._running_at(host)
        return None if found is None else found.hostname

    def _running_at(self, host: str) -> RunningContainer | None:
        for found in self.cluster.running():
            container = self.cluster.container(found.vmid)
            if container is not None and f"ip={host}/" in container.config.get("net0", ""):
                return found
        return None

    def answers(
        self, endpoint: str, backend: str, server: str, limits_ms: tuple[float, ...]
    ) -> Answered | None:
        """Tell what HAProxy's log says, if there is one."""
        if not self.has_log:
            return None
        return Answered(self.crowd.answered[server], (self.crowd.slower[server],) * len(limits_ms))

    async def has(self, name: str) -> bool:
        return name in self.reports

    async def write(self, name: str, text: str) -> None:
        self.reports[name] = text

    async def drive(self) -> None:
        """Let users come and Proxmox work, for ever."""
        while True:
            await asyncio.sleep(1)
            self.cluster.advance(START.timestamp() + asyncio.get_running_loop().time())
            self.crowd.second()
            if self.told is not None:
                self.told(self.gauges)


def an_edge(nodes: int = 1) -> FakeHaproxy:
    """Return the balancer of the first service; nothing serves behind it yet."""
    servers = [
        FakeServer("blue", "10.0.20.10:3000", is_alive=False),
        FakeServer("green", "10.0.20.110:3001", is_alive=False),
    ]
    return FakeHaproxy(FakeBackend("api_backend", servers), nodes=nodes)


class ReleaseMachine(Machine):
    """A machine with a platform that has releases."""

    def __init__(self) -> None:
        self.world = ReleaseWorld.of()
        super().__init__(self.world.reconcilers)

    async def beside(self) -> None:
        await self.world.drive()
