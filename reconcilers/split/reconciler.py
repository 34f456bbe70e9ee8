"""TrafficSplit as the engine drives it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from crds.balancer import TrafficSplitSpec
from crds.meta import Key
from metrics.backends import BackendMetrics, Reading
from metrics.traffic import TrafficMetrics
from reconcilers.contract import DONE, Outcome, Plan, Resource, Step, TransientError, View
from reconcilers.counters import CountedNode, Counters
from reconcilers.response_times import ResponseTimes
from reconcilers.servers import Command, Node
from reconcilers.shelter import Shelter
from reconcilers.split.apply import apply_command
from reconcilers.split.client import SplitClient
from reconcilers.split.model import SeenSplit
from reconcilers.split.observe import observe_split
from reconcilers.split.plan import asked_ratios, observed_ratios, plan_split, sends_elsewhere


class SplitReconciler:
    """Looked at every second, for ever: a reload or a hand puts the wrong colour live."""

    kind = "TrafficSplit"
    poll_interval = timedelta(seconds=1)
    pass_deadline = timedelta(seconds=2)

    def __init__(
        self,
        client: SplitClient,
        metrics: TrafficMetrics,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] | None = None,
        *,
        backends: BackendMetrics | None = None,
        times: ResponseTimes | None = None,
        shelter: Shelter | None = None,
    ) -> None:
        """Take *now*, the wall time that overrides end by, and *monotonic*, seconds since some fixed moment.

        Without *monotonic* it is the loop's own time, without *backends* nothing is counted. *times* are told
        which servers there are. *shelter* goes before the split.
        """
        self._client = client
        self._now = now
        self._metrics = metrics
        self._monotonic = monotonic
        self._backends = backends
        self._times = times
        self._shelter = shelter if shelter is not None else Shelter()
        self._told: dict[Key, tuple[str, str, str]] = {}
        """Service, endpoint and backend that each object's series are about."""

    def endpoint(self, resource: Resource[TrafficSplitSpec]) -> str | None:
        return resource.spec.endpoint

    async def observe(self, resource: Resource[TrafficSplitSpec], view: View) -> SeenSplit:
        now = self._monotonic() if self._monotonic is not None else asyncio.get_running_loop().time()
        about = (resource.spec.service, resource.spec.endpoint, resource.spec.backend)
        if self._told.get(resource.key) != about:
            self.gone(resource.key)
            self._told[resource.key] = about
        try:
            seen = await observe_split(self._client, resource)
        except TransientError:
            self._metrics.unseen(resource.spec.service)
            if self._backends is not None:
                self._backends.unseen(resource.spec.endpoint, resource.spec.backend)
            raise
        self._measure(resource, seen, now)
        if self._backends is not None:
            await self._count(self._backends, resource.spec.endpoint, resource.spec.backend, now)
        return replace(seen, shelter=self._shelter.of(resource.spec.service))

    def plan(self, resource: Resource[TrafficSplitSpec], seen: SeenSplit, now: datetime) -> Plan[Command]:
        return plan_split(resource, seen, now)

    async def apply(self, step: Step[Command]) -> Outcome:
        await apply_command(self._client, step.action)
        return DONE

    def gone(self, key: Key) -> None:
        about = self._told.pop(key, None)
        if about is None:
            return
        service, endpoint, backend = about
        self._metrics.forget(service)
        if self._backends is not None:
            self._backends.forget(endpoint, backend)
        if self._times is not None:
            self._times.forget(endpoint, backend)

    def _measure(self, resource: Resource[TrafficSplitSpec], seen: SeenSplit, now: float) -> None:
        spec = resource.spec.in_force(self._now())
        nodes = [node for node in seen.nodes if isinstance(node, Node)]
        if self._times is not None:
            found = [backend for node in nodes if (backend := node.find(spec.backend)) is not None]
            names = {server.name for backend in found for server in backend.servers}
            self._times.confirm(spec.endpoint, spec.backend, names)
        wrong = [node for node in nodes if sends_elsewhere(spec, node)]
        self._metrics.ratios(spec.service, asked_ratios(spec), observed_ratios(spec, nodes))
        self._metrics.looked(
            spec.service,
            asked=(resource.generation, spec.blue, spec.green),
            at=now,
            # uptime is whole seconds, cut off
            wrong_for_at_most_s=max((node.uptime_s + 1.0 for node in wrong), default=0.0),
        )

    async def _count(self, backends: BackendMetrics, endpoint: str, backend: str, now: float) -> None:
        """Count what the servers answered since the last look. Where that fails, the look is as good."""
        try:
            nodes = await self._client.count(endpoint, backend)
        except TransientError:
            backends.unseen(endpoint, backend)
            return
        readings = {
            (node.name, server.name): _reading(node.pid, server.counters)
            for node in nodes
            if isinstance(node, CountedNode)
            for server in node.servers
        }
        backends.counted(endpoint, backend, readings, now)


def _reading(pid: int, counters: Counters) -> Reading:
    return Reading(
        pid=pid,
        codes=(
            counters.answers_1xx,
            counters.answers_2xx,
            counters.answers_3xx,
            counters.answers_4xx,
            counters.errors_5xx,
        ),
        total=counters.total,
        errors=counters.errors,
        retries=counters.retries,
        redispatches=counters.redispatches,
        vanished=counters.vanished,
    )
