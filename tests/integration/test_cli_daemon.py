"""psactl as a program against the daemon's real API: the shapes of both sides fit."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.integration.test_api import KEY, Running, a_daemon, declare, until

ROOT = Path(__file__).parents[2]
UNREADABLE = "✖ there is no such directory; the last good objects stay in force\n"
CODE = "from daemon.cli.main import main; main()"


async def psactl(running: Running, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CODE,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PSA_SOCKET": str(running.socket)},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def with_daemon(folder: Path, story: Callable[[Running], Awaitable[None]]) -> None:
    async with a_daemon(folder) as running:
        await declare(running, cores=3)
        await until(lambda: bool(running.knobs.turns) and running.store.state.objects[KEY].is_ready())
        await story(running)


async def test_every_reading_command_understands_the_daemon(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        code, out, err = await psactl(running, "get")
        assert (code, err) == (0, UNREADABLE)
        assert "✔ Ready" in out
        code, out, _ = await psactl(running, "get", "ct/one", "-o", "json")
        assert (code, json.loads(out)["metadata"]["name"]) == (0, "one")
        code, out, _ = await psactl(running, "describe", "one")
        assert code == 0
        assert "Nothing to do." in out
        for command in ("status", "events", "version"):
            code, _, err = await psactl(running, command)
            assert (code, err.removesuffix("no events\n")) == (0, "")
        assert (await psactl(running, "plan"))[:2] == (0, "Nothing to do.\n")
        assert (await psactl(running, "wait", "--all"))[:2] == (0, "✔ 1 object ready\n")
        assert (await psactl(running, "get", "ct/oen"))[0] == 3
        assert f"state directory {tmp_path}: " in (await psactl(running, "doctor"))[1]

    await with_daemon(tmp_path, story)


async def test_what_would_change_in_observe_mode_is_planned_and_not_done(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        assert (await psactl(running, "mode", "observe"))[0] == 0
        turns = list(running.knobs.turns)
        await declare(running, cores=5)
        code, out, err = await psactl(running, "plan", "one")
        assert code == 1
        assert "   1. turn one to 5" in out
        assert "held: mode Observe: nothing is changed" in out
        assert out.endswith("1 step on 1 object.\n")
        assert "nothing is changed" in err
        assert (await psactl(running, "diff"))[0] == 1
        assert running.knobs.turns == turns

    await with_daemon(tmp_path, story)


async def test_a_person_suspends_resumes_and_reconciles(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        assert (await psactl(running, "suspend", "one", "--reason", "a backup", "--for", "2h"))[0] == 0
        assert (await psactl(running, "resume", "one"))[0] == 0
        assert (await psactl(running, "reconcile", "--all"))[0] == 0
        _, out, _ = await psactl(running, "events", "one")
        for reason in ("Suspended: a backup", "Resumed", "ReconcileRequested"):
            assert reason in out

    await with_daemon(tmp_path, story)


async def test_wait_hears_of_a_change_over_the_real_stream(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(psactl(running, "wait", "ct/one", "--timeout", "30s"))
            await declare(running, cores=3)
        assert waiting.result()[:2] == (0, "✔ 1 object ready\n")
