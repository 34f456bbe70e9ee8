"""A rollback does not wait for a hook: its traffic is written only when the steps of the pass are done."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.release import Phase
from reconcilers.contract import Step, StepClass
from reconcilers.hook_runs import HookResult, HookState
from reconcilers.release.apply import apply_action
from reconcilers.release.client import ReportFolder
from reconcilers.release.model import ReleaseAction, StopHook
from tests.builders_release import GATEWAY, Scene, attempt_of
from tests.real_hooks import RUN, Programs, a_run, programs, until_over

VERIFY = f"psa-suite.1.20261124115900.verify.functional.{GATEWAY}.1"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as found:
        yield found


def ending(verb: str, phase: Phase, run: str) -> tuple[Step[ReleaseAction], ...]:
    """Return the steps of a pass that ends the phase while its hook runs."""
    running = {run: HookResult("functional", HookState.RUNNING, "it runs")}
    spec = {"checks": ["unit"], "verify": ["functional"]}
    plan = Scene(phase, spec=spec, seen={"hooks": running}).asked(verb)
    assert attempt_of(plan).phase is not phase
    return plan.steps


async def applied(folder: Programs, action: ReleaseAction) -> float:
    """Return how long the step takes with a hook that ignores SIGTERM for a second."""
    folder.add("unit", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    runner = folder.runner(grace_s=1.0)
    await runner.sweep()
    await runner.start(a_run(RUN))
    while (seen := await runner.look(RUN)) is not None and not seen.tail:
        await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await apply_action(runner, ReportFolder(folder.root), action)
    took = loop.time() - before
    assert (await until_over(runner, RUN)).state is HookState.STOPPED
    assert folder.processes() == {}
    return took


async def test_a_rollback_asks_a_running_hook_to_end_and_goes_on(folder: Programs) -> None:
    (step,) = ending("rollback", Phase.VERIFY, VERIFY)
    assert step.action == StopHook(VERIFY, is_awaited=False)
    assert step.step_class is StepClass.ABSOLUTE
    assert await applied(folder, StopHook(RUN, is_awaited=False)) < 0.5


async def test_an_attempt_without_traffic_is_over_only_when_its_hook_is(folder: Programs) -> None:
    (step,) = ending("abort", Phase.PRE_CHECK, "psa-suite.1.20261124115900.precheck.unit.1")
    assert step.action == StopHook("psa-suite.1.20261124115900.precheck.unit.1")
    assert await applied(folder, StopHook(RUN)) >= 1.0
