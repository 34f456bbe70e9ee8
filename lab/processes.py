"""Processes as (pid, start time), so that a reused pid is never taken for one of ours, nor ended."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reconcilers.transports.processes import marked as pids_marked

#: Environment variable that every part carries, and its children inherit; its value is the lab's secret mark.
MARK = "PSA_LAB_PART"
_RETITLED = "postgres"


@dataclass(frozen=True, slots=True, order=True)
class Process:
    """One process; ``started`` is field 22 of /proc/PID/stat, in clock ticks since boot."""

    pid: int
    started: int


def identify(pid: int) -> Process | None:
    """Return the process that has *pid* now, or None if none has or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command in parentheses may itself hold blanks and parentheses.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else Process(pid, int(fields[19]))


def is_alive(process: Process) -> bool:
    """Whether that very process still runs."""
    return identify(process.pid) == process


def marked(mark: str) -> frozenset[Process]:
    """Return all processes that carry *mark*: the parts and whatever they started. Never this one."""
    pids = pids_marked(MARK, [mark]) - {os.getpid()}
    return frozenset(process for pid in pids if (process := identify(pid)) is not None)


def retitled(folder: Path) -> frozenset[Process]:
    """Return PostgreSQL's processes that work in *folder*: they write their title over their environment.

    So they carry no mark, and one that is stopped outlives its server.
    """
    found = (identify(int(each.name)) for each in Path("/proc").iterdir() if each.name.isdecimal())
    return frozenset(process for process in found if process is not None and _is_retitled(process, folder))


def _is_retitled(process: Process, folder: Path) -> bool:
    place = Path(f"/proc/{process.pid}")
    try:
        is_server = (place / "exe").readlink().name == _RETITLED
        return is_server and (place / "cwd").readlink().is_relative_to(folder)
    except OSError:  # it is gone, or none of ours
        return False


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to that very process; False if it is gone."""
    with _opened(process) as descriptor:
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        return True


def wait_gone(processes: Iterable[Process], seconds: float) -> frozenset[Process]:
    """Wait until all are gone, at most *seconds*; return those that are left."""
    deadline = time.monotonic() + seconds
    left = set()
    for process in processes:
        with _opened(process) as descriptor:
            if descriptor is None:
                continue
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                left.add(process)
    return frozenset(left)


def end(processes: Iterable[Process], *, grace_s: float) -> frozenset[Process]:
    """End all: SIGTERM, after *grace_s* seconds SIGKILL; return what even that did not end."""
    asked = frozenset(process for process in processes if send(process, signal.SIGTERM))
    left = wait_gone(asked, grace_s)
    for process in left:
        send(process, signal.SIGKILL)
    return wait_gone(left, 5.0)


@contextlib.contextmanager
def _opened(process: Process) -> Iterator[int | None]:
    """Open a descriptor that means that very process, even if the pid is given away while we look."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if is_alive(process) else None
    finally:
        os.close(descriptor)
