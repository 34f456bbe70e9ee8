"""Processes by what they carry in their environment, so that a reused pid is never taken for one of ours."""

import contextlib
import os
import select
import signal
from collections.abc import Collection
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_ROUNDS: Final = 50
"""How often is looked again for what was begun in the meantime."""
_GONE_MS: Final = 200


def marked(variable: str, marks: Collection[str]) -> frozenset[int]:
    """Return the pids of all processes that have one of *marks* as *variable* in their environment."""
    wanted = {f"{variable}={mark}".encode() for mark in marks}
    found = set()
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and _carries(int(entry.name), wanted):
            found.add(int(entry.name))
    return frozenset(found)


def end_marked(variable: str, marks: Collection[str]) -> int:
    """Kill all of them, and what they begin meanwhile; return how many there were."""
    wanted = {f"{variable}={mark}".encode() for mark in marks}
    ended = 0
    for _ in range(_ROUNDS):
        found = marked(variable, marks)
        if not found:
            break
        ended += sum(_kill(pid, wanted) for pid in found)
    return ended


def _carries(pid: int, wanted: Collection[bytes]) -> bool:
    try:
        return not set((_PROC / str(pid) / "environ").read_bytes().split(b"\0")).isdisjoint(wanted)
    except OSError:  # gone in the meantime, or another user's
        return False


def _kill(pid: int, wanted: Collection[bytes]) -> bool:
    """Kill that very process, and wait a moment until it is gone; False if it was gone already."""
    with contextlib.ExitStack() as stack:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        stack.callback(os.close, handle)
        # Asked again now that the descriptor holds on to it: the pid may have been given away.
        if not _carries(pid, wanted):
            return False
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return False
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        waiting.poll(_GONE_MS)
        return True
