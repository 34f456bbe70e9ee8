"""One hook's process, from its start until nothing of it is left. It blocks: for a thread of its own."""

import contextlib
import enum
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcilers.contract import NotSentError, TransientError
from reconcilers.transports.hook_command import (
    MARK,
    Command,
    Refuse,
    executable_of,
    open_program,
    why_not_started,
)
from reconcilers.transports.hook_output import Output
from reconcilers.transports.processes import end_marked, marked

_CHUNK: Final = 65536
_MOST_LEFT_IN_PIPE: Final = 2 * 1024 * 1024
_UNKILLABLE_S: Final = 10.0
"""How long a process may take to die of SIGKILL, before it counts as hanging in the kernel."""
_LONGEST_WAIT_S: Final = 3600.0
"""poll counts milliseconds in 32 bits; a time-out may be longer than that."""
_FIRST_TO_GO: Final = "500"
"""Out of memory, a hook is ended rather than the daemon."""


class Cause(enum.Enum):
    """Why a run ended."""

    EXITED = "exited"
    TIMED_OUT = "timed-out"
    STOPPED = "stopped"
    CLOSED = "closed"
    """The daemon stops."""
    FLOODED = "flooded"
    """It wrote more than it may."""
    STUCK = "stuck"
    """It hangs in the kernel and cannot be ended."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take, in seconds and bytes; ``grace_s`` lies between SIGTERM and SIGKILL."""

    timeout_s: float
    grace_s: float = 5.0
    output_bytes: int = 50 * 1000 * 1000


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. ``left`` is how many processes it had still running then: they were ended."""

    cause: Cause
    seconds: float
    exit_status: int | None = None
    signal: int | None = None
    left: int = 0


class HookProcess:
    """A process that runs. ``reference`` is its pid, its start in clock ticks, and its mark.

    Of the mark there is one only: unlike the machine's boot id it is visible where /proc has pids alone.
    """

    def __init__(
        self,
        popen: "subprocess.Popen[bytes]",
        *,
        pipe: int,
        wake: int,
        mark: str,
        began: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.pid = popen.pid
        self.output = Output()
        self.reference = f"{popen.pid}:{_started(popen.pid)}:{mark}"
        self._popen = popen
        self._pipe = pipe
        self._wake = wake
        self._mark = mark
        self._monotonic = monotonic
        self._began = began
        self._handle = os.pidfd_open(popen.pid)
        self._lock = threading.Lock()
        self._asked: Cause | None = None
        self._is_over = False
        self._waiting = select.poll()
        for descriptor in (self._handle, self._pipe, self._wake):
            self._waiting.register(descriptor, select.POLLIN)

    @classmethod
    def start(
        cls, command: Command, mark: str, refuse: Refuse, monotonic: Callable[[], float]
    ) -> "HookProcess":
        """Start it in a session of its own, without input, its output in one pipe.

        Raises PermanentError if its program is not trusted, NotSentError if it was not started, and
        TransientError if it was, but had to be ended at once.
        """
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as after_failure:
            program = open_program(command, refuse)
            stack.callback(os.close, program)
            try:
                pipe, end = os.pipe2(os.O_CLOEXEC)
                stack.callback(os.close, end)
                after_failure.callback(os.close, pipe)
                wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                after_failure.callback(os.close, wake)
                os.set_blocking(pipe, False)
                began = monotonic()
                popen = subprocess.Popen(
                    command.argv, executable=executable_of(command, program), cwd=command.directory,
                    env={**command.environment, MARK: mark}, stdin=subprocess.DEVNULL, stdout=end, stderr=end,
                    start_new_session=True, umask=0o077,
                )  # fmt: skip
            except OSError as exc:
                raise NotSentError(why_not_started(command, program, exc)) from exc
            try:
                process = cls(popen, pipe=pipe, wake=wake, mark=mark, began=began, monotonic=monotonic)
            except OSError as exc:  # no descriptor is left to watch it with
                popen.kill()
                popen.wait()
                raise TransientError(f"{command.program} was ended at once: {exc.strerror}") from exc
            after_failure.pop_all()
        with contextlib.suppress(OSError):
            Path(f"/proc/{popen.pid}/oom_score_adj").write_text(_FIRST_TO_GO)
        return process

    def end(self, cause: Cause) -> None:
        """Ask from another thread that it be ended; nothing happens if it is over."""
        with self._lock:
            if not self._is_over and self._asked is None:
                self._asked = cause
                os.eventfd_write(self._wake, 1)

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return self._monotonic() - self._began

    def follow(self, limits: Limits) -> Ending:
        """Return once it has ended, well or not, and nothing of it is left."""
        cause = self._wait(limits)
        seconds = self.seconds
        if cause is Cause.STUCK:
            self._close()
            return Ending(cause, seconds)
        # Not reaped yet, it keeps its pid: the group of that number is still its own.
        left = marked(MARK, [self._mark])
        self._signal(signal.SIGKILL)
        left |= end_marked(MARK, [self._mark])
        self._drain()
        found = os.waitid(os.P_PIDFD, self._handle, os.WEXITED)
        if found is None:
            raise AssertionError("without WNOHANG there is an answer")
        self._popen.returncode = found.si_status
        self._close()
        if found.si_code == os.CLD_EXITED:
            return Ending(cause, seconds, exit_status=found.si_status, left=len(left))
        return Ending(cause, seconds, signal=found.si_status, left=len(left))

    def _wait(self, limits: Limits) -> Cause:
        """Return when the process itself has ended, by itself or by us; who holds its pipe does not count."""
        cause = self._watch(limits.timeout_s, limits.output_bytes)
        if cause is Cause.EXITED:
            return cause
        if cause is not Cause.FLOODED:
            self._signal(signal.SIGTERM)
            if self._watch(self.seconds + limits.grace_s) is Cause.EXITED:
                return cause
        self._signal(signal.SIGKILL)
        is_gone = self._watch(self.seconds + _UNKILLABLE_S) is Cause.EXITED
        return cause if is_gone else Cause.STUCK

    def _watch(self, until_s: float, most: int | None = None) -> Cause:
        """Read what it writes until it ends, or until there is a reason to end it.

        *until_s* counts from its start. Without *most* bytes it is being ended already, and time is the only
        reason.
        """
        while True:
            left_s = min(max(0.0, until_s - self.seconds), _LONGEST_WAIT_S)
            for descriptor, _ in self._waiting.poll(left_s * 1000 + 1):
                if descriptor == self._handle:
                    return Cause.EXITED
                if descriptor == self._wake or not self._read():
                    self._waiting.unregister(descriptor)
            if most is not None and self._asked is not None:
                return self._asked
            if most is not None and self.output.total > most:
                return Cause.FLOODED
            if self.seconds >= until_s:
                return Cause.TIMED_OUT

    def _read(self) -> bool:
        """Read what is there; False at the end of the pipe."""
        try:
            data = os.read(self._pipe, _CHUNK)
        except BlockingIOError:
            return True
        self.output.add(data)
        return bool(data)

    def _drain(self) -> None:
        """Read what is left in the pipe, without waiting for who still holds it."""
        limit = self.output.total + _MOST_LEFT_IN_PIPE
        before = -1
        while before < self.output.total < limit:
            before = self.output.total
            self._read()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _close(self) -> None:
        with self._lock:
            self._is_over = True
            for descriptor in (self._handle, self._pipe, self._wake):
                os.close(descriptor)


def _started(pid: int) -> str:
    """Return field 22 of /proc/PID/stat; the command before it may itself hold blanks and parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
