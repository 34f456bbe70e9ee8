"""The settings of a container: normal forms, the configuration file, what changes without a restart."""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from lab.pve import formats, properties
from lab.pve.message import Json
from lab.pve.schema import INDEXED, Property, load
from lab.pve.state import Container, World

CONFIG_TEMPLATE: Final = "/nodes/{node}/lxc/{vmid}/config"
HOT: Final = frozenset({
    "description", "onboot", "startup", "protection", "hostname", "hookscript",
    "cores", "tags", "lock", "memory", "swap", "cpulimit", "cpuunits",
})  # fmt: skip
NOT_SETTINGS: Final = frozenset({"node", "vmid", "digest", "delete", "revert"})
DRIVE: Final = re.compile(r"rootfs|mp\d+")


def property_of(version: str, key: str) -> Property | None:
    """Return the schema of one setting, ``None`` for what is no setting in this version."""
    if key in NOT_SETTINGS:
        return None
    if key.startswith("unused") and INDEXED.fullmatch(key):
        return Property()
    return load(version)[CONFIG_TEMPLATE]["PUT"].param(key)


def network(world: World, text: str) -> str:
    """Return the normal form of netN: a missing hwaddr is invented each time, ``type=veth`` always there."""
    values = properties.parse(text)
    values.setdefault("hwaddr", _mac_address(world))
    values.setdefault("type", "veth")
    return properties.join(values, first=("name", "bridge"))


def _mac_address(world: World) -> str:
    return "BC:24:11:" + ":".join(f"{byte:02X}" for byte in world.draw()[:3])


def tags(text: str) -> str:
    """Lower-case, sorted, unique; an empty list is stored as one blank."""
    return ";".join(sorted({tag.lower() for tag in formats.split_list(text)})) or " "


def normal_form(world: World, key: str, text: str) -> str:
    """Return what Proxmox writes to the file for a value that passed the schema (disks are disks.py's)."""
    prop = property_of(world.version, key)
    if key == "tags":
        return tags(text)
    if key.startswith("net"):
        return network(world, text)
    if prop is not None and prop.type in ("integer", "boolean"):
        return str(int(text))
    return text


def shown(world: World, key: str, text: str) -> Json:
    """One value as GET config prints it: integers as numbers, numbers (cpulimit) as text."""
    prop = property_of(world.version, key)
    if key == "description":
        return text if text.endswith("\n") else text + "\n"
    if key == "snaptime" or (prop is not None and prop.type in ("integer", "boolean")):
        return int(text)
    return text


def shown_all(world: World, values: Mapping[str, str]) -> dict[str, Json]:
    return {key: shown(world, key, text) for key, text in values.items()}


def is_hot(world: World, container: Container, key: str) -> bool:
    """Whether a running container takes the change at once (LXC/Config.pm vmconfig_hotplug_pending)."""
    added = key not in container.config
    return (
        key in HOT
        or (key.startswith("net") and INDEXED.fullmatch(key) is not None)
        or (key.startswith("mp") and added)
        or (key.startswith("dev") and added and world.major >= 9)  # noqa: PLR2004 - the version
        or key.startswith("unused")
    )


def config_file(container: Container) -> str:
    """Return the text of /etc/pve/lxc/VMID.conf, of which the digest is the SHA-1."""
    text = _section(container.config)
    if container.pending or container.pending_delete:
        pending = dict(container.pending)
        if container.pending_delete:
            pending["delete"] = ",".join(container.pending_delete)
        text += "\n[pve:pending]\n" + _section(pending)
    for name in sorted(container.snapshots):
        text += f"\n[{name}]\n" + _section(container.snapshots[name])
    return text


def digest(container: Container) -> str:
    return hashlib.sha1(config_file(container).encode(), usedforsecurity=False).hexdigest()


def _section(values: Mapping[str, str]) -> str:
    comment = "".join(f"#{_escape(line)}\n" for line in values.get("description", "").splitlines())
    return comment + "".join(f"{key}: {values[key]}\n" for key in sorted(values) if key != "description")


def _escape(line: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c not in "%:" else _percent(c) for c in line)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
