import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.control import ControlError, call
from tests.fakes.running_containers import RunningContainers

_SERVICE = """
kind: Service
metadata: {name: psa-crm}
spec:
  container:
    endpoint: pve
    template: "local:vztmpl/psa-crm_{version}_amd64.tar.zst"
    network: {bridge: vmbr1}
  colors:
    blue:  {ctid: 101,  node: pve1, address: ADDRESS/24, port: 3000}
    green: {ctid: 1101, node: pve2, address: ADDRESS/24, port: 3001}
"""
_TEMPLATE = "local:vztmpl/psa-crm_1.0.0_amd64.tar.zst"


@pytest.fixture
async def process(short_path: Path, number: int) -> AsyncIterator[asyncio.subprocess.Process]:
    (short_path / "crm.yaml").write_text(_SERVICE.replace("ADDRESS", f"127.{number}.20.11"))
    started = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "lab.app", "--desired", str(short_path)],
        *["--simulator", str(short_path / "pve.sock"), "--socket", str(short_path / "app.sock")],
    )
    yield started
    if started.returncode is None:
        started.kill()
    await started.wait()


async def _listening(socket: Path) -> list[int]:
    answer = json.loads(json.dumps(await call(socket, "GET", "/lab/counts")))
    return [site["ctid"] for site in answer["sites"] if site["listening"]]


async def _until_listening(socket: Path, wanted: list[int]) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(ControlError):
                if await _listening(socket) == wanted:
                    return
            await asyncio.sleep(0.01)


async def test_it_follows_the_simulator_outlives_it_and_ends_by_sigterm(
    process: asyncio.subprocess.Process, short_path: Path
) -> None:
    containers = RunningContainers()
    app = short_path / "app.sock"
    async with await containers.serve(short_path / "pve.sock"):
        await containers.start(101, "psa-crm-blue", _TEMPLATE)
        await _until_listening(app, [101])
        await containers.start(1101, "psa-crm-green", _TEMPLATE)
        await _until_listening(app, [101, 1101])
        await containers.stop(101)
        await _until_listening(app, [1101])
    assert await _listening(app) == [1101]
    await containers.start(101, "psa-crm-blue", _TEMPLATE)
    async with await containers.serve(short_path / "pve.sock"):
        await _until_listening(app, [101, 1101])
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    assert not app.exists()
