"""Carries out one command of a traffic split."""

from typing import assert_never

from reconcilers.servers import Command, SetState, SetWeight
from reconcilers.split.client import SplitClient


async def apply_command(client: SplitClient, command: Command) -> None:
    """Send one command. Setting a value twice is the same as once."""
    match command:
        case SetWeight(endpoint, socket, _, backend, server, weight):
            await client.set_weight(endpoint, socket, backend, server, weight)
        case SetState(endpoint, socket, _, backend, server, state):
            await client.set_state(endpoint, socket, backend, server, state)
        case _:
            assert_never(command)
