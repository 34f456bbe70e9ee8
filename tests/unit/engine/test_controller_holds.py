"""What the loop leaves as it is, and until when: by mode, for want of a word, or by a person's wish."""

import asyncio
from datetime import timedelta

import pytest

from crds.meta import ConditionType, Key, Mode
from daemon.store.operations import Assign, Orphan, Suspend
from tests.builders import START
from tests.fakes.knobs import a_house

pytestmark = pytest.mark.looptime(end=4 * 3600)


async def test_in_observe_mode_the_difference_is_said_and_nothing_is_changed() -> None:
    async with a_house(Mode.OBSERVE) as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(100)
        assert house.knobs.turns == []
        assert house.says("a", ConditionType.SYNCED) == ("False", "ObserveMode")


async def test_the_stricter_mode_counts_and_leaving_it_takes_effect_at_once() -> None:
    async with a_house() as house:
        await house.store.commit([Assign("mode", "Observe")])
        await house.declare("a", cores=3)
        await asyncio.sleep(5)
        assert house.knobs.turns == []
        await house.store.commit([Assign("mode", "Enforce")])
        house.controller.wake_all()
        await asyncio.sleep(1)
        assert house.knobs.stand == {"a": 3}


async def test_a_foreign_thing_waits_until_the_file_says_adopt() -> None:
    async with a_house(foreign="it is not ours") as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(5)
        assert house.knobs.turns == []
        assert house.says("a", ConditionType.ADOPTED) == ("False", "AdoptionRequired")
        await house.declare("a", cores=3, adopt=True)
        await asyncio.sleep(5)
        assert house.knobs.stand == {"a": 3}


async def test_a_dependency_is_released_by_the_event_not_by_a_poll() -> None:
    async with a_house() as house:
        await house.declare("b", ctid=101, cores=1, dependsOn=["Container/a"])
        await asyncio.sleep(30)
        assert house.says("b", ConditionType.DEPENDENCIES_READY) == ("False", "MissingReference")
        began = asyncio.get_running_loop().time()
        await house.declare("a", cores=1)
        await asyncio.sleep(2)
        assert [name for _, name, _ in house.knobs.turns] == ["a", "b"]
        assert house.knobs.turns[-1][0] - began < 1.0


async def test_an_orphan_is_looked_at_and_left_alone() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(5)
        await house.store.commit([Orphan(Key("Container", "a"), START)])
        house.knobs.stand["a"] = 8
        await asyncio.sleep(200)
        assert house.knobs.stand["a"] == 8
        assert house.says("a", ConditionType.SYNCED) == ("False", "Orphaned")


async def test_a_suspension_holds_and_runs_out_by_itself() -> None:
    async with a_house() as house:
        until = START + timedelta(seconds=100)
        await house.declare("a", cores=1)
        await asyncio.sleep(5)
        await house.store.commit([Suspend(Key("Container", "a"), "maintenance", "uid 0", until)])
        await house.declare("a", cores=3)
        await asyncio.sleep(60)
        assert house.knobs.stand["a"] == 1
        await asyncio.sleep(120)
        assert house.knobs.stand["a"] == 3
