"""POST and DELETE of containers, resize, clone, conversion to a template."""

from lab.pve import access, config_access, config_change, creation, disks, settings
from lab.pve.call import Call
from lab.pve.message import ApiError, Json, died, forbidden
from lab.pve.state import Container


def _check_pool(call: Call) -> None:
    if "pool" in call.params:
        raise forbidden(f"pool '{call.params['pool']}' does not exist")


def _check_unused(call: Call, vmid: int) -> None:
    """Refuse a VMID that the cluster has: of parallel requests one wins."""
    existing = call.world.containers.get(vmid)
    if existing is not None:
        raise died(f"CT {vmid} already exists on node '{existing.node}'")


def create(call: Call) -> Json:
    """Reserve the VMID and start the worker; the template itself is looked for by the worker.

    Raises: ApiError 403 without VM.Allocate or the rights of the settings, 500 for a VMID in use,
    unknown storages and lost quorum.
    """
    world, params = call.world, call.params
    _check_pool(call)
    if not call.may(f"/vms/{call.vmid}", "VM.Allocate"):
        raise forbidden()
    if not world.quorate:
        raise died("cluster not ready - no quorum?")
    _check_unused(call, call.vmid)
    if call.flag("restore"):
        raise died("restoring backups is beyond this simulator")
    wanted = creation.settings_of(params)
    if "rootfs" not in wanted and any(key.startswith("mp") for key in wanted):
        raise died("mount points configured, but 'rootfs' not set - aborting")
    world.storage(params["ostemplate"].partition(":")[0])
    _check_rights(call, wanted)
    for key, text in wanted.items():
        if settings.DRIVE.fullmatch(key):
            disks.check(world, text)
    world.storage(params.get("storage", "local"))
    creation.begin(world, call.vmid, call.node, params["ostemplate"])
    return call.start_task("vzcreate")


def _check_rights(call: Call, wanted: dict[str, str]) -> None:
    world, storage = call.world, call.params.get("storage", "local")
    privileged = not creation.unprivileged(world, call.params)
    if world.major >= 9 and privileged:  # noqa: PLR2004 - the version
        access.require(world, call.who, "/", "Sys.Modify")
    if "rootfs" not in wanted:
        access.require(world, call.who, f"/storage/{storage}", "Datastore.AllocateSpace")
    as_created = {} if privileged else {"unprivileged": "1"}
    config_access.check(world, call.who, call.vmid, wanted, as_created)


def destroy(call: Call) -> Json:
    """Check what can be checked at once; a second request meets the first one's result in its task."""
    container = call.container()
    config_change.check_protection(container, f"can't remove CT {call.vmid}")
    config_change.check_lock(container)
    if container.ha_state and not call.flag("purge"):
        raise died(f"unable to remove CT {call.vmid} - used in HA resources and purge parameter not set.")
    if container.running and not call.flag("force"):
        raise died(f"unable to destroy CT {call.vmid} - container is running")
    return call.start_task("vzdestroy")


def resize(call: Call) -> Json:
    """Grow one disk, by ``+SIZE`` or to SIZE."""
    container, disk, size = call.container(), call.params["disk"], call.params["size"]
    config_change.check_lock(container)
    config_change.check_digest(container, call.params.get("digest"))
    if disk not in container.config:
        missing = "property is missing and it is not optional"
        raise refused_format({"mp": missing, "volume": missing})
    volume = call.world.volume(disks.volid_of(container.config[disk]), call.node)
    if volume is None:
        raise died(f"volume '{disks.volid_of(container.config[disk])}' does not exist")
    wanted = disks.to_bytes(size.removeprefix("+")) + (volume.size_bytes if size.startswith("+") else 0)
    if wanted < volume.size_bytes:
        raise died("unable to shrink disk size")
    if wanted == volume.size_bytes:
        raise died("disk is already at specified size")
    return call.start_task("resize", bytes=str(wanted))


def refused_format(errors: dict[str, str]) -> ApiError:
    """Answer 500 with ``errors``: a format error outside of the parameter check."""
    return ApiError(500, "format error", errors=errors)


def clone(call: Call) -> Json:
    """Full clones only: no storage here has linked ones."""
    world, source, newid = call.world, call.container(), int(call.params["newid"])
    _check_pool(call)
    _check_unused(call, newid)
    if "storage" in call.params:
        world.storage(call.params["storage"])
    snapshot = call.params.get("snapname")
    if snapshot is not None and snapshot not in source.snapshots:
        raise died(f"snapshot '{snapshot}' does not exist")
    _check_clone_kind(call, source, snapshot)
    target = creation.begin(world, newid, call.params.get("target", call.node), source.ostemplate)
    target.config["lock"] = "create"
    return call.start_task("vzclone")


def _check_clone_kind(call: Call, source: Container, snapshot: str | None) -> None:
    volids = [disks.volid_of(text) for text in disks.drives(source).values()]
    is_template = source.config.get("template") == "1"
    if call.params.get("full", "0" if is_template else "1") == "0":
        raise died(f"Linked clone feature for '{volids[0]}' is not available")
    if source.running and snapshot is None:
        raise died("Cannot do full clones on a running container without snapshots")
    local = any(not call.world.storages[volid.partition(":")[0]].shared for volid in volids)
    if call.params.get("target", call.node) != call.node and local:
        raise died(f"can't clone CT to node '{call.params['target']}' (CT uses local storage)")


def make_template(call: Call) -> Json:
    """Answers at once; a worker does it, so the configuration changes a little later."""
    container = call.container()
    config_change.check_lock(container)
    if container.config.get("template") == "1":
        raise died("you can't convert a template to a template")
    if container.snapshots:
        raise died("unable to create template, because CT contains snapshots")
    if container.running:
        raise died("you can't convert a CT to template if the CT is running")
    call.start_task("vztemplate")
    return None
