"""What the workers do: each task type changes the world once, when its time has come."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from lab.pve import config_change, creation, disks, snapshots, statd, tasks
from lab.pve.message import ApiError, died
from lab.pve.properties import parse
from lab.pve.state import Container, Task, World

LOST_EXIT: Final = "unable to read tail (got 0 bytes)"
KEPT_TASKS: Final = 400
REFUSAL_S: Final = 0.1
Work = Callable[[World, Task], list[str]]


def advance(world: World, now: float) -> None:
    """Let every task and every sample of pvestatd happen that is due until *now*."""
    for task in sorted(world.unfinished(), key=lambda task: task.ends_at):
        begin(world, task, now)
        if task.ends_at <= now:
            statd.sample(world, task.ends_at)
            perform(world, task)
    statd.sample(world, now)
    _forget_old_tasks(world)


def _forget_old_tasks(world: World) -> None:
    """Proxmox rotates its task index, too."""
    if len(world.tasks) > 2 * KEPT_TASKS and min(world.open_tasks, default=KEPT_TASKS) >= KEPT_TASKS:
        world.tasks = world.tasks[KEPT_TASKS:]
        world.open_tasks = [place - KEPT_TASKS for place in world.open_tasks]


def finish_early(world: World, vmid: int, until: float) -> None:
    """Let the tasks of one container happen that its lock's next holder waits for."""
    for task in sorted(world.unfinished(), key=lambda task: task.ends_at):
        if task.vmid == vmid and task.ends_at <= until:
            perform(world, task)


def begin(world: World, task: Task, now: float) -> None:
    """Let a worker do what it does as soon as it has the lock; what it refuses ends it at once."""
    if task.begun or task.begins_at > now:
        return
    task.begun = True
    check = CHECKS.get(task.type)
    if check is None:
        return
    try:
        check(world, task)
    except ApiError as refusal:
        task.refused = refusal.text
        task.ends_at = min(task.ends_at, task.begins_at + world.seconds(REFUSAL_S))


def perform(world: World, task: Task) -> None:
    world.open_tasks.remove(world.tasks.index(task))
    node = world.nodes[task.node]
    if task.lost or (node.down_since is not None and node.down_since < task.ends_at):
        _lose(world, task)
        return
    if task.refused:
        tasks.finish(task, task.refused, [])
        return
    try:
        log = WORK[task.type](world, task)
    except ApiError as failure:
        tasks.finish(task, failure.text, [])
    else:
        tasks.finish(task, "OK", log)


def _lose(world: World, task: Task) -> None:
    """Leave everything as it is: the worker was killed, nobody cleans up, the log is empty."""
    if task.type == "vzcreate":
        container = world.containers[task.vmid]
        creation.allocate_root(world, container, task.params, task.ends_at)
    task.exitstatus = LOST_EXIT


def _fail_if_told(task: Task) -> None:
    if task.fails_with:
        raise died(task.fails_with)


def create(world: World, task: Task) -> list[str]:
    container = world.containers[task.vmid]
    try:
        _fail_if_told(task)
        log = creation.build(world, container, task.params, task.ends_at)
    except ApiError:
        creation.tear_down(world, container)
        raise
    if task.params.get("start") == "1":
        boot(world, container, task.ends_at)
    return log


def check_start(world: World, task: Task) -> None:
    container = world.load(task.vmid, task.node)
    if task.params.get("skiplock") != "1":
        config_change.check_lock(container)
    if container.config.get("template") == "1":
        raise died("you can't start a CT if it's a template")
    if container.running:
        raise died(f"CT {task.vmid} already running")


def start(world: World, task: Task) -> list[str]:
    container = world.load(task.vmid, task.node)
    # applied even when the start fails afterwards, as recorded
    config_change.apply_pending(world, container, task.ends_at)
    _fail_if_told(task)
    boot(world, container, task.ends_at)
    return []


def boot(world: World, container: Container, now: float) -> None:
    """Raise ApiError with the text that the start's task ends with."""
    config_change.check_bridges(world, container)
    for drive in disks.drives(container).values():
        volid = disks.volid_of(drive)
        if world.volume(volid, container.node) is None:
            raise died(f"volume '{volid}' does not exist")
    for key in sorted(container.config):
        device = parse(container.config[key], "path").get("path", "") if key.startswith("dev") else ""
        if device and device not in world.devices:
            raise died(f"Device {device} does not exist")
    container.started_at = now
    container.pid = tasks.FIRST_PID + 3 * world.running_version
    world.mark_running_changed()


def halt(world: World, container: Container) -> None:
    container.started_at = None
    container.pid = 0
    world.mark_running_changed()


