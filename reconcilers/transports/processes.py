"""Processes by what they carry in their environment, so that a reused pid is never taken for one of ours."""

import contextlib
import enum
import os
import select
import signal
from collections.abc import Collection
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_ROUNDS: Final = 50
"""How often is looked again for what was begun in the meantime."""
_QUIET_ROUNDS: Final = 2
"""One look may miss who was begun behind its back by somebody who ended just then."""
_QUIET_ROUNDS_IN_DOUBT: Final = 5
_PAUSE_MS: Final = 5
_GONE_MS: Final = 200
_KERNEL_THREAD: Final = 0x00200000
_STATE, _FLAGS = 0, 6
"""Places in /proc/PID/stat behind the command, which may itself hold blanks and parentheses."""


class _Carries(enum.Enum):
    YES = "yes"
    NO = "no"
    IN_DOUBT = "in doubt"
    """It has just ended, perhaps after a fork, or is just executing; or it has no environment."""


def marked(variable: str, marks: Collection[str]) -> frozenset[int]:
    """Return the pids of all processes that have one of *marks* as *variable* in their environment."""
    return _look(_wanted(variable, marks))[0]


def end_marked(variable: str, marks: Collection[str]) -> frozenset[int]:
    """Kill all of them, and what they begin meanwhile; return their pids."""
    wanted = _wanted(variable, marks)
    ended: set[int] = set()
    quiet = 0
    for _ in range(_ROUNDS):
        found, is_sure = _look(wanted)
        ended |= {pid for pid in found if _kill(pid, wanted)}
        quiet = 0 if found else quiet + 1
        if quiet >= (_QUIET_ROUNDS if is_sure else _QUIET_ROUNDS_IN_DOUBT):
            break
        if quiet:
            select.poll().poll(_PAUSE_MS)
    return frozenset(ended)


def _wanted(variable: str, marks: Collection[str]) -> frozenset[bytes]:
    return frozenset(f"{variable}={mark}".encode() for mark in marks)


def _look(wanted: frozenset[bytes]) -> tuple[frozenset[int], bool]:
    """Return who carries one of *wanted*, and whether all others surely do not."""
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    answers = {pid: _carries(pid, wanted) for pid in pids}
    found = frozenset(pid for pid, answer in answers.items() if answer is _Carries.YES)
    return found, _Carries.IN_DOUBT not in answers.values()


def _carries(pid: int, wanted: frozenset[bytes]) -> _Carries:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except PermissionError:
        return _Carries.NO
    except OSError:  # it has ended, or is a thread of the kernel's
        environment = b""
    if environment:
        return _Carries.NO if wanted.isdisjoint(environment.split(b"\0")) else _Carries.YES
    try:
        after_command = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _Carries.IN_DOUBT
    is_settled = after_command[_STATE] in {"Z", "X"} or int(after_command[_FLAGS]) & _KERNEL_THREAD
    return _Carries.NO if is_settled else _Carries.IN_DOUBT


def _kill(pid: int, wanted: frozenset[bytes]) -> bool:
    """Kill that very process, and wait a moment until it is gone; False if it was gone already."""
    with contextlib.ExitStack() as stack:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        stack.callback(os.close, handle)
        # Asked again now that the descriptor holds on to it: the pid may have been given away.
        if _carries(pid, wanted) is not _Carries.YES:
            return False
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return False
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        waiting.poll(_GONE_MS)
        return True
