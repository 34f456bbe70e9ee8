"""The life of one private server outside of a lab's parts: begun, waited for and ended, by its pid."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lab.processes import Process, end, identify, send, wait_gone

_GONE_S: Final = 10.0
#: What this process started: kept, because a Popen that is forgotten while its process runs complains.
_CHILDREN: Final[list[subprocess.Popen[bytes]]] = []


class LifeError(Exception):
    """A server did not start or did not end; the text holds the end of its log."""


class Life:
    """One server, called *name*, that runs in *folder* and prints into *log*. All calls block."""

    def __init__(self, name: str, folder: Path, log: Path) -> None:
        self._name = name
        self._folder = folder
        self._log = log
        self.process: Process | None = None
        """The process that was started last; None before."""

    def begin(
        self,
        argv: Sequence[str],
        is_ready: Callable[[], bool],
        seconds: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, with PATH, LANG and *environment*, and wait until it is ready; LifeError if it is not."""
        with self._log.open("ab") as output:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(environment or {})},
            )
        _CHILDREN.append(child)
        self.process = identify(child.pid)
        deadline = time.monotonic() + seconds
        while not is_ready():
            if time.monotonic() > deadline or child.poll() is not None:
                raise LifeError(f"{self._name} in {self._folder} is not ready:\n{self.tail()}")
            time.sleep(0.01)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it as a crash would, if it runs; by *number*, and where that does not help by SIGKILL."""
        self.stop(grace_s=0.0 if number is signal.SIGKILL else 5.0, number=number)

    def stop(self, *, grace_s: float, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, if it runs: by *number*, and after *grace_s* by SIGKILL."""
        if self.process is None:
            return
        send(self.process, number)
        if wait_gone([self.process], grace_s):
            end([self.process], grace_s=0.0)
        self.wait_gone([self.process])

    def wait_gone(self, processes: Sequence[Process]) -> None:
        """Wait until all threads of them have let go of their ports; LifeError if they do not."""
        left = wait_gone(processes, _GONE_S)
        pids = {process.pid for process in processes}
        for child in [each for each in _CHILDREN if each.pid in pids]:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_GONE_S)
                _CHILDREN.remove(child)
        if left:
            raise LifeError(f"{self._name} in {self._folder} does not end:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """Return the end of its log."""
        text = self._log.read_text(errors="replace") if self._log.exists() else "(no log)"
        return "\n".join(text.splitlines()[-lines:])