def stop(world: World, task: Task) -> list[str]:
    container = world.load(task.vmid, task.node)
    _fail_if_told(task)
    if not container.running:
        raise died(f"CT {task.vmid} not running")
    halt(world, container)
    return []


def shutdown(world: World, task: Task) -> list[str]:
    container = world.load(task.vmid, task.node)
    _fail_if_told(task)
    if container.deaf and task.params.get("forceStop") != "1":
        raise died("container did not stop")
    if container.running:
        halt(world, container)
    return []


def begin_reboot(world: World, task: Task) -> None:
    """Switch it off, so that it is seen to be off; one that is deaf stays on for its time."""
    container = world.load(task.vmid, task.node)
    if container.running and not container.deaf and not task.fails_with:
        halt(world, container)


def reboot(world: World, task: Task) -> list[str]:
    """Cut the power of one that is still on (PVE::LXC::vm_reboot), then start it; no lock is looked at."""
    container = world.load(task.vmid, task.node)
    _fail_if_told(task)
    if container.running:
        halt(world, container)
    config_change.apply_pending(world, container, task.ends_at)
    boot(world, container, task.ends_at)
    return []


def check_destroy(world: World, task: Task) -> None:
    container = world.load(task.vmid, task.node)
    config_change.check_lock(container)
    if container.running and task.params.get("force") != "1":
        raise died(f"unable to destroy CT {task.vmid} - container is running")


def destroy(world: World, task: Task) -> list[str]:
    container = world.load(task.vmid, task.node)
    _fail_if_told(task)
    if not world.quorate:
        path = f"/etc/pve/nodes/{task.node}/lxc/{task.vmid}.conf.tmp.770"
        raise died(f"unable to open file '{path}' - Permission denied")
    if container.running:
        halt(world, container)
    creation.tear_down(world, container, unreferenced=task.params.get("destroy-unreferenced-disks") == "1")
    return (
        [f"purging CT {task.vmid} from related configurations.."] if task.params.get("purge") == "1" else []
    )


def resize(world: World, task: Task) -> list[str]:
    container = world.load(task.vmid, task.node)
    _fail_if_told(task)
    drive = container.config[task.params["disk"]]
    size = int(task.params["bytes"])
    for volume in world.volumes:
        if volume.volid == disks.volid_of(drive) and volume.node in ("", task.node):
            volume.size_bytes = size
    container.config[task.params["disk"]] = disks.with_size(drive, size)
    return []


def take_snapshot(world: World, task: Task) -> list[str]:
    _fail_if_told(task)
    container = world.load(task.vmid, task.node)
    snapshots.take(
        world, container, task.params["snapname"], task.params.get("description", ""), task.ends_at
    )
    return []


def drop_snapshot(world: World, task: Task) -> list[str]:
    _fail_if_told(task)
    snapshots.drop(world.load(task.vmid, task.node), task.params["snapname"])
    return []


def roll_back(world: World, task: Task) -> list[str]:
    _fail_if_told(task)
    container = world.load(task.vmid, task.node)
    snapshots.check_known(container, task.params["snapname"])
    if container.running:
        halt(world, container)
    snapshots.restore(container, task.params["snapname"])
    if task.params.get("start") == "1":
        boot(world, container, task.ends_at)
    return []


def clone(world: World, task: Task) -> list[str]:
    _fail_if_told(task)
    creation.copy(world, world.load(task.vmid, task.node), world.containers[int(task.params["newid"])], task)
    return []


def to_template(world: World, task: Task) -> list[str]:
    _fail_if_told(task)
    creation.make_template(world, world.load(task.vmid, task.node))
    return []


def request_of_ha(_world: World, task: Task) -> list[str]:
    """Do nothing: an HA task only files the request and ends well before anything happens."""
    _fail_if_told(task)
    return []


CHECKS: Final[Mapping[str, Callable[[World, Task], None]]] = MappingProxyType(
    {
        "vzstart": check_start,
        "vzdestroy": check_destroy,
        "vzreboot": begin_reboot,
    }
)
WORK: Final[Mapping[str, Work]] = MappingProxyType({
    "vzcreate": create, "vzstart": start, "vzstop": stop, "vzshutdown": shutdown, "vzreboot": reboot,
    "vzdestroy": destroy, "resize": resize, "vzsnapshot": take_snapshot, "vzdelsnapshot": drop_snapshot,
    "vzrollback": roll_back, "vzclone": clone, "vztemplate": to_template,
    "hastart": request_of_ha, "hastop": request_of_ha,
})  # fmt: skip
