"""/nodes/{node}/lxc/{vmid}/snapshot."""

from lab.pve import config_change, settings, snapshots
from lab.pve.call import Call
from lab.pve.message import Json, died


def list_snapshots(call: Call) -> Json:
    return snapshots.listed(call.world, call.container())


def create(call: Call) -> Json:
    """Whether the storage can is found out by the task."""
    if call.params["snapname"] == "current":
        raise died("unable to use snapshot name 'current' (reserved name)")
    return call.start_task("vzsnapshot")


def delete(call: Call) -> Json:
    return call.start_task("vzdelsnapshot")


def rollback(call: Call) -> Json:
    return call.start_task("vzrollback")


def get_config(call: Call) -> Json:
    container = call.container()
    snapshots.check_known(container, call.params["snapname"])
    return settings.shown_all(call.world, container.snapshots[call.params["snapname"]])


def put_config(call: Call) -> Json:
    container = call.container()
    config_change.check_lock(container)
    snapshots.check_known(container, call.params["snapname"])
    if "description" in call.params:
        container.snapshots[call.params["snapname"]]["description"] = call.params["description"]
    return None
