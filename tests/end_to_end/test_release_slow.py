"""A candidate that answers well, and too slowly: HAProxy's log tells."""

import time
from pathlib import Path

import pytest

from crds.release import Phase, Trigger
from tests.real_releases import GATEWAY, NEW, OLD, releases

_LIMITS = {"p95": "200ms"}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_candidate_that_is_slow_goes_back_although_it_makes_no_error(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(100) as users:
        lab.ask_for(NEW, watch="60s", responseTime=_LIMITS)
        lab.wait_in(Phase.WATCH)
        time.sleep(1.5)
        began = time.time()
        lab.fault(GATEWAY, NEW, latency=0.3)
        attempt = lab.wait_in(Phase.ROLLED_BACK)
        assert (attempt.reason, attempt.trigger) == ("ResponseTime", Trigger.RULE), attempt.message
        assert attempt.decided_at is not None
        assert attempt.decided_at.timestamp() - began <= 5, attempt
        assert lab.shares() == (100, 0)
    assert users.failed == 0, users


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_slow_service_that_both_colours_need_is_not_the_candidates_fault(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(100):
        lab.ask_for(NEW, watch="60s", responseTime=_LIMITS)
        lab.wait_in(Phase.WATCH)
        time.sleep(1.5)
        for version in (OLD, NEW):
            lab.fault(GATEWAY, version, latency=0.3)
        attempt = lab.wait_in(Phase.ROLLED_BACK, Phase.COMPLETED)
        # Within a minute after a step of the release it is taken for the release's doing.
        assert attempt.phase is Phase.ROLLED_BACK
        assert lab.shares() == (100, 0)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_candidate_that_keeps_the_limits_goes_live_with_its_times_in_evidence(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(200) as users:
        lab.ask_for(NEW, responseTime=_LIMITS)
        attempt = lab.wait_in(Phase.COMPLETED, seconds=60)
        assert attempt.number == 1
    assert users.failed == 0, users
