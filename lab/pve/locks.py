"""Waiting for a container's lock file (/run/lock/lxc/pve-config-VMID.lock)."""

from lab.pve import tasks, work
from lab.pve.call import Call
from lab.pve.message import ApiError


def wait_for_flock(call: Call) -> None:
    """Let the call wait until the holder of the lock is done, at most ten seconds.

    The holder's task is finished now and the answer is late by the rest of its time.
    Raises: ApiError 500 `got timeout`, also late.
    """
    world, until = call.world, tasks.locked_until(call.world, call.vmid)
    if until <= call.now:
        return
    patience_s = world.seconds(tasks.FLOCK_TIMEOUT_S)
    if until - call.now > patience_s:
        refusal = tasks.flock_timeout(call.vmid)
        raise ApiError(refusal.status, refusal.text, delay_s=patience_s)
    work.finish_early(world, call.vmid, until)
    call.delay_s += until - call.now
