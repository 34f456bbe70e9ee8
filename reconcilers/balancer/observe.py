"""Looks at an HAProxy pair and its server-state files."""

from pathlib import Path

from crds.balancer import LoadBalancerSpec
from reconcilers.balancer.client import BalancerClient
from reconcilers.balancer.model import SeenBalancer, StateFile, lasting
from reconcilers.contract import Resource, TransientError
from reconcilers.servers import NodeDown


async def observe_balancer(client: BalancerClient, balancer: Resource[LoadBalancerSpec]) -> SeenBalancer:
    """Ask all nodes at once. Raises TransientError if none answers."""
    endpoint = balancer.spec.endpoint
    nodes = await client.look(endpoint)
    files = []
    for node in nodes:
        path = client.state_file(endpoint, node.socket)
        if path is not None and not isinstance(node, NodeDown):
            files.append(await _observe_file(client, endpoint, node.socket, path))
    return SeenBalancer(nodes, tuple(files))


async def _observe_file(client: BalancerClient, endpoint: str, socket: str, path: Path) -> StateFile:
    """Compare file and node; trouble with the file is a fact, not a failure of the look."""
    try:
        wanted = lasting(await client.server_states(endpoint, socket))
        found = await client.read_state_file(path)
    except TransientError as exc:
        return StateFile(socket, str(path), "", None, str(exc))
    return StateFile(socket, str(path), wanted, None if found is None else lasting(found))
