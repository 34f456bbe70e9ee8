"""What we rely on in hooks, against the fake and against real programs."""

import asyncio
import signal
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest

from reconcilers.contract import NotSentError, PermanentError
from reconcilers.hook_runs import Hook, HookResult, HookRun, HookState
from tests.fakes.hooks import Act, FakeHooks
from tests.real_hooks import Programs, a_run, other_daemon, programs, until_over


class Client(Protocol):
    """What a daemon asks of its runner."""

    @property
    def known(self) -> Mapping[str, bool]: ...
    async def sweep(self) -> None: ...
    async def start(self, run: HookRun) -> str: ...
    async def look(self, run_id: str) -> HookResult | None: ...
    async def stop(self, run_id: str) -> None: ...
    async def close(self) -> None: ...


class Rig(Protocol):
    """A daemon's hooks, and the levers of a test."""

    def add(self, name: str, act: Act = Act(), *arguments: str, **settings: object) -> None:
        """Make a hook that does this."""
        ...

    def daemon(self, *, at_once: int = 4) -> Client:
        """Return a new daemon's runner."""
        ...

    async def killed_daemon(self, *runs: HookRun, at_once: int = 4) -> None:
        """Let a daemon begin these runs, and kill it then."""
        ...


class FakeRig:
    def __init__(self) -> None:
        self._hooks = FakeHooks(hooks=[])

    def add(self, name: str, act: Act = Act(), *arguments: str, **settings: object) -> None:
        hook = Hook(name, ("/bin/true", *arguments), **settings)  # type: ignore[arg-type]  # a test's keywords
        self._hooks.hooks = [*self._hooks.hooks, hook]
        self._hooks.acts[name] = act

    def daemon(self, *, at_once: int = 4) -> Client:
        self._hooks.at_once = at_once
        return self._hooks

    async def killed_daemon(self, *runs: HookRun, at_once: int = 4) -> None:
        self._hooks.at_once = at_once
        await self._hooks.sweep()
        for run in runs:
            await self._hooks.start(run)
        self._hooks.crash()


class RealRig:
    def __init__(self, folder: Programs) -> None:
        self._folder = folder

    def add(self, name: str, act: Act = Act(), *arguments: str, **settings: object) -> None:
        end = f"exit {act.exit_status}" if act.signal is None else f"kill -{act.signal} $$"
        text = f"printf %s '{act.tail}'; sleep {act.seconds}; {end}"
        self._folder.add(name, text, *arguments, **settings)

    def daemon(self, *, at_once: int = 4) -> Client:
        return self._folder.runner(at_once=at_once)

    async def killed_daemon(self, *runs: HookRun, at_once: int = 4) -> None:
        with other_daemon(self._folder, *runs, at_once=at_once) as process:
            process.kill()


@pytest.fixture(params=["fake", "real"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    if request.param == "fake":
        yield FakeRig()
        return
    with programs(tmp_path) as folder:
        yield RealRig(folder)


async def begun(rig: Rig, *, at_once: int = 4) -> Client:
    client = rig.daemon(at_once=at_once)
    await client.sweep()
    return client


async def state_of(client: Client, run_id: str) -> HookState | None:
    result = await client.look(run_id)
    return None if result is None else result.state


@pytest.mark.parametrize(
    ("act", "state", "says"),
    [
        (Act(), HookState.PASSED, "passed in 0."),
        (Act(exit_status=3), HookState.FAILED, "exit status 3 after 0."),
        (Act(signal=signal.SIGSEGV), HookState.FAILED, "ended by "),
    ],
)
async def test_the_end_of_a_run_is_told_with_its_figures(
    rig: Rig, act: Act, state: HookState, says: str
) -> None:
    rig.add("unit", act)
    client = await begun(rig)

    assert await client.start(a_run())
    result = await until_over(client, "psa-suite.1.unit")
    await client.close()

    assert (result.hook, result.state) == ("unit", state)
    assert result.says.startswith(says)
    assert result.exit_status == (None if act.signal else act.exit_status)
    assert result.signal == act.signal
    assert 0.1 <= result.seconds < 2


async def test_what_a_run_wrote_is_told(rig: Rig) -> None:
    rig.add("unit", Act(tail="3 tests\n", exit_status=1))
    client = await begun(rig)

    await client.start(a_run())
    result = await until_over(client, "psa-suite.1.unit")
    await client.close()

    assert (result.tail, result.output_bytes, result.is_cut) == ("3 tests\n", 8, False)


async def test_a_run_that_takes_too_long_is_ended(rig: Rig) -> None:
    rig.add("unit", Act(seconds=60), timeout=timedelta(milliseconds=300))
    client = await begun(rig)

    await client.start(a_run())
    result = await until_over(client, "psa-suite.1.unit")
    await client.close()

    assert result.state is HookState.TIMED_OUT
    assert result.says.startswith("not done after 300ms, and ended")
    assert 0.3 <= result.seconds < 2


async def test_a_run_is_followed_while_it_runs(rig: Rig) -> None:
    rig.add("unit", Act(seconds=60))
    client = await begun(rig)
    await client.start(a_run())
    await asyncio.sleep(0.2)

    result = await client.look("psa-suite.1.unit")
    await client.close()

    assert result is not None
    assert not result.is_over
    assert 0.1 < result.seconds < 5
    assert result.says == "runs for 0 s, at most 10m"


async def test_what_was_never_begun_is_not_known(rig: Rig) -> None:
    rig.add("unit")
    client = await begun(rig)

    assert await client.look("psa-suite.1.unit") is None
    assert await client.look("../../etc/passwd") is None
    await client.stop("psa-suite.1.unit")


async def test_a_hook_that_the_settings_do_not_have_is_refused(rig: Rig) -> None:
    rig.add("unit", is_idempotent=True)
    rig.add("audit")
    client = await begun(rig)

    with pytest.raises(PermanentError) as refused:
        await client.start(a_run("psa-suite.1.lint", "lint"))

    assert refused.value.reason == "UnknownHook"
    assert client.known == {"unit": True, "audit": False}


async def test_a_name_is_used_once(rig: Rig) -> None:
    rig.add("unit")
    client = await begun(rig)
    await client.start(a_run())
    with pytest.raises(PermanentError) as while_it_runs:
        await client.start(a_run())
    await until_over(client, "psa-suite.1.unit")
    with pytest.raises(PermanentError) as afterwards:
        await client.start(a_run())
    await client.close()

    assert while_it_runs.value.reason == afterwards.value.reason == "HookRunExists"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, "HookFactMissing"),
        ({"address": "10.0.20.10", "port": 3000, "service": "-rf"}, "HookRunInvalid"),
        ({"address": "10.0.20.10 -rf", "port": 3000}, "HookRunInvalid"),
        ({"address": "10.0.20.10", "version": "-1"}, "HookRunInvalid"),
    ],
)
async def test_facts_that_cannot_be_told_are_refused(rig: Rig, facts: dict[str, object], reason: str) -> None:
    rig.add("smoke", Act(), "{address}")
    client = await begun(rig)

    with pytest.raises(PermanentError) as refused:
        await client.start(a_run("psa-suite.1.unit", "smoke", **facts))

    assert refused.value.reason == reason
    assert await client.look("psa-suite.1.unit") is None


