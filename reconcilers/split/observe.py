"""Looks at the servers of a traffic split."""

from crds.balancer import TrafficSplitSpec
from reconcilers.contract import Resource
from reconcilers.split.client import SplitClient
from reconcilers.split.model import SeenSplit


async def observe_split(client: SplitClient, split: Resource[TrafficSplitSpec]) -> SeenSplit:
    """Ask all nodes at once. Raises TransientError if none answers."""
    return SeenSplit(await client.look(split.spec.endpoint, split.spec.backend))
