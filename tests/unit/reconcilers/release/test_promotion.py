"""Promotion with draining, the soak, and the way back."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from crds.balancer import ServerState, TrafficSplitSpec
from crds.container import ContainerStatus
from crds.release import Phase
from crds.service import Color, share_of
from reconcilers.contract import Amend, Plan, Urgency
from reconcilers.release.model import ReleaseAction
from reconcilers.servers import NodeDown
from tests.builders import START
from tests.builders_release import (
    CRM,
    GATEWAY,
    ILL,
    SILENT,
    WELL,
    Scene,
    a_slot,
    a_split,
    attempt_of,
    counted,
    memo_of,
    notes,
)

COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
AWAY = (NodeDown("node 2", "unix:///run/2.sock", "connection refused"),)


def promoting(live: Color, seconds: float = 2.0, held: int = 0, **fields: Any) -> Scene:
    """Return a promotion that HAProxy has had for so long; stable holds so many requests."""
    at = START - timedelta(seconds=seconds)
    attempt = {"entered_at": at, "step_at": at, "promoted_at": at, **fields.pop("attempt", {})}
    members = {0: {"counted": counted(sessions={live: held}), **fields.pop("member", {})}}
    return Scene(Phase.PROMOTE, live, attempt=attempt, members=members, spec={"drain": "5s"}, **fields)


def stable_state(plan: Plan[ReleaseAction], live: Color) -> ServerState | None:
    """Return the state that the plan gives stable, None if it leaves the split as it is."""
    specs = (each.spec for each in plan.writes if isinstance(each, Amend))
    return next((share_of(spec, live).state for spec in specs if isinstance(spec, TrafficSplitSpec)), None)


@COLORS
def test_without_open_requests_the_promotion_is_done_at_once(live: Color) -> None:
    assert attempt_of(promoting(live).plan()).phase is Phase.VERIFY


@COLORS
def test_open_requests_of_the_old_version_may_end(live: Color) -> None:
    plan = promoting(live, held=3).plan()
    assert attempt_of(plan).phase is Phase.PROMOTE
    assert plan.waiting is not None
    assert "still answers 3 requests" in plan.waiting
    assert stable_state(plan, live) is None, "it drains already"


@COLORS
def test_what_does_not_end_in_time_is_cut_and_its_number_is_evidence(live: Color) -> None:
    plan = promoting(live, seconds=6.0, held=3).plan()
    attempt = attempt_of(plan)
    assert attempt.phase is Phase.PROMOTE
    assert attempt.is_closed
    assert notes(plan) == ["DrainCut"]
    assert stable_state(plan, live) is ServerState.MAINT
    closed = a_split(0, live.other, 100, loser="maint")
    after = promoting(live, 7.0, held=3, attempt={"is_closed": True}, member={"split": closed}).plan()
    assert attempt_of(after).phase is Phase.VERIFY


@COLORS
@pytest.mark.parametrize("nodes", [None, AWAY], ids=["silent", "one-away"])
def test_unknown_is_not_taken_for_empty_but_for_the_length_of_the_drain_only(live: Color, nodes: Any) -> None:
    unknown = {"counted": nodes}
    assert attempt_of(promoting(live, member=unknown).plan()).phase is Phase.PROMOTE
    late = promoting(live, seconds=6.0, member=unknown).plan()
    assert attempt_of(late).is_closed


@COLORS
def test_the_drain_begins_when_haproxy_has_the_promotion(live: Color) -> None:
    not_yet = {"split": a_split(0, live.other, 50)}
    plan = promoting(live, member=not_yet).plan()
    assert attempt_of(plan).phase is Phase.PROMOTE
    assert memo_of(plan).read_back_at is None


@COLORS
def test_a_clock_that_jumps_cuts_nobody(live: Color) -> None:
    at = START - timedelta(hours=1, seconds=2)
    scene = promoting(
        live,
        held=3,
        attempt={"entered_at": at, "step_at": at},
        memo={"ticked_at": START - timedelta(hours=1, seconds=1)},
    )
    plan = scene.plan()
    assert not attempt_of(plan).is_closed
    assert attempt_of(plan).phase is Phase.PROMOTE


@COLORS
def test_a_first_release_drains_nobody(live: Color) -> None:
    del live
    scene = Scene(Phase.PROMOTE, live=None, members={0: {"counted": None}})
    assert attempt_of(scene.plan()).phase is Phase.VERIFY


@COLORS
def test_a_rollback_is_done_when_haproxy_has_it(live: Color) -> None:
    assert attempt_of(Scene(Phase.ROLLING_BACK, live).plan()).phase is Phase.ROLLED_BACK
    not_yet = {"split": a_split(0, live.other, 0, ready=False)}
    plan = Scene(Phase.ROLLING_BACK, live, members={0: not_yet}).plan()
    assert attempt_of(plan).phase is Phase.ROLLING_BACK
    assert plan.urgency is Urgency.ROLLBACK


@COLORS
def test_after_a_rollback_the_candidate_is_closed_so_that_clients_that_cling_to_it_move(live: Color) -> None:
    drained = {"split": a_split(0, live.other, 0, loser="drain")}
    plan = Scene(Phase.ROLLING_BACK, live, members={0: drained}).plan()
    assert stable_state(plan, live.other) is ServerState.MAINT
    assert attempt_of(plan).phase is Phase.ROLLING_BACK


def behind(live: Color, probe: Any, **fields: Any) -> Scene:
    """Return a set whose second service, behind the entry, answers so."""
    given: Mapping[str, Any] = {"probes": {live.other: probe, live: WELL}, **fields}
    return Scene(Phase.WATCH, live, 2, members={1: given}, memo={"behind": {}})


def ticks(scene: Scene, seconds: int) -> Any:
    """Return the last of so many plans, one a second."""
    plan = scene.plan()
    for _ in range(seconds):
        memo = memo_of(plan).model_dump() | {"process": "this run", "ticked_s": 99.0}
        scene = Scene(scene.phase, scene.live, scene.services, members=scene.members, memo=memo)
        plan = scene.plan()
        if attempt_of(plan).phase is not scene.phase:
            break
    return plan


@COLORS
@pytest.mark.parametrize("probe", [ILL, SILENT])
def test_a_candidate_behind_a_good_gateway_that_is_ill_rolls_all_back(live: Color, probe: Any) -> None:
    attempt = attempt_of(ticks(behind(live, probe), 4))
    assert (attempt.phase, attempt.reason) == (Phase.ROLLING_BACK, "CandidateDown")
    assert CRM in attempt.message
    assert probe.says in attempt.message


@COLORS
def test_one_bad_second_behind_the_gateway_is_not_enough(live: Color) -> None:
    plan = ticks(behind(live, ILL), 1)
    assert attempt_of(plan).phase is Phase.WATCH
    assert 0 < memo_of(plan).behind[CRM].down_s < 3


@COLORS
def test_a_candidate_behind_the_gateway_whose_container_stopped_is_down(live: Color) -> None:
    stopped = a_slot(1, live.other, "1.1.0", state="stopped")
    containers = {live: a_slot(1, live), live.other: stopped}
    assert isinstance(stopped.status, ContainerStatus)
    attempt = attempt_of(ticks(behind(live, None, probes={live: WELL}, containers=containers), 4))
    assert attempt.reason == "CandidateDown"
    assert "its container does not run" in attempt.message


@COLORS
def test_where_stable_is_ill_behind_the_gateway_too_it_holds(live: Color) -> None:
    plan = ticks(behind(live, ILL, probes={live.other: ILL, live: ILL}), 4)
    hold = attempt_of(plan).hold
    assert attempt_of(plan).phase is Phase.WATCH
    assert hold is not None
    assert "stable does not work either" in hold.message


@COLORS
def test_what_is_not_known_behind_the_gateway_is_neither_ill_nor_well(live: Color) -> None:
    plan = ticks(behind(live, None, probes={}), 4)
    assert attempt_of(plan).phase is Phase.WATCH
    assert memo_of(plan).behind[CRM].down_s == 0


@COLORS
def test_an_ill_candidate_behind_the_gateway_is_not_promoted_in_its_first_seconds(live: Color) -> None:
    no_entry = {
        name: {"candidate": live.other, "stable": live, "stable_version": "1.0.0"} for name in (GATEWAY, CRM)
    }
    attempt = {"members": no_entry, "entered_at": START - timedelta(seconds=40)}
    ill = Scene(Phase.WATCH, live, 2, attempt=attempt, members={1: {"probes": {live.other: ILL, live: WELL}}})
    assert attempt_of(ill.plan()).phase is Phase.WATCH
    well = Scene(Phase.WATCH, live, 2, attempt=attempt)
    assert attempt_of(well.plan()).phase is Phase.PROMOTE