@pytest.mark.parametrize("run_id", ["../other", "a/b", ".hidden", "UPPER", "a..b", "", "a" * 201])
async def test_a_run_is_named_by_what_can_name_a_file(rig: Rig, run_id: str) -> None:
    rig.add("unit")
    client = await begun(rig)

    with pytest.raises(PermanentError) as refused:
        await client.start(a_run(run_id))

    assert refused.value.reason == "HookRunInvalid"
    assert await client.look(run_id) is None


async def test_a_run_that_nobody_waits_for_is_stopped(rig: Rig) -> None:
    rig.add("unit", Act(seconds=60))
    client = await begun(rig)
    await client.start(a_run())

    await client.stop("psa-suite.1.unit")
    first = await client.look("psa-suite.1.unit")
    await client.stop("psa-suite.1.unit")
    second = await client.look("psa-suite.1.unit")

    assert first is not None
    assert first.state is HookState.STOPPED
    assert second == first


async def test_further_runs_wait_for_their_turn(rig: Rig) -> None:
    rig.add("unit", Act(seconds=0.3))
    client = await begun(rig, at_once=2)
    names = [f"psa-suite.{n}.unit" for n in range(4)]
    for name in names:
        await client.start(a_run(name))

    waiting = [result.says for name in names if (result := await client.look(name)) is not None]
    ended = [await until_over(client, name) for name in names]
    await client.close()

    assert [says.startswith("waits for its turn: 2 hooks") for says in waiting] == [False] * 2 + [True] * 2
    assert [result.state for result in ended] == [HookState.PASSED] * 4


async def test_who_came_first_has_the_next_turn(rig: Rig) -> None:
    rig.add("unit", Act(seconds=0.3))
    client = await begun(rig, at_once=1)
    names = [f"psa-suite.{n}.unit" for n in range(4)]
    for name in names:
        await client.start(a_run(name))

    for place, name in enumerate(names, 1):
        await until_over(client, name)
        later = [await state_of(client, each) for each in names[place:]]
        assert later == [HookState.RUNNING] * len(later)
    await client.close()


async def test_a_run_that_waits_for_its_turn_can_be_taken_back(rig: Rig) -> None:
    rig.add("unit", Act(seconds=60))
    client = await begun(rig, at_once=1)
    await client.start(a_run("psa-suite.1.unit"))
    await client.start(a_run("psa-suite.2.unit"))

    await client.stop("psa-suite.2.unit")

    assert await client.look("psa-suite.2.unit") is None
    await client.stop("psa-suite.1.unit")
    assert await client.look("psa-suite.2.unit") is None


async def test_a_run_that_a_killed_daemon_left_is_lost_and_ended_ones_are_not(rig: Rig) -> None:
    rig.add("unit", Act(seconds=60))
    rig.add("audit", Act(tail="fine"))
    first = await begun(rig)
    await first.start(a_run("psa-suite.1.audit", "audit"))
    audit = await until_over(first, "psa-suite.1.audit")
    await first.close()
    await rig.killed_daemon(a_run("psa-suite.1.unit"), a_run("psa-suite.2.unit"), at_once=1)

    second = await begun(rig)

    assert await second.look("psa-suite.1.audit") == audit
    lost = await second.look("psa-suite.1.unit")
    assert lost is not None
    assert lost.state is HookState.LOST
    assert lost.says == "the daemon ended while it ran: how far it came is not known"
    assert await second.look("psa-suite.2.unit") is None, "it was still waiting for its turn"


async def test_what_runs_when_the_daemon_stops_is_lost_and_nothing_begins_any_more(rig: Rig) -> None:
    rig.add("unit", Act(seconds=60))
    client = await begun(rig, at_once=1)
    await client.start(a_run("psa-suite.1.unit"))
    await client.start(a_run("psa-suite.2.unit"))

    await client.close()

    assert await state_of(client, "psa-suite.1.unit") is HookState.LOST
    assert await client.look("psa-suite.2.unit") is None
    with pytest.raises(NotSentError):
        await client.start(a_run("psa-suite.3.unit"))
    next_one = await begun(rig)
    assert await state_of(next_one, "psa-suite.1.unit") is HookState.LOST
