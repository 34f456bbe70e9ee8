"""The example's cluster in the real engine, made as the daemon makes it, before a real pair."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from crds.meta import ConditionType, Key, Truth
from lab.pgbouncer import LabPgbouncer
from lab.postgres import LabPostgres
from tests.real_haproxy import until
from tests.real_postgres import KEY, SLOT, a_site, a_template
from tests.real_postgres_daemon import PRIMARY, REPLICA, Daemon, a_daemon, the_example

BREAK_STANDBY = (
    "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'; "
    "ALTER SYSTEM SET primary_slot_name = 'gone'; SELECT pg_reload_conf()"
)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with a_template() as template:
        yield template


@pytest.fixture
def platform(template: Path) -> Iterator[tuple[Mapping[str, LabPostgres], LabPgbouncer]]:
    with a_site(template) as site:
        primary = site.primary()
        yield {PRIMARY: primary, REPLICA: site.standby(primary)}, site.pooler(primary)


def streams(pair: Mapping[str, LabPostgres]) -> bool:
    rows = pair[PRIMARY].run(
        "SELECT state FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid "
        "WHERE slot_name = 'replica1'"
    )
    return rows == "streaming"


async def wait_streaming(pair: Mapping[str, LabPostgres], seconds: float = 15) -> None:
    async def look() -> bool:
        return await asyncio.to_thread(streams, pair)

    await until(look, bool, seconds=seconds)


def revision(daemon: Daemon) -> object:
    found = daemon.store.state.objects[KEY]
    return found.status, found.conditions, found.memo


async def test_the_example_becomes_what_it_says_and_then_nothing_is_written_anywhere(
    platform: tuple[Mapping[str, LabPostgres], LabPgbouncer], tmp_path: Path
) -> None:
    pair, pooler = platform
    async with a_daemon(tmp_path, pair, pooler) as daemon:
        await daemon.declare(the_example(pollInterval="200ms"))
        await daemon.wait_ready()
        assert pair[PRIMARY].run("SHOW work_mem") == "20MB"
        assert pair[PRIMARY].run(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'psa_platform'"
        ) == ("psa_app")
        await wait_streaming(pair)
        before = revision(daemon), len(daemon.events())
        wal = pair[PRIMARY].run("SELECT pg_current_wal_insert_lsn()")
        looked = daemon.gauges.of(KEY)
        await asyncio.sleep(1)
        assert (revision(daemon), len(daemon.events())) == before
        assert pair[PRIMARY].run("SELECT pg_current_wal_insert_lsn()") == wal
        told = daemon.gauges.of(KEY)
        assert told is not None
        assert looked is not None
        assert told.at > looked.at
        assert told.values[f"lag_bytes:{REPLICA}"] == 0


async def test_replication_that_was_broken_by_hand_streams_again_and_the_object_is_ready_again(
    platform: tuple[Mapping[str, LabPostgres], LabPgbouncer], tmp_path: Path
) -> None:
    pair, _ = platform
    async with a_daemon(tmp_path, pair) as daemon:
        await daemon.declare(the_example(pooler=None, pollInterval="500ms"))
        await daemon.wait_ready()
        pair[REPLICA].run(BREAK_STANDBY)
        await asyncio.to_thread(pair[PRIMARY].run, _DROP)
        await wait_streaming(pair)
        await daemon.wait_ready()


#: Whoever reads from it comes back at once, so that it takes some tries.
_DROP = f"""
DO $$ BEGIN
  FOR i IN 1..1000 LOOP
    BEGIN
      PERFORM pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots WHERE active;
      PERFORM pg_drop_replication_slot('{SLOT}');
      RETURN;
    EXCEPTION WHEN object_in_use THEN NULL; WHEN undefined_object THEN RETURN;
    END;
  END LOOP;
END $$
"""


async def test_a_cluster_that_is_away_holds_up_no_other_one(
    platform: tuple[Mapping[str, LabPostgres], LabPgbouncer], tmp_path: Path
) -> None:
    pair, pooler = platform
    away = Key("PostgresCluster", "away")
    async with a_daemon(tmp_path, pair, pooler) as daemon:
        await daemon.declare({"endpoint": "away", "pollInterval": "200ms"}, away)
        await daemon.declare(the_example(pollInterval="200ms"))
        await daemon.wait_ready()
        ready = daemon.store.state.objects[away].condition(ConditionType.READY)
        assert ready is not None
        assert (ready.status, ready.reason) == (Truth.UNKNOWN, "PrimaryUnseen")


async def test_a_server_that_restarts_makes_the_object_unready_for_as_long_and_no_longer(
    platform: tuple[Mapping[str, LabPostgres], LabPgbouncer], tmp_path: Path
) -> None:
    pair, pooler = platform
    async with a_daemon(tmp_path, pair, pooler) as daemon:
        await daemon.declare(the_example(pollInterval="200ms"))
        await daemon.wait_ready()
        await asyncio.to_thread(pair[PRIMARY].kill)

        async def is_said() -> bool:
            await asyncio.sleep(0)
            ready = daemon.store.state.objects[KEY].condition(ConditionType.READY)
            return ready is not None and ready.status is not Truth.TRUE

        await until(is_said, bool, seconds=5)
        assert daemon.gauges.of(KEY) is None
        await asyncio.to_thread(pair[PRIMARY].start)
        await daemon.wait_ready()
