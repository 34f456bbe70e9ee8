"""What a hook is given, which programs are run at all, and what is said where one cannot be started."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.programs import refuse_program
from reconcilers.contract import NotSentError, PermanentError
from reconcilers.hook_runs import HookState
from tests.real_hooks import RUN, Programs, a_run, begun, programs, ran, until_over

NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as found:
        yield found


async def test_a_hook_gets_no_input_of_the_daemon_s(folder: Programs) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"secret\n")
    kept = os.dup(0)
    os.dup2(reader, 0)
    try:
        result = await ran(folder, "cat; echo end")
    finally:
        os.dup2(kept, 0)
        for descriptor in (reader, writer, kept):
            os.close(descriptor)

    assert result.tail == "end\n"


async def test_the_environment_is_clean(folder: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("PATH", f"{folder.root}:" + os.environ["PATH"])
    monkeypatch.setenv("LD_PRELOAD_X", "evil.so")
    folder.add("unit", "#!/usr/bin/env -S cat /proc/self/environ")
    runner = await begun(folder)
    facts = {"service": "psa-crm", "color": "green", "address": "10.0.20.110", "port": 3001}
    await runner.start(a_run(RUN, **facts))
    result = await until_over(runner, RUN)
    await runner.close()

    # NULs between the variables are not shown: they are read from the bytes that were kept.
    text = result.tail
    for variable in (
        "PSA_RELEASE=psa-suite",
        "PSA_VERSION=1.2.3",
        "PSA_ATTEMPT=1",
        "PSA_SERVICE=psa-crm",
        "PSA_COLOR=green",
        "PSA_ADDRESS=10.0.20.110",
        "PSA_PORT=3001",
        "PSA_URL=http://10.0.20.110:3001",
        "LANG=C.UTF-8",
        "TMPDIR=/tmp",
        f"HOME={folder.state}/home",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ):
        assert variable in text
    assert text.count("=") == 14, "these twelve, the mark and the test's own"


async def test_a_script_runs_in_its_place_with_its_arguments_in_a_session_of_its_own(
    folder: Programs,
) -> None:
    session = 'cut -d" " -f5,6 /proc/$$/stat; echo $$'
    text = f'echo "$# $1 $2"; pwd; umask; readlink /proc/self/fd/0; {session}; echo $0'
    (folder.root / "place").mkdir()
    result = await ran(folder, text, "{version}", "a b; rm -rf *", directory=str(folder.root / "place"))

    lines = result.tail.splitlines()
    assert lines[0] == "2 1.2.3 a b; rm -rf *"
    assert lines[1:4] == [f"{folder.root}/place", "0077", "/dev/null"]
    assert lines[4].split() == [lines[5], lines[5]]
    assert lines[6] == f"{folder.root}/unit.program", "scripts look for their neighbours there"


async def test_no_descriptor_of_the_daemon_s_is_inherited(folder: Programs) -> None:
    folder.know(Path("/bin/ls"), "/proc/self/fd")
    runner = await begun(folder)
    with (folder.root / "open").open("wb") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - the function's own signature
        await runner.start(a_run(RUN, "ls"))
        result = await until_over(runner, RUN)

    assert result.tail.split() == ["0", "1", "2", "3"], "the last one is the folder that it lists"


async def test_out_of_memory_a_hook_goes_before_the_daemon(folder: Programs) -> None:
    result = await ran(folder, "sleep 0.2; cat /proc/self/oom_score_adj")

    assert result.tail == "500\n"


@pytest.mark.parametrize("mode", [0o777, 0o775])
async def test_a_program_that_others_may_write_by_now_is_not_run(folder: Programs, mode: int) -> None:
    path = folder.add("unit", "exit 0")
    runner = await begun(folder)
    path.chmod(mode)

    with pytest.raises(PermanentError, match="can be written by") as refused:
        await runner.start(a_run(RUN))

    assert refused.value.reason == "HookNotAllowed"
    path.chmod(0o755)
    await runner.start(a_run(RUN))
    assert (await until_over(runner, RUN)).state is HookState.PASSED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_program_that_somebody_else_has_put_there_is_not_run(folder: Programs) -> None:
    path = folder.add("unit", "exit 0")
    runner = await begun(folder)
    other = path.with_suffix(".new")
    other.write_text("#!/bin/sh\nexit 0\n")
    other.chmod(0o755)
    os.chown(other, NOBODY, NOBODY)
    other.replace(path)

    with pytest.raises(PermanentError, match="belongs to nobody") as refused:
        await runner.start(a_run(RUN))

    assert refused.value.reason == "HookNotAllowed"


async def test_what_was_checked_is_what_is_run(folder: Programs) -> None:
    program = folder.root / "unit"
    shutil.copy("/bin/true", program)
    shutil.copy("/bin/false", folder.root / "evil")
    folder.know(program)

    def refuse_late(path: Path, found: os.stat_result) -> str | None:
        refusal = refuse_program(path, found)
        (folder.root / "evil").replace(path)
        return refusal

    runner = folder.runner(refuse=refuse_late)
    await runner.sweep()
    await runner.start(a_run(RUN))
    result = await until_over(runner, RUN)

    assert result.state is HookState.PASSED, "the program that took its place after the check says no"


@pytest.mark.parametrize(
    ("text", "settings", "told"),
    [
        ("#!/no/such/interpreter\n", {}, "its interpreter /no/such/interpreter is not there"),
        ("#!\n", {}, "unit.program was not started: "),
        ("exit 0", {"directory": "/no/such/place"}, "directory /no/such/place: No such file or directory"),
        ("exit 0", {"environment": {"BIG": "x" * 3_000_000}}, "Argument list too long"),
    ],
)
async def test_what_cannot_be_started_is_told_as_not_begun(
    folder: Programs, text: str, settings: dict[str, object], told: str
) -> None:
    folder.add("unit", text, **settings)
    runner = await begun(folder)

    with pytest.raises(NotSentError, match="was not started") as refused:
        await runner.start(a_run(RUN))

    assert told in str(refused.value)
    assert await runner.look(RUN) is None, "it may be begun again by the same name"


async def test_a_program_that_is_gone_is_told_as_not_begun(folder: Programs) -> None:
    folder.add("unit", "exit 0").unlink()
    runner = await begun(folder)

    with pytest.raises(NotSentError, match=r"unit.program was not started: No such file or directory"):
        await runner.start(a_run(RUN))
