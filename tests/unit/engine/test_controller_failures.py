"""What the loop does where a look or a step fails: it waits, says so, and holds up nobody else."""

import asyncio
import contextlib
import itertools
from datetime import timedelta

import pytest

from crds.meta import ConditionType, Key
from daemon.engine.workset import Priority
from reconcilers.contract import OutcomeKind, PermanentError, StepClass, TransientError
from tests.fakes.knobs import House, a_house

pytestmark = pytest.mark.looptime(end=4 * 3600)


async def test_failures_back_off_and_a_new_spec_is_tried_at_once() -> None:
    async with a_house() as house:
        house.knobs.trouble["apply a"] = TransientError("no answer")
        await house.declare("a", cores=3)
        await asyncio.sleep(100)
        times = [at for at, _, _ in house.knobs.turns]
        pauses = [round(later - earlier, 1) for earlier, later in itertools.pairwise(times)]
        assert pauses == [0.8, 1.5, 3.0, 6.0, 12.0, 24.0, 48.0]
        assert house.says("a", ConditionType.SYNCED) == ("False", "ApplyFailed")
        del house.knobs.trouble["apply a"]
        edited_at = asyncio.get_running_loop().time()
        await house.declare("a", cores=4)
        await asyncio.sleep(1)
        assert house.knobs.turns[-1][0] - edited_at < 0.1


async def test_what_asks_to_be_left_alone_for_a_while_is_left_alone() -> None:
    async with a_house() as house:
        house.knobs.trouble["apply a"] = TransientError("too much to do", retry_after_s=40.0)
        await house.declare("a", cores=1)
        await asyncio.sleep(39)
        assert len(house.knobs.turns) == 1
        await asyncio.sleep(3)
        assert len(house.knobs.turns) == 2


@pytest.mark.parametrize("trouble", ["a", "apply a"])
async def test_what_is_looked_at_every_few_seconds_is_found_as_soon_after_an_outage(trouble: str) -> None:
    async with a_house(poll_interval=timedelta(seconds=5)) as house:
        house.knobs.trouble[trouble] = TransientError("not reached")
        await house.declare("a", cores=1)
        await asyncio.sleep(3600)
        del house.knobs.trouble[trouble]
        await asyncio.sleep(5.5)
        assert house.knobs.stand == {"a": 1}


async def test_what_will_never_do_is_left_alone_however_often_it_is_looked_at() -> None:
    async with a_house(poll_interval=timedelta(seconds=5)) as house:
        house.knobs.trouble["a"] = PermanentError("wrong password", reason="WrongCredentials")
        await house.declare("a", cores=1)
        await asyncio.sleep(3600)
        assert len(house.knobs.looks) <= 13


async def test_a_permanent_refusal_stalls_until_the_spec_changes() -> None:
    async with a_house() as house:
        house.knobs.trouble["apply a"] = PermanentError("never", reason="Forbidden")
        await house.declare("a", cores=3)
        await asyncio.sleep(3600)
        assert len(house.knobs.turns) == 1
        assert house.says("a", ConditionType.STALLED) == ("True", "Forbidden")
        del house.knobs.trouble["apply a"]
        await house.declare("a", cores=4)
        await asyncio.sleep(1)
        assert house.knobs.stand == {"a": 4}
        assert house.says("a", ConditionType.STALLED) == ("False", "Moving")


async def test_what_refused_a_step_is_looked_at_as_often_as_before() -> None:
    async with a_house(poll_interval=timedelta(seconds=5)) as house:
        house.knobs.trouble["apply a"] = PermanentError("never", reason="Forbidden")
        await house.declare("a", cores=3)
        await asyncio.sleep(60)
        assert len(house.knobs.turns) == 1
        assert len(house.knobs.looks) >= 10
        assert house.says("a", ConditionType.READY) == ("False", "Forbidden")


async def test_steps_without_effect_back_off_instead_of_spinning() -> None:
    async with a_house(deaf={"a"}) as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(600)
        assert 5 <= len(house.knobs.turns) <= 12
        assert house.says("a", ConditionType.READY) == ("False", "Changing")


async def test_what_cannot_be_seen_becomes_unknown_after_three_polls() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(10)
        house.knobs.trouble["a"] = TransientError("no route")
        await asyncio.sleep(120)
        assert house.says("a", ConditionType.READY) == ("True", "AsAsked")
        await asyncio.sleep(120)
        assert house.says("a", ConditionType.READY) == ("Unknown", "ObservationStale")
        del house.knobs.trouble["a"]
        await asyncio.sleep(300)
        assert house.says("a", ConditionType.READY) == ("True", "AsAsked")


