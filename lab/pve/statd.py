"""pvestatd: /cluster/resources is what it last sampled, not what is."""

import math
from collections.abc import Mapping
from typing import Final

from lab.pve import disks
from lab.pve.message import Json
from lab.pve.state import Container, Node, StatRow, World

PERIOD_S: Final = 10.0
DROPPED_AFTER_S: Final = 300.0  # pmxcfs status.c
OFFLINE_AFTER_S: Final = 15.0  # corosync notices a dead node
IDLE_MEMORY_BYTES: Final = 483_328
USED_DISK_BYTES: Final = 4_885_504


def cpus(container: Container, node: Node) -> str:
    config = container.config
    return config.get("cores") or config.get("cpulimit") or str(node.cpus)


def counters(container: Container, now: float) -> dict[str, int | float]:
    """Return the figures that status/current, the list of a node and pvestatd share."""
    running = container.started_at is not None
    megabyte = disks.UNITS["M"]
    return {
        "cpu": 0,
        "mem": IDLE_MEMORY_BYTES if running else 0,
        "maxmem": int(container.config.get("memory", "512")) * megabyte,
        "disk": USED_DISK_BYTES if running else 0,
        "maxdisk": disks.size_of_root(container),
        "uptime": int(now - container.started_at) if container.started_at is not None else 0,
        "netin": 0,
        "netout": 0,
        "diskread": 0,
        "diskwrite": 0,
    }


def online(world: World, node: Node, now: float) -> bool:
    """Whether the other members still see the node: corosync needs a while to notice."""
    return node.down_since is None or now - node.down_since < world.seconds(OFFLINE_AFTER_S)


def sample(world: World, now: float) -> None:
    """Take the samples that are due before *now*; call it before the state changes."""
    period = world.seconds(PERIOD_S)
    due = world.started_at + math.floor((now - world.started_at) / period) * period
    if due <= world.sampled_at:
        return
    world.sampled_at = due
    dead = {
        node.name for node in world.nodes.values() if node.down_since is not None and node.down_since <= due
    }
    stale = {vmid: row for vmid, row in world.statd.items() if row.node in dead}
    fresh = {c.vmid: _row(world, c, due) for c in world.containers.values() if c.node not in dead}
    world.statd = stale | fresh


def _row(world: World, container: Container, now: float) -> StatRow:
    row: dict[str, int | float | str] = dict(counters(container, now))
    row["maxcpu"] = float(cpus(container, world.nodes[container.node]))
    if row["maxcpu"] == int(row["maxcpu"]):
        row["maxcpu"] = int(row["maxcpu"])
    row["template"] = int(container.config.get("template", "0"))
    if world.major >= 9 and container.running:  # noqa: PLR2004 - the version
        row["memhost"] = 0
    for key in ("tags", "lock"):
        if key in container.config:
            row[key] = container.config[key]
    status = "running" if container.running else "stopped"
    return StatRow(container.vmid, container.node, status, container.name, now, row)


def resource(world: World, container: Container, now: float) -> Mapping[str, Json]:
    """One row of /cluster/resources; a CT that no sample has seen yet is only known to exist."""
    known: dict[str, Json] = {"id": f"lxc/{container.vmid}", "vmid": container.vmid, "type": "lxc"}
    if container.ha_state:
        known["hastate"] = container.ha_state
    row = world.statd.get(container.vmid)
    if row is None or now - row.sampled_at > DROPPED_AFTER_S:
        return known | {"node": container.node, "status": "unknown"}
    return known | row.row | {"node": container.node, "name": row.name, "status": row.status}
