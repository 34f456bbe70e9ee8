"""What is looked at before anything is changed, and what a check that fails says."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crds.container import ContainerStatus
from crds.release import Check, Phase, Trigger
from crds.service import Color
from reconcilers.release.model import Preflight, Room, Site
from reconcilers.servers import NodeDown
from tests.builders import START
from tests.builders_release import (
    CRM,
    GATEWAY,
    ILL,
    NEW,
    OLD,
    SILENT,
    Scene,
    a_node,
    a_site,
    a_slot,
    attempt_of,
    counted,
    memo_of,
)

COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
GIB = 1024**3
LETS_IT_GO = f"adopt: true of {GATEWAY} and replaceAdopted: true let it go"
LONG_AGO = START - timedelta(hours=1)
MEASURED = {"rates": {GATEWAY: 20.0}}
ELSEWHERE = {Color.BLUE: "10.0.20.10:3000", Color.GREEN: "10.0.20.99:3001"}


def a_check(live: Color | None = Color.BLUE, services: int = 1, **fields: Any) -> Scene:
    """Return a release in its checks, with the traffic measured."""
    return Scene(Phase.PRE_CHECK, live, services, **{"memo": MEASURED, **fields})


def looked(site: Site | None = None, *nodes: Any) -> Mapping[str, Any]:
    sites = {"pve": site if site is not None else a_site()}
    return {"preflight": Preflight(sites, {GATEWAY: nodes or (a_node(),)})}


def checks(scene: Scene) -> dict[str, Check]:
    return {check.name: check for check in attempt_of(scene.plan()).checks}


@COLORS
def test_where_all_is_well_the_release_goes_on_and_each_check_says_what_it_found(live: Color) -> None:
    scene = a_check(live)
    attempt = attempt_of(scene.plan())
    assert attempt.phase is Phase.BACKUP
    assert {check.name for check in attempt.checks} == {
        "memory",
        "storage",
        "templates",
        "container ids",
        "balancer",
        "live version",
        "traffic",
    }
    assert all(check.passed and check.message for check in attempt.checks)


def full_node(live: Color) -> Site:
    node = "pve2" if live is Color.BLUE else "pve1"
    rooms = {**a_site().rooms, node: Room(node, is_online=True, memory_free=1 * GIB)}
    return a_site(rooms=rooms)


TROUBLES: Mapping[str, tuple[Any, str, str]] = {
    "no memory": (full_node(Color.BLUE), "memory", "node pve2 has 1024 MiB free, 4096 MiB are needed"),
    "node away": (
        a_site(rooms={"pve2": Room("pve2", is_online=False, memory_free=0)}),
        "memory",
        "node pve2 is not online",
    ),
    "no disk": (
        a_site(storage_free={("pve2", "local"): 2 * GIB}),
        "storage",
        "local of pve2 has 2 GiB free, 10 GiB are needed",
    ),
    "unknown storage": (a_site(storage_free={}), "storage", "storage local of pve2 is not known"),
    "no template": (
        a_site(templates=frozenset()),
        "templates",
        f"not there: local:vztmpl/{GATEWAY}_{NEW}_amd64.tar.zst on pve2",
    ),
    "id taken": (
        a_site(guests={1100: "somebody-elses"}),
        "container ids",
        f"CT 1100 on pve is somebody-elses, which is not ours: {LETS_IT_GO}",
    ),
    "cluster silent": (Site(unseen="connection refused"), "cluster pve", "pve: connection refused"),
}


@pytest.mark.parametrize("trouble", list(TROUBLES))
def test_what_a_cluster_lacks_holds_the_release_before_anything_is_changed(trouble: str) -> None:
    site, name, message = TROUBLES[trouble]
    scene = a_check(seen=looked(site))
    found = checks(scene)[name]
    assert (found.passed, found.message) == (False, message)
    plan = scene.plan()
    assert attempt_of(plan).phase is Phase.PRE_CHECK
    assert plan.waiting is not None
    assert message in plan.waiting
    assert plan.writes == ()


def test_the_memory_of_all_candidates_on_a_node_is_needed_together() -> None:
    room = Room("pve2", is_online=True, memory_free=6 * GIB)
    scene = a_check(services=2, seen=looked(a_site(rooms={"pve2": room})))
    assert checks(scene)["memory"].message == "node pve2 has 6144 MiB free, 8192 MiB are needed"


def test_what_is_replaced_gives_its_memory_back() -> None:
    room = Room("pve2", is_online=True, memory_free=1 * GIB)
    old = {Color.BLUE: a_slot(0, Color.BLUE), Color.GREEN: a_slot(0, Color.GREEN)}
    site = a_site(rooms={"pve2": room}, storage_free={}, guests={1100: f"{GATEWAY}-green"})
    scene = a_check(members={0: {"containers": old}}, seen=looked(site))
    assert checks(scene)["memory"].passed
    assert checks(scene)["storage"].passed
    assert checks(scene)["container ids"].passed


@pytest.mark.parametrize("allowed", [False, True])
def test_a_slot_that_was_adopted_is_replaced_only_where_the_file_says_so(*, allowed: bool) -> None:
    slot = a_slot(0, Color.GREEN)
    adopted = replace(slot, status=ContainerStatus(state="running", recipe="psa-r-0", adopted=True))
    scene = a_check(
        members={0: {"containers": {Color.BLUE: a_slot(0, Color.BLUE), Color.GREEN: adopted}}},
        spec={"replaceAdopted": allowed},
        seen=looked(a_site(guests={1100: "by-hand"})),
    )
    found = checks(scene)["container ids"]
    assert found.passed is allowed
    assert allowed or found.message == (
        "CT 1100 on pve (by-hand) was adopted, not made by us: replaceAdopted: true lets it go"
    )


BALANCERS: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "silent": ((), f"{GATEWAY}: HAProxy did not answer"),
    "one of two away": (
        (a_node(), NodeDown("node 2", "unix:///run/2.sock", "connection refused")),
        "node 2 is away: connection refused",
    ),
    "no such backend": ((replace(a_node(), backends=()),), "edge has no backend api_backend"),
    "read only": ((a_node(admin=False),), "the socket of edge may not change anything"),
    "static": (
        (a_node(algorithm="static-rr"),),
        "api_backend on edge has the algorithm static-rr, which takes no weights: roundrobin does",
    ),
    "no such server": (
        (a_node(addresses={Color.BLUE: "10.0.20.10:3000"}),),
        "edge has no server api_backend/green",
    ),
    "another address": (
        (a_node(addresses=ELSEWHERE),),
        "api_backend/green on edge goes to 10.0.20.99:3001, but green listens at 10.0.20.110:3001",
    ),
}


@pytest.mark.parametrize("trouble", list(BALANCERS))
def test_a_balancer_that_could_not_follow_holds_the_release(trouble: str) -> None:
    nodes, message = BALANCERS[trouble]
    preflight = Preflight({"pve": a_site()}, {GATEWAY: nodes})
    found = checks(a_check(seen={"preflight": preflight}))["balancer"]
    assert (found.passed, found.message) == (False, message)


@COLORS
@pytest.mark.parametrize("probe", [ILL, SILENT])
def test_from_a_broken_stable_a_release_begins_only_if_it_is_allowed(live: Color, probe: Any) -> None:
    members = {0: {"probes": {live: probe}}}
    refused = checks(a_check(live, members=members))["live version"]
    assert not refused.passed
    assert probe.says in refused.message
    assert "allow: [replace-broken-stable]" in refused.message
    allowed = a_check(live, members=members, spec={"allow": ["replace-broken-stable"]})
    assert attempt_of(allowed.plan()).phase is Phase.BACKUP


def test_a_first_release_has_no_live_version_to_look_at() -> None:
    assert checks(a_check(live=None))["live version"] == Check(
        name="live version", passed=True, message="there is none: a first release"
    )


def test_a_hook_that_the_settings_do_not_have_is_told_before_anything_is_changed() -> None:
    scene = a_check(spec={"checks": ["unit"], "smoke": ["smoke"], "verify": ["typo"]})
    assert checks(scene)["hooks"] == Check(name="hooks", passed=False, message="the settings have no typo")


def test_a_check_that_becomes_well_by_itself_lets_the_release_go_on() -> None:
    before = a_check(seen=looked(Site(unseen="connection refused")))
    failed = attempt_of(before.plan())
    after = a_check(attempt={"checks": failed.checks})
    assert attempt_of(after.plan()).phase is Phase.BACKUP


def test_a_check_that_stays_bad_ends_the_attempt_and_its_message_says_why() -> None:
    scene = a_check(seen=looked(Site(unseen="connection refused")), attempt={"entered_at": LONG_AGO})
    attempt = attempt_of(scene.plan())
    assert (attempt.phase, attempt.reason, attempt.trigger) == (
        Phase.FAILED,
        "PreCheckOverdue",
        Trigger.DEADLINE,
    )
    assert "connection refused" in attempt.message


@COLORS
def test_the_traffic_is_measured_over_a_second(live: Color) -> None:
    first = a_check(live, memo={}, members={0: {"counted": counted({live: 1000})}})
    plan = first.plan()
    assert plan.waiting is not None
    assert "the traffic is being counted" in plan.waiting
    before = memo_of(plan).before
    assert before == {GATEWAY: (1000, 100.0)}
    second = a_check(
        live,
        memo={"before": before, "ticked_s": 100.0},
        members={0: {"counted": counted({live: 1030})}},
        seen={"monotonic": 101.5},
    )
    assert memo_of(second.plan()).rates == {GATEWAY: 20.0}


def test_a_reload_between_two_readings_begins_the_measurement_anew() -> None:
    scene = a_check(
        memo={"before": {GATEWAY: (1000, 98.0)}},
        members={0: {"counted": counted({Color.BLUE: 3})}},
    )
    assert memo_of(scene.plan()).before == {GATEWAY: (3, 100.0)}
    assert memo_of(scene.plan()).rates == {}


def test_a_service_behind_the_entry_is_not_measured() -> None:
    assert attempt_of(a_check(services=2).plan()).phase is Phase.BACKUP
    assert CRM not in memo_of(a_check(services=2).plan()).rates


def test_the_live_version_is_told_by_the_service_that_is_ill() -> None:
    found = checks(a_check(services=2, members={1: {"probes": {Color.BLUE: ILL}}}))["live version"]
    assert found.message.startswith(f"{CRM}: ")
    assert OLD not in found.message
