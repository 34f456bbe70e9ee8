"""LoadBalancer as the engine drives it."""

from datetime import datetime, timedelta

from crds.balancer import LoadBalancerSpec
from crds.meta import Key
from reconcilers.balancer.apply import apply_action
from reconcilers.balancer.client import BalancerClient
from reconcilers.balancer.model import BalancerAction, SeenBalancer
from reconcilers.balancer.observe import observe_balancer
from reconcilers.balancer.plan import plan_balancer
from reconcilers.contract import DONE, Outcome, Plan, Resource, Step, View


class BalancerReconciler:
    """An HAProxy pair: what its configuration must have, and what may be set at run time."""

    kind = "LoadBalancer"
    poll_interval = timedelta(seconds=60)
    pass_deadline = timedelta(seconds=5)

    def __init__(self, client: BalancerClient) -> None:
        self._client = client

    def endpoint(self, resource: Resource[LoadBalancerSpec]) -> str | None:
        return resource.spec.endpoint

    async def observe(self, resource: Resource[LoadBalancerSpec], view: View) -> SeenBalancer:
        return await observe_balancer(self._client, resource)

    def plan(
        self, resource: Resource[LoadBalancerSpec], seen: SeenBalancer, now: datetime
    ) -> Plan[BalancerAction]:
        return plan_balancer(resource, seen, now)

    async def apply(self, step: Step[BalancerAction]) -> Outcome:
        await apply_action(self._client, step.action)
        return DONE

    def gone(self, key: Key) -> None:
        """Nothing is remembered."""
