"""Elasticsearch as the engine drives it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from crds.elasticsearch import ElasticsearchSpec
from crds.meta import Key
from metrics.elasticsearch import DiskReading, ElasticsearchMetrics, ElasticsearchReading
from reconcilers.contract import DONE, Outcome, PermanentError, Plan, Resource, Step, TransientError, View
from reconcilers.elasticsearch.apply import apply_action
from reconcilers.elasticsearch.client import ElasticsearchClient
from reconcilers.elasticsearch.health import disk_high_ratio, read_only
from reconcilers.elasticsearch.model import ElasticAction, NoMaster, SeenCluster, SeenElasticsearch
from reconcilers.elasticsearch.observe import observe_elasticsearch
from reconcilers.elasticsearch.plan import plan_elasticsearch
from reconcilers.gauges import Gauge, Gauges

_COLORS: Final = ("green", "yellow", "red")


class ElasticsearchReconciler:
    """An Elasticsearch cluster: templates, lifecycle policies, indices, aliases and settings."""

    kind = "Elasticsearch"
    poll_interval = timedelta(seconds=10)
    pass_deadline = timedelta(seconds=20)

    def __init__(
        self,
        client: ElasticsearchClient,
        metrics: ElasticsearchMetrics,
        gauges: Gauges,
        now: Callable[[], datetime],
    ) -> None:
        """Take *now*, the wall time that figures are told with."""
        self._client = client
        self._metrics = metrics
        self._gauges = gauges
        self._now = now

    def endpoint(self, resource: Resource[ElasticsearchSpec]) -> str | None:
        return resource.spec.endpoint

    async def observe(self, resource: Resource[ElasticsearchSpec], view: View) -> SeenElasticsearch:
        try:
            seen = await observe_elasticsearch(self._client, resource)
        except (TransientError, PermanentError, asyncio.CancelledError):  # cancelled: its time is up
            self._unseen(resource)
            raise
        if isinstance(seen, NoMaster):
            self._unseen(resource)
        else:
            self._tell(resource, seen)
        return seen

    def plan(
        self, resource: Resource[ElasticsearchSpec], seen: SeenElasticsearch, now: datetime
    ) -> Plan[ElasticAction]:
        return plan_elasticsearch(resource, seen, now)

    async def apply(self, step: Step[ElasticAction]) -> Outcome:
        await apply_action(self._client, step.action)
        return DONE

    def gone(self, key: Key) -> None:
        self._gauges.forget(key)
        self._metrics.forget(key.name)

    def _unseen(self, resource: Resource[ElasticsearchSpec]) -> None:
        self._gauges.forget(resource.key)
        self._metrics.unseen(resource.key.name)

    def _tell(self, resource: Resource[ElasticsearchSpec], seen: SeenCluster) -> None:
        """Keep the figures of this look for the metrics and the gates of releases."""
        health, closed = seen.health, len(read_only(seen))
        self._metrics.looked(
            resource.key.name,
            ElasticsearchReading(
                color=health.status,
                nodes=health.nodes,
                unassigned_shards=health.unassigned_shards,
                pending_tasks=health.pending_tasks,
                read_only_indices=closed,
                ilm_errors=len(seen.stuck),
                disks={
                    node: DiskReading(each.used_bytes, each.size_bytes) for node, each in seen.disks.items()
                },
                disk_high_ratio=disk_high_ratio(seen),
            ),
        )
        values: dict[str, float] = {
            "nodes": health.nodes,
            "pending_tasks": health.pending_tasks,
            "read_only_indices": closed,
            "unassigned_shards": health.unassigned_shards,
        }
        if health.status in _COLORS:
            values["color"] = _COLORS.index(health.status)
        self._gauges.tell(resource.key, Gauge(self._now(), values, epoch=seen.about.cluster_uuid))
