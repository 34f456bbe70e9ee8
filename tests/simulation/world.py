"""A whole outside for the simulator: the Proxmox cluster's pure core and an HAProxy, in virtual time."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from prometheus_client import CollectorRegistry

from daemon.engine.passes import AnyReconciler
from lab.pve.cluster import PveCluster
from lab.pve.message import Auth, Request
from metrics.traffic import TrafficMetrics
from reconcilers.container.client import ProxmoxContainers
from reconcilers.container.reconciler import ContainerReconciler
from reconcilers.contract import TransientError
from reconcilers.service.reconciler import ServiceReconciler
from reconcilers.shelter import Shelter
from reconcilers.split.reconciler import SplitReconciler
from reconcilers.transports.proxmox import NOTHING, ApiPath, Json, Method
from reconcilers.transports.proxmox_errors import Refusal, classify
from tests.builders import START
from tests.fakes.haproxy import FakeHaproxy
from tests.simulation.ports import VirtualClock

TOKEN = "12345678-1234-1234-1234-123456789abc"
USER = "psa@pve"
DEBIAN = "debian-12-standard_12.7-1_amd64.tar.zst"


@dataclass
class SimulatedProxmox:
    """The transport's verbs over the pure core; errors as the transport raises them."""

    cluster: PveCluster
    auth: Auth
    writes: list[str] = field(default_factory=list)
    """Mutations that reached the cluster."""
    before_destroying: Callable[[int], None] | None = None
    """Called with the id of what is about to be destroyed."""
    slowness_s: float = 0.0
    """How much longer each answer takes."""
    lose_answers_of: str = ""
    """A write whose path ends so happens, and its answer is lost, once."""

    @property
    def token_id(self) -> str:
        return f"{USER}!daemon"

    async def read(self, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
        return await self._send("GET", path, params)

    async def write(self, method: Method, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
        return await self._send(method, path, params)

    async def _send(self, method: str, path: ApiPath, params: Mapping[str, str]) -> Json:
        await asyncio.sleep(0.005 + self.slowness_s)
        where = "/".join(path)
        now = START.timestamp() + asyncio.get_running_loop().time()
        if method != "GET":
            self.writes.append(f"{method} {where}")
        if method == "DELETE" and len(path) == 4 and self.before_destroying is not None:
            self.before_destroying(int(path[3]))
        response = self.cluster.handle(Request(method, f"/{where}", dict(params), self.auth), now)
        await asyncio.sleep(0.005)
        if method != "GET" and self.lose_answers_of and where.endswith(self.lose_answers_of):
            self.lose_answers_of = ""
            raise TransientError(f"{method} {where}: the answer was lost")
        if response.status < 400:
            return cast("Json", json.loads(json.dumps(response.data)))
        body = response.body or {}
        errors = body.get("errors")
        fields = {str(k): str(v) for k, v in errors.items()} if isinstance(errors, Mapping) else {}
        message = str(body.get("message") or "")
        raise classify(Refusal(method, where, response.status, response.reason, message, fields))


@dataclass
class World:
    """What outlives the daemon."""

    cluster: PveCluster
    proxmox: SimulatedProxmox
    haproxy: FakeHaproxy
    clock: VirtualClock = field(default_factory=VirtualClock)
    shelter: Shelter = field(default_factory=Shelter)

    def reconcilers(self) -> Mapping[str, AnyReconciler]:
        """Return what a new process would have."""
        metrics = TrafficMetrics(CollectorRegistry())
        self.shelter = Shelter()
        return {
            "Container": ContainerReconciler({"pve": ProxmoxContainers(self.proxmox)}),
            "Service": ServiceReconciler(self.haproxy),
            "TrafficSplit": SplitReconciler(self.haproxy, metrics, self.clock.now, shelter=self.shelter),
        }


def a_world(haproxy: FakeHaproxy) -> World:
    """Return an empty cluster with its templates and a token that may do what containers need."""
    cluster = PveCluster(start=START.timestamp())
    cluster.add_template("local", DEBIAN)
    cluster.add_template("local", "psa-api-gateway_1.0.0_amd64.tar.zst")
    cluster.add_bridge("vmbr1")
    auth = cluster.add_token(USER, "daemon", TOKEN, privsep=False)
    cluster.allow(USER, "/", "Administrator")
    return World(cluster, SimulatedProxmox(cluster, auth), haproxy)
