"""Carries out one action. What takes time is a Proxmox task, and returns at once with its UPID."""

from typing import assert_never

from reconcilers.container.client import ContainerClient
from reconcilers.container.model import (
    Configure,
    ContainerAction,
    Create,
    Destroy,
    Reboot,
    Resize,
    Shutdown,
    Start,
    Stop,
)
from reconcilers.contract import DONE, Outcome, OutcomeKind


async def apply_action(client: ContainerClient, action: ContainerAction) -> Outcome:
    """Return what became of it; raise NotSentError, TransientError (unknown), PermanentError."""
    match action:
        case Configure(place, digest, options, deleted):
            await client.configure(place, options, deleted=deleted, digest=digest)
            return DONE
        case Create(place, options):
            upid = await client.create(place, options)
        case Resize(place, gib):
            upid = await client.resize(place, gib=gib)
        case Start() | Shutdown() | Stop() | Reboot():
            upid = await _switch(client, action)
        case Destroy(place):
            upid = await client.destroy(place)
        case _:
            assert_never(action)
    return Outcome(OutcomeKind.RUNNING, reference=upid)


async def _switch(client: ContainerClient, action: Start | Shutdown | Stop | Reboot) -> str:
    match action:
        case Start(place):
            return await client.power(place, "start")
        case Shutdown(place, timeout):
            return await client.power(place, "shutdown", patience=timeout)
        case Stop(place):
            return await client.power(place, "stop")
        case Reboot(place, timeout):
            return await client.power(place, "reboot", patience=timeout)
        case _:
            assert_never(action)
