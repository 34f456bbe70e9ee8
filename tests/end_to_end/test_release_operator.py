"""A person steers a release with psactl: pause, roll back, promote, and the traffic itself."""

import time
from pathlib import Path
from typing import Final

import pytest

from crds.release import Phase, Trigger
from tests.real_releases import GATEWAY, NEW, NEWER, Releases, releases

_SUITE: Final = "psa-suite"


def _says(lab: Releases, *words: str, code: int = 0) -> str:
    """Run psactl, which ends with that exit code; return all that it printed."""
    done = lab.psactl(*words)
    assert done.returncode == code, (words, done)
    return done.stdout + done.stderr


def _is_heard(lab: Releases, code: int, what: str) -> None:
    """Check what a pipeline hears that waits for the version."""
    assert what in _says(lab, "release", "wait", _SUITE, code=code)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_person_pauses_and_rolls_back_and_a_pipeline_hears_of_it(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(100) as users:
        lab.ask_for(NEW, watch="2s")
        lab.wait_in(Phase.WATCH)
        assert "paused by" in _says(lab, "release", "pause", _SUITE, "--for", "1h", "--reason", "a look")
        _is_heard(lab, 4, "held, Paused")
        time.sleep(2.5)
        assert lab.is_in(Phase.WATCH), "its time is over, and it does not go on"
        assert "it goes on" in _says(lab, "release", "resume", _SUITE)
        lab.wait_in(Phase.SOAK, Phase.COMPLETED)
        _is_heard(lab, 0, f"{NEW} ")

        lab.ask_for(NEWER, watch="60s")
        waited = _says(lab, "release", "wait", _SUITE, "--timeout", "1s", code=7)
        assert f"no attempt at {NEWER} yet" in waited, (
            "the soak of the last version is no success of the next"
        )
        lab.wait_in(Phase.WATCH, number=2)
        assert f"{NEW} has all traffic again" in _says(lab, "release", "rollback", _SUITE, "--reason", "no")
        assert lab.shares() == (0, 100)
        attempt = lab.attempt()
        assert attempt is not None
        assert (attempt.reason, attempt.trigger) == ("RollbackRequested", Trigger.PERSON)
        _is_heard(lab, 3, NEWER)
        _says(lab, "release", "rollback", _SUITE, code=1)
    assert users.failed == 0, users


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_person_retries_what_was_rolled_back_and_promotes_it(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(100) as users:
        lab.ask_for(NEW, watch="2s", promotion="manual")
        lab.wait_in(Phase.WATCH)
        _says(lab, "release", "abort", _SUITE)
        assert lab.shares() == (100, 0)
        _is_heard(lab, 3, NEW)
        assert f"{NEW} is tried again" in _says(lab, "release", "retry", _SUITE)
        lab.wait("somebody to be asked", lambda: lab.hold() == "AwaitingPromotion")
        _is_heard(lab, 4, "held, AwaitingPromotion")
        assert "promote it, or roll it back" in _says(lab, "release", "resume", _SUITE, code=1)
        assert "the candidate gets all traffic" in _says(lab, "release", "promote", _SUITE)
        _is_heard(lab, 0, f"{NEW} ")
        assert lab.wait_in(Phase.COMPLETED).number == 2
        assert lab.shares() == (0, 100)
    assert users.failed == 0, users


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_traffic_set_by_hand_holds_the_release_and_a_rollback_ends_what_sends_users_to_the_candidate(
    short_path: Path,
) -> None:
    by_hand = ("traffic", "set", GATEWAY, "--for", "1h", "--reason", "a look at the logs")
    with releases(short_path / "lab") as lab, lab.users(100) as users:
        lab.ask_for(NEW, watch="3s")
        lab.wait_in(Phase.WATCH)
        _says(lab, *by_hand, "blue=100")
        lab.wait("blue alone", lambda: lab.shares() == (100, 0), 3)
        time.sleep(4)
        assert lab.is_in(Phase.WATCH), "without traffic there is nothing to watch"
        assert "a look at the logs" in _says(lab, "release", "status", _SUITE)
        _says(lab, "traffic", "clear", GATEWAY)
        lab.wait("the split again", lambda: lab.shares() == (50, 50), 3)
        lab.wait_in(Phase.COMPLETED)
        assert lab.shares() == (0, 100)

        lab.ask_for(NEWER, watch="60s")
        lab.wait_in(Phase.WATCH, number=2)
        _says(lab, *by_hand, "blue=90")
        lab.wait("almost only blue", lambda: lab.shares() == (90, 10), 3)
        assert f"{NEW} has all traffic again" in _says(lab, "release", "rollback", _SUITE)
        assert lab.shares() == (0, 100)
        assert "OverrideEnded" in lab.reasons()
    assert users.failed == 0, users
