"""The fake's own powers: hours in no time, and refusals on demand."""

import asyncio
from datetime import timedelta

import pytest

from reconcilers.contract import NotSentError
from reconcilers.hook_runs import Hook, HookState
from tests.fakes.hooks import Act, FakeHooks
from tests.real_hooks import a_run


@pytest.mark.looptime(end=4 * 3600)
async def test_two_hours_of_tests_take_no_time_and_keep_their_order() -> None:
    hooks = [Hook("e2e", ("/bin/true",), timeout=timedelta(hours=3)), Hook("unit", ("/bin/true",))]
    fake = FakeHooks(hooks, {"e2e": Act(seconds=7200), "unit": Act(seconds=30, exit_status=1)}, at_once=1)
    await fake.start(a_run("a.1.e2e", "e2e"))
    await fake.start(a_run("a.1.unit", "unit"))

    await asyncio.sleep(7199)
    running = await fake.look("a.1.e2e")
    await asyncio.sleep(40)
    ended = [await fake.look(name) for name in fake.started]

    assert running is not None
    assert running.says == "runs for 7199 s, at most 3h"
    assert [each.state for each in ended if each is not None] == [HookState.PASSED, HookState.FAILED]
    assert [each.seconds for each in ended if each is not None] == [7200, 30]


async def test_a_refusal_leaves_no_trace() -> None:
    fake = FakeHooks([Hook("unit", ("/bin/true",))], refuses={"unit": NotSentError("no process left")})

    with pytest.raises(NotSentError):
        await fake.start(a_run())

    assert await fake.look("psa-suite.1.unit") is None
    assert fake.started == []
