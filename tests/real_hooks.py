"""Hooks as real programs in a test's folder, and daemons that run them: here, or in a process to kill."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry

from daemon.logs import set_up_logs
from daemon.ports import SystemClock
from daemon.programs import refuse_program
from metrics.hooks import HookMetrics
from reconcilers.hook_runs import Hook, HookResult, HookRun
from reconcilers.transports.hook_command import Refuse
from reconcilers.transports.hooks import HookRunner

ROOT = Path(__file__).parents[1]
#: Carried by every process of a test's hooks, beside the runner's own mark.
OURS = "HOOK_OF_TEST"
RUN = "psa-suite.1.unit"


def a_run(run_id: str = RUN, hook: str = "unit", /, **facts: object) -> HookRun:
    """Return a run of version 1.2.3."""
    values = {"release": "psa-suite", "version": "1.2.3", "attempt": 1, **facts}
    return HookRun(run_id, hook, **values)  # type: ignore[arg-type]  # a test's keywords


@dataclass
class Programs:
    """A folder of programs, the hooks that name them, and the records of their runs."""

    root: Path
    hooks: dict[str, Hook] = field(default_factory=dict)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    """What the newest daemon exports."""

    @property
    def state(self) -> Path:
        return self.root / "state" / "hooks"

    def add(self, name: str, text: str, *arguments: str, **settings: object) -> Path:
        """Make a hook that is a shell script, or what its own first line says."""
        path = self.root / f"{name}.program"
        path.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
        self.know(path, *arguments, **settings)
        return path

    def know(self, path: Path, *arguments: str, **settings: object) -> None:
        """Make a hook of a program."""
        fields = {"environment": {OURS: str(self.root)}, **settings}
        hook = Hook(path.stem, (str(path), *arguments), **fields)  # type: ignore[arg-type]  # a test's keywords
        self.hooks[hook.name] = hook

    def runner(
        self,
        *,
        refuse: Refuse = refuse_program,
        grace_s: float = 0.3,
        hide: Callable[[str], str] = str,
        at_once: int = 4,
    ) -> HookRunner:
        """Return what a new daemon would have."""
        marks = itertools.count()
        self.registry = CollectorRegistry()
        return HookRunner(
            self.hooks.values(),
            self.state,
            SystemClock(),
            new_mark=lambda: f"{self.root}/{os.getpid()}/{id(marks)}/{next(marks)}",
            refuse=refuse,
            metrics=HookMetrics(self.registry, self.hooks),
            hide=hide,
            grace_s=grace_s,
            at_once=at_once,
        )

    def processes(self) -> dict[int, str]:
        """Return the processes of this folder's hooks that still run, each with its words."""
        wanted = f"{OURS}={self.root}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found


@contextmanager
def programs(root: Path) -> Iterator[Programs]:
    """Yield the folder; nothing that ran in it is left afterwards, or the test fails."""
    found = Programs(root)
    try:
        yield found
        assert found.processes() == {}
    finally:
        for pid in found.processes():
            os.kill(pid, signal.SIGKILL)


async def begun(folder: Programs) -> HookRunner:
    runner = folder.runner()
    await runner.sweep()
    return runner


async def ran(folder: Programs, text: str, *arguments: str, **settings: object) -> HookResult:
    """Run one hook to its end."""
    folder.add("unit", text, *arguments, **settings)
    runner = await begun(folder)
    await runner.start(a_run(RUN))
    result = await until_over(runner, RUN)
    await runner.close()
    return result


class Looks(Protocol):
    """Who can be asked for a run."""

    async def look(self, run_id: str) -> HookResult | None: ...


async def until_over(runner: Looks, run_id: str, *, seconds: float = 20.0) -> HookResult:
    """Look until the run is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = await runner.look(run_id)
        assert result is not None, f"{run_id} is not known"
        if result.is_over:
            return result
        await asyncio.sleep(0.01)
    raise AssertionError(f"{run_id} is not over after {seconds} s")


async def until(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        await asyncio.sleep(0.01)


@contextmanager
def other_daemon(folder: Programs, *runs: HookRun, at_once: int = 4) -> Iterator["subprocess.Popen[str]"]:
    """Let another process begin these runs; yield it, to be killed."""
    code = (
        "import asyncio, sys; from pathlib import Path; from tests.real_hooks import serve_until_killed; "
        "asyncio.run(serve_until_killed(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))"
    )
    words = [f"{run.run_id}={run.hook}" for run in runs]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.root), str(at_once), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        yield process
    finally:
        process.kill()
        process.communicate()


async def serve_until_killed(root: Path, at_once: int, words: list[str]) -> None:
    """Be the other daemon."""
    set_up_logs("error")  # to where errors go: the other side of stdout waits for one line
    folder = Programs(root)
    for word in words:
        folder.know(root / f"{word.partition('=')[2]}.program")
    runner = folder.runner(at_once=at_once)
    await runner.sweep()
    for word in words:
        run_id, _, hook = word.partition("=")
        await runner.start(a_run(run_id, hook))
    sys.stdout.write("running\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
