"""A private PostgreSQL pair: what looks cost, how soon it streams again, how soon many things are made."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from crds.postgres import PgDatabase
from lab.postgres import LabPostgres
from reconcilers.postgres.actions import Target
from tests.bench import machine
from tests.bench.table import Figure
from tests.real_haproxy import until
from tests.real_postgres import KEY, Driven, a_cluster, a_site, a_template, driving
from tests.real_postgres_daemon import PRIMARY, REPLICA, a_daemon, the_example

_LOOKS: Final = 300
_BREAKS: Final = 5
_ROLES: Final = 200
_DATABASES: Final = 50
_POLL_S: Final = 2.0
#: PostgreSQL's own: a standby that lost its primary tries again after so long.
_RETRY: Final = "wal_retrieve_retry_interval = '5s'"
_BREAK_STANDBY: Final = (
    "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'; "
    "ALTER SYSTEM SET primary_slot_name = 'gone'; SELECT pg_reload_conf()"
)
_DROP_SLOT: Final = """
DO $$ BEGIN
  FOR i IN 1..1000 LOOP
    BEGIN
      PERFORM pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots WHERE active;
      PERFORM pg_drop_replication_slot('replica1');
      RETURN;
    EXCEPTION WHEN object_in_use THEN NULL; WHEN undefined_object THEN RETURN;
    END;
  END LOOP;
END $$
"""


def measure() -> Iterator[Figure]:
    """Measure looks at the example's pair, then its repair, then a large cluster."""
    with a_template() as template, a_site(template) as site:
        primary = site.primary(more=(_RETRY,))
        pair = {PRIMARY: primary, REPLICA: site.standby(primary, more=(_RETRY,))}
        yield from asyncio.run(_looks_at(pair))
        with tempfile.TemporaryDirectory(prefix="psa-bench-") as folder:
            found = asyncio.run(_repaired(pair, Path(folder)))
        what = "PostgreSQL: broken to streaming"
        yield Figure(what, "s", statistics.median(found), 10, _POLL_S, "the poll interval", max(found), 10)
        yield from asyncio.run(_large(primary))


async def _looks_at(pair: Mapping[str, LabPostgres]) -> list[Figure]:
    cluster = a_cluster(**{**the_example(pooler=None), "archived": False})
    async with driving(cluster, pair) as driven:
        await driven.quiet()
        floor = await _p50(lambda: _ask(driven))
        began = time.process_time()
        looks = await _looks(lambda: driven.desk.look(KEY))
        share = (time.process_time() - began) / _LOOKS / _POLL_S * 100
        deep = await _looks(driven.look)
    p50, p99 = statistics.median(looks), machine.p99(looks)
    deep50, deep99 = statistics.median(deep), machine.p99(deep)
    return [
        Figure("PostgreSQL: look at the pair", "ms", p50, 30, floor, "SELECT 1", p99, 30),
        Figure("PostgreSQL: deep look at it", "ms", deep50, 30, floor, "SELECT 1", deep99, 30),
        Figure("PostgreSQL: lag fresh to 2 s", "% of a core", share, 1, 0, ""),
    ]


async def _ask(driven: Driven) -> None:
    """Ask for one row, as small as one can be."""
    member = driven.servers._members["psa-db"][PRIMARY]
    await member.fetch("SELECT 1 AS one", (), None)


async def _looks(look: Callable[[], Awaitable[object]]) -> list[float]:
    found = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await look()
        found.append((time.perf_counter() - began) * 1e3)
    return found


async def _p50(ask: Callable[[], Awaitable[object]]) -> float:
    return statistics.median(await _looks(ask))


async def _repaired(pair: Mapping[str, LabPostgres], folder: Path) -> list[float]:
    """Return after how many seconds the standby streams again whose slot and connection were broken."""
    found = []

    async def streams() -> bool:
        rows = "SELECT state FROM pg_stat_replication"
        return await asyncio.to_thread(pair[PRIMARY].run, rows) == "streaming"

    async with a_daemon(folder, pair) as daemon:
        await daemon.declare(the_example(pooler=None))
        await daemon.wait_ready(30)
        for _ in range(_BREAKS):
            await asyncio.to_thread(pair[REPLICA].run, _BREAK_STANDBY)
            await asyncio.to_thread(pair[PRIMARY].run, _DROP_SLOT)
            began = time.perf_counter()
            await until(streams, bool, seconds=60)
            found.append(time.perf_counter() - began)
            await daemon.wait_ready(30)
    return found


async def _large(primary: LabPostgres) -> list[Figure]:
    """Measure 200 roles with passwords and 50 databases with owners from nothing, and looks at them."""
    roles = {f"role_{number}": {"login": True, "password": "psa-app"} for number in range(_ROLES)}
    databases = {f"database_{number}": {"owner": f"role_{number}"} for number in range(_DATABASES)}
    async with driving(a_cluster(roles=roles, databases=databases), {PRIMARY: primary}) as driven:
        began = time.perf_counter()
        await driven.quiet()
        whole = time.perf_counter() - began
        floor = await _p50(lambda: _ask(driven))
        asked = {name: PgDatabase() for name in databases}
        target = Target("psa-db", PRIMARY)

        async def observe() -> None:
            await driven.servers.look(target)
            await driven.servers.look_deep(
                target, settings=(), roles=tuple(roles), databases=asked, is_standby=False
            )

        looks = await _looks(observe)
        passes = await _looks(lambda: driven.desk.look(KEY))
    p50, p99 = statistics.median(looks), machine.p99(looks)
    least_s = floor / 1e3 * (_ROLES + _DATABASES)
    what = f"PostgreSQL: {_ROLES} roles, {_DATABASES} databases"
    return [
        Figure(what, "s", whole, 15, least_s, "as many SELECT 1"),
        Figure("PostgreSQL: look at them", "ms", p50, 150, floor, "SELECT 1", p99, 150),
        Figure(
            "PostgreSQL: a pass over them",
            "ms",
            statistics.median(passes),
            150,
            floor,
            "SELECT 1",
            machine.p99(passes),
            150,
        ),
    ]
