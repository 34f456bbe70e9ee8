"""A person's override of a split: in force until its end, shown meanwhile, and taken off the record."""

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from crds.balancer import Override, TrafficSplitSpec, TrafficSplitStatus
from crds.meta import ConditionType, Key, Truth
from metrics.traffic import TrafficMetrics
from reconcilers.contract import Amend, AnyResource, Note
from reconcilers.servers import Health
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START
from tests.builders_haproxy import LIVE, NAME, Desk, a_backend, a_service, a_split, a_split_to, said, verdict
from tests.fakes.haproxy import FakeHaproxy

COLORS = pytest.mark.parametrize(("live", "idle"), [("blue", "green"), ("green", "blue")])
KEY, OWNER = Key("TrafficSplit", NAME), Key("Service", NAME)
UNTIL = START + timedelta(minutes=30)


def an_override(blue: int, green: int, reason: str = "green errs") -> Override:
    return Override(blue=blue, green=green, until=UNTIL, reason=reason, actor="uid 1000")


def an_override_to(color: str) -> Override:
    return an_override(100, 0) if color == "blue" else an_override(0, 100)


class Overridden:
    """A split at rest, before HAProxy, with an override that a test writes."""

    def __init__(self, split: AnyResource) -> None:
        self.registry = CollectorRegistry()
        self.haproxy = FakeHaproxy(a_backend())
        self.seconds = 0.0
        reconciler = SplitReconciler(
            self.haproxy, TrafficMetrics(self.registry), lambda: self.desk.now, lambda: self.seconds
        )
        self.desk = Desk({"TrafficSplit": reconciler})
        self.desk.put(a_service())
        self.desk.put(replace(split, owner=OWNER))

    @property
    def spec(self) -> TrafficSplitSpec:
        spec = self.desk.state.objects[KEY].spec
        assert isinstance(spec, TrafficSplitSpec)
        return spec

    def write(self, override: Override | None) -> None:
        old = self.desk.state.objects[KEY]
        spec = old.spec.model_copy(update={"override": override})
        self.desk.put(replace(old, spec=spec, generation=old.generation + 1))

    def servers(self) -> dict[str, tuple[int, str]]:
        node = self.haproxy.nodes[0]
        states = {name: node.state["api_backend", name] for name in ("blue", "green")}
        return {name: (each.weight, each.state.value) for name, each in states.items()}

    def asked(self, server: str) -> float | None:
        labels = {"service": NAME, "server": server, "view": "asked"}
        return self.registry.get_sample_value("psa_traffic_weight_ratio", labels)

    async def notes_until_quiet(self) -> list[str]:
        """Return the reasons of all events until nothing is left to do."""
        reasons: list[str] = []
        for _ in range(10):
            self.seconds += 1
            plan = await self.desk.one_pass(KEY)
            reasons += [write.reason for write in plan.writes if isinstance(write, Note)]
            if not plan.steps and not plan.writes and plan.waiting is None:
                return reasons
        raise AssertionError("not quiet")


async def an_overridden(live: str, override: Override | None = None) -> Overridden:
    found = Overridden(a_split_to(live))
    await found.notes_until_quiet()
    if override is not None:
        found.write(override)
    return found


@COLORS
async def test_an_override_moves_the_traffic_and_its_end_moves_it_back(live: str, idle: str) -> None:
    found = await an_overridden(live, an_override_to(idle))
    assert await found.notes_until_quiet() == ["OverrideInForce"]
    assert found.servers() == {idle: (100, "ready"), live: (0, "maint")}
    found.desk.now = UNTIL - timedelta(seconds=1)
    assert await found.notes_until_quiet() == []
    found.desk.now = UNTIL
    assert await found.notes_until_quiet() == ["OverrideEnded"]
    assert found.servers() == {live: (100, "ready"), idle: (0, "maint")}
    assert found.spec.override is None
    assert found.haproxy.blackouts == []


@COLORS
async def test_an_override_is_lifted_by_hand_before_its_end(live: str, idle: str) -> None:
    found = await an_overridden(live, an_override_to(idle))
    await found.notes_until_quiet()
    found.write(None)
    assert await found.notes_until_quiet() == ["OverrideEnded"]
    assert found.servers() == {live: (100, "ready"), idle: (0, "maint")}


async def test_while_it_is_in_force_the_split_is_degraded_and_says_who_and_until_when() -> None:
    found = await an_overridden("green", an_override(100, 0))
    await found.notes_until_quiet()
    plan = await found.desk.one_pass(KEY)
    text = "blue 100, green 0 until 2026-11-24T12:30:00Z, by uid 1000: green errs"
    degraded = verdict(plan, ConditionType.DEGRADED)
    assert degraded is not None
    assert (degraded.status, degraded.reason) == (Truth.TRUE, "Overridden")
    assert degraded.message == f"the split is overridden: {text}"
    assert isinstance(plan.status, TrafficSplitStatus)
    assert plan.status.override == text
    assert plan.writes == ()