async def test_one_dead_endpoint_does_not_slow_another() -> None:
    async with a_house() as house:
        for number in range(40):
            house.knobs.hang.add(f"dead{number}")
            await house.declare(f"dead{number}", ctid=200 + number, endpoint="dead")
        await asyncio.sleep(1)
        assert house.knobs.most_at_work <= 4
        await house.declare("a", cores=3)
        await asyncio.sleep(1)
        assert house.knobs.stand == {"a": 3}
        await asyncio.sleep(30)
        assert house.controller.breaker_is_open("dead")
        assert not house.controller.breaker_is_open("pve")
        house.knobs.hang.clear()
        await asyncio.sleep(400)
        assert len(house.knobs.stand) == 41


async def test_a_bug_is_isolated_and_quarantined_after_five_equal_errors() -> None:
    async with a_house() as house:
        house.knobs.trouble["bad"] = KeyError("a bug")
        await house.declare("bad", cores=1)
        await house.declare("good", ctid=101, cores=2)
        await asyncio.sleep(1800)
        assert house.knobs.stand == {"good": 2}
        assert len([name for _, name in house.knobs.looks if name == "bad"]) == 5
        assert house.says("bad", ConditionType.STALLED) == ("True", "Quarantined")
        del house.knobs.trouble["bad"]
        await house.declare("bad", cores=5)
        await asyncio.sleep(1)
        assert house.knobs.stand["bad"] == 5


async def test_an_exclusive_step_leaves_an_intent_when_its_outcome_is_unknown() -> None:
    async with a_house(step_class=StepClass.EXCLUSIVE) as house:
        house.knobs.trouble["apply a"] = TransientError("connection lost")
        await house.declare("a", cores=3)
        await asyncio.sleep(60)
        intents = house.store.state.intents(Key("Container", "a"))
        assert [intent.state for intent in intents] == [OutcomeKind.UNKNOWN]
        assert len(house.knobs.turns) == 1
        assert house.says("a", ConditionType.READY) == ("False", "OutcomeUnknown")


async def test_a_person_who_asks_is_served_at_once_even_in_back_off() -> None:
    async with a_house() as house:
        house.knobs.trouble["a"] = TransientError("no route")
        await house.declare("a", cores=3)
        await asyncio.sleep(200)
        del house.knobs.trouble["a"]
        house.controller.wake(Key("Container", "a"), Priority.CHANGE)
        await asyncio.sleep(1)
        assert house.knobs.stand == {"a": 3}


def refusing_house(
    step_class: StepClass = StepClass.ABSOLUTE,
) -> "contextlib.AbstractAsyncContextManager[House]":
    """A kind whose objects all want knob ``x`` turned first, which is refused for good."""
    trouble = {"apply x": PermanentError("x is fixed", reason="Fixed")}
    return a_house(beside="x", trouble=trouble, step_class=step_class)


def turned(house: House) -> list[str]:
    return [name for _, name, _ in house.knobs.turns]


async def test_an_independent_step_that_is_refused_stalls_and_the_others_are_taken_in_the_same_pass() -> None:
    async with refusing_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(0.05)
        assert turned(house) == ["x", "a"]
        assert house.says("a", ConditionType.STALLED) == ("True", "Fixed")
        await asyncio.sleep(200)
        house.knobs.stand["a"] = 9
        await asyncio.sleep(67)
        assert house.knobs.stand["a"] == 3, "what drifts later is put right, too"
        told = [event.message for event in house.store.events(Key("Container", "a"))]
        assert told.count("x is fixed") == 1
        assert house.says("a", ConditionType.READY) == ("False", "Fixed")


async def test_what_was_refused_is_tried_again_after_a_success_after_minutes_and_when_somebody_asks() -> None:
    async with refusing_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(10)
        assert turned(house) == ["x", "a", "x"], "what was refused may have built on what was then done"
        commits = house.store.commits
        await asyncio.sleep(280)
        assert (turned(house), house.store.commits) == (["x", "a", "x"], commits)
        await asyncio.sleep(100)
        assert turned(house) == ["x", "a", "x", "x"]
        house.controller.wake(Key("Container", "a"), Priority.CHANGE)
        await asyncio.sleep(0.05)
        assert turned(house)[4:] == ["x"]
        del house.knobs.trouble["apply x"]
        await asyncio.sleep(400)
        assert house.knobs.stand == {"a": 3, "x": 3}
        assert house.says("a", ConditionType.READY) == ("True", "AsAsked")


async def test_a_refused_exclusive_step_leaves_no_intent_behind() -> None:
    async with refusing_house(StepClass.EXCLUSIVE) as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(10)
        assert house.store.state.intents(Key("Container", "a")) == ()
        assert house.knobs.stand == {"a": 3}


async def test_where_the_outside_was_not_asked_nothing_goes_on_and_it_is_tried_again_soon() -> None:
    trouble = {"apply x": PermanentError("no file", reason="SecretUnavailable", asked_outside=False)}
    async with a_house(beside="x", trouble=trouble) as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(0.05)
        assert turned(house) == ["x"]
        assert house.says("a", ConditionType.STALLED) == ("True", "SecretUnavailable")
