"""Hooks that behave badly in every way that was seen: each ends, is told truly, and leaves nothing behind."""

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from reconcilers.contract import NotSentError
from reconcilers.hook_runs import HookState
from tests.real_hooks import RUN, Programs, a_run, begun, other_daemon, programs, ran, until, until_over

SOON = timedelta(milliseconds=300)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as found:
        yield found


async def test_sigterm_is_enough_for_a_hook_that_listens(folder: Programs) -> None:
    result = await ran(folder, "trap 'echo bye; exit 0' TERM; sleep 60 & wait", timeout=SOON)

    assert result.state is HookState.TIMED_OUT
    assert result.tail == "bye\n"
    assert result.says.startswith("not done after 300ms, and ended")
    assert "SIGKILL" not in result.says
    assert result.seconds < 3


async def test_a_hook_that_ignores_sigterm_is_killed_after_the_grace(folder: Programs) -> None:
    result = await ran(folder, "trap '' TERM; while :; do sleep 0.05; done", timeout=SOON)

    assert result.state is HookState.TIMED_OUT
    assert result.says.startswith("not done after 300ms, and ended with SIGKILL")
    assert 0.6 <= result.seconds < 4


async def test_a_time_out_may_be_longer_than_the_kernel_waits(folder: Programs) -> None:
    result = await ran(folder, "exit 0", timeout=timedelta(days=90))

    assert result.state is HookState.PASSED


async def test_all_of_a_hook_s_processes_are_asked_to_end(folder: Programs) -> None:
    child = "bash -c 'trap \"echo child ends; exit\" TERM; while :; do sleep 0.02; done' &"
    result = await ran(folder, f"{child} trap '' TERM; while :; do sleep 0.05; done", timeout=SOON)

    assert "child ends\n" in result.tail


