"""Changes of a container's configuration: what is stored at once, what waits, what is refused."""

from lab.pve import disks, settings
from lab.pve.message import ApiError, died, refused_parameters
from lab.pve.properties import parse
from lab.pve.state import Container, World

REQUIRED = "rootfs"
READ_ONLY = "unprivileged"


def check_lock(container: Container) -> None:
    """Raise ApiError 500 if the configuration carries a lock."""
    lock = container.config.get("lock")
    if lock:
        raise died(f"CT is locked ({lock})")


def check_protection(container: Container, refusal: str) -> None:
    if container.config.get("protection") == "1":
        raise died(f"{refusal} - protection mode enabled")


def check_digest(container: Container, digest: str | None) -> None:
    if digest and digest != settings.digest(container):
        raise died("detected modified configuration - file changed by other user? Try again.")


def check_writable(world: World, container: Container) -> None:
    """Without quorum pmxcfs is read-only."""
    if not world.quorate:
        path = f"/etc/pve/nodes/{container.node}/lxc/{container.vmid}.conf.tmp.194"
        raise died(f"unable to open file '{path}' - Permission denied")


def check_bridges(world: World, container: Container) -> None:
    """Return what update_lxc_config does after the file was written: any unknown bridge fails the call.

    Raises: ApiError 500.
    """
    for key in sorted(container.config):
        bridge = parse(container.config[key]).get("bridge") if key.startswith("net") else None
        if bridge is not None and bridge not in world.bridges:
            raise died(f"bridge '{bridge}' does not exist")


def stage_delete(container: Container, key: str) -> None:
    """Mark one setting for deletion.

    Raises: ApiError 500 for rootfs and for the drives of a protected container.
    """
    if key == REQUIRED:
        raise died(f"unable to delete required option '{key}'")
    if settings.DRIVE.fullmatch(key):
        check_protection(container, f"can't update CT {container.vmid} drive '{key}'")
    if key not in container.config:
        return  # what only waits to be set goes on waiting, as recorded
    container.pending.pop(key, None)
    if key not in container.pending_delete:
        container.pending_delete.append(key)


def stage_value(world: World, container: Container, key: str, text: str) -> None:
    """Mark one setting for change.

    Raises: ApiError 500 for what can never change and for drives that cannot be.
    """
    if key == READ_ONLY:
        raise died(f"unable to modify read-only option: '{key}'")
    if settings.DRIVE.fullmatch(key):
        check_protection(container, f"can't update CT {container.vmid} drive '{key}'")
        disks.check(world, text)
    if key == "description" and not text:
        stage_delete(container, key)
        return
    if key in container.pending_delete:
        container.pending_delete.remove(key)
    value = settings.normal_form(world, key, text)
    if container.config.get(key) == value:
        container.pending.pop(key, None)
    else:
        container.pending[key] = value


def revert(container: Container, keys: list[str]) -> None:
    for key in keys:
        container.pending.pop(key, None)
        if key in container.pending_delete:
            container.pending_delete.remove(key)


def apply_pending(world: World, container: Container, now: float) -> None:
    """Move every waiting change into the configuration, as a start does even when it fails later."""
    for key in list(container.pending_delete) + list(container.pending):
        apply_one(world, container, key, now)


def apply_hot(world: World, container: Container, now: float) -> None:
    """Move the changes that a running container takes into the configuration.

    Raises: ApiError 400 naming the interface that cannot be plugged.
    """
    for key in list(container.pending_delete) + list(container.pending):
        if settings.is_hot(world, container, key):
            check_plug(world, container, key)
            apply_one(world, container, key, now)


def check_plug(world: World, container: Container, key: str) -> None:
    bridge = parse(container.pending.get(key, "")).get("bridge") if key.startswith("net") else None
    if bridge is not None and bridge not in world.bridges:
        raise refused_parameters({key: f"unable to hotplug {key}: bridge '{bridge}' does not exist\n"})


def apply_one(world: World, container: Container, key: str, now: float) -> None:
    """Carry out the waiting change of one setting."""
    old = container.config.get(key)
    if key in container.pending_delete:
        container.pending_delete.remove(key)
        _remove(world, container, key)
    if key not in container.pending:
        return
    value = container.pending.pop(key)
    if settings.DRIVE.fullmatch(key):
        value = disks.settle(world, container, key, value, now)
        if old is not None and disks.volid_of(old) != disks.volid_of(value):
            disks.release(container, old)
    container.config[key] = value


def _remove(world: World, container: Container, key: str) -> None:
    old = container.config.pop(key, None)
    if old is None:
        return
    if key.startswith("unused"):
        disks.destroy(world, old, container.node)
    elif settings.DRIVE.fullmatch(key):
        disks.release(container, old)


def attempt(container: Container, world: World, now: float) -> ApiError | None:
    """Apply what can be applied now; an error that leaves the file as it was restores it.

    Returns the answer that the caller still has to give although the file is stored.
    """
    if container.running:
        apply_hot(world, container, now)
    else:
        apply_pending(world, container, now)
    try:
        check_bridges(world, container)
    except ApiError as error:
        return error
    return None
