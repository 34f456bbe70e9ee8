"""Containers as they are declared and as they are seen, one keyword a field."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from crds.container import ContainerSpec
from reconcilers.container.model import (
    GIB,
    Config,
    Configure,
    ContainerAction,
    Seen,
    SeenContainer,
    SeenIntent,
    SeenTask,
    TaskState,
    Volume,
    World,
)
from reconcilers.container.plan import plan_container
from reconcilers.container.settings import owner_tag, recipe_tag
from reconcilers.contract import Intent, OutcomeKind, Plan, Resource
from tests.builders import START, a_container_spec, a_resource

UID = "0123456789abcdef0123456789abcdef"
UPID = "UPID:pve1:000001B5:00068081:6B03D4B0:vzcreate:100:psa@pve!daemon:"
USER = "psa@pve!daemon"
OTHER_TEMPLATE = "local:vztmpl/debian-12-standard_12.9-1_amd64.tar.zst"


def a_container(name: str = "psa-crm", **fields: object) -> Resource[ContainerSpec]:
    """Return a Container object; keywords are the fields of its file."""
    lines = {"spec.memory": 12, "spec.network": 20, "spec.state": 30}
    resource = a_resource(a_container_spec(**fields), name=name, uid=UID, lines=lines)
    return cast("Resource[ContainerSpec]", resource)


def a_config(container: Resource[ContainerSpec], **fields: object) -> Config:
    """Return the configuration of a container that is as *container* asks."""
    spec = container.spec
    config = Config(
        digest="5483ce630da6eb3eb9f851762b2fc091100e7951",
        hostname=spec.hostname or container.key.name,
        cores=spec.cores,
        memory_mib=512 if spec.memory is None else spec.memory,
        swap_mib=512 if spec.swap is None else spec.swap,
        root=Volume(spec.storage, (spec.disk or 4) * GIB),
        tags=frozenset({"psa", owner_tag(container.uid), recipe_tag(spec)}),
        unprivileged=spec.unprivileged,
    )
    return replace(config, **fields)  # type: ignore[arg-type]  # keywords of a test, checked when it runs


def a_sighting(container: Resource[ContainerSpec], **fields: object) -> SeenContainer:
    """Return a running container that is as asked; keywords are SeenContainer's or Config's fields."""
    own: Mapping[str, object] = {
        name: fields.pop(name)
        for name in ("is_running", "lock", "ha_state", "pending", "node")
        if name in fields
    }
    config = a_config(container, **fields)
    values: Mapping[str, object] = {"node": container.spec.node, "is_running": True, "config": config, **own}
    return SeenContainer(**values)  # type: ignore[arg-type]  # keywords of a test, checked when it runs


def an_intent(
    container: Resource[ContainerSpec],
    action: str = "Create",
    *,
    begun_at: datetime = START,
    reference: str | None = UPID,
    absent_since: datetime | None = None,
    deadline: timedelta = timedelta(minutes=15),
) -> Intent:
    """Return an open intent, by default one whose task is known."""
    return Intent(
        id=7,
        key=container.key,
        generation=container.generation,
        action=action,
        target="CT 100 on pve",
        summary=f"{action.lower()} CT 100",
        begun_at=begun_at,
        deadline=deadline,
        state=OutcomeKind.UNKNOWN if reference is None else OutcomeKind.RUNNING,
        reference=reference,
        absent_since=absent_since,
    )


def a_task(state: TaskState, message: str = "", kind: str = "vzcreate") -> SeenTask:
    """Return a task of ours."""
    return SeenTask(UPID, kind, USER, START, state, message)


def followed(intent: Intent, state: TaskState, message: str = "") -> SeenIntent:
    """Return an intent whose task stands so."""
    return SeenIntent(intent, a_task(state, message))


def planned(
    container: Resource[ContainerSpec], world: World, *, is_quorate: bool | None = True
) -> Plan[ContainerAction]:
    """Return the plan of one look without open intents."""
    return plan_container(container, Seen(world, is_quorate=is_quorate), START)


def actions(plan: Plan[ContainerAction]) -> list[str]:
    """Return the names of the steps' actions."""
    return [type(step.action).__name__ for step in plan.steps]


def configured(plan: Plan[ContainerAction]) -> Configure:
    """Return the first step's action, which has to be Configure."""
    action = plan.steps[0].action
    assert isinstance(action, Configure)
    return action
