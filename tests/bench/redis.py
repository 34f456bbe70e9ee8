"""A private Redis as the example asks for it: what a look costs, and how soon a restart is put right."""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from crds.meta import ConditionType, Truth
from lab.redis import LabRedis
from reconcilers.contract import Secret
from tests.bench import machine
from tests.bench.table import Figure
from tests.real_haproxy import until
from tests.real_redis import KEY, Site, a_redis, a_site, ask, drive, transport
from tests.real_redis_daemon import CONFIG, EXAMPLE, a_daemon, start_as_asked_for

_ROOT: Final = Path(__file__).parents[2]
_LOOKS: Final = 300
_RESTARTS: Final = 5
_IMPORTED: Final = """
import os
import daemon.main
from tests.bench.machine import pss_mb
before = pss_mb(os.getpid())
import reconcilers.transports.redis
print(pss_mb(os.getpid()) - before)
"""


def measure() -> Iterator[Figure]:
    """Measure looks, the way from a new server to as asked, and restarts."""
    with a_site() as site:
        yield from asyncio.run(_looks(site))
    with a_site() as site, tempfile.TemporaryDirectory(prefix="psa-bench-") as folder:
        found = asyncio.run(_restarts(site, Path(folder)))
        what = "Redis: restart put right, p50/max"
        yield Figure(what, "s", statistics.median(found), 5.5, 5.0, "the poll interval", max(found), 5.5)
    yield Figure("Redis: driver in memory", "MB", _driver_mb(), 25, 0, "nothing without an endpoint")


async def _looks(site: Site) -> list[Figure]:
    server = start_as_asked_for(site)
    spec = yaml.safe_load(EXAMPLE.read_text())["spec"]
    wire = transport(server, read_config_command=lambda: Secret(CONFIG))
    began = time.perf_counter()
    driven = drive(a_redis(**{**spec, "endpoint": "redis"}), redis=wire)
    await driven.quiet()
    whole = (time.perf_counter() - began) * 1e3
    floor = await _pings(server)
    times = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await driven.desk.look(KEY)
        times.append((time.perf_counter() - began) * 1e3)
    p50 = statistics.median(times)
    least = "PING on a new connection with a password"
    return [
        Figure("Redis: one look, p50/p99", "ms", p50, 30, floor, least, machine.p99(times), 30),
        Figure("Redis: from new to as asked", "ms", whole, 2000, floor, least),
    ]


async def _pings(server: LabRedis) -> float:
    """Return the milliseconds of the least that can be asked, over a new connection as each look is."""
    wire, times = transport(server), []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await wire.ask(("PING",))
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


async def _restarts(site: Site, folder: Path) -> list[float]:
    """Return after how many seconds the limit is as asked, each time that a restart lost the file."""
    server, found = start_as_asked_for(site), []
    async with a_daemon(folder, psa_redis=server.config.address) as daemon:
        await daemon.declare(KEY, pollInterval="5s")
        await daemon.wait_ready(KEY)
        for _ in range(_RESTARTS):
            await asyncio.to_thread(server.restart, with_first_file=True)
            began = time.perf_counter()
            await until(lambda: ask(server, CONFIG, "GET", "maxmemory"), _is_as_asked, seconds=30)
            found.append(time.perf_counter() - began)
            await daemon.wait_ready(KEY)
            ready = daemon.store.state.objects[KEY].condition(ConditionType.READY)
            if ready is None or ready.status is not Truth.TRUE:
                raise RuntimeError(f"Redis is not as asked: {ready}")
    return found


def _is_as_asked(reply: object) -> bool:
    return isinstance(reply, list) and reply[1] == str(4 * 1024**3)


def _driver_mb() -> float:
    found = [
        float(subprocess.check_output([sys.executable, "-c", _IMPORTED], text=True, cwd=_ROOT))
        for _ in range(3)
    ]
    return statistics.median(found)
