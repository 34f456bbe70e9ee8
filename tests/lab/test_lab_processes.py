import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.parts import PartError, Parts
from lab.processes import Process, end, identify, is_alive, marked, send

_SLEEPER = "import signal; signal.pause()"
_DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
)
_PARENT = (
    "import subprocess, sys, signal;"
    f"subprocess.Popen([sys.executable, '-c', {_SLEEPER!r}], start_new_session=True); signal.pause()"
)


def _until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    for name in ("run", "log"):
        (tmp_path / name).mkdir()
    parts = Parts(tmp_path / "run", tmp_path / "log", mark=f"test-{tmp_path.name}-{os.getpid()}")
    yield parts
    parts.end_all(grace_s=0.2)


def test_a_process_is_known_by_pid_and_start_time() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert is_alive(me)
    assert not is_alive(Process(me.pid, me.started + 1))


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identify(child.pid) is None


def test_a_reused_pid_is_never_signalled() -> None:
    with subprocess.Popen([sys.executable, "-c", _SLEEPER]) as child:
        there = identify(child.pid)
        assert there is not None
        somebody_else = Process(there.pid, there.started - 1)
        assert not send(somebody_else, signal.SIGKILL)
        assert end([somebody_else], grace_s=0.1) == frozenset()
        assert is_alive(there)
        child.kill()


def test_a_part_that_ignores_sigterm_is_killed(parts: Parts, tmp_path: Path) -> None:
    process = parts.start("deaf", [sys.executable, "-c", _DEAF])
    _until(lambda: "deaf" in (tmp_path / "log" / "deaf.log").read_text())
    assert parts.end_all(grace_s=0.2) == {process}
    assert not is_alive(process)


def test_what_a_part_started_is_found_after_the_part_was_killed_and_its_pid_file_lost(
    parts: Parts, tmp_path: Path
) -> None:
    parent = parts.start("parent", [sys.executable, "-c", _PARENT])
    mark = parts.environment["PSA_LAB_PART"]
    _until(lambda: len(marked(mark)) == 2)
    send(parent, signal.SIGKILL)
    (tmp_path / "run" / "parent.pid").unlink()
    _until(lambda: not is_alive(parent))
    orphans = marked(mark)
    assert len(orphans) == 1
    assert parts.end_all(grace_s=1) == orphans
    assert marked(mark) == frozenset()


def test_a_stopped_part_is_ended_too(parts: Parts) -> None:
    process = parts.start("stopped", [sys.executable, "-c", _SLEEPER])
    send(process, signal.SIGSTOP)
    parts.end_all(grace_s=0.2)
    assert not is_alive(process)


def test_a_pid_file_that_is_half_written_or_of_a_former_boot_ends_nothing(
    parts: Parts, tmp_path: Path
) -> None:
    (tmp_path / "run" / "torn.pid").write_text('{"pid": 1')
    (tmp_path / "run" / "old.pid").write_text('{"pid": 1, "started": 999999999999}')
    assert parts.running() == {}
    assert parts.end_all() == frozenset()


def test_a_part_that_ends_at_once_is_reported_with_the_end_of_its_log(parts: Parts) -> None:
    program = "print('the address is in use'); raise SystemExit(3)"
    with pytest.raises(PartError, match="the address is in use"):  # noqa: PT012 - either may notice first
        parts.start("broken", [sys.executable, "-c", program])
        parts.wait_until("broken", lambda: False, seconds=10)