async def test_a_stopped_hook_that_ignores_sigterm_is_gone_when_stop_returns(folder: Programs) -> None:
    folder.add("unit", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    runner = await begun(folder)
    await runner.start(a_run(RUN))
    while (seen := await runner.look(RUN)) is not None and not seen.tail:
        await asyncio.sleep(0.01)

    await runner.stop(RUN)

    assert folder.processes() == {}
    assert (await until_over(runner, RUN)).state is HookState.STOPPED


async def test_a_grandchild_that_holds_the_pipe_delays_nothing_and_is_ended(folder: Programs) -> None:
    result = await ran(folder, "echo done; sleep 60 & sleep 0.1; exit 0")

    assert result.state is HookState.PASSED
    assert result.tail == "done\n"
    assert result.seconds < 2
    assert result.says.endswith("; 1 process that it left running was ended with it")


async def test_a_daemon_that_left_group_and_session_is_found_and_ended(folder: Programs) -> None:
    text = (
        "(trap '' TERM HUP; setsid bash -c 'while :; do sleep 1; done' >/dev/null 2>&1 &) ; sleep 0.1; exit 5"
    )
    result = await ran(folder, text)

    assert (result.state, result.exit_status) == (HookState.FAILED, 5)
    assert "left running" in result.says


async def test_whoever_sheds_every_mark_and_keeps_the_pipe_delays_nothing(folder: Programs) -> None:
    result = await ran(folder, "(env -i /usr/bin/setsid /bin/sleep 3 &); sleep 0.1; echo out; exit 0")

    assert (result.state, result.tail) == (HookState.PASSED, "out\n")
    assert result.seconds < 2


async def test_whoever_keeps_forking_away_is_ended_too(folder: Programs) -> None:
    spread = "setsid bash -c 'for i in 1 2 3 4 5 6; do (setsid sleep 60 &); sleep 0.01; done' &"
    result = await ran(folder, f"({spread})\nsleep 0.03; exit 0")

    assert result.state is HookState.PASSED


async def test_a_flood_is_cut_and_memory_stays_bounded(folder: Programs) -> None:
    folder.add("unit", "echo begin; head -c 300000000 /dev/zero; echo never")
    runner = await begun(folder)
    before, most = resident_mib(), 0.0

    await runner.start(a_run(RUN))
    while (result := await runner.look(RUN)) is None or not result.is_over:
        most = max(most, resident_mib())
        await asyncio.sleep(0.002)
    await runner.close()

    assert result.state is HookState.FAILED
    assert result.says.startswith(f"wrote {result.output_bytes} bytes, more than it may")
    assert 50e6 < result.output_bytes < 60e6
    assert most - before < 16
    kept = (folder.state / f"{RUN}.log").read_text()
    assert kept.startswith("begin\n")
    assert f"{result.output_bytes - 65536} bytes are left out" in kept
    assert len(kept) < 70_000


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_output_reaches_nobody_s_terminal_as_it_is(folder: Programs) -> None:
    text = r"printf '\033[31mred\033[0m \033]0;title\007\xff\xfe\x00\u202eok\rdone\n'"
    result = await ran(folder, text)

    assert result.tail == "red \ufffd\ufffdok\ndone\n"


async def test_a_hook_that_closes_its_output_early_still_has_an_exit_status(folder: Programs) -> None:
    result = await ran(folder, "echo first; exec >&- 2>&-; sleep 0.2; exit 4")

    assert (result.state, result.exit_status, result.tail) == (HookState.FAILED, 4, "first\n")
    assert result.seconds >= 0.2


async def test_waiting_for_a_hook_without_output_costs_no_processor_time(folder: Programs) -> None:
    before = time.process_time()
    await ran(folder, "exec >&- 2>&-; sleep 1")

    assert time.process_time() - before < 0.25


async def test_the_tail_is_the_end_and_the_log_has_the_beginning_too(folder: Programs) -> None:
    result = await ran(folder, "seq 1 5000")

    kept = (folder.state / f"{RUN}.log").read_text()
    assert result.tail.endswith("4999\n5000\n")
    assert len(result.tail) == 4096
    assert result.is_cut
    assert kept == "".join(f"{n}\n" for n in range(1, 5001))


async def test_a_run_that_cannot_be_recorded_does_not_begin(folder: Programs) -> None:
    folder.add("unit", f"touch {folder.root}/ran")
    runner = await begun(folder)
    shutil.rmtree(folder.state)

    with pytest.raises(NotSentError, match="its record cannot be written"):
        await runner.start(a_run(RUN))

    assert not (folder.root / "ran").exists()


async def test_a_result_that_cannot_be_recorded_is_told_all_the_same(folder: Programs) -> None:
    folder.add("unit", f"rm -r {folder.state}; exit 6")
    runner = await begun(folder)

    await runner.start(a_run(RUN))
    result = await until_over(runner, RUN)

    assert (result.state, result.exit_status) == (HookState.FAILED, 6)


async def test_a_queued_run_that_cannot_be_started_is_told_as_failed(folder: Programs) -> None:
    folder.add("unit", "sleep 0.3")
    folder.add("late", "#!/no/such/interpreter\n")
    runner = folder.runner(at_once=1)
    await runner.sweep()
    await runner.start(a_run(RUN))
    await runner.start(a_run("psa-suite.1.late", "late"))

    result = await until_over(runner, "psa-suite.1.late")

    assert result.state is HookState.FAILED
    assert "its interpreter /no/such/interpreter is not there" in result.says


async def test_a_result_is_on_disk_before_anybody_is_told(folder: Programs) -> None:
    folder.add("unit", "echo fine; exit 3")
    first = await begun(folder)
    await first.start(a_run(RUN))
    told = await until_over(first, RUN)

    # As if the daemon had died right then: another one knows the same.
    second = await begun(folder)

    assert await second.look(RUN) == told
    assert told.exit_status == 3


async def test_what_a_killed_daemon_left_is_ended_wherever_it_is(folder: Programs) -> None:
    text = "(setsid bash -c 'trap \"\" TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 &); sleep 60"
    folder.add("unit", text)
    with other_daemon(folder, a_run(RUN)) as daemon:
        await until(lambda: len(folder.processes()) >= 3)
        daemon.kill()
        daemon.wait()
        assert len(folder.processes()) >= 2, "nothing but a sweep ends them"

        runner = await begun(folder)

    assert folder.processes() == {}
    result = await runner.look(RUN)
    assert result is not None
    assert result.state is HookState.LOST
    count = folder.registry.get_sample_value("psa_hook_runs_total", {"hook": "unit", "result": "lost"})
    assert count == 1


async def test_a_sweep_leaves_other_daemons_hooks_alone(folder: Programs, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Programs(tmp_path / "other")
    other.add("unit", "sleep 60")
    theirs = await begun(other)
    await theirs.start(a_run(RUN))

    await begun(folder)

    seen = await theirs.look(RUN)
    assert seen is not None
    assert not seen.is_over
    await theirs.close()


async def test_secrets_are_taken_out_of_what_a_hook_wrote(folder: Programs) -> None:
    folder.add("unit", "echo token=hunter2; exit 1")
    runner = folder.runner(hide=lambda text: text.replace("hunter2", "***"))
    await runner.sweep()
    await runner.start(a_run(RUN))

    result = await until_over(runner, RUN)

    assert result.tail == "token=***\n"
    for path in folder.state.glob("*.*"):
        assert "hunter2" not in path.read_text()


async def test_no_more_than_four_run_at_once_and_the_loop_goes_on(folder: Programs) -> None:
    folder.know(Path("/bin/sleep"), "0.2")
    runner = await begun(folder)
    names = [f"psa-suite.{n}.unit" for n in range(20)]
    for name in names:
        await runner.start(a_run(name, "sleep"))

    most, turns = 0, 0
    while (last := await runner.look(names[-1])) is None or not last.is_over:
        most, turns = max(most, len(folder.processes())), turns + 1
        await asyncio.sleep(0.005)
    for name in names:
        assert (await until_over(runner, name)).state is HookState.PASSED
    counted = folder.registry.get_sample_value("psa_hook_duration_seconds_count", {"hook": "sleep"})

    assert most == 4
    assert turns > 10
    assert counted == 20


async def test_descriptors_and_threads_are_given_back(folder: Programs) -> None:
    folder.add("unit", "exit 0")
    folder.add("bad", "#!/no/such/interpreter\n")
    runner = await begun(folder)

    async def once(number: int) -> None:
        with pytest.raises(NotSentError):
            await runner.start(a_run(f"bad.{number}", "bad"))
        await runner.start(a_run(f"unit.{number}"))
        await until_over(runner, f"unit.{number}")

    await once(0)
    await until(lambda: not hook_threads())
    before = descriptors()
    for number in range(1, 15):
        await once(number)
    await until(lambda: not hook_threads())

    assert descriptors() == before


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def hook_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("hook ")]
