"""Splits, load balancers and services for tests, and passes over them as the engine makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from crds.balancer import LoadBalancerSpec, TrafficSplitSpec
from crds.meta import Condition, ConditionType, Key, Truth
from crds.service import ServiceSpec
from daemon.engine.refusals import Refusals
from daemon.store.operations import Apply
from daemon.store.state import State, advance
from reconcilers.contract import (
    Amend,
    AnyResource,
    Declare,
    PermanentError,
    Plan,
    Reconciler,
    Step,
    Verdict,
)
from tests.builders import START, a_resource
from tests.fakes.haproxy import FakeBackend, FakeServer

NAME = "psa-api-gateway"
IDLE: Mapping[str, object] = {"weight": 0, "state": "maint"}
LIVE: Mapping[str, object] = {"weight": 100, "state": "ready"}


def a_split(
    blue: Mapping[str, object] = LIVE, green: Mapping[str, object] = IDLE, **fields: object
) -> AnyResource:
    spec = TrafficSplitSpec.model_validate(
        {
            "service": NAME,
            "endpoint": "edge",
            "backend": "api_backend",
            "blue": {"server": "blue", **blue},
            "green": {"server": "green", **green},
        }
    )
    return a_resource(spec, NAME, "TrafficSplit", **fields)


def a_split_to(color: str) -> AnyResource:
    """Return a split that gives everything to *color*."""
    return a_split(LIVE, IDLE) if color == "blue" else a_split(IDLE, LIVE)


def a_balancer(**spec: object) -> AnyResource:
    model = LoadBalancerSpec.model_validate({"endpoint": "edge", **spec})
    return a_resource(model, "edge", "LoadBalancer")


def a_service_spec(**spec: object) -> ServiceSpec:
    return ServiceSpec.model_validate(
        {
            "backend": {"endpoint": "edge", "name": "api_backend"},
            "container": {
                "endpoint": "pve",
                "template": "local:vztmpl/psa-api-gateway_{version}_amd64.tar.zst",
                "cores": 2,
                "memory": "4Gi",
                "swap": 0,
                "disk": "10Gi",
                "network": {"bridge": "vmbr1", "vlan": 20},
            },
            "colors": {
                "blue": {"ctid": 100, "node": "pve1", "address": "10.0.20.10/24", "port": 3000},
                "green": {"ctid": 1100, "node": "pve2", "address": "10.0.20.110/24", "port": 3001},
            },
            **spec,
        }
    )


def a_service(name: str = NAME, /, **spec: object) -> AnyResource:
    return a_resource(a_service_spec(**spec), name, "Service")


def a_backend(
    blue: Mapping[str, Any] | None = None, green: Mapping[str, Any] | None = None, **fields: Any
) -> FakeBackend:
    """Return api_backend with the addresses of ``a_service``; *blue* and *green* are FakeServer's fields."""
    servers = [
        FakeServer("blue", **{"address": "10.0.20.10:3000", **(blue or {})}),
        FakeServer("green", **{"address": "10.0.20.110:3001", **(green or {})}),
    ]
    return FakeBackend("api_backend", servers, **fields)


def said(plan: Plan[Any]) -> list[str]:
    """Return the sentences of a plan's steps."""
    return [step.summary for step in plan.steps]


def verdict(plan: Plan[Any], kind: ConditionType) -> Verdict | None:
    """Return what a plan itself says about a condition."""
    return next((found for found in plan.verdicts if found.type is kind), None)


@dataclass
class Desk:
    """A store with passes over single objects: what the engine does, without its queue, journal and gates."""

    reconcilers: Mapping[str, Reconciler[Any, Any, Any]]
    state: State = field(default_factory=State)
    now: datetime = START
    """Wall time of the next pass."""
    refusals: dict[Key, Refusals] = field(default_factory=dict)

    def put(self, resource: AnyResource) -> AnyResource:
        before = self.state.objects.get(resource.key)
        if before is not None and before.spec != resource.spec:
            self.refusals.pop(resource.key, None)
        owned = dict(self.state.owned)
        if resource.owner is not None:
            owned[resource.owner] = owned.get(resource.owner, frozenset()) | {resource.key}
        objects = {**self.state.objects, resource.key: resource}
        self.state = replace(self.state, objects=objects, owned=owned)
        return resource

    async def look(self, key: Key) -> Plan[Any]:
        reconciler, resource = self.reconcilers[key.kind], self.state.objects[key]
        plan = reconciler.plan(resource, await reconciler.observe(resource, self.state), self.now)
        return self._refusals(key).sorted_out(plan, self.now.timestamp())

    def _refusals(self, key: Key) -> Refusals:
        return self.refusals.setdefault(key, Refusals())

    async def one_pass(self, key: Key, *, crash_after: int | None = None) -> Plan[Any]:
        """Look, carry out and keep what was found; a crash after so many steps keeps nothing."""
        plan = await self.look(key)
        for step in plan.steps[:crash_after]:
            await self._apply(key, step)
        if crash_after is None or crash_after >= len(plan.steps):
            self.keep(key, plan)
        return plan

    async def _apply(self, key: Key, step: Step[Any]) -> None:
        try:
            await self.reconcilers[key.kind].apply(step)
        except PermanentError as exc:
            if not step.independent or not exc.asked_outside:
                raise
            self._refusals(key).note(step, exc, self.now.timestamp())
        else:
            self._refusals(key).succeeded(step)

    async def until_quiet(self, key: Key, passes: int = 10) -> Plan[Any]:
        plan = await self.one_pass(key)
        for _ in range(passes):
            if not plan.steps and plan.waiting is None:
                return plan
            plan = await self.one_pass(key)
        raise AssertionError(f"not quiet after {passes} passes: {said(plan)} {plan.waiting}")

    def keep(self, key: Key, plan: Plan[Any]) -> None:
        """Commit what a plan writes and says."""
        for write in plan.writes:
            if isinstance(write, Declare):
                operation = Apply(
                    key=write.key,
                    uid=f"{len(self.state.objects):032x}",
                    spec=write.spec,
                    at=START,
                    labels=write.labels,
                    annotations=write.annotations,
                    owner=key,
                    origin=self.state.objects[key].origin,
                    lines=self.state.objects[key].spec.child_lines(write.key, self.state.objects[key].lines),
                )
                self.state = advance(self.state, operation)
            elif isinstance(write, Amend):
                self.amend(write)
        old = self.state.objects[key]
        self.put(replace(old, status=plan.status or old.status))
        said = verdict(plan, ConditionType.READY)
        waits = bool(plan.steps or plan.waiting or plan.blocked)
        self.mark_ready(key, ready=not waits and (said is None or said.status is Truth.TRUE))

    def amend(self, write: Amend) -> None:
        """Commit what a release writes of an object that belongs to another one."""
        owner = self.state.objects[write.owner]
        operation = Apply(
            key=write.key,
            uid=f"{len(self.state.objects):032x}",
            spec=write.spec,
            at=START,
            labels=owner.labels,
            annotations=write.annotations,
            owner=write.owner,
            origin=owner.origin,
            lines=owner.spec.child_lines(write.key, owner.lines),
        )
        self.state = advance(self.state, operation)

    def mark_ready(self, key: Key, *, ready: bool = True, reason: str = "AsAsked") -> None:
        """Say of an object that its own reconciler found it Ready, or not."""
        truth = Truth.TRUE if ready else Truth.FALSE
        condition = Condition(ConditionType.READY, truth, reason, "", START + timedelta(seconds=1))
        old = self.state.objects[key]
        self.put(replace(old, conditions=(condition,), observed_generation=old.generation))
