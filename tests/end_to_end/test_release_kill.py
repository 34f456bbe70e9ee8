"""kill -9 of the daemon in the middle of releases, restarted as systemd would: nobody notices."""

import random
import re
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from crds.release import Phase
from tests.real_releases import GATEWAY, NEW, OLD, Releases, releases

_KILLS: Final = 10
_RATE: Final = 100
#: A kill between the intent and the call leaves no trace: two looks 30 s apart prove that it was not made.
_PATIENCE_S: Final = 200


def _killed(lab: Releases, chance: random.Random, times: int) -> list[str]:
    """Kill the daemon at random moments, start it again; return where the attempt was each time."""
    found = []
    for _ in range(times):
        pause_s = chance.uniform(0, 1.5)
        time.sleep(pause_s)
        attempt = lab.attempt()
        found.append(f"{attempt.phase.value if attempt else 'nothing'} after {pause_s:.2f} s")
        lab.stage.kill_daemon()
        lab.stage.start_daemon()
    return found


def _moves(lab: Releases) -> list[str]:
    """Return the phases that the last attempt went through, as its events tell."""
    return [
        match[1] for _, message in lab.events() if (match := re.match(r"attempt \d+, .* → (\w+)", message))
    ]


def _seeded() -> tuple[int, random.Random]:
    seed = random.SystemRandom().randrange(1_000_000)
    sys.stdout.write(f"seed {seed}\n")
    return seed, random.Random(seed)  # noqa: S311 - moments, no secret


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_kills_in_a_good_release_lose_no_user_and_make_nothing_twice(short_path: Path) -> None:
    seed, chance = _seeded()
    with releases(short_path / "lab") as lab:
        before = lab.sight.last_request()
        with lab.users(_RATE) as users:
            time.sleep(1)
            lab.ask_for(NEW, watch="6s")
            story = [f"seed {seed}", *_killed(lab, chance, _KILLS)]
            attempt = lab.wait_in(Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK, seconds=_PATIENCE_S)
            time.sleep(1)
        assert (attempt.phase, attempt.number) == (Phase.COMPLETED, 1), (story, lab.story())
        assert lab.shares() == (0, 100), story
        assert users.failed == 0, (story, users)
        assert {*users.by} == {OLD, NEW}, story
        assert lab.sight.creations(before) == 2, (story, lab.sight.changes(before))
        moves = _moves(lab)
        assert len(moves) == len({*moves}), (story, moves)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_kills_in_a_bad_release_end_where_no_kill_would(short_path: Path) -> None:
    seed, chance = _seeded()
    with releases(short_path / "lab") as lab:
        before = lab.sight.last_request()
        lab.fault(GATEWAY, NEW, error_rate=0.3)
        with lab.users(_RATE) as users:
            time.sleep(1)
            lab.ask_for(NEW, watch="60s")
            story = [f"seed {seed}", *_killed(lab, chance, _KILLS)]
            attempt = lab.wait_in(Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK, seconds=_PATIENCE_S)
            time.sleep(1)
        assert (attempt.phase, attempt.number) == (Phase.ROLLED_BACK, 1), (story, lab.story())
        assert attempt.reason == "ErrorRate", (story, attempt)
        assert lab.shares() == (100, 0), story
        assert users.failed_by.keys() == {NEW}, (story, users)
        assert lab.sight.creations(before) == 2, (story, lab.sight.changes(before))
        assert "Quarantined" in lab.psactl("diff").stdout, story


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_kill_while_the_candidate_is_made_and_one_in_the_watch_change_nothing(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(_RATE) as users:
        before = lab.sight.last_request()
        lab.ask_for(NEW, watch="3s")
        lab.wait("green to be made", lambda: 1100 in lab.sight.containers())
        lab.stage.kill_daemon()
        lab.stage.start_daemon()
        lab.wait_in(Phase.WATCH)
        time.sleep(1)
        lab.stage.kill_daemon()
        assert lab.shares() == (50, 50)
        lab.stage.start_daemon()
        attempt = lab.wait_in(Phase.COMPLETED)
        assert attempt.number == 1
        assert lab.sight.creations(before) == 2
        assert lab.reasons().count("AttemptBegan") == 1
    assert users.failed == 0, users
