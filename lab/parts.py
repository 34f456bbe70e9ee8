"""The parts of one lab: started with its mark, remembered in pid files, ended together."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lab.processes import MARK, Process, end, identify, is_alive, marked, retitled

#: Ended first, so that it does not report the end of all the others.
_FIRST: Final = "daemon"
_REAPED_S: Final = 2.0
_CHECKOUT: Final = Path(__file__).parents[1]
#: What this process started: kept, because a Popen that is forgotten while its process runs complains.
_CHILDREN: Final[list[subprocess.Popen[bytes]]] = []


class PartError(Exception):
    """A part did not start, or did not end; the text holds the end of its log."""


class Parts:
    """Processes of the lab whose pid files lie in *run*, logs in *log* in its folder.

    *mark* is carried by all of them.
    """

    def __init__(self, run: Path, log: Path, mark: str) -> None:
        self._run = run
        self._log = log
        self._mark = mark

    @property
    def environment(self) -> Mapping[str, str]:
        """What a part's environment must have beside our own."""
        return {MARK: self._mark, "PYTHONUNBUFFERED": "1"}

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        keep_open: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        directory: Path = _CHECKOUT,
    ) -> Process:
        """Start a part in a session of its own with its output in the log folder, and remember it.

        With *environment* it inherits nothing else but PATH: a server heeds more variables than one knows of.
        """
        inherited = os.environ if environment is None else {"PATH": _path(), "LANG": "C.UTF-8", **environment}
        with (self._log / f"{name}.log").open("ab") as output:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherited, **self.environment},
                start_new_session=True,
                pass_fds=keep_open,
                cwd=directory,
            )
        _CHILDREN.append(child)
        process = identify(child.pid)
        if process is None:
            raise PartError(f"{name} ended at once:\n{self.tail(name)}")
        self.remember(name, process)
        return process

    def remember(self, name: str, process: Process) -> None:
        """Write the pid file, whole or not at all."""
        draft = self._run / f".{name}.pid"
        draft.write_text(json.dumps({"pid": process.pid, "started": process.started}))
        draft.replace(self._run / f"{name}.pid")

    def remembered(self) -> dict[str, Process]:
        """Return what the pid files say, by name; the process may be gone."""
        found = {}
        for path in sorted(self._run.glob("[!.]*.pid")):
            with contextlib.suppress(ValueError, KeyError, TypeError, FileNotFoundError):
                data = json.loads(path.read_text())
                found[path.stem] = Process(int(data["pid"]), int(data["started"]))
        return found

    def running(self) -> dict[str, Process]:
        """Return the remembered parts that run now, by name."""
        return {name: process for name, process in self.remembered().items() if is_alive(process)}

    def wait_until(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Poll *ready* until it is true; PartError if the part ends before, or *seconds* pass."""
        process = self.remembered()[name]
        deadline = time.monotonic() + seconds
        while not ready():
            if not is_alive(process):
                raise PartError(f"{name} ended before it was ready:\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise PartError(f"{name} was not ready after {seconds:g} s:\n{self.tail(name)}")
            time.sleep(0.02)

    def end(self, name: str, *, grace_s: float = 5.0) -> None:
        """End one part and forget it."""
        process = self.remembered().get(name)
        if process is not None and end([process], grace_s=grace_s):
            raise PartError(f"{name} (pid {process.pid}) does not end, not even by SIGKILL")
        if process is not None:
            _wait_reaped(process)
        (self._run / f"{name}.pid").unlink(missing_ok=True)

    def end_below(self, folder: Path) -> None:
        """End what carries the mark and works in *folder*: children of a server that was killed."""
        left = {process for process in marked(self._mark) if _works_below(process, folder)}
        if end(left | retitled(folder), grace_s=1.0):
            raise PartError(f"not even SIGKILL ends what works in {folder}")

    def end_all(self, *, grace_s: float = 5.0) -> frozenset[Process]:
        """End every part and whatever carries the mark; return what was found and ended."""
        remembered = self.running()
        found = set(remembered.values()) | self._unremembered()
        if _FIRST in remembered:
            end([remembered[_FIRST]], grace_s=grace_s)
        # Again until nothing is left: a part may have been starting a child while we looked.
        while left := frozenset(p for p in remembered.values() if is_alive(p)) | self._unremembered():
            found |= left
            if stuck := end(left, grace_s=grace_s):
                raise PartError(f"not even SIGKILL ends {', '.join(str(p.pid) for p in sorted(stuck))}")
        _reap()
        for path in self._run.glob("*.pid"):
            path.unlink()
        return frozenset(found)

    def _unremembered(self) -> frozenset[Process]:
        return marked(self._mark) | retitled(self._log.parent)

    def tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines of a part's log."""
        try:
            text = (self._log / f"{name}.log").read_text(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _works_below(process: Process, folder: Path) -> bool:
    try:
        return Path(f"/proc/{process.pid}/cwd").readlink().is_relative_to(folder)
    except OSError:  # it is gone
        return False


def _path() -> str:
    return os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")


def _wait_reaped(process: Process) -> None:
    """Wait a moment until its parent took note: PostgreSQL takes a pid that is still there for a server."""
    deadline = time.monotonic() + _REAPED_S
    _reap()
    while Path(f"/proc/{process.pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
        _reap()


def _reap() -> None:
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]
