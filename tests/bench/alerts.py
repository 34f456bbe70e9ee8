"""Alerts: how soon one is on disk, how many are taken, how soon one takes the candidate's traffic away."""

import asyncio
import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp

from crds.release import Phase, Trigger
from lab.control import call_now
from lab.wiring import alerts_url
from tests.bench import machine
from tests.bench.poller import Poller
from tests.bench.rollbacks import one_command
from tests.bench.table import Figure
from tests.builders_alerts import ASKS, alert_json, message_json
from tests.real_releases import GATEWAY, NEW, Releases, releases

_RATE: Final = 1000
_SECONDS: Final = 10
_TICK_S: Final = 0.005
_ROLLBACKS: Final = 30
_IN_STORM: Final = 10
#: Alerts a second that are a storm.
_STORM: Final = 2000
_USERS: Final = 800
_BAD_SHARE: Final = 0.05
_BAD_VERSIONS: Final = 10
_SCRIPT: Final = Path(__file__).with_name("alerts.lua")
_EMPTY: Final = """
import asyncio, sys
from aiohttp import web

async def answer(request):
    await request.read()
    return web.Response()

async def main():
    app = web.Application()
    app.add_routes([web.post("/", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def measure() -> Iterator[Figure]:
    """Measure one figure after the other, on one lab."""
    with tempfile.TemporaryDirectory(prefix="psa-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with releases(Path(folder) / "lab", services=1) as lab, _empty_handler() as empty:
            yield from _taken(lab, empty)
            yield from _at_full_speed(lab, empty)
            yield from _rolled_back(lab)
        with releases(Path(folder) / "watched", services=1, metrics=True) as lab:
            yield _by_prometheus(lab)


@contextlib.contextmanager
def _empty_handler() -> Iterator[str]:
    """Run an aiohttp server that reads a body and answers, nothing else; yield its address."""
    argv = [sys.executable, "-c", _EMPTY]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise RuntimeError("the server has no output")
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
        process.kill()


def _taken(lab: Releases, empty: str) -> Iterator[Figure]:
    """Post so many alerts a second, each on time whether others are answered or not."""
    before = _written(lab)
    floor = asyncio.run(_posted(empty, "", "floor", _RATE, _SECONDS))
    found = asyncio.run(_posted(alerts_url(lab.lab), _token(lab), "new", _RATE, _SECONDS))
    what = f"alert on disk at {_RATE}/s, p50/p99"
    p50, p99 = statistics.median(found), machine.p99(found)
    yield Figure(what, "ms", p50, 100, statistics.median(floor), "an empty handler of aiohttp", p99, 100)
    lost = len(found) - (_written(lab) - before)
    yield Figure(f"lost of {len(found)} that were taken", "", lost, 0, 0, "nothing may be lost")


async def _posted(url: str, token: str, kind: str, rate: int, seconds: float) -> list[float]:
    """Post alerts; return the milliseconds from when each was due to its answer."""
    found: list[float] = []
    loop = asyncio.get_running_loop()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=64)

    async def post(number: int, due: float) -> None:
        labels = {"alertname": "HighMemory", "instance": "10.0.20.10:9100", "severity": "warning"}
        body = json.dumps(message_json(alert_json(labels, fingerprint=f"{kind}-{number}")))
        async with client.post(url, data=body) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")
        found.append((loop.time() - due) * 1e3)

    async with (
        aiohttp.ClientSession(headers=headers, connector=connector) as client,
        asyncio.TaskGroup() as tasks,
    ):
        began, sent = loop.time(), 0
        while sent < rate * seconds:
            while sent < min((loop.time() - began) * rate, rate * seconds):
                tasks.create_task(post(sent, began + sent / rate))
                sent += 1
            await asyncio.sleep(_TICK_S)
    return found


def _at_full_speed(lab: Releases, empty: str) -> Iterator[Figure]:
    """Let wrk post as many new alerts as it can."""
    least, before = _wrk(empty, "", _SECONDS), _written(lab)
    daemon = lab.lab.parts.running()["daemon"].pid
    memory = machine.pss_mb(daemon)
    floor = least["micros"] / least["answered"]
    said = _wrk(alerts_url(lab.lab), _token(lab), _SECONDS)
    taken = said["answered"] - said["refused"]
    rate = taken / said["micros"] * 1e6
    cost = said["micros"] / taken
    what = f"alert in a storm, {rate / 1000:.1f}k/s taken"
    yield Figure(what, "us", cost, 1e6 / _STORM, floor, "an empty handler of aiohttp")
    # wrk ends while some wait for their answer: those may be written without being counted.
    lost = max(0, taken - (_written(lab) - before)) + said["refused"] + said["broken"]
    yield Figure(f"lost or refused of {taken}", "", lost, 0, 0, "nothing may be lost")
    yield Figure("memory after that", "MB", machine.pss_mb(daemon), 100, memory, "the same daemon before")


def _wrk(url: str, token: str, seconds: int) -> dict[str, int]:
    argv = ["/usr/bin/wrk", "-t1", "-c64", f"-d{seconds}s", "-s", str(_SCRIPT), url, "--", token]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    said: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def _rolled_back(lab: Releases) -> Iterator[Figure]:
    """Measure from the POST until somebody else sees that HAProxy gives the candidate nothing."""
    quiet = [_one_rollback(lab, number) for number in range(1, _ROLLBACKS + 1)]
    floor = one_command(lab.sight.haproxy)
    what = f"alert to weight 0, p50/p99 of {_ROLLBACKS}"
    p50, p99 = statistics.median(quiet), machine.p99(quiet)
    yield Figure(what, "ms", p50, 1000, floor, "a command to HAProxy", p99, 1000)
    later = range(_ROLLBACKS + 1, _ROLLBACKS + _IN_STORM + 1)
    storm = [_one_rollback(lab, number, storm=_STORM) for number in later]
    what = f"amid {_STORM} others/s, p50/max"
    p50, worst = statistics.median(storm), max(storm)
    yield Figure(what, "ms", p50, 1000, floor, "a command to HAProxy", worst, 2000)


def _one_rollback(lab: Releases, number: int, storm: int = 0) -> float:
    """Let an alert end one attempt; return after how many milliseconds HAProxy was seen to have it."""
    poller = Poller(lab.sight.haproxy, "green")
    _begin(lab, number)
    poller.start()
    lab.wait_in(Phase.WATCH, number=number, seconds=60)
    posted = asyncio.run(_fired(lab, number, storm))
    lab.wait_in(Phase.ROLLED_BACK, number=number)
    return (poller.end() - posted) * 1e3


def _by_prometheus(lab: Releases) -> Figure:
    """Measure from the candidate's first users until it is rolled back by the shipped rules and routes."""
    lab.fault(GATEWAY, NEW, error_rate=_BAD_SHARE)
    found = []
    with lab.users(_USERS):
        for number in range(1, _BAD_VERSIONS + 1):
            _begin(lab, number)
            attempt = lab.wait_in(Phase.ROLLED_BACK, number=number, seconds=60)
            if attempt.trigger is not Trigger.ALERT or attempt.ended_at is None or attempt.split_at is None:
                raise RuntimeError(f"no alert did it: {attempt.message}")
            found.append((attempt.ended_at - attempt.split_at).total_seconds() * 1e3)
    what = f"bad to back by Prometheus, {_USERS}/s"
    tenth_error_ms = 10 / (_USERS / 2 * _BAD_SHARE) * 1e3
    return Figure(
        what, "ms", statistics.median(found), 6000, tenth_error_ms, "its tenth error", max(found), 6000
    )


