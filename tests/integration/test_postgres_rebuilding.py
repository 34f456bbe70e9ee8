"""A real standby whose slot has lost WAL is built anew by a real hook, and streams again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from crds.meta import ConditionType
from lab.postgres import LabPostgres
from tests.builders_haproxy import said, verdict
from tests.real_hooks import OURS, begun, programs
from tests.real_postgres import KEY, SLOT, a_cluster, a_site, a_template, driving

SPEC: Mapping[str, object] = {
    "replication": {
        "slots": {SLOT: {}},
        "standbys": {
            "two": {"slot": SLOT, "user": "replicator", "password": "replicator", "applicationName": SLOT}
        },
    },
    "rebuild": "pg-rebuild",
    "allow": ["rebuild"],
}
SMALL = ("max_slot_wal_keep_size = '2MB'", "min_wal_size = '2MB'", "max_wal_size = '2MB'")
WRITE = (
    "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000)) IS NULL FROM generate_series(1, 12)"
)
STATUS = "SELECT wal_status FROM pg_replication_slots"
#: Asks whoever manages the servers, and waits until that is done.
REBUILD = 'touch "$ASKED/$PSA_SERVICE"; while [ -e "$ASKED/$PSA_SERVICE" ]; do sleep 0.02; done'


def anew(server: LabPostgres) -> None:
    server.stop()
    server.wipe()
    server.start()


def leave_behind(pair: Mapping[str, LabPostgres]) -> None:
    """Let the primary throw away what its standby needs."""
    pair["two"].stop()
    pair["one"].run(f"{WRITE}; SELECT pg_switch_wal(); CHECKPOINT")
    assert pair["one"].run(STATUS) == "lost"
    pair["two"].start()


def asked_files(folder: Path) -> Sequence[Path]:
    """Return who is to be built anew."""
    return sorted(folder.iterdir())


@contextlib.asynccontextmanager
async def managed(asked: Path, servers: Mapping[str, LabPostgres]) -> AsyncIterator[list[str]]:
    """Build anew who is asked for; yield the names in their order."""
    made: list[str] = []

    async def manage() -> None:
        while True:
            for file in asked_files(asked):
                await asyncio.to_thread(anew, servers[file.name])
                made.append(file.name)
                file.unlink()
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        manager = group.create_task(manage())
        yield made
        manager.cancel()


@pytest.mark.slow
async def test_a_standby_whose_slot_has_lost_wal_is_built_anew_once_and_streams(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    asked.mkdir()
    with a_template() as template, a_site(template) as site, programs(tmp_path) as folder:
        folder.add("pg-rebuild", REBUILD, environment={OURS: str(folder.root), "ASKED": str(asked)})
        primary = site.primary(more=SMALL, archives=False)
        pair = {"one": primary, "two": site.standby(primary, more=("wal_retrieve_retry_interval = '3s'",))}
        runner = await begun(folder)
        async with managed(asked, pair) as made, driving(a_cluster(**SPEC), pair, hooks=runner) as driven:
            await driven.quiet()
            leave_behind(pair)

            await driven.quiet()  # the end of a session is seen at the latest by the first that is sent
            assert said(await driven.look()) == []
            found: list[str] = []
            async with asyncio.timeout(30):
                while primary.run("SELECT state FROM pg_stat_replication") != "streaming":
                    driven.wall.now += timedelta(seconds=30)
                    driven.desk.now = driven.wall.now
                    found += said(await driven.desk.one_pass(KEY))
                    await asyncio.sleep(0.02)
            assert [each.partition(":")[0] for each in found] == [
                f"drop slot {SLOT} on one, which has lost WAL, to build two anew",
                f"make physical slot {SLOT} on one",
                "build two anew by hook pg-rebuild",
            ]
            plan = await driven.quiet()
            async with asyncio.timeout(10):
                while plan.blocked is not None or verdict(plan, ConditionType.READY) is not None:
                    plan = await driven.desk.one_pass(KEY)
            assert made == ["two"]
            primary.run("CREATE DATABASE seen")
            await driven.until_true(
                lambda: pair["two"].run("SELECT count(*) FROM pg_database WHERE datname = 'seen'") == "1"
            )
        await runner.close()
