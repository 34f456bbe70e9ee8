"""What a service declares: from a file, from what is live already, and beside a split that exists."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from crds.balancer import TrafficSplitSpec
from crds.container import ContainerSpec
from crds.meta import Condition, ConditionType, Key, Origin, Truth
from crds.service import ServiceStatus
from reconcilers.contract import Declare, Note, Plan, TransientError
from reconcilers.service.model import NoAction
from reconcilers.service.reconciler import ServiceReconciler
from tests.builders import START
from tests.builders_haproxy import NAME, Desk, a_backend, a_service, verdict
from tests.fakes.haproxy import FakeBackend, FakeHaproxy, FakeServer

KEY = Key("Service", NAME)
BLUE, GREEN = Key("Container", f"{NAME}-blue"), Key("Container", f"{NAME}-green")
SPLIT = Key("TrafficSplit", NAME)
CONTAINERS = {"blue": BLUE, "green": GREEN}
COLORS = pytest.mark.parametrize(("live", "idle"), [("blue", "green"), ("green", "blue")])
IDLE_BACKEND: Mapping[str, Mapping[str, Any]] = {"blue": {"is_alive": False}, "green": {"is_alive": False}}


def an_empty_platform() -> FakeHaproxy:
    """Return an HAProxy behind which nothing runs yet."""
    return FakeHaproxy(a_backend(**IDLE_BACKEND))


def a_desk(haproxy: FakeHaproxy, **spec: object) -> Desk:
    desk = Desk({"Service": ServiceReconciler(haproxy)})
    desk.put(a_service(**spec))
    return desk


def declared(plan: Plan[NoAction]) -> dict[Key, Declare]:
    return {write.key: write for write in plan.writes if isinstance(write, Declare)}


def a_container_of(plan: Plan[NoAction], key: Key) -> ContainerSpec:
    spec = declared(plan)[key].spec
    assert isinstance(spec, ContainerSpec)
    return spec


def a_split_of(plan: Plan[NoAction]) -> TrafficSplitSpec:
    spec = declared(plan)[SPLIT].spec
    assert isinstance(spec, TrafficSplitSpec)
    return spec


def shares(plan: Plan[NoAction]) -> list[tuple[str, int, str]]:
    split = a_split_of(plan)
    return [(each.server, each.weight, each.state.value) for each in (split.blue, split.green)]


def initial(color: str, version: str = "1.0.0") -> dict[str, str]:
    return {"color": color, "version": version}


def why_not_ready(plan: Plan[NoAction]) -> tuple[str, str]:
    found = verdict(plan, ConditionType.READY)
    assert found is not None
    assert found.status is Truth.FALSE
    return found.reason, found.message


@COLORS
async def test_on_an_empty_platform_the_initial_colour_is_made_and_has_the_traffic(
    live: str, idle: str
) -> None:
    desk = a_desk(an_empty_platform(), initial=initial(live))
    plan = await desk.one_pass(KEY)
    assert set(declared(plan)) == {CONTAINERS[live], SPLIT}
    expected = {live: (live, 100, "ready"), idle: (idle, 0, "maint")}
    assert shares(plan) == [expected["blue"], expected["green"]]
    assert plan.status == ServiceStatus(live=live, versions={live: "1.0.0"})
    assert plan.steps == ()
    assert not [write for write in plan.writes if isinstance(write, Note)]


async def test_a_colours_container_is_the_common_shape_with_the_slots_own_fields() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("green", "1.2.3"), dependsOn=["Container/psa-redis"])
    plan = await desk.one_pass(KEY)
    container, write = a_container_of(plan, GREEN), declared(plan)[GREEN]
    again = ContainerSpec.model_validate(container.model_dump(mode="json", exclude_none=True))
    assert again == container
    assert container.template == "local:vztmpl/psa-api-gateway_1.2.3_amd64.tar.zst"
    assert (container.ctid, container.node, container.hostname) == (1100, "pve2", f"{NAME}-green")
    assert container.network is not None
    assert (container.network.address, container.network.vlan) == ("10.0.20.110/24", 20)
    assert container.memory == 4096
    assert container.depends_on == (Key("Container", "psa-redis"),)
    assert write.annotations == {
        "psa.platform/version": "1.2.3",
        "psa.platform/service": NAME,
        "psa.platform/color": "green",
    }


async def test_what_a_person_decides_about_the_service_holds_for_its_children_but_never_deletion() -> None:
    desk = a_desk(
        an_empty_platform(),
        initial=initial("blue"),
        mode="Observe",
        suspend=True,
        adopt=True,
        allow=["restart"],
        deletionPolicy="Delete",
        dependsOn=["Container/psa-redis"],
        pollInterval="5m",
    )
    plan = await desk.one_pass(KEY)
    for spec in (a_container_of(plan, BLUE), a_split_of(plan)):
        assert (spec.mode.value, spec.suspend, spec.adopt) == ("Observe", True, True)
        assert [verb.value for verb in spec.allow] == ["restart"]
        assert spec.deletion_policy.value == "Retain"
    # Traffic is put right every second, whatever the service waits for.
    assert (a_split_of(plan).depends_on, a_split_of(plan).poll_interval) == ((), None)


@COLORS
async def test_the_colour_that_is_live_already_becomes_the_record_and_wins_over_initial(
    live: str, idle: str
) -> None:
    desk = a_desk(FakeHaproxy(a_backend(**{idle: {"is_alive": False}})), initial=initial(idle))
    plan = await desk.one_pass(KEY)
    assert set(declared(plan)) == {SPLIT}
    expected = {live: (live, 100, "ready"), idle: (idle, 0, "maint")}
    assert shares(plan) == [expected["blue"], expected["green"]]
    text = f"{live} has the traffic in api_backend already: it stays live, although initial says {idle}"
    assert [write for write in plan.writes if isinstance(write, Note)] == [Note("LiveColorFound", text)]
    assert why_not_ready(plan)[0] == "VersionUnknown"
    assert [write for write in (await desk.one_pass(KEY)).writes if isinstance(write, Note)] == []


@COLORS
async def test_a_live_colour_with_a_matching_initial_is_declared_with_its_container(
    live: str, idle: str
) -> None:
    desk = a_desk(FakeHaproxy(a_backend(**{idle: {"is_alive": False}})), initial=initial(live))
    assert set(declared(await desk.one_pass(KEY))) == {CONTAINERS[live], SPLIT}


@pytest.mark.parametrize(
    "closed", [{"weight": 0}, {"admin": 1}, {"admin": 8}], ids=["weight-0", "maint", "drain"]
)
async def test_a_colour_without_new_clients_is_not_live(closed: dict[str, object]) -> None:
    haproxy = FakeHaproxy(a_backend())
    haproxy.nodes[0].change("api_backend", "green", **closed)
    plan = await a_desk(haproxy).one_pass(KEY)
    assert shares(plan)[0] == ("blue", 100, "ready")


async def test_two_live_colours_wait_for_a_person() -> None:
    plan = await a_desk(FakeHaproxy(a_backend()), initial=initial("blue")).one_pass(KEY)
    assert plan.writes == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "BothLive"
    assert "`set server api_backend/green state maint`" in plan.blocked[1]


async def test_two_nodes_that_disagree_wait_for_a_person() -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=2)
    haproxy.nodes[0].change("api_backend", "green", weight=0)
    haproxy.nodes[1].change("api_backend", "blue", weight=0)
    plan = await a_desk(haproxy).one_pass(KEY)
    assert plan.blocked is not None
    assert plan.blocked[0] == "BothLive"


async def test_nobody_live_and_no_initial_waits() -> None:
    plan = await a_desk(an_empty_platform()).one_pass(KEY)
    assert plan.writes == ()
    assert plan.blocked is None
    assert why_not_ready(plan)[0] == "NoLiveColor"
    assert plan.recheck_after is not None


async def test_servers_that_were_not_checked_yet_decide_nothing() -> None:
    haproxy = FakeHaproxy(a_backend(**IDLE_BACKEND), checks_at_each_look=False)
    haproxy.reload()
    desk = a_desk(haproxy, initial=initial("blue"))
    plan = await desk.one_pass(KEY)
    assert plan.writes == ()
    assert plan.waiting == "HAProxy has not checked api_backend/blue and api_backend/green yet"
    haproxy.nodes[0].check()
    assert SPLIT in declared(await desk.one_pass(KEY))


async def test_a_node_that_is_away_decides_nothing() -> None:
    haproxy = FakeHaproxy(a_backend(**IDLE_BACKEND), nodes=2)
    haproxy.nodes[0].refuses = TransientError("nobody listens there")
    desk = a_desk(haproxy, initial=initial("blue"))
    plan = await desk.one_pass(KEY)
    assert plan.writes == ()
    assert plan.waiting == "who is live cannot be known: node 1: nobody listens there"


async def test_an_unknown_server_or_endpoint_blocks_the_first_look() -> None:
    haproxy = FakeHaproxy(FakeBackend("api_backend", [FakeServer("blue")]))
    plan = await a_desk(haproxy).one_pass(KEY)
    assert plan.blocked == ("UnknownServer", "edge has no server api_backend/green")
    elsewhere = {"endpoint": "dmz", "name": "api_backend"}
    plan = await a_desk(haproxy, backend=elsewhere).one_pass(KEY)
    assert plan.blocked == ("UnknownServer", "the settings have no endpoint dmz")


async def test_once_it_exists_the_split_keeps_its_weights_and_follows_names_only() -> None:
    haproxy = an_empty_platform()
    desk = a_desk(haproxy, initial=initial("blue"))
    await desk.one_pass(KEY)
    split = desk.state.objects[SPLIT]
    assert isinstance(split.spec, TrafficSplitSpec)
    share = split.spec.green.model_copy(update={"weight": 40})
    desk.put(replace(split, spec=split.spec.model_copy(update={"green": share})))
    colors = a_service().spec.model_dump(mode="json", by_alias=True)["colors"]
    colors["green"]["server"] = "grn"
    desk.put(a_service(initial=initial("green"), colors=colors, backend={"endpoint": "dmz", "name": "api"}))
    plan = await desk.one_pass(KEY)
    assert shares(plan) == [("blue", 100, "ready"), ("grn", 40, "maint")]
    assert (a_split_of(plan).endpoint, a_split_of(plan).backend) == ("dmz", "api")
    assert set(declared(plan)) == {BLUE, SPLIT}


async def test_a_slot_keeps_the_version_it_has_and_the_service_says_that_initial_is_not_followed() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    desk.put(a_service(initial=initial("blue", "2.0.0")))
    for key in (BLUE, SPLIT):
        desk.mark_ready(key)
    plan = await desk.one_pass(KEY)
    container = desk.state.objects[BLUE].spec
    assert isinstance(container, ContainerSpec)
    assert "1.0.0" in container.template
    ready = verdict(plan, ConditionType.READY)
    assert ready is not None
    assert ready.status is Truth.TRUE
    assert ready.message == "initial.version 2.0.0 is not followed: blue has 1.0.0 already"


async def test_other_fields_of_the_shape_reach_the_slot_that_exists() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    shape = a_service().spec.model_dump(mode="json", by_alias=True, exclude_none=True)["container"]
    desk.put(a_service(initial=initial("blue"), container={**shape, "memory": "6Gi"}))
    assert a_container_of(await desk.one_pass(KEY), BLUE).memory == 6144


async def test_in_steady_state_nothing_is_written_and_the_same_is_said() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    first, second = await desk.one_pass(KEY), await desk.one_pass(KEY)
    assert first == second
    assert first.writes == ()


async def test_a_pass_that_saw_old_weights_does_not_undo_what_a_release_wrote_meanwhile() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    plan = await desk.look(KEY)
    split = desk.state.objects[SPLIT]
    assert isinstance(split.spec, TrafficSplitSpec)
    swapped = {"blue": split.spec.green, "green": split.spec.blue}
    desk.put(replace(split, spec=split.spec.model_copy(update=swapped), generation=2))
    desk.keep(KEY, plan)
    found = desk.state.objects[SPLIT].spec
    assert isinstance(found, TrafficSplitSpec)
    assert found.green.weight == 100


@pytest.mark.parametrize(
    "change", [{"labels": {"team": "a"}}, {"lines": {"spec": 9}}], ids=["labels", "place-in-the-file"]
)
async def test_what_the_children_have_from_the_services_file_follows_it(change: dict[str, Any]) -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    desk.put(replace(desk.state.objects[KEY], **change))
    assert set(declared(await desk.one_pass(KEY))) == {BLUE, SPLIT}


async def test_an_orphaned_child_is_declared_again() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    desk.put(replace(desk.state.objects[BLUE], orphaned_since=START))
    await desk.one_pass(KEY)
    assert desk.state.objects[BLUE].orphaned_since is None


async def test_without_its_backend_a_service_gives_up_its_split() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    desk.put(a_service(initial=initial("blue"), backend=None))
    # Declaring the others is what tells the engine that the split is not.
    assert set(declared(await desk.one_pass(KEY))) == {BLUE}


async def test_a_service_is_ready_when_its_live_container_and_its_split_are() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    assert why_not_ready(await desk.one_pass(KEY)) == ("ContainerNotReady", f"{BLUE}: not looked at yet")
    desk.mark_ready(BLUE, ready=False, reason="StepFailed")
    assert why_not_ready(await desk.one_pass(KEY)) == ("ContainerNotReady", f"{BLUE}: StepFailed")
    desk.mark_ready(BLUE)
    assert why_not_ready(await desk.one_pass(KEY)) == ("SplitNotReady", f"{SPLIT}: not looked at yet")
    desk.mark_ready(SPLIT)
    assert verdict(await desk.one_pass(KEY), ConditionType.READY) is None


async def test_a_service_that_passes_a_change_on_is_not_ready_in_the_same_breath() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    desk.mark_ready(BLUE)
    desk.mark_ready(SPLIT)
    shape = a_service().spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    grown = {"initial": initial("blue"), "container": {**shape["container"], "memory": "6Gi"}}
    desk.put(a_service(**grown))
    assert why_not_ready(await desk.one_pass(KEY)) == ("ContainerNotReady", f"{BLUE}: not looked at yet")
    desk.mark_ready(BLUE)
    colors = {color: {**slot, "server": f"{color}-2"} for color, slot in shape["colors"].items()}
    desk.put(a_service(**grown, colors=colors))
    assert why_not_ready(await desk.one_pass(KEY)) == ("SplitNotReady", f"{SPLIT}: not looked at yet")


async def test_a_degraded_split_degrades_the_service() -> None:
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    await desk.one_pass(KEY)
    desk.mark_ready(SPLIT)
    old = desk.state.objects[SPLIT]
    degraded = Condition(ConditionType.DEGRADED, Truth.TRUE, "NodeDown", "node 2 is away", START)
    desk.put(replace(old, conditions=(*old.conditions, degraded)))
    found = verdict(await desk.one_pass(KEY), ConditionType.DEGRADED)
    assert found is not None
    assert (found.reason, found.message) == ("SplitDegraded", f"{SPLIT}: NodeDown")


async def test_a_server_that_goes_elsewhere_than_its_slot_is_named_with_both_addresses() -> None:
    haproxy = FakeHaproxy(a_backend({"address": "10.0.20.99:3000", "is_alive": False}, {"is_alive": False}))
    found = verdict(await a_desk(haproxy, initial=initial("blue")).one_pass(KEY), ConditionType.DEGRADED)
    assert found is not None
    assert found.reason == "AddressDiffers"
    text = "api_backend/blue on edge goes to 10.0.20.99:3000, but blue listens at 10.0.20.10:3000"
    assert found.message == text


async def test_a_service_behind_the_entry_has_no_split_and_asks_no_load_balancer() -> None:
    desk = a_desk(FakeHaproxy(), backend=None, initial=initial("green"))
    plan = await desk.one_pass(KEY)
    assert set(declared(plan)) == {GREEN}
    assert plan.status == ServiceStatus(live="green", versions={"green": "1.0.0"})
    desk.mark_ready(GREEN)
    assert verdict(await desk.one_pass(KEY), ConditionType.READY) is None


async def test_a_service_behind_the_entry_without_initial_waits_for_a_release() -> None:
    plan = await a_desk(FakeHaproxy(), backend=None).one_pass(KEY)
    assert plan.writes == ()
    assert why_not_ready(plan)[0] == "NoLiveColor"


@pytest.mark.parametrize(("length", "is_fine"), [(57, True), (58, False)])
async def test_a_name_must_leave_room_for_the_colour(length: int, *, is_fine: bool) -> None:
    desk = Desk({"Service": ServiceReconciler(an_empty_platform())})
    service = desk.put(a_service("x" * length, initial=initial("blue")))
    plan = await desk.one_pass(service.key)
    assert (plan.blocked is None) is is_fine
    if is_fine:
        assert len(Key.parse(f"Container/{'x' * length}-green").name) == 63


async def test_a_childs_fields_are_told_by_the_lines_that_ask_for_them_and_declared_once() -> None:
    lines = {"spec": 7, "spec.allow": 8, "spec.container": 10, "spec.container.memory": 12}
    lines |= {"spec.colors": 20, "spec.colors.blue": 21, "spec.colors.blue.address": 22}
    desk = a_desk(an_empty_platform(), initial=initial("blue"))
    desk.put(replace(desk.state.objects[KEY], lines=lines, origin=Origin("crm.yaml", 1)))
    await desk.one_pass(KEY)
    container, split = desk.state.objects[BLUE], desk.state.objects[SPLIT]
    paths = ("spec.memory", "spec.cores", "spec.network.address", "spec.node", "spec.allow")
    assert [str(container.where(path)) for path in paths] == [
        f"crm.yaml:{line}" for line in (12, 10, 22, 10, 8)
    ]
    assert str(split.where("spec.blue.weight")) == "crm.yaml:21"
    assert declared(await desk.one_pass(KEY)) == {}
