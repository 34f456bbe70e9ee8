"""Lists and states of containers, and switching them on and off."""

import ipaddress

from lab.pve import disks, properties, statd
from lab.pve.call import Call
from lab.pve.message import Json, died, refused_parameters
from lab.pve.state import Container


def _row(call: Call, container: Container) -> dict[str, Json]:
    node = call.world.nodes[container.node]
    cpus = statd.cpus(container, node)
    row: dict[str, Json] = dict(statd.counters(container, call.now))
    row |= {
        "vmid": container.vmid,
        "name": container.name,
        "type": "lxc",
        "status": "running" if container.running else "stopped",
        "cpus": int(cpus) if cpus.isdigit() else cpus,
        "swap": 0,
        "maxswap": int(container.config.get("swap", "0")) * disks.UNITS["M"],
    }
    row |= {key: container.config[key] for key in ("tags", "lock") if key in container.config}
    if container.config.get("template") == "1":
        row["template"] = 1
    return row | ({"pid": container.pid} if container.running else {})


def list_containers(call: Call) -> Json:
    """Return the containers of the node that the caller may audit: no right looks like no container."""
    mine = [c for c in call.world.containers.values() if c.node == call.node]
    return [_row(call, container) for container in mine if call.may(f"/vms/{container.vmid}", "VM.Audit")]


def current(call: Call) -> Json:
    container = call.container()
    ha: dict[str, Json] = {"managed": 0}
    if container.ha_state:
        ha = {"managed": 1, "state": container.ha_state}
        ha |= {"group": container.ha_group} if container.ha_group else {}
    row = _row(call, container) | {"ha": ha}
    if call.world.major >= 9 and container.running:  # noqa: PLR2004 - the version
        row |= dict.fromkeys(
            f"pressure{what}{how}" for what in ("cpu", "io", "memory") for how in ("some", "full")
        )
    return row


def _check_skiplock(call: Call) -> None:
    if "skiplock" in call.params and not call.who.is_root:
        raise refused_parameters({"skiplock": "Only root may use this option."})


def _running(call: Call) -> Container | None:
    container = call.world.find(call.vmid, call.node)
    return container if container is not None and container.running else None


def start(call: Call) -> Json:
    """Start a task; for a container that does not exist it fails."""
    _check_skiplock(call)
    if _running(call) is not None:
        raise died(f"CT {call.vmid} already running")
    if not call.world.quorate:
        raise died("cluster not ready - no quorum?")
    container = call.world.find(call.vmid, call.node)
    managed = container is not None and container.ha_state
    return call.start_task("hastart" if managed else "vzstart")


def stop(call: Call) -> Json:
    _check_skiplock(call)
    container = _running(call)
    if container is None:
        raise died(f"CT {call.vmid} not running")
    return call.start_task("hastop" if container.ha_state else "vzstop")


def shutdown(call: Call) -> Json:
    container = _running(call)
    if container is None:
        raise died(f"CT {call.vmid} not running")
    if container.ha_state:
        return call.start_task("hastop")
    patience_s = float(call.params.get("timeout", "60")) if container.deaf else 0.0
    return call.start_task("vzshutdown", extra_s=patience_s)


def reboot(call: Call) -> Json:
    """Start a task; HA is not asked, as PVE::API2::LXC::Status has it."""
    container = _running(call)
    if container is None:
        raise died(f"VM {call.vmid} not running")
    patience_s = float(call.params.get("timeout", "60")) if container.deaf else 0.0
    return call.start_task("vzreboot", extra_s=patience_s)


def interfaces(call: Call) -> Json:
    """Return the network as the container sees it, null while it is off or absent."""
    container = _running(call)
    if container is None:
        return None
    loopback = "00:00:00:00:00:00"
    rows: list[Json] = [{"name": "lo", "hwaddr": loopback, "hardware-address": loopback, "ip-addresses": []}]
    nets = (text for key, text in sorted(container.config.items()) if key.startswith("net"))
    return [*rows, *(_interface(properties.parse(text)) for text in nets)]


def _interface(values: dict[str, str]) -> Json:
    mac = values["hwaddr"].lower()
    row: dict[str, Json] = {"name": values["name"], "hwaddr": mac, "hardware-address": mac}
    static = values.get("ip", "")
    if "/" not in static:
        return row | {"ip-addresses": []}
    address = ipaddress.ip_interface(static)
    entry: dict[str, Json] = {
        "ip-address-type": "inet",
        "ip-address": str(address.ip),
        "prefix": address.network.prefixlen,
    }
    return row | {"inet": static, "ip-addresses": [entry]}


def feature(call: Call) -> Json:
    container = call.container()
    possible = call.params["feature"] == "copy" or disks.can_snapshot(call.world, container)
    return {"hasFeature": int(possible)}
