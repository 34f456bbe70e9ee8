"""/version, /cluster and /nodes: who is there, and how it is."""

from types import MappingProxyType
from typing import Final

from lab.pve import capacity, statd
from lab.pve.call import Call
from lab.pve.message import Json, refused_parameters
from lab.pve.state import Node

VERSIONS: Final = MappingProxyType({
    "8.4": ("8.4.21", "8.4", "2606ac850d46da29"),
    "9.2": ("9.2.11", "9.2", "14a22df35955d97d"),
})  # fmt: skip
KERNEL: Final = "6.8.12-9-pve"
SUBDIRS: Final = (
    "config", "pending", "status", "vncproxy", "termproxy", "vncwebsocket", "spiceproxy", "migrate",
    "clone", "rrd", "rrddata", "firewall", "snapshot", "resize", "interfaces",
)  # fmt: skip


def version(call: Call) -> Json:
    full, release, repository = VERSIONS[call.world.version]
    return {"version": full, "release": release, "repoid": repository}


def next_id(call: Call) -> Json:
    """Return the lowest free VMID, as text; it reserves nothing."""
    wanted = call.params.get("vmid")
    if wanted is None:
        return str(call.world.unused_vmid())
    if int(wanted) in call.world.containers:
        raise refused_parameters({"vmid": f"VM {wanted} already exists"})
    return wanted


def cluster_status(call: Call) -> Json:
    world = call.world
    rows: list[Json] = [
        {
            "type": "cluster",
            "id": "cluster",
            "name": world.name,
            "nodes": len(world.nodes),
            "quorate": int(world.quorate),
            "version": len(world.nodes),
        }
    ]
    for node in world.nodes.values():
        alone = not world.quorate and node.name != call.via_node
        rows.append(
            {
                "type": "node",
                "id": f"node/{node.name}",
                "name": node.name,
                "nodeid": node.number,
                "ip": node.ip,
                "online": int(statd.online(world, node, call.now) and not alone),
                "local": int(node.name == call.via_node),
                "level": "",
            }
        )
    return rows


def _node_row(call: Call, node: Node, audited: dict[str, Json]) -> dict[str, Json]:
    world = call.world
    alone = not world.quorate and node.name != call.via_node
    up = statd.online(world, node, call.now) and not alone
    row: dict[str, Json] = {
        "type": "node",
        "id": f"node/{node.name}",
        "node": node.name,
        "status": "online" if up else "offline",
        "level": "",
    } | audited
    if call.may(f"/nodes/{node.name}", "Sys.Audit"):
        row |= {"maxcpu": node.cpus, "maxmem": node.memory_bytes, "maxdisk": node.disk_bytes}
        if up:
            uptime = int(call.now - world.started_at)
            used = capacity.memory_used(world, node)
            row |= {"cpu": 0.02, "mem": used, "disk": capacity.HOST_DISK_BYTES, "uptime": uptime}
    return row


def fingerprint(node: Node) -> str:
    """Invent one of the right shape; the server's real one is a file in its state folder."""
    return ":".join(f"{(node.number * 37 + n * 11) % 256:02X}" for n in range(32))


def nodes(call: Call) -> Json:
    return [
        _node_row(call, node, {"ssl_fingerprint": fingerprint(node)}) for node in call.world.nodes.values()
    ]


def resources(call: Call) -> Json:
    world, kind = call.world, call.params.get("type", "")
    rows: list[Json] = []
    if kind in ("", "vm"):
        seen = (c for c in world.containers.values() if call.may(f"/vms/{c.vmid}", "VM.Audit"))
        rows += [statd.resource(world, container, call.now) for container in seen]
    if kind in ("", "node"):
        rows += [_node_row(call, node, {"cgroup-mode": 1} | _ha(call, node)) for node in world.nodes.values()]
    if kind in ("", "storage"):
        rows += _storages(call)
    if kind in ("", "sdn") and call.may("/sdn/zones/localnetwork", "SDN.Audit", "SDN.Use"):
        rows += [
            {
                "type": "sdn",
                "id": f"sdn/{name}/localnetwork",
                "node": name,
                "sdn": "localnetwork",
                "status": "ok",
            }
            for name in world.nodes
        ]
    return rows


def _ha(call: Call, node: Node) -> dict[str, Json]:
    managed = any(container.ha_state for container in call.world.containers.values())
    state = "online" if node.down_since is None else "unknown"
    return {"hastate": state} if managed else {}


def _storages(call: Call) -> list[Json]:
    world = call.world
    seen = [s for s in world.storages.values() if call.may(f"/storage/{s.name}", "Datastore.Audit")]
    return [
        {
            "type": "storage",
            "id": f"storage/{node}/{storage.name}",
            "storage": storage.name,
            "node": node,
            "status": "available",
            "plugintype": storage.type,
            "content": ",".join(storage.content),
            "shared": int(storage.shared),
            "disk": storage.total_bytes - capacity.storage_free(world, storage, node),
            "maxdisk": storage.total_bytes,
        }
        for storage in seen
        for node in world.nodes
    ]


def node_status(call: Call) -> Json:
    node, (full, _, repository) = call.world.nodes[call.node], VERSIONS[call.world.version]
    memory, disk = node.memory_bytes, node.disk_bytes
    free = capacity.memory_free(call.world, node)
    available: dict[str, Json] = {"available": free} if call.world.major >= 9 else {}  # noqa: PLR2004 - the version
    kernel: dict[str, Json] = {
        "sysname": "Linux",
        "release": KERNEL,
        "version": "#1 SMP",
        "machine": "x86_64",
    }
    status: dict[str, Json] = {
        "pveversion": f"pve-manager/{full}/{repository}",
        "kversion": f"Linux {KERNEL} #1 SMP",
        "current-kernel": kernel,
        "boot-info": {"mode": "legacy-bios"},
        "uptime": int(call.now - call.world.started_at),
        "cpu": 0.02,
        "wait": 0,
        "idle": 0,
        "loadavg": ["0.20", "0.18", "0.11"],
        "memory": {"total": memory, "used": memory - free, "free": free} | available,
        "swap": {"total": 0, "used": 0, "free": 0},
        "ksm": {"shared": 0},
        "rootfs": {
            "total": disk,
            "used": capacity.HOST_DISK_BYTES,
            "free": disk - capacity.HOST_DISK_BYTES,
            "avail": disk - capacity.HOST_DISK_BYTES,
        },
        "cpuinfo": {
            "model": "AMD EPYC",
            "cpus": node.cpus,
            "cores": node.cpus,
            "sockets": 1,
            "mhz": "2596.148",
            "hvm": "",
            "user_hz": 100,
            "flags": "fpu vme de pse",
        },
    }
    return status


def container_index(_call: Call) -> Json:
    return [{"subdir": name} for name in SUBDIRS]


def status_index(_call: Call) -> Json:
    return [{"subdir": name} for name in ("current", "start", "stop", "shutdown", "reboot", "migrate")]
