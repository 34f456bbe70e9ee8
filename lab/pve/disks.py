"""Disk images of containers: allocation, sizes, what becomes of them."""

import re
from typing import Final

from lab.pve import properties
from lab.pve.message import died
from lab.pve.state import Container, Storage, Volume, World

KIB: Final = 1024
UNITS: Final = {"": 1, "K": KIB, "M": KIB**2, "G": KIB**3, "T": KIB**4}
ALLOCATION: Final = re.compile(r"(?P<storage>[a-zA-Z][\w\-.]*):(?P<size>\d+(\.\d+)?)")
VOLUME: Final = re.compile(r"(?P<storage>[a-zA-Z][\w\-.]*):(?P<name>.*[^\d.].*)")
SNAPSHOT_TYPES: Final = frozenset({"btrfs", "zfspool", "lvmthin", "rbd"})
BLOCK_TYPES: Final = frozenset({"lvm", "lvmthin", "rbd"})


def to_bytes(size: str) -> int:
    """``1G``, ``512M``, ``0.5T``; a bare number is bytes."""
    unit = size[-1] if size[-1] in UNITS else ""
    return int(float(size.removesuffix(unit)) * UNITS[unit])


def printed(size_bytes: int) -> str:
    """In the largest unit that divides it."""
    for unit in ("T", "G", "M", "K"):
        if size_bytes >= UNITS[unit] and size_bytes % UNITS[unit] == 0:
            return f"{size_bytes // UNITS[unit]}{unit}"
    return str(size_bytes)


def volid_of(drive: str) -> str:
    """Return the volume of a rootfs or mpN value; a path for a bind mount."""
    return properties.parse(drive, "volume").get("volume", "")


def is_bind(drive: str) -> bool:
    return volid_of(drive).startswith("/")


def check(world: World, drive: str) -> None:
    """Refuse a value that names no existing storage or no volume at all, before any task starts.

    Raises: ApiError 500.
    """
    volume = volid_of(drive)
    if volume.startswith("/"):
        return
    found = ALLOCATION.fullmatch(volume) or VOLUME.fullmatch(volume)
    if found is None:
        raise died(f"unable to parse volume ID '{volume}'")
    storage = world.storage(found["storage"])
    if ALLOCATION.fullmatch(volume) and "rootdir" not in storage.content:
        raise died(f"storage '{storage.name}' does not support container directories")


def settle(world: World, container: Container, key: str, drive: str, now: float) -> str:
    """Allocate the disk that ``storage:GiB`` asks for and return the value that goes to the file."""
    values = properties.parse(drive, "volume")
    asked = ALLOCATION.fullmatch(values["volume"])
    if asked is None:
        return drive
    # sizes are cut to whole KiB (0.1 GiB is 102 M, as recorded: formatting works in MiB)
    size = int(float(asked["size"]) * KIB) * UNITS["M"]
    volume = allocate(world, world.storage(asked["storage"]), container, size, now)
    values["volume"] = volume.volid
    values["size"] = printed(size)
    return properties.join(values, first=("volume", "mp") if key != "rootfs" else ("volume",), bare="volume")


def allocate(world: World, storage: Storage, container: Container, size_bytes: int, now: float) -> Volume:
    used = {v.volid for v in world.volumes if v.storage == storage.name and v.vmid == container.vmid}
    number = 0
    while (volid := _volid(storage, container.vmid, number)) in used:
        number += 1
    node = "" if storage.shared else container.node
    kind = "raw" if storage.type in BLOCK_TYPES | {"dir", "btrfs", "nfs"} else "subvol"
    volume = Volume(volid, storage.name, node, "rootdir", kind, size_bytes, int(now), container.vmid)
    world.volumes.append(volume)
    return volume


def _volid(storage: Storage, vmid: int, number: int) -> str:
    if storage.type == "zfspool":
        return f"{storage.name}:subvol-{vmid}-disk-{number}"
    if storage.type in BLOCK_TYPES:
        return f"{storage.name}:vm-{vmid}-disk-{number}"
    return f"{storage.name}:{vmid}/vm-{vmid}-disk-{number}.raw"


def release(container: Container, drive: str) -> None:
    """Keep the volume of a drive that left the configuration as the next free ``unusedN``."""
    if is_bind(drive):
        return
    number = 0
    while f"unused{number}" in container.config:
        number += 1
    container.config[f"unused{number}"] = volid_of(drive)


def destroy(world: World, volid: str, node: str) -> None:
    world.volumes = [v for v in world.volumes if not (v.volid == volid and v.node in ("", node))]


def drives(container: Container) -> dict[str, str]:
    """Rootfs and mount points that are volumes."""
    return {
        key: text
        for key, text in container.config.items()
        if (key == "rootfs" or re.fullmatch(r"mp\d+", key)) and not is_bind(text)
    }


def size_of_root(container: Container) -> int:
    """Bytes of the root disk, from the volume; Proxmox shows 4 GiB while a container is being created."""
    root = container.config.get("rootfs")
    if root is None:
        return 4 * UNITS["G"]
    size = properties.parse(root, "volume").get("size")
    return to_bytes(size) if size else 0


def can_snapshot(world: World, container: Container) -> bool:
    names = {volid_of(drive).partition(":")[0] for drive in drives(container).values()}
    return all(world.storages[name].type in SNAPSHOT_TYPES for name in names if name in world.storages)


def with_size(drive: str, size_bytes: int) -> str:
    """Return the drive's value after a resize."""
    values = properties.parse(drive, "volume")
    values["size"] = printed(size_bytes)
    return properties.join(values, first=("volume", "mp"), bare="volume")
