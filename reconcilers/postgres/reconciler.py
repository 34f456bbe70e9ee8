"""The kind PostgresCluster: observe, plan and apply put together."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crds.meta import Key
from crds.postgres import PostgresClusterSpec, PostgresClusterStatus
from metrics.pgbouncer import PgbouncerMetrics
from metrics.postgres import PostgresMetrics
from reconcilers.contract import DONE, Outcome, PermanentError, Plan, Resource, Secrets, Step, View
from reconcilers.gauges import Gauge, Gauges
from reconcilers.postgres.actions import PostgresAction
from reconcilers.postgres.apply import apply_action
from reconcilers.postgres.client import Hooks, NoPoolers, PoolerClient, PostgresClient
from reconcilers.postgres.errands import good_backups
from reconcilers.postgres.figures import figures, pools, reading
from reconcilers.postgres.model import SeenCluster
from reconcilers.postgres.observe import Memory, observe_pooler, observe_postgres, observe_runs, with_hosts
from reconcilers.postgres.passwords import Passwords, Worker
from reconcilers.postgres.plan import plan_postgres
from reconcilers.postgres.rebuilding import apart
from reconcilers.postgres.replication import sent_to
from reconcilers.postgres.restarting import has_restarted

_Sent = tuple[datetime, Mapping[str, int]]
#: What was sent so long before a look is there by then, or its receiver does not take it.
_EARLIER: Final = timedelta(seconds=1)


class PostgresReconciler:
    """A PostgreSQL cluster: settings, roles, databases, slots, and standbys that stream."""

    kind = "PostgresCluster"
    poll_interval = timedelta(seconds=2)
    pass_deadline = timedelta(seconds=30)

    def __init__(
        self,
        client: PostgresClient,
        secrets: Secrets,
        metrics: PostgresMetrics,
        gauges: Gauges,
        now: Callable[[], datetime],
        *,
        poolers: PoolerClient | None = None,
        pooler_metrics: PgbouncerMetrics | None = None,
        hooks: Hooks | None = None,
        worker: Worker = asyncio.to_thread,
    ) -> None:
        """Take *now*, the wall time that figures are told with; without *poolers* no endpoint has one.

        *worker* compares passwords beside the event loop.
        """
        self._passwords = Passwords(worker)
        self._hooks = hooks
        self._poolers = poolers or NoPoolers()
        self._pooler_metrics = pooler_metrics
        self._client = client
        self._secrets = secrets
        self._metrics = metrics
        self._gauges = gauges
        self._now = now
        self._memory: Memory = {}
        self._apart: dict[Key, Mapping[str, datetime]] = {}
        self._sent: dict[Key, tuple[_Sent, _Sent]] = {}

    def endpoint(self, resource: Resource[PostgresClusterSpec]) -> str | None:
        return resource.spec.endpoint

    async def observe(self, resource: Resource[PostgresClusterSpec], view: View) -> SeenCluster:
        now = self._now()
        try:
            seen = await self._look(resource, view, now)
            if has_restarted(resource, seen):
                # The member was looked at before its run, and may have restarted in between.
                seen = await self._look(resource, view, now)
        except (PermanentError, asyncio.CancelledError):  # cancelled: its time is up
            self._unseen(resource.key)
            raise
        seen = replace(
            seen,
            apart_since=self._watch_apart(resource, seen, now),
            sent_before=self._watch_sent(resource, seen, now),
        )
        self._tell(resource, seen, now)
        status = resource.status if isinstance(resource.status, PostgresClusterStatus) else None
        good = good_backups(resource, status or PostgresClusterStatus(), seen, now)
        self._metrics.looked(resource.key.name, reading(resource.spec, seen, good))
        if self._pooler_metrics is not None and seen.pooler is not None:
            self._pooler_metrics.looked(resource.key.name, pools(seen.pooler))
        return seen

    def _unseen(self, key: Key) -> None:
        self._gauges.forget(key)
        self._metrics.unseen(key.name)
        if self._pooler_metrics is not None:
            self._pooler_metrics.unseen(key.name)

    async def _look(self, resource: Resource[PostgresClusterSpec], view: View, now: datetime) -> SeenCluster:
        seen = await observe_postgres(self._client, self._secrets, resource, self._memory, now)
        seen = replace(seen, new_verifiers=await self._passwords.new_verifiers(resource, seen))
        seen = replace(seen, pooler=await observe_pooler(self._poolers, resource.spec))
        return with_hosts(resource, await observe_runs(self._hooks, resource, seen, now), view)

    def plan(
        self, resource: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime
    ) -> Plan[PostgresAction]:
        return plan_postgres(resource, seen, now)

    async def apply(self, step: Step[PostgresAction]) -> Outcome:
        # Whatever becomes of it: the next look must see what is so now, on standbys, too.
        for target in [each for each in self._memory if each.endpoint == step.action.target.endpoint]:
            del self._memory[target]
        await apply_action(self._client, self._poolers, self._hooks, step.action)
        return DONE

    def gone(self, key: Key) -> None:
        self._apart.pop(key, None)
        self._sent.pop(key, None)
        self._passwords.forget(key)
        self._gauges.forget(key)
        self._metrics.forget(key.name)
        if self._pooler_metrics is not None:
            self._pooler_metrics.forget(key.name)

    def _tell(self, resource: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime) -> None:
        """Keep the figures of this look for the gates of releases; without a primary there are none."""
        told = figures(seen)
        if told is None:
            self._gauges.forget(resource.key)
            return
        values, epoch = told
        self._gauges.tell(resource.key, Gauge(now, values, epoch))

    def _watch_sent(
        self, resource: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime
    ) -> Mapping[str, int]:
        """Return up to where WAL was sent at an earlier look, and keep this one's for a later."""
        this: _Sent = (now, sent_to(resource.spec, seen))
        older, newer = self._sent.get(resource.key, ((now, {}), this))
        if abs(now - newer[0]) >= _EARLIER:
            older, newer = newer, this
        self._sent[resource.key] = older, newer
        return older[1]

    def _watch_apart(
        self, resource: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime
    ) -> Mapping[str, datetime]:
        """Keep since when each standby is apart; a daemon that has just begun counts from now."""
        before = self._apart.get(resource.key, {})
        self._apart[resource.key] = {name: before.get(name, now) for name in apart(resource.spec, seen)}
        return self._apart[resource.key]
