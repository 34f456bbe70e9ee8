"""A candidate that breaks in the middle of the watch, in ways that need no statistics."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from crds.release import Phase, Trigger
from tests.real_releases import GATEWAY, NEW, NEWER, NEWEST, OLD, Releases, releases

#: Green's container of the gateway.
_CTID: Final = 1100
_RATE: Final = 100
#: What breaks it, the reason that is given, and requests that may fail: what it held, or was sent meanwhile.
_WAYS: Final[tuple[tuple[str, str, int, Callable[[Releases, str], None]], ...]] = (
    (NEW, "CandidateDown", 5, lambda lab, _version: lab.stop_container(_CTID)),
    (NEWER, "CandidateDown", 5, lambda lab, version: lab.fault(GATEWAY, version, refuse=True)),
    (NEWEST, "Hanging", _RATE // 2 * 6, lambda lab, version: lab.fault(GATEWAY, version, hang=1.0)),
)


@pytest.mark.timeout(240)
def test_a_candidate_that_is_dead_refuses_or_hangs_is_left_within_five_seconds(short_path: Path) -> None:
    with releases(short_path / "lab") as lab:
        for number, (version, reason, may_fail, break_it) in enumerate(_WAYS, 1):
            with lab.users(_RATE) as users:
                lab.ask_for(version, watch="60s")
                lab.wait_in(Phase.WATCH, number=number)
                time.sleep(1.5)
                began = time.time()
                break_it(lab, version)
                attempt = lab.wait_in(Phase.ROLLED_BACK, number=number)
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
