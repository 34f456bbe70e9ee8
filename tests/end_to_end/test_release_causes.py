"""Whose fault it is: a service behind a good gateway, or what both colours share."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from crds.release import Phase
from lab.app_faults import ALL
from tests.real_releases import CRM, GATEWAY, NEW, OLD, releases

#: So soon after a step of the release a common cause counts as the release itself.
_AFTER_STEP_S = 60


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_bad_service_behind_a_good_gateway_takes_the_whole_set_back(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(100, "--path", f"/api/{CRM}") as users:
        lab.fault(CRM, NEW, error_rate=0.3)
        lab.ask_for(NEW, watch="60s")
        attempt = lab.wait_in(Phase.ROLLED_BACK)
        assert attempt.reason == "ErrorRate"
        assert attempt.message.startswith(f"{GATEWAY}: "), attempt.message
        assert lab.shares() == (100, 0)
    assert users.failed_by.keys() == {NEW}, users


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_service_that_is_ill_behind_a_good_gateway_takes_the_set_back_although_no_user_sees_it(
    short_path: Path,
) -> None:
    with releases(short_path / "lab") as lab, lab.users(50) as users:
        lab.ask_for(NEW, watch="60s")
        lab.wait_in(Phase.WATCH)
        began = time.time()
        lab.fault(CRM, NEW, refuse=True)
        attempt = lab.wait_in(Phase.ROLLED_BACK)
        assert attempt.reason == "CandidateDown"
        assert attempt.message.startswith(f"{CRM}: "), attempt.message
        assert attempt.decided_at is not None
        assert attempt.decided_at.timestamp() - began <= 5
    assert users.failed == 0, users


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_both_colours_share_holds_the_release_and_when_it_is_well_again_it_goes_on(
    short_path: Path,
) -> None:
    with releases(short_path / "lab") as lab, lab.users(100) as users:
        lab.ask_for(NEW, watch="75s", errorRate={"limit": "10%"})
        lab.wait_in(Phase.WATCH)
        time.sleep(_AFTER_STEP_S + 5)
        lab.fault(ALL, error_rate=1.0)
        lab.wait("a hold", lambda: lab.hold() == "CommonCause", 10)
        lab.fault(ALL)
        assert lab.shares() == (50, 50)
        waited = lab.psactl("release", "wait", "psa-suite")
        assert (waited.returncode, "CommonCause" in waited.stderr) == (4, True), waited
        lab.wait("the hold to end", lambda: lab.hold() is None, 60)
        attempt = lab.wait_in(Phase.COMPLETED, seconds=60)
        assert attempt.number == 1
        assert lab.shares() == (0, 100)
    assert users.failed_by.keys() == {OLD, NEW}, users


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_when_both_colours_turn_ill_the_candidate_is_not_blamed_although_haproxy_is_slow_to_see_it(
    short_path: Path,
) -> None:
    with releases(short_path / "lab") as lab, lab.users(50):
        slow = replace(lab.sight.haproxy.config, check_ms=2000)  # HAProxy's own default: DOWN after 6 s
        lab.sight.haproxy.reload(slow)
        lab.ask_for(NEW, watch="5s", errorRate={"limit": "10%"})
        lab.wait_in(Phase.WATCH)
        lab.fault(ALL, unhealthy=True)
        lab.wait("a hold", lambda: lab.hold() is not None, 20)
        assert lab.hold() == "CandidateDown"
        lab.fault(ALL)
        assert lab.shares() == (50, 50)
        attempt = lab.wait_in(Phase.COMPLETED, seconds=60)
        assert attempt.number == 1