async def test_its_events_say_what_is_in_force_from_then_on() -> None:
    found = await an_overridden("green", an_override(60, 40))
    begun = await found.desk.one_pass(KEY)
    await found.notes_until_quiet()
    found.desk.now = UNTIL
    ended = await found.desk.one_pass(KEY)
    text = "blue 60, green 40 until 2026-11-24T12:30:00Z, by uid 1000: green errs"
    assert begun.writes == (Note("OverrideInForce", text),)
    note = Note("OverrideEnded", "the record is in force again: blue 0 maint, green 100 ready")
    assert ended.writes[0] == note
    assert ended.writes[1:] == (Amend(KEY, found.spec, found.desk.state.objects[KEY].annotations, OWNER),), (
        "the record without the override"
    )


async def test_another_override_is_told_anew() -> None:
    found = await an_overridden("green", an_override(60, 40))
    assert await found.notes_until_quiet() == ["OverrideInForce"]
    found.write(an_override(90, 10, "still errs"))
    assert await found.notes_until_quiet() == ["OverrideInForce"]
    assert found.servers() == {"blue": (90, "ready"), "green": (10, "ready")}


@COLORS
async def test_one_that_had_run_out_before_anybody_looked_does_nothing_and_goes_without_a_word(
    live: str, idle: str
) -> None:
    found = await an_overridden(live)
    found.desk.now = UNTIL
    found.write(an_override_to(idle))
    sent = list(found.haproxy.commands)
    assert await found.notes_until_quiet() == []
    assert (found.haproxy.commands, found.spec.override) == (sent, None)


@COLORS
async def test_nobodys_traffic_ends_for_a_colour_that_is_down(live: str, idle: str) -> None:
    found = await an_overridden(live)
    server = next(each for each in found.haproxy.nodes[0].backends[0].servers if each.name == idle)
    server.is_alive = False
    found.write(an_override_to(idle))
    await found.desk.one_pass(KEY)
    plan = await found.desk.one_pass(KEY)
    assert plan.waiting is not None
    assert plan.waiting.startswith(f"api_backend/{live} keeps its traffic on edge")
    assert found.servers()[live] == (100, "ready")
    assert found.haproxy.blackouts == []


@COLORS
async def test_at_its_end_a_server_that_was_not_checked_yet_gets_no_traffic_alone(
    live: str, idle: str
) -> None:
    found = await an_overridden(live, an_override_to(idle))
    await found.notes_until_quiet()
    found.desk.mark_ready(KEY)
    found.haproxy.nodes[0].change("api_backend", live, weight=100, admin=0, health=Health.DOUBTFUL)
    found.haproxy.checks_at_each_look = False
    found.desk.now = UNTIL
    plan = await found.desk.one_pass(KEY)
    assert plan.waiting == f"api_backend/{idle} keeps its traffic on edge: {live} has not passed a check yet"


async def test_its_end_is_no_drift() -> None:
    found = await an_overridden("blue", an_override(0, 100))
    await found.notes_until_quiet()
    found.desk.now = UNTIL
    plan = await found.desk.one_pass(KEY)
    drifted = verdict(plan, ConditionType.DRIFTED)
    assert said(plan) != []
    assert drifted is not None
    assert drifted.status is Truth.FALSE


async def test_where_nothing_may_be_changed_the_record_is_not_either() -> None:
    found = await an_overridden("blue", an_override(0, 100))
    found.desk.now = UNTIL
    found.desk.put(replace(found.desk.state.objects[KEY], held=("ObserveMode", "nothing is changed")))
    assert (await found.desk.one_pass(KEY)).writes == ()


async def test_the_metrics_show_what_is_in_force() -> None:
    found = await an_overridden("blue", an_override(25, 75))
    await found.notes_until_quiet()
    assert (found.asked("blue"), found.asked("green")) == (0.25, 0.75)
    found.desk.now = UNTIL
    await found.notes_until_quiet()
    assert (found.asked("blue"), found.asked("green")) == (1.0, 0.0)


async def test_an_override_that_ends_leaves_no_wrong_colour_behind() -> None:
    found = await an_overridden("blue", an_override(50, 50))
    await found.notes_until_quiet()
    found.desk.now = UNTIL
    await found.notes_until_quiet()
    wrong_s = found.registry.get_sample_value("psa_wrong_color_seconds_total", {"service": NAME})
    assert wrong_s == 0.0


async def test_an_overridden_reload_is_put_right_to_the_override() -> None:
    found = await an_overridden("blue", an_override(0, 100))
    await found.notes_until_quiet()
    found.haproxy.reload()
    assert await found.notes_until_quiet() == ["BalancerReloaded"]
    assert found.servers() == {"blue": (0, "maint"), "green": (100, "ready")}


def test_shares_of_an_override_are_ready_with_a_weight_and_in_maintenance_without() -> None:
    spec = a_split(LIVE, {"weight": 40, "state": "drain"}).spec
    assert isinstance(spec, TrafficSplitSpec)
    spec = spec.model_copy(update={"override": an_override(0, 7)})
    during, after = spec.in_force(START), spec.in_force(UNTIL)
    assert (during.blue.weight, during.blue.state.value) == (0, "maint")
    assert (during.green.weight, during.green.state.value) == (7, "ready")
    assert after is spec
