"""Release as the engine drives it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from crds.meta import Key
from crds.release import Attempt, Phase, ReleaseMemo, ReleaseSpec, ReleaseStatus
from metrics.releases import ReleaseMetrics
from reconcilers.contract import Outcome, Plan, Resource, Step, View
from reconcilers.release.apply import apply_action
from reconcilers.release.model import ReleaseAction, SeenRelease
from reconcilers.release.observe import Outside, observe_release
from reconcilers.release.phases import ENDED
from reconcilers.release.plan import plan_release
from reconcilers.shelter import Shelter

#: A promoted version stays where it is: nobody would want it to go because a disk is full.
_ON_TRIAL: Final = frozenset({Phase.SPLIT, Phase.WATCH})
_PATIENCE_S: Final = 3.0


class ReleaseReconciler:
    """Writes what splits and containers shall be; they are reconciled by their own kinds."""

    kind = "Release"
    poll_interval = timedelta(seconds=60)
    pass_deadline = timedelta(seconds=10)

    def __init__(
        self,
        outside: Outside,
        metrics: ReleaseMetrics,
        *,
        process: str,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        shelter: Shelter | None = None,
    ) -> None:
        """Take *process*, a name that no other run of the daemon has; *monotonic* is its clock in seconds.

        *shelter* is where splits look when the store takes nothing.
        """
        self._outside = outside
        self._metrics = metrics
        self._known: dict[str, int] = {}
        self._process = process
        self._monotonic = monotonic
        self._now = now
        self._shelter = shelter if shelter is not None else Shelter()
        self._planned_s: dict[str, float] = {}
        self._unkept_since_s: dict[str, float] = {}

    def endpoint(self, resource: Resource[ReleaseSpec]) -> str | None:
        """None: nothing outside that is away may keep a release from rolling back."""
        return None

    async def observe(self, resource: Resource[ReleaseSpec], view: View) -> SeenRelease:
        self._measure(resource, view)
        self._heed(resource, self._monotonic())
        return await observe_release(
            self._outside,
            resource,
            view,
            process=self._process,
            monotonic=self._monotonic(),
            now=self._now(),
        )

    def plan(self, resource: Resource[ReleaseSpec], seen: SeenRelease, now: datetime) -> Plan[ReleaseAction]:
        plan = plan_release(resource, seen, now)
        if isinstance(plan.memo, ReleaseMemo):
            self._planned_s[resource.key.name] = plan.memo.ticked_s
        return plan

    def _heed(self, resource: Resource[ReleaseSpec], now_s: float) -> None:
        """Give users shelter at stable while the store does not keep what is found of a version on trial."""
        name, status, memo = resource.key.name, resource.status, resource.memo
        attempt = status.attempt if isinstance(status, ReleaseStatus) else None
        if attempt is None or self._is_kept(name, memo if isinstance(memo, ReleaseMemo) else None):
            self._unkept_since_s.pop(name, None)
            for service in attempt.entries if attempt is not None else ():
                self._shelter.leave(service)
            return
        since_s = self._unkept_since_s.setdefault(name, now_s)
        if attempt.phase in _ON_TRIAL and now_s - since_s >= _PATIENCE_S:
            for service, member in attempt.entries.items():
                if member.stable is not None:
                    self._shelter.seek(service, member.stable)

    def _is_kept(self, name: str, memo: ReleaseMemo | None) -> bool:
        """Whether the store has what was planned last."""
        planned_s = self._planned_s.get(name)
        if planned_s is None:
            return True
        return memo is not None and memo.process == self._process and memo.ticked_s >= planned_s

    def _measure(self, resource: Resource[ReleaseSpec], view: View) -> None:
        """Tell what the store has of it; a rollback is counted once, by the process that saw it begin."""
        name, status = resource.key.name, resource.status
        found = status if isinstance(status, ReleaseStatus) else ReleaseStatus()
        attempt = found.attempt
        self._metrics.state(
            name,
            attempt.phase.value if attempt is not None else None,
            held=attempt is not None and attempt.hold is not None,
            quarantined=len(found.quarantine),
            limit=resource.spec.error_rate.limit,
        )
        shown = resource.memo.shown if isinstance(resource.memo, ReleaseMemo) else {}
        # Also after its end, until the next attempt: what it was decided on must outlast a scrape.
        self._metrics.totals(
            name,
            {
                service: {
                    "candidate": (each.requests, each.errors),
                    "stable": (each.stable_requests, each.stable_errors),
                }
                for service, each in shown.items()
            },
        )
        if attempt is not None:
            self._count(name, attempt)

    def _count(self, name: str, attempt: Attempt) -> None:
        if attempt.phase not in ENDED:
            self._known[name] = attempt.number
        elif self._known.pop(name, 0) == attempt.number and attempt.phase is Phase.ROLLED_BACK:
            began, ended = attempt.decided_at, attempt.ended_at
            took = (ended - began).total_seconds() if began is not None and ended is not None else 0.0
            trigger = attempt.trigger.value if attempt.trigger is not None else "unknown"
            self._metrics.rolled_back(name, trigger, took)

    async def apply(self, step: Step[ReleaseAction]) -> Outcome:
        return await apply_action(self._outside.hooks, self._outside.reports, step.action)

    def gone(self, key: Key) -> None:
        for known in (self._known, self._planned_s, self._unkept_since_s):
            known.pop(key.name, None)
        self._metrics.forget(key.name)
