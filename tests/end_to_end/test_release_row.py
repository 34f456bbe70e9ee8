"""Releases one after the other, from blue and from green, and with a part of the platform away."""

import signal
import time
from pathlib import Path

import pytest

from crds.release import Phase
from lab.processes import send
from tests.real_releases import NEW, NEWER, NEWEST, OLD, releases


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_four_releases_in_a_row_go_there_and_back_and_nobody_is_lost(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(100) as users:
        before = lab.sight.last_request()
        for number, version in enumerate((NEW, NEWER, NEWEST, "2.0.0"), 1):
            lab.ask_for(version)
            lab.wait_in(Phase.COMPLETED, number=number)
            assert lab.shares() == ((0, 100) if number % 2 else (100, 0))
        assert lab.sight.creations(before) == 8
    assert users.failed == 0, users
    assert {*users.by} == {OLD, NEW, NEWER, NEWEST, "2.0.0"}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["proxmox", "daemon"])
@pytest.mark.timeout(200)
def test_proxmox_or_the_daemon_that_hangs_in_the_watch_is_no_fault_of_the_candidate(
    short_path: Path, part: str
) -> None:
    with releases(short_path / "lab") as lab, lab.users(50) as users:
        lab.ask_for(NEW, watch="6s")
        lab.wait_in(Phase.WATCH)
        process = lab.lab.parts.running()[part]
        assert send(process, signal.SIGSTOP)
        time.sleep(20)
        assert lab.shares() == ((50, 50) if part == "daemon" else (0, 100))
        assert send(process, signal.SIGCONT)
        attempt = lab.wait_in(Phase.COMPLETED)
        assert attempt.number == 1
        assert lab.shares() == (0, 100)
    assert users.failed == 0, users
