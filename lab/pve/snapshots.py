"""Snapshots of a container; only some storage types can."""

from typing import Final

from lab.pve import disks, settings
from lab.pve.message import Json, died
from lab.pve.state import Container, World

# what belongs to the container and not to one of its snapshots
OUTSIDE: Final = frozenset({"lock", "parent", "digest"})


def check_known(container: Container, name: str) -> None:
    if name not in container.snapshots:
        raise died(f"snapshot '{name}' does not exist")


def take(world: World, container: Container, name: str, description: str, now: float) -> None:
    """Raise ApiError with the text that the task ends with."""
    if not disks.can_snapshot(world, container):
        raise died("snapshot feature is not available")
    if name in container.snapshots:
        raise died(f"snapshot name '{name}' already used")
    saved = {
        key: text for key, text in container.config.items() if key not in OUTSIDE and key != "description"
    }
    if "parent" in container.config:
        saved["parent"] = container.config["parent"]
    if description:
        saved["description"] = description
    container.snapshots[name] = saved | {"snaptime": str(int(now))}
    container.config["parent"] = name


def drop(container: Container, name: str) -> None:
    check_known(container, name)
    parent = container.snapshots.pop(name).get("parent")
    for values in (container.config, *container.snapshots.values()):
        if values.get("parent") == name:
            values.pop("parent")
            if parent:
                values["parent"] = parent


def restore(container: Container, name: str) -> None:
    check_known(container, name)
    saved = dict(container.snapshots[name])
    for key in ("snaptime", "description", "parent"):
        saved.pop(key, None)
    container.config = saved | {"parent": name}
    container.pending.clear()
    container.pending_delete.clear()


def listed(world: World, container: Container) -> Json:
    rows: list[Json] = []
    for name, values in container.snapshots.items():
        text = values.get("description")
        row: dict[str, Json] = {"name": name, "snaptime": int(values["snaptime"])}
        row["description"] = settings.shown(world, "description", text) if text else ""
        rows.append(row | ({"parent": values["parent"]} if "parent" in values else {}))
    current: dict[str, Json] = {
        "name": "current",
        "description": "You are here!",
        "running": int(container.running),
        "digest": settings.digest(container),
    }
    parent = container.config.get("parent")
    return [*rows, current | ({"parent": parent} if parent else {})]
