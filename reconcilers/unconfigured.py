"""A kind without an endpoint in the settings: its files are read, and say what is missing."""

from datetime import datetime, timedelta

from crds.meta import Key, Spec
from reconcilers.contract import Outcome, PermanentError, Plan, Resource, Step, View


class UnconfiguredReconciler:
    """Stands in the place of a kind whose slice, with its driver, need not be loaded."""

    poll_interval = timedelta(hours=1)
    pass_deadline = timedelta(seconds=1)

    def __init__(self, kind: str, endpoint_type: str) -> None:
        self.kind = kind
        self._type = endpoint_type

    def endpoint(self, resource: Resource[Spec]) -> str | None:
        return None

    async def observe(self, resource: Resource[Spec], view: View) -> None:
        return None

    def plan(self, resource: Resource[Spec], seen: None, now: datetime) -> Plan[None]:
        what = f"the settings have no endpoint of type {self._type}: add one, and restart the daemon"
        return Plan(blocked=("NoEndpoint", what))

    async def apply(self, step: Step[None]) -> Outcome:
        raise PermanentError(f"{self.kind} has no endpoint", reason="NoEndpoint")

    def gone(self, key: Key) -> None:
        """Nothing is remembered."""
