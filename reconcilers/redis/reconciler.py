"""RedisInstance as the engine drives it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from crds.meta import Key
from crds.redis import RedisInstanceSpec
from metrics.redis import Counted, RedisMetrics, RedisReading
from reconcilers.contract import (
    DONE,
    Outcome,
    PermanentError,
    Plan,
    Resource,
    Secrets,
    Step,
    TransientError,
    View,
)
from reconcilers.gauges import Gauge, Gauges
from reconcilers.redis.apply import apply_action
from reconcilers.redis.client import RedisClient
from reconcilers.redis.model import Info, RedisAction, SeenRedis
from reconcilers.redis.observe import observe_redis
from reconcilers.redis.plan import plan_redis


class RedisReconciler:
    """A Redis server: settings, users and its place in a replication."""

    kind = "RedisInstance"
    poll_interval = timedelta(seconds=5)
    pass_deadline = timedelta(seconds=10)

    def __init__(
        self,
        client: RedisClient,
        secrets: Secrets,
        metrics: RedisMetrics,
        gauges: Gauges,
        now: Callable[[], datetime],
    ) -> None:
        """Take *now*, the wall time that figures are told with."""
        self._metrics = metrics
        self._client = client
        self._now = now
        self._secrets = secrets
        self._gauges = gauges

    def endpoint(self, resource: Resource[RedisInstanceSpec]) -> str | None:
        return resource.spec.endpoint

    async def observe(self, resource: Resource[RedisInstanceSpec], view: View) -> SeenRedis:
        try:
            seen = await observe_redis(self._client, self._secrets, resource, view)
        except (TransientError, PermanentError, asyncio.CancelledError):  # cancelled: its time is up
            self._gauges.forget(resource.key)
            self._metrics.unseen(resource.key.name)
            raise
        self._tell(resource, seen.look.info)
        self._metrics.looked(resource.key.name, _reading(seen.look.info))
        return seen

    def plan(
        self, resource: Resource[RedisInstanceSpec], seen: SeenRedis, now: datetime
    ) -> Plan[RedisAction]:
        return plan_redis(resource, seen, now)

    def _tell(self, resource: Resource[RedisInstanceSpec], info: Info) -> None:
        """Keep the figures of this look for the gates of releases."""
        memory, upstream = info.memory, info.upstream
        values: dict[str, float] = {
            "used_memory_bytes": memory.used_bytes,
            "keys": info.keys,
            "evicted_keys": info.counts.evicted_keys,
            "rejected_connections": info.counts.rejected_connections,
        }
        if memory.limit_bytes:
            values["memory_ratio"] = memory.used_bytes / memory.limit_bytes
        for each in info.replicas:
            values[f"lag_bytes:{each.address}"] = max(0, info.offset_bytes - each.offset_bytes)
            values[f"lag_seconds:{each.address}"] = each.lag_s
        if upstream is not None and upstream.quiet_s is not None:
            values["lag_seconds"] = upstream.quiet_s
        self._gauges.tell(resource.key, Gauge(self._now(), values, epoch=info.run_id))

    async def apply(self, step: Step[RedisAction]) -> Outcome:
        await apply_action(self._client, step.action)
        return DONE

    def gone(self, key: Key) -> None:
        self._gauges.forget(key)
        self._metrics.forget(key.name)


def _reading(info: Info) -> RedisReading:
    memory, kept, upstream = info.memory, info.persistence, info.upstream
    lags = {
        each.address: (float(each.lag_s), float(max(0, info.offset_bytes - each.offset_bytes)))
        for each in info.replicas
    }
    return RedisReading(
        run=info.run_id,
        memory_used_bytes=memory.used_bytes,
        memory_limit_bytes=memory.limit_bytes,
        evicts=memory.evicts,
        keys=info.keys,
        clients=info.counts.clients,
        persistence_ok={"rdb": kept.is_rdb_well, **({"aof": kept.is_aof_well} if kept.has_aof else {})},
        saved_at=kept.saved_at,
        unsaved_changes=kept.changes,
        link_up=None if upstream is None else upstream.is_linked,
        lags=lags,
        counted=Counted(info.counts.commands, info.counts.evicted_keys, info.counts.rejected_connections),
    )
