"""Binds observe, plan and apply of containers to the clusters that the settings name."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from crds.container import ContainerSpec
from crds.meta import Key
from reconcilers.container.apply import apply_action
from reconcilers.container.client import ContainerClient
from reconcilers.container.model import ContainerAction, Seen
from reconcilers.container.observe import observe_container
from reconcilers.container.plan import plan_container
from reconcilers.contract import Outcome, PermanentError, Plan, Resource, Step, View


class ContainerReconciler:
    """Containers on Proxmox; *clients* are the clusters by the name of their endpoint."""

    kind = "Container"
    poll_interval = timedelta(seconds=60)
    pass_deadline = timedelta(seconds=90)

    def __init__(self, clients: Mapping[str, ContainerClient]) -> None:
        self._clients = clients

    def endpoint(self, resource: Resource[ContainerSpec]) -> str | None:
        return resource.spec.endpoint

    async def observe(self, resource: Resource[ContainerSpec], view: View) -> Seen:
        return await observe_container(self._client(resource.spec.endpoint), resource, view)

    def plan(self, resource: Resource[ContainerSpec], seen: Seen, now: datetime) -> Plan[ContainerAction]:
        return plan_container(resource, seen, now)

    async def apply(self, step: Step[ContainerAction]) -> Outcome:
        return await apply_action(self._client(step.action.place.endpoint), step.action)

    def gone(self, key: Key) -> None:
        """Nothing is remembered."""

    def _client(self, endpoint: str) -> ContainerClient:
        client = self._clients.get(endpoint)
        if client is None:
            known = ", ".join(sorted(self._clients)) or "none"
            raise PermanentError(
                f"the settings have no Proxmox endpoint {endpoint}; they have: {known}",
                reason="UnknownEndpoint",
            )
        return client
