"""Tasks: UPIDs, their times, the flock of a container that they hold."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lab.pve.message import ApiError, Body, Json, died
from lab.pve.state import Task, World

UPID: Final = re.compile(
    r"UPID:(?P<node>[a-zA-Z0-9-]+):(?P<pid>[0-9A-F]{8}):(?P<pstart>[0-9A-F]{8,9}):(?P<start>[0-9A-F]{8})"
    r":(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)
# seconds of simulated time, as measured on an idle node
DURATIONS_S: Final = MappingProxyType({
    "vzcreate": 2.0, "vzstart": 1.0, "vzstop": 0.3, "vzshutdown": 1.0, "vzreboot": 1.5, "vzdestroy": 0.4,
    "vzsnapshot": 0.4, "vzdelsnapshot": 0.4, "vzrollback": 0.5, "vzclone": 1.0, "vztemplate": 0.3,
    "resize": 0.5, "hastart": 1.2, "hastop": 1.2,
})  # fmt: skip
# the workers that keep the container's lock file while they run
LOCKING: Final = frozenset({"vzcreate", "vzstart", "vzstop", "vzshutdown", "vzreboot", "vzdestroy", "resize"})
FLOCK_TIMEOUT_S: Final = 10.0
FIRST_PID: Final = 400


@dataclass(frozen=True, slots=True)
class Plan:
    """A task to start: *id* is what its UPID names, *params* what its worker needs."""

    type: str
    vmid: int
    params: dict[str, str]
    node: str
    user: str
    extra_s: float = 0.0


def start(world: World, plan: Plan, now: float) -> Task:
    """Fork a worker; it begins when the container's lock is free and ends after its usual time."""
    begins = max(now, locked_until(world, plan.vmid)) if plan.type in LOCKING else now
    world.forked += 1
    pid = FIRST_PID + 7 * world.forked
    pstart = int((now - world.started_at) * 100) + 100_000
    upid = (
        f"UPID:{plan.node}:{pid:08X}:{pstart:08X}:{int(now):08X}:{plan.type}:{plan.vmid or ''}:{plan.user}:"
    )
    task = Task(
        upid=upid,
        node=plan.node,
        pid=pid,
        pstart=pstart,
        starttime=int(now),
        type=plan.type,
        id=str(plan.vmid or ""),
        user=plan.user,
        begins_at=begins,
        ends_at=begins + world.seconds(DURATIONS_S[plan.type] + plan.extra_s),
        params=plan.params,
        vmid=plan.vmid,
    )
    world.open_tasks.append(len(world.tasks))
    world.tasks.append(task)
    return task


def locked_until(world: World, vmid: int) -> float:
    """When the last holder of the container's lock file lets go; 0 if nobody holds it."""
    ends = [task.ends_at for task in world.unfinished() if task.vmid == vmid and task.type in LOCKING]
    return max([*ends, world.flocks.get(vmid, 0.0)])


def flock_timeout(vmid: int) -> ApiError:
    return died(f"can't lock file '/run/lock/lxc/pve-config-{vmid}.lock' - got timeout")


def find(world: World, upid: str, node: str) -> Task | None:
    return next((task for task in reversed(world.tasks) if task.upid == upid and task.node == node), None)


def finish(task: Task, exitstatus: str, log: Sequence[str]) -> None:
    """Store the exit; the last log line repeats it, as PVE::RESTEnvironment writes it."""
    last = f"TASK {exitstatus}" if exitstatus == "OK" else f"TASK ERROR: {exitstatus}"
    if exitstatus.startswith("WARNINGS"):
        last = f"TASK {exitstatus}"
    task.exitstatus = exitstatus
    task.log = [*log, last]


def described(task: Task) -> dict[str, Json]:
    """Return the members that every view of a task shares; a token's name is split in two."""
    user, _, token = task.user.partition("!")
    row: dict[str, Json] = {
        "upid": task.upid,
        "node": task.node,
        "pid": task.pid,
        "pstart": task.pstart,
        "starttime": task.starttime,
        "type": task.type,
        "id": task.id,
        "user": user,
    }
    return row | ({"tokenid": token} if token else {})


def status(task: Task, now: float) -> Body:
    if task.running(now):
        return described(task) | {"status": "running"}
    return described(task) | {"status": "stopped", "exitstatus": task.exitstatus}


def listed(task: Task, now: float) -> Body:
    """One row of a task list, where ``status`` is the exit status."""
    if task.running(now):
        return described(task)
    return described(task) | {"endtime": int(task.ends_at), "status": task.exitstatus}
