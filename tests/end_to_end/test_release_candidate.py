"""A candidate that breaks in the middle of the watch, in ways that need no statistics."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from crds.release import Phase, Trigger
from tests.real_releases import GATEWAY, NEW, OLD, Releases, releases

#: Green's container of the gateway.
_CTID: Final = 1100
_RATE: Final = 100


def _dies(lab: Releases) -> None:
    lab.stop_container(_CTID)


def _refuses(lab: Releases) -> None:
    lab.fault(GATEWAY, NEW, refuse=True)


def _hangs(lab: Releases) -> None:
    lab.fault(GATEWAY, NEW, hang=1.0)


@pytest.mark.parametrize(
    ("breaks", "reason", "may_fail"),
    [
        (_dies, "CandidateDown", 5),
        (_refuses, "CandidateDown", 5),
        (_hangs, "Hanging", _RATE // 2 * 6),
    ],
)
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_candidate_that_does_not_work_is_left_within_five_seconds(
    short_path: Path, breaks: Callable[[Releases], None], reason: str, may_fail: int
) -> None:
    with releases(short_path / "lab") as lab, lab.users(_RATE) as users:
        lab.ask_for(NEW, watch="60s")
        lab.wait_in(Phase.WATCH)
        time.sleep(1.5)
        began = time.time()
        breaks(lab)
        attempt = lab.wait_in(Phase.ROLLED_BACK)
        assert lab.shares() == (100, 0)
        after = lab.counts()
        time.sleep(1)
        assert lab.counts()["green"] == after["green"], "nobody is sent there any more"
        assert lab.counts()["blue"] >= after["blue"] + _RATE / 2, "all users are back"
        assert (attempt.reason, attempt.trigger) == (reason, Trigger.RULE), attempt.message
        assert attempt.decided_at is not None
        assert attempt.decided_at.timestamp() - began <= 5, attempt
    assert users.failed <= may_fail, users
    assert users.failed_by.get(OLD, 0) == 0, users
