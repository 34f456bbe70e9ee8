"""The page that is looked at anew all the time."""

import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crds.release import Phase
from daemon.cli.screen import Screen
from daemon.cli.session import Session
from tests.builders_cli_release import RUNNING, a_hold, a_memo, a_release, a_split, an_attempt
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl, Ran, run

WATCH = ("release", "status", "psa-suite", "-w", "--every", "20ms")


@pytest.fixture
def redrawn(session: Session) -> Psactl:
    screen = Screen(width=80, rows=24)
    return lambda *arguments: run(replace(session, out=screen), *arguments)


@pytest.fixture
def watching(daemon: RecordedDaemon) -> RecordedDaemon:
    daemon.objects = [a_release(an_attempt(Phase.WATCH), memo=a_memo(), conditions=RUNNING), a_split(50, 50)]
    return daemon


def interrupted(
    psactl: Psactl, *arguments: str, then: Callable[[], None], by: signal.Signals = signal.SIGINT
) -> Ran:
    """Run psactl until *then* has happened and somebody presses Ctrl-C, or ends it otherwise."""

    def press() -> None:
        try:
            then()
        finally:
            os.kill(os.getpid(), by)

    # Where the tests run in the background, the shell has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    other = threading.Thread(target=press)
    other.start()
    try:
        return psactl(*arguments)
    finally:
        other.join()
        signal.signal(signal.SIGINT, before)


def looks(daemon: RecordedDaemon, count: int) -> None:
    """Return once the release was asked for so often anew."""
    path = "/api/v1/objects/Release/psa-suite"
    with daemon.heard:
        wanted = sum(where == path for _, where, _ in daemon.asked) + count
        assert daemon.heard.wait_for(lambda: sum(w == path for _, w, _ in daemon.asked) >= wanted, 10)


def test_a_terminal_is_redrawn_and_given_back_with_the_last_page(
    watching: RecordedDaemon, redrawn: Psactl
) -> None:
    def then() -> None:
        looks(watching, 2)
        watching.objects[0] = a_release(an_attempt(Phase.PROMOTE), conditions=RUNNING)
        looks(watching, 2)

    ran = interrupted(redrawn, *WATCH, then=then)

    assert (ran.code, ran.err) == (130, "psactl ends; the release goes on\n")
    assert ran.out.startswith("\x1b[?1049h")
    drawn, _, left = ran.out.partition("\x1b[?1049l")
    pages = drawn.split("\x1b[H")[1:]
    assert "● Watch for 4m" in pages[0]
    assert "● Promote for 4m" in pages[-1]
    assert all(page.count("\n") < 24 for page in pages)
    assert "12:00:00 UTC, Ctrl-C ends this page; the release goes on" in pages[0]
    assert left.startswith("psa-suite  1.1.0 → 1.2.3  ● Promote for 4m, attempt 2\n")
    assert not re.search(r"\x1b", left)


def test_the_page_of_a_release_that_is_over_does_not_say_that_it_goes_on(
    daemon: RecordedDaemon, redrawn: Psactl
) -> None:
    daemon.objects = [a_release(an_attempt(Phase.COMPLETED)), a_split(0, 100)]

    ran = interrupted(redrawn, *WATCH, then=lambda: looks(daemon, 2))

    assert "12:00:00 UTC, Ctrl-C ends this page\x1b" in ran.out


def test_a_terminal_is_given_back_to_who_ends_it_from_outside(
    watching: RecordedDaemon, redrawn: Psactl
) -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ran = interrupted(redrawn, *WATCH, then=lambda: looks(watching, 2), by=signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert ran.code == 128 + signal.SIGTERM
    assert "\x1b[?25h\x1b[?1049l" in ran.out


def test_the_page_stays_while_nobody_answers(
    watching: RecordedDaemon, redrawn: Psactl, tmp_path: Path
) -> None:
    socket, aside = tmp_path / "api.sock", tmp_path / "aside.sock"

    def then() -> None:
        looks(watching, 2)
        socket.rename(aside)
        threading.Event().wait(0.2)
        aside.rename(socket)
        looks(watching, 2)

    ran = interrupted(redrawn, *WATCH, then=then)

    old = [page for page in ran.out.split("\x1b[H") if "the page is old" in page]
    assert old
    assert all("● Watch for 4m" in page for page in old)
    assert ran.out.split("\x1b[H")[-1] not in old, "it comes back"


def test_a_pipe_gets_a_line_for_each_change(watching: RecordedDaemon, pipe: Psactl) -> None:
    def then() -> None:
        looks(watching, 3)
        hold = a_hold("NotEnoughTraffic", "409 are missing")
        watching.objects[0] = a_release(an_attempt(Phase.WATCH, hold=hold), memo=a_memo(), conditions=RUNNING)
        looks(watching, 3)
        watching.objects = [a_release(an_attempt(Phase.SOAK), conditions=RUNNING), a_split(0, 100)]
        looks(watching, 2)

    ran = interrupted(pipe, *WATCH, then=then)

    held = "held for 2m, NotEnoughTraffic: 409 are missing"
    assert ran.code == 130
    assert ran.out.splitlines() == [
        "12:00:00  ✔ psa-suite  1.1.0 → 1.2.3  Watch; 1.1.0 50%, 1.2.3 50%; fine: 1.2.3 keeps its limits",
        f"12:00:00  ⏸ psa-suite  1.1.0 → 1.2.3  Watch; 1.1.0 50%, 1.2.3 50%; {held}",
        "12:00:00  ✔ psa-suite  1.1.0 → 1.2.3  Soak; 1.2.3, all traffic; fine: 1.2.3 keeps its limits",
    ]


def test_a_pipe_is_told_once_that_nobody_answers(
    watching: RecordedDaemon, pipe: Psactl, tmp_path: Path
) -> None:
    socket, aside = tmp_path / "api.sock", tmp_path / "aside.sock"

    def then() -> None:
        looks(watching, 1)
        socket.rename(aside)
        threading.Event().wait(0.2)
        aside.rename(socket)
        looks(watching, 2)

    ran = interrupted(pipe, *WATCH, then=then)

    assert ran.err.count("trying again") == 1
    assert len(ran.out.splitlines()) == 1


def test_a_release_that_goes_away_ends_the_page(watching: RecordedDaemon, redrawn: Psactl) -> None:
    def then() -> None:
        looks(watching, 2)
        watching.objects = []

    other = threading.Thread(target=then)
    other.start()
    ran = redrawn(*WATCH)
    other.join()

    assert ran.code == 2
    assert "\x1b[?1049l" in ran.out
    assert "there is no Release/psa-suite" in ran.err
