"""Looks at one container, and at the tasks of its open intents."""

from datetime import timedelta
from typing import Final

from crds.container import ContainerSpec
from reconcilers.container.client import ContainerClient
from reconcilers.container.model import (
    Absent,
    Place,
    Seen,
    SeenIntent,
    Silent,
    TaskState,
    World,
)
from reconcilers.contract import Intent, PermanentError, Resource, View
from reconcilers.transports.proxmox_errors import NodeSilentError

_TASK_KINDS: Final = {
    "Create": "vzcreate",
    "Resize": "resize",
    "Start": "vzstart",
    "Shutdown": "vzshutdown",
    "Stop": "vzstop",
    "Reboot": "vzreboot",
    "Destroy": "vzdestroy",
}
#: How much earlier by its node's clock a task may seem to have begun than it was asked for.
_CLOCK_SKEW: Final = timedelta(seconds=2)


async def observe_container(client: ContainerClient, container: Resource[ContainerSpec], view: View) -> Seen:
    """Look at tasks first, so that the container is seen as they left it.

    Raises TransientError, and PermanentError where the token may not look.
    """
    place = Place(container.spec.endpoint, container.spec.node, container.spec.ctid)
    try:
        intents = tuple([await _follow(client, place, intent) for intent in view.intents(container.key)])
        if any(seen.task is not None and seen.task.state is TaskState.RUNNING for seen in intents):
            return Seen(None, intents)
        world = await _look(client, place)
    except NodeSilentError as exc:
        # Not an error of the endpoint, whose other nodes answer.
        return Seen(Silent(str(exc)))
    return Seen(world, intents, await client.is_quorate())


async def _follow(client: ContainerClient, place: Place, intent: Intent) -> SeenIntent:
    if intent.reference is not None:
        return SeenIntent(intent, await client.task(intent.reference))
    kind = _TASK_KINDS.get(intent.action)
    since = intent.begun_at - _CLOCK_SKEW
    found = await client.tasks(place, since)
    ours = (task for task in found if task.kind == kind and task.user == client.user)
    task = next(ours, None)
    if task is not None and task.state is TaskState.FAILED:
        task = await client.task(task.upid)
    return SeenIntent(intent, task)


async def _look(client: ContainerClient, place: Place) -> World:
    here = await client.look(place)
    if here is not None:
        return here
    listed = await client.find(place.ctid)
    if listed is not None and not listed.is_container:
        return listed
    if listed is not None and listed.node != place.node:
        there = await client.look(Place(place.endpoint, listed.node, place.ctid))
        if there is not None:
            return listed
    if not await client.may_see(place.ctid):
        raise PermanentError(
            f"{place}: nothing is there, but the token has no VM.Audit on /vms/{place.ctid}, so that it may"
            " be hidden: give it the role's privileges there",
            reason="NotVisible",
        )
    return Absent()