def _begin(lab: Releases, number: int) -> None:
    if number == 1:
        spec = {"services": [GATEWAY], "watch": "10m", "watchMax": "30m", "minHealthy": "100ms"}
        lab.ask_for(NEW, errorRate={"limit": "1%", "method": "off"}, **spec)
        return
    call_now(lab.lab.socket("api"), "POST", "/api/v1/release/psa-suite/retry", {"reason": "once more"})


async def _fired(lab: Releases, number: int, storm: int) -> float:
    """Post the alert that rolls back, amid a storm of others if there is one; return when that was."""
    posted = 0.0
    headers = {"Authorization": f"Bearer {_token(lab)}"}
    alert = alert_json({**ASKS, "service": GATEWAY}, fingerprint=f"rollback-{number}")

    async def fire() -> None:
        nonlocal posted
        await asyncio.sleep(0.5 if storm else 0)
        alert["startsAt"] = datetime.now(UTC).isoformat()
        posted = time.time()
        async with client.post(alerts_url(lab.lab), json=message_json(alert)) as answer:
            told = await answer.json()
        if [each["result"] for each in told["alerts"]] != ["acted"]:
            raise RuntimeError(f"the alert did not act: {told}")

    async with aiohttp.ClientSession(headers=headers) as client, asyncio.TaskGroup() as tasks:
        if storm:
            tasks.create_task(_posted(alerts_url(lab.lab), _token(lab), f"storm-{number}", storm, 1.0))
        tasks.create_task(fire())
    return posted


def _token(lab: Releases) -> str:
    return lab.lab.alert_token.read_text().strip()


def _written(lab: Releases) -> int:
    """Return how many alerts have been written since the beginning."""
    with contextlib.closing(sqlite3.connect(f"file:{lab.lab.state}/state.db?mode=ro", uri=True)) as found:
        return int(found.execute("SELECT coalesce(max(id), 0) FROM alerts").fetchone()[0])
