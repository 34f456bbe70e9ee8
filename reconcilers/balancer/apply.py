"""Carries out one step of a load balancer."""

from pathlib import Path
from typing import assert_never

from reconcilers.balancer.client import BalancerClient
from reconcilers.balancer.model import BalancerAction, WriteStateFile
from reconcilers.servers import SetState, SetWeight


async def apply_action(client: BalancerClient, action: BalancerAction) -> None:
    """Send one command, or write one file. Either twice is the same as once."""
    match action:
        case SetWeight(endpoint, socket, _, backend, server, weight):
            await client.set_weight(endpoint, socket, backend, server, weight)
        case SetState(endpoint, socket, _, backend, server, state):
            await client.set_state(endpoint, socket, backend, server, state)
        case WriteStateFile(endpoint, socket, path):
            # Read now, not carried along: the file must hold what the steps before it have set.
            await client.write_state_file(Path(path), await client.server_states(endpoint, socket))
        case _:
            assert_never(action)
