"""Service as the engine drives it."""

from datetime import datetime, timedelta
from typing import assert_never

from crds.meta import Key
from crds.service import ServiceSpec
from reconcilers.contract import Outcome, Plan, Resource, Step, View
from reconcilers.service.client import ServiceClient
from reconcilers.service.model import NoAction, SeenService
from reconcilers.service.observe import observe_service
from reconcilers.service.plan import plan_service


class ServiceReconciler:
    """Declares containers and the split; they are reconciled by their own kinds."""

    kind = "Service"
    poll_interval = timedelta(seconds=60)
    pass_deadline = timedelta(seconds=5)

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def endpoint(self, resource: Resource[ServiceSpec]) -> str | None:
        """None: a load balancer that is away must not keep the containers waiting."""
        return None

    async def observe(self, resource: Resource[ServiceSpec], view: View) -> SeenService:
        return await observe_service(self._client, resource, view)

    def plan(self, resource: Resource[ServiceSpec], seen: SeenService, now: datetime) -> Plan[NoAction]:
        return plan_service(resource, seen, now)

    async def apply(self, step: Step[NoAction]) -> Outcome:
        assert_never(step.action)

    def gone(self, key: Key) -> None:
        """Nothing is remembered."""
