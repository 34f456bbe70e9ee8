"""Release as the engine drives it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from crds.release import ReleaseSpec
from reconcilers.contract import Outcome, Plan, Resource, Step, View
from reconcilers.release.apply import apply_action
from reconcilers.release.model import ReleaseAction, SeenRelease
from reconcilers.release.observe import Outside, observe_release
from reconcilers.release.plan import plan_release


class ReleaseReconciler:
    """Writes what splits and containers shall be; they are reconciled by their own kinds."""

    kind = "Release"
    poll_interval = timedelta(seconds=60)
    pass_deadline = timedelta(seconds=10)

    def __init__(
        self, outside: Outside, *, process: str, monotonic: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        """Take *process*, a name that no other run of the daemon has; *monotonic* is its clock in seconds."""
        self._outside = outside
        self._process = process
        self._monotonic = monotonic
        self._now = now

    def endpoint(self, resource: Resource[ReleaseSpec]) -> str | None:
        """None: nothing outside that is away may keep a release from rolling back."""
        return None

    async def observe(self, resource: Resource[ReleaseSpec], view: View) -> SeenRelease:
        return await observe_release(
            self._outside,
            resource,
            view,
            process=self._process,
            monotonic=self._monotonic(),
            now=self._now(),
        )

    def plan(self, resource: Resource[ReleaseSpec], seen: SeenRelease, now: datetime) -> Plan[ReleaseAction]:
        return plan_release(resource, seen, now)

    async def apply(self, step: Step[ReleaseAction]) -> Outcome:
        return await apply_action(self._outside.hooks, self._outside.reports, step.action)
