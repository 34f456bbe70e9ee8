"""Birth and end of containers: creation from a template, clones, templates, destruction."""

import re
from typing import Final

from lab.pve import disks, settings
from lab.pve.message import died
from lab.pve.properties import join, parse
from lab.pve.state import Container, Task, Volume, World

# parameters of POST lxc that are not settings of the container
ONLY_AT_CREATION: Final = frozenset({
    "node", "vmid", "ostemplate", "password", "ssh-public-keys", "storage", "pool", "bwlimit", "restore",
    "force", "unique", "ignore-unpack-errors", "start", "ha-managed",
})  # fmt: skip
ROOT_GIB: Final = 4
SMALL_BLOCKS_BELOW: Final = 512 * disks.UNITS["M"]


def begin(world: World, vmid: int, node: str, ostemplate: str) -> Container:
    """Reserve the VMID: the file with nothing but the lock exists before the request is answered."""
    container = Container(vmid, node, {"lock": "create"}, ostemplate=ostemplate)
    world.containers[vmid] = container
    return container


def settings_of(params: dict[str, str]) -> dict[str, str]:
    return {key: text for key, text in params.items() if key not in ONLY_AT_CREATION}


def unprivileged(world: World, params: dict[str, str]) -> bool:
    """Tell what a new container will be: the default changed with version 9."""
    default = "1" if world.major >= 9 else "0"  # noqa: PLR2004 - the version
    return params.get("unprivileged", default) == "1"


def allocate_root(world: World, container: Container, params: dict[str, str], now: float) -> str:
    root = params.get("rootfs") or f"{params.get('storage', 'local')}:{ROOT_GIB}"
    return disks.settle(world, container, "rootfs", root, now)


def build(world: World, container: Container, params: dict[str, str], now: float) -> list[str]:
    """Fill the disks and write the configuration; returns the log.

    Raises: ApiError with the text that the task ends with.
    """
    wanted = settings_of(params)
    config = {"rootfs": allocate_root(world, container, params, now)}
    for key in sorted(key for key in wanted if re.fullmatch(r"mp\d+", key)):
        config[key] = disks.settle(world, container, key, wanted[key], now)
    if world.volume(container.ostemplate, container.node) is None:
        raise died(f"unable to create CT {container.vmid} - volume '{container.ostemplate}' does not exist")
    for key, text in wanted.items():
        if key not in config and key != "unprivileged" and not (key == "description" and not text):
            config[key] = settings.normal_form(world, key, text)
    for key, text in defaults(container).items():
        config.setdefault(key, text)
    if unprivileged(world, params):
        config["unprivileged"] = "1"
    container.config = config
    return log_of(world, container)


def defaults(container: Container) -> dict[str, str]:
    return {
        "hostname": f"CT{container.vmid}",
        "memory": "512",
        "swap": "512",
        "arch": "amd64",
        "ostype": ostype_of(container.ostemplate),
    }


def ostype_of(ostemplate: str) -> str:
    """Return what the unpacked template would tell; here its name does."""
    name = ostemplate.rpartition("/")[2]
    known = ("debian", "ubuntu", "alpine", "fedora", "centos", "archlinux", "devuan", "opensuse", "gentoo")
    return next((word for word in known if word in name), "unmanaged")


def log_of(world: World, container: Container) -> list[str]:
    lines: list[str] = []
    drives = disks.drives(container)
    for key in sorted(drives, key=lambda key: (key != "rootfs", key)):
        volume = world.volume(disks.volid_of(drives[key]), container.node)
        if volume is not None:
            lines += formatting_log(world, volume)
    archive = container.ostemplate.rpartition("/")[2]
    return [
        *lines,
        f"extracting archive '/var/lib/vz/template/cache/{archive}'",
        "Total bytes read: 4874240 (4.7MiB, 240MiB/s)",
        "Detected container architecture: amd64",
    ]


def formatting_log(world: World, volume: Volume) -> list[str]:
    """Return what qemu-img and mkfs.ext4 print."""
    path = f"{world.storages[volume.storage].path}/images/{volume.volid.partition(':')[2]}"
    block, first = (4096, 32768) if volume.size_bytes >= SMALL_BLOCKS_BELOW else (1024, 8192)
    blocks = volume.size_bytes // block
    groups = sorted(base**n for base in (3, 5, 7) for n in range(8))
    offset = 0 if block == 4096 else 1  # noqa: PLR2004 - the block size above
    backups = [
        str(group * first + offset) for group in dict.fromkeys(groups) if group * first + offset < blocks
    ]
    uuid = world.draw().hex()
    return [
        f"Formatting '{path}', fmt=raw size={volume.size_bytes} preallocation=off",
        f"Creating filesystem with {blocks} {block // 1024}k blocks and {blocks // 4} inodes",
        f"Filesystem UUID: {uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:32]}",
        "Superblock backups stored on blocks: ",
        "\t" + ", ".join(backups),
    ]


def tear_down(world: World, container: Container, *, unreferenced: bool = False) -> None:
    """Remove the container with its disks; a CT that was only half created loses every image it has."""
    used = {disks.volid_of(text) for key, text in container.config.items() if _is_disk(key)}
    half_created = container.config.get("lock") == "create"
    world.volumes = [
        volume
        for volume in world.volumes
        if not (volume.volid in used and volume.node in ("", container.node))
        and not (volume.vmid == container.vmid and (unreferenced or half_created))
    ]
    del world.containers[container.vmid]
    world.statd.pop(container.vmid, None)
    world.acl = [entry for entry in world.acl if entry.path != f"/vms/{container.vmid}"]


def _is_disk(key: str) -> bool:
    return settings.DRIVE.fullmatch(key) is not None or key.startswith("unused")


def copy(world: World, source: Container, target: Container, task: Task) -> None:
    """Clone in full: new disks, new MAC addresses, everything else as in the source."""
    saved = source.snapshots.get(task.params.get("snapname", ""), source.config)
    left_out = ("lock", "parent", "template", "snaptime")
    config = {
        key: text for key, text in saved.items() if key not in left_out and not key.startswith("unused")
    }
    for key, text in config.items():
        if settings.DRIVE.fullmatch(key) and not disks.is_bind(text):
            config[key] = _copied_drive(world, source, target, text, task)
        elif key.startswith("net"):
            values = parse(text)
            del values["hwaddr"]
            config[key] = settings.network(world, join(values, first=("name",)))
    for key in ("hostname", "description"):
        if key in task.params:
            config[key] = task.params[key]
    target.config = config
    target.ostemplate = source.ostemplate


def _copied_drive(world: World, source: Container, target: Container, text: str, task: Task) -> str:
    values = parse(text, "volume")
    name = task.params.get("storage") or values["volume"].partition(":")[0]
    original = world.volume(values["volume"], source.node)
    # the image has its present size also where a snapshot remembers an older one
    size = original.size_bytes if original is not None else disks.to_bytes(values["size"])
    volume = disks.allocate(world, world.storage(name), target, size, task.ends_at)
    values["volume"], values["size"] = volume.volid, disks.printed(size)
    return join(values, first=("volume", "mp"), bare="volume")


def make_template(world: World, container: Container) -> None:
    """Do what the worker of POST template does: base images instead of disks."""
    for key, text in disks.drives(container).items():
        volid = disks.volid_of(text)
        base = re.sub(r"\b(vm|subvol)-", "base-", volid)
        for volume in world.volumes:
            if volume.volid == volid and volume.node in ("", container.node):
                volume.volid = base
        container.config[key] = text.replace(volid, base)
    container.config["template"] = "1"
