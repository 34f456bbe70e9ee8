"""The loop in virtual time: what is declared comes to be, stays so, and is looked at no more than needed."""

import asyncio

import pytest

from crds.meta import ConditionType, Key, Truth
from reconcilers.contract import Declare, Verdict
from tests.builders import a_container_spec
from tests.fakes.knobs import a_house

pytestmark = pytest.mark.looptime(end=4 * 3600)


async def test_a_declared_object_is_applied_looked_at_again_and_then_only_polled() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(300)
        assert house.knobs.stand == {"a": 3}
        assert house.says("a", ConditionType.READY) == ("True", "AsAsked")
        assert len(house.knobs.turns) == 1
        assert 6 <= len(house.knobs.looks) <= 8


async def test_steady_state_writes_nothing_for_five_minutes() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(10)
        before = house.store.commits
        await asyncio.sleep(300)
        assert house.store.commits == before


async def test_a_change_from_outside_is_drift_and_is_put_right_at_the_next_poll() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(10)
        house.knobs.stand["a"] = 9
        await asyncio.sleep(67)
        assert house.knobs.stand["a"] == 3
        events = [(event.reason, event.message) for event in house.store.events(Key("Container", "a"))]
        assert events[-1] == ("Turn", "turn a to 3")
        assert house.says("a", ConditionType.DRIFTED) == ("False", "NoDifference")


async def test_what_is_not_in_the_store_is_forgotten_by_its_kind_and_never_looked_at() -> None:
    async with a_house() as house:
        await house.declare("a", cores=1)
        house.controller.wake(Key("Container", "b"))
        await asyncio.sleep(300)
        assert house.knobs.forgotten == ["b"]
        assert {name for _, name in house.knobs.looks} == {"a"}


async def test_children_are_made_once_and_become_orphans_when_no_longer_declared() -> None:
    async with a_house() as house:
        child = Declare(Key("Container", "child"), a_container_spec(ctid=101, cores=7))
        house.knobs.declares = (child,)
        await house.declare("a", cores=1)
        await asyncio.sleep(5)
        assert house.knobs.stand["child"] == 7
        other = Declare(Key("Container", "other"), a_container_spec(ctid=102, cores=5))
        house.knobs.declares = (other,)
        house.controller.wake(Key("Container", "a"))
        await asyncio.sleep(5)
        assert house.store.state.objects[Key("Container", "child")].orphaned_since is not None


async def test_draining_lets_the_pass_under_way_end() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(0.005)
        house.controller.drain()
    assert house.knobs.stand == {"a": 3}


async def test_what_has_become_worse_is_an_event_once_and_again_when_it_has_been_well() -> None:
    away = Verdict(ConditionType.DEGRADED, Truth.TRUE, "NodeAway", "one of two nodes is away")
    lost = Verdict(ConditionType.READY, Truth.FALSE, "StandbyLost", "two does not stream")
    async with a_house() as house:
        house.knobs.verdicts = (lost,)
        await house.declare("a", cores=3)
        await asyncio.sleep(130)
        told = [event.reason for event in house.store.events(Key("Container", "a"))]
        assert told == ["Turn"], "it was not ready before"
        for verdicts in ((), (lost, away), (lost, away), (), (lost,)):
            house.knobs.verdicts = verdicts
            await asyncio.sleep(70)
        told = [event.reason for event in house.store.events(Key("Container", "a"))]
        assert told == ["Turn", "StandbyLost", "NodeAway", "StandbyLost"]
