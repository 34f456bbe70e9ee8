"""Clients that a cookie binds to the old version: they leave it in time, and before it is replaced."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from crds.balancer import ServerState, TrafficSplitSpec
from crds.evidence import Clinging, Detector, Evidence, Mark, Tally
from crds.release import Phase
from crds.service import Color, share_of
from reconcilers.contract import Amend, Plan
from reconcilers.counters import CountedNode
from reconcilers.release.model import ReleaseAction
from tests.builders import START
from tests.builders_release import GATEWAY, Scene, a_split, attempt_of, counted, memo_of, notes

COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
SOCKET = "unix:///run/edge.sock"


def soaking(
    live: Color, came: int, *, looks: int, seconds: float = 60.0, pid: int = 1001, **fields: Any
) -> Scene:
    """Return a soak so long after the promotion; more came to stable at so many looks, at this one *came*."""
    marks = tuple(
        Mark(socket=SOCKET, server=each.value, pid=1001, requests=100, errors=0, hidden=0) for each in Color
    )
    failing = Detector(total=Tally(stable_requests=100), onset_at=START)
    evidence = Evidence(
        marks=marks,
        began_at=START - timedelta(hours=1),
        ticked_at=START - timedelta(seconds=1),
        is_read_back=True,
        weight=100,
        failing=failing,
    )
    (node,) = counted({live: 100 + came, live.other: 100})
    promoted_at = START - timedelta(seconds=seconds)
    attempt = {"promoted_at": promoted_at, "step_at": promoted_at, **fields.pop("attempt", {})}
    memo = {
        "entries": {GATEWAY: evidence},
        "clinging": Clinging(requests=100, pids={SOCKET: 1001}, looks=looks),
    }
    members = {0: {"counted": (replace(cast("CountedNode", node), pid=pid),)}}
    return Scene(
        Phase.SOAK,
        live,
        attempt=attempt,
        memo=memo,
        members=members,
        spec={"soak": "24h", "drain": "60s"},
        **fields,
    )


def stable_state(plan: Plan[ReleaseAction], live: Color) -> ServerState | None:
    """Return the state that the plan gives a colour, None if it leaves the split as it is."""
    specs = (each.spec for each in plan.writes if isinstance(each, Amend))
    return next((share_of(spec, live).state for spec in specs if isinstance(spec, TrafficSplitSpec)), None)


def amended(plan: Plan[ReleaseAction]) -> set[str]:
    return {str(each.key) for each in plan.writes if isinstance(each, Amend)}


@COLORS
def test_at_the_end_of_the_drain_the_old_version_is_closed_for_who_still_comes(live: Color) -> None:
    plan = soaking(live, came=3, looks=2).plan()
    assert attempt_of(plan).is_closed
    assert notes(plan) == ["ClientsMoved"]
    assert stable_state(plan, live) is ServerState.MAINT
    assert attempt_of(plan).phase is Phase.SOAK


@COLORS
@pytest.mark.parametrize(
    ("came", "looks", "seconds"), [(0, 2, 60.0), (3, 1, 60.0), (3, 9, 58.0)], ids=["gone", "few", "early"]
)
def test_it_stays_open_while_nobody_comes_or_hardly_anybody_or_the_drain_lasts(
    live: Color, came: int, looks: int, seconds: float
) -> None:
    plan = soaking(live, came, looks=looks, seconds=seconds).plan()
    assert not attempt_of(plan).is_closed
    assert stable_state(plan, live) is None


@COLORS
def test_who_came_long_before_the_end_of_the_drain_may_be_gone_by_then(live: Color) -> None:
    clinging = memo_of(soaking(live, came=3, looks=9, seconds=30.0).plan()).clinging
    assert clinging is not None
    assert (clinging.requests, clinging.looks) == (103, 1)


@COLORS
def test_a_new_haproxy_process_sends_anybody_there_so_that_counting_begins_anew(live: Color) -> None:
    plan = soaking(live, came=3, looks=9, pid=1002).plan()
    clinging = memo_of(plan).clinging
    assert not attempt_of(plan).is_closed
    assert clinging is not None
    assert (clinging.pids, clinging.looks) == ({SOCKET: 1002}, 0)


@COLORS
def test_at_the_end_of_the_soak_the_old_version_is_closed_first(live: Color) -> None:
    long_ago = {"promoted_at": START - timedelta(hours=1)}
    over: dict[str, Any] = {"spec": {"soak": "30m"}, "memo": {"soaked_s": 7200.0}}
    plan = Scene(Phase.SOAK, live, attempt=long_ago, **over).plan()
    assert (attempt_of(plan).phase, attempt_of(plan).is_closed) == (Phase.SOAK, True)
    assert stable_state(plan, live) is ServerState.MAINT
    after = Scene(Phase.SOAK, live, attempt={**long_ago, "is_closed": True}, **over).plan()
    assert attempt_of(after).phase is Phase.COMPLETED


@COLORS
def test_a_slot_that_only_drains_is_closed_before_what_it_holds_is_replaced(live: Color) -> None:
    drained = a_split(0, live.other, 0, loser="drain")
    plan = Scene(Phase.DEPLOY_CANDIDATE, live, members={0: {"split": drained}}).plan()
    assert amended(plan) == {f"TrafficSplit/{GATEWAY}"}
    assert stable_state(plan, live.other) is ServerState.MAINT
    assert plan.waiting is not None
    assert "is being closed" in plan.waiting

    closed = replace(a_split(0, live.other, 0), observed_generation=0)
    plan = Scene(Phase.DEPLOY_CANDIDATE, live, members={0: {"split": closed}}).plan()
    assert amended(plan) == set()
    plan = Scene(Phase.DEPLOY_CANDIDATE, live).plan()
    assert amended(plan) == {f"Container/{GATEWAY}-{live.other.value}"}
