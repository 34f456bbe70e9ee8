"""What becomes of a service's children that a release writes: kept, followed, and never fought over."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crds.balancer import Override, ServerShare, ServerState, TrafficSplitSpec
from crds.container import ContainerSpec
from crds.meta import ConditionType, Key, Truth
from crds.service import (
    LIVE,
    VERSION,
    Color,
    ServiceSpec,
    ServiceStatus,
    container_annotations,
    container_key,
    share_of,
    split_annotations,
    split_key,
)
from reconcilers.contract import Amend, Declare, Note
from reconcilers.service.reconciler import ServiceReconciler
from tests.builders import START
from tests.builders_haproxy import NAME, Desk, a_backend, a_service, a_service_spec, verdict
from tests.fakes.haproxy import FakeHaproxy

KEY = Key("Service", NAME)
SPLIT = split_key(NAME)
COLORS = pytest.mark.parametrize("color", list(Color), ids=lambda color: color.value)
RECIPE = "psa-r-0123456789ab"


def a_desk(*, initial: Color | None = None, alive: tuple[Color, ...] = (), **spec: object) -> Desk:
    servers = {color.value: {"is_alive": color in alive} for color in Color}
    desk = Desk({"Service": ServiceReconciler(FakeHaproxy(a_backend(**servers)))})
    begin = {"color": initial.value, "version": "1.0.0"} if initial is not None else None
    desk.put(a_service(initial=begin, **spec))
    return desk


def spec_of(desk: Desk) -> ServiceSpec:
    spec = desk.state.objects[KEY].spec
    assert isinstance(spec, ServiceSpec)
    return spec


def a_container(
    desk: Desk, color: Color, version: str = "1.2.3", *, live: bool | None = None, attempt: str | None = "a1"
) -> Amend:
    """Return what a release writes of a slot."""
    spec = spec_of(desk).container_spec(NAME, color, version, incarnation=attempt, replace=RECIPE)
    return Amend(
        container_key(NAME, color), spec, container_annotations(NAME, color, version, live=live), KEY
    )


def a_split(desk: Desk, live: Color, override: Override | None = None) -> Amend:
    """Return what a release writes of the split when *live* has all traffic."""
    spec = spec_of(desk)
    blue, green = (
        ServerShare(server=spec.server_name(color), weight=100, state=ServerState.READY)
        if color is live
        else ServerShare(server=spec.server_name(color), weight=0, state=ServerState.MAINT)
        for color in Color
    )
    return Amend(SPLIT, spec.split_spec(NAME, blue, green, override), split_annotations(NAME), KEY)


async def status_of(desk: Desk) -> ServiceStatus:
    status = (await desk.one_pass(KEY)).status
    assert isinstance(status, ServiceStatus)
    return status


@COLORS
async def test_after_a_release_filled_a_slot_the_service_declares_nothing(color: Color) -> None:
    desk = a_desk(initial=color.other)
    await desk.one_pass(KEY)
    desk.amend(a_container(desk, color))
    plan = await desk.one_pass(KEY)
    assert plan.writes == ()
    assert plan.status == ServiceStatus(
        live=color.other.value, versions={color.other.value: "1.0.0", color.value: "1.2.3"}
    )


@COLORS
async def test_after_a_release_moved_the_traffic_the_service_follows_and_declares_nothing(
    color: Color,
) -> None:
    desk = a_desk(initial=color.other)
    await desk.one_pass(KEY)
    desk.amend(a_container(desk, color))
    desk.amend(a_split(desk, color))
    plan = await desk.one_pass(KEY)
    assert plan.writes == ()
    assert isinstance(plan.status, ServiceStatus)
    assert plan.status.live == color.value


@COLORS
async def test_a_change_of_the_file_reaches_a_releases_slot_and_leaves_what_the_release_wrote(
    color: Color,
) -> None:
    desk = a_desk(initial=color.other)
    await desk.one_pass(KEY)
    override = Override(
        blue=50, green=50, until=START + timedelta(minutes=30), reason="a look at both", actor="uid 1000"
    )
    desk.amend(a_container(desk, color, live=True))
    desk.amend(a_split(desk, color, override))
    shape = a_service_spec().model_dump(mode="json", by_alias=True, exclude_none=True)["container"]
    begin = {"color": color.other.value, "version": "1.0.0"}
    changed = a_service(initial=begin, container={**shape, "memory": "6Gi"}, adopt=True)
    desk.put(replace(changed, generation=2))
    await desk.one_pass(KEY)
    child, split = desk.state.objects[container_key(NAME, color)], desk.state.objects[SPLIT].spec
    assert isinstance(child.spec, ContainerSpec)
    assert isinstance(split, TrafficSplitSpec)
    assert (child.spec.memory, child.spec.incarnation, child.spec.replace) == (6144, "a1", RECIPE)
    assert (child.annotations[VERSION], child.annotations[LIVE]) == ("1.2.3", "true")
    assert (share_of(split, color).weight, split.override, split.adopt) == (100, override, True)
    assert (await desk.one_pass(KEY)).writes == ()


@COLORS
async def test_behind_the_entry_the_colour_that_was_promoted_is_live_whatever_initial_says(
    color: Color,
) -> None:
    desk = a_desk(initial=color.other, backend=None)
    await desk.one_pass(KEY)
    desk.amend(a_container(desk, color))
    assert (await status_of(desk)).live == color.other.value
    desk.amend(a_container(desk, color, live=True))
    desk.amend(a_container(desk, color.other, "1.0.0", live=False, attempt=None))
    assert (await status_of(desk)).live == color.value
    desk.amend(a_container(desk, color, live=False))
    desk.amend(a_container(desk, color.other, "1.0.0", live=True, attempt=None))
    assert (await status_of(desk)).live == color.other.value


@COLORS
async def test_behind_the_entry_the_promoted_colours_container_is_what_makes_it_ready(color: Color) -> None:
    desk = a_desk(backend=None)
    desk.amend(a_container(desk, color, live=True))
    found = verdict(await desk.one_pass(KEY), ConditionType.READY)
    assert found is not None
    assert found.reason == "ContainerNotReady"
    desk.mark_ready(container_key(NAME, color))
    assert verdict(await desk.one_pass(KEY), ConditionType.READY) is None


async def test_behind_the_entry_two_promoted_colours_are_no_answer() -> None:
    desk = a_desk(backend=None)
    for color in Color:
        desk.amend(a_container(desk, color, live=True))
    assert (await status_of(desk)).live is None


@pytest.mark.parametrize("is_entry", [True, False], ids=["with-a-backend", "behind-the-entry"])
@COLORS
async def test_on_an_empty_platform_a_first_release_finds_nothing_in_its_way(
    color: Color, *, is_entry: bool
) -> None:
    desk = a_desk() if is_entry else a_desk(backend=None)
    before = await desk.one_pass(KEY)
    assert (before.writes, before.blocked, before.waiting) == ((), None, None)
    found = verdict(before, ConditionType.READY)
    assert found is not None
    assert (found.status, found.reason) == (Truth.FALSE, "NoLiveColor")
    desk.amend(a_container(desk, color))
    during = await desk.one_pass(KEY)
    assert (during.writes, during.blocked) == ((), None)
    desk.amend(a_container(desk, color, live=True))
    if is_entry:
        desk.amend(a_split(desk, color))
    after = await desk.one_pass(KEY)
    assert after.writes == ()
    assert after.status == ServiceStatus(live=color.value, versions={color.value: "1.2.3"})


@COLORS
async def test_a_first_candidate_that_haproxy_sends_traffic_to_already_is_not_taken_for_the_live_one(
    color: Color,
) -> None:
    desk = a_desk(alive=(color,))
    desk.amend(a_container(desk, color))
    plan = await desk.one_pass(KEY)
    assert [write for write in plan.writes if isinstance(write, Declare | Note)] == []
    assert SPLIT not in desk.state.objects
    assert (plan.blocked, await status_of(desk)) == (
        None,
        ServiceStatus(live=None, versions={color.value: "1.2.3"}),
    )


@COLORS
async def test_a_slot_whose_version_is_lost_is_left_as_it_is(color: Color) -> None:
    desk = a_desk(initial=color)
    await desk.one_pass(KEY)
    key = container_key(NAME, color)
    before = desk.state.objects[key]
    desk.put(replace(before, annotations={}))
    desk.put(a_service(initial={"color": color.value, "version": "2.0.0"}, adopt=True))
    await desk.one_pass(KEY)
    plan = await desk.one_pass(KEY)
    assert desk.state.objects[key].spec == before.spec
    assert plan.writes == ()
    assert plan.status == ServiceStatus(live=color.value)


def test_a_service_behind_the_entry_has_no_split_to_ask_for() -> None:
    nothing = ServerShare(server="one", weight=0, state=ServerState.MAINT)
    with pytest.raises(ValueError, match=f"Service/{NAME} has no backend"):
        a_service_spec(backend=None).split_spec(NAME, nothing, nothing)
