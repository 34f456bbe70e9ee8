"""Real servers, restarted by a real hook one after the other, and a real backup by pg_basebackup."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from crds.meta import ConditionType
from crds.postgres import PostgresClusterStatus
from lab.postgres import BINARIES, LabPostgres
from reconcilers.contract import AnyResource
from tests.builders_haproxy import verdict
from tests.real_hooks import OURS, Programs, begun, programs
from tests.real_postgres import (
    KEY,
    REPLICATION_PASSWORD,
    SLOT,
    Driven,
    Site,
    a_cluster,
    a_site,
    a_template,
    driving,
)

STANDBY = {"slot": SLOT, "user": "replicator", "password": "replicator", "applicationName": SLOT}
REPLICATION: Mapping[str, object] = {"slots": {SLOT: {}}, "standbys": {"two": STANDBY}}
#: Asks whoever manages the servers, as systemctl does, and waits until that is done.
RESTART = 'touch "$ASKED/$PSA_SERVICE"; while [ -e "$ASKED/$PSA_SERVICE" ]; do sleep 0.02; done'
BACKUP = f"""set -eu
{BINARIES}/pg_basebackup -h "$PSA_ADDRESS" -p "$PSA_PORT" -U replicator -D "$OUT/base" --checkpoint=fast
{BINARIES}/pg_verifybackup --quiet "$OUT/base"
"""


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with a_template() as template:
        yield template


@pytest.fixture
def site(template: Path) -> Iterator[Site]:
    with a_site(template) as site:
        yield site


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Programs]:
    with programs(tmp_path) as found:
        yield found


@pytest.fixture
def pair(site: Site) -> Mapping[str, LabPostgres]:
    primary = site.primary()
    return {"one": primary, "two": site.standby(primary)}


def asked_files(folder: Path) -> Sequence[Path]:
    """Return whose restart somebody asked for."""
    return sorted(folder.iterdir())


@contextlib.asynccontextmanager
async def managed(asked: Path, pair: Mapping[str, LabPostgres]) -> AsyncIterator[list[str]]:
    """Restart who is asked for, as a service manager does; yield the names in their order."""
    restarted: list[str] = []

    async def manage() -> None:
        while True:
            for file in asked_files(asked):
                await asyncio.to_thread(pair[file.name].restart)
                restarted.append(file.name)
                file.unlink()
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        manager = group.create_task(manage())
        yield restarted
        manager.cancel()


def with_connections(number: int) -> AnyResource:
    spec = {"settings": {"max_connections": number}, "restart": "pg-restart", "allow": ["restart"]}
    return a_cluster(**{"replication": REPLICATION, **spec})


def status(driven: Driven) -> PostgresClusterStatus:
    found = driven.desk.state.objects[KEY].status
    assert isinstance(found, PostgresClusterStatus)
    return found


def in_force(pair: Mapping[str, LabPostgres]) -> set[str]:
    return {each.run("SHOW max_connections") for each in pair.values()}


async def settle(driven: Driven) -> None:
    """Make passes until nothing waits for a restart and the standby streams."""
    async with asyncio.timeout(60):
        while True:
            plan = await driven.desk.one_pass(KEY)
            is_ready = verdict(plan, ConditionType.READY) is None
            if not plan.steps and is_ready and not status(driven).pending_restart:
                return
            await asyncio.sleep(0.05)


async def test_what_rises_restarts_the_standby_first_and_what_falls_the_primary_and_it_streams_after_both(
    pair: Mapping[str, LabPostgres], folder: Programs, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    asked.mkdir()
    folder.add("pg-restart", RESTART, environment={OURS: str(folder.root), "ASKED": str(asked)})
    runner = await begun(folder)
    async with managed(asked, pair) as restarted, driving(with_connections(60), pair, hooks=runner) as driven:
        await settle(driven)
        assert (restarted, in_force(pair)) == (["two", "one"], {"60"})

        driven.desk.put(replace(with_connections(30), generation=2, status=status(driven)))
        await settle(driven)
        assert (restarted[2:], in_force(pair)) == (["one", "two"], {"30"})
    await runner.close()


async def test_a_backup_that_is_whole_is_remembered_and_one_that_is_not_is_said(
    pair: Mapping[str, LabPostgres], folder: Programs, tmp_path: Path
) -> None:
    out = tmp_path / "backups"
    out.mkdir()
    variables = {OURS: str(folder.root), "OUT": str(out), "PGPASSWORD": REPLICATION_PASSWORD}
    folder.add("pg-backup", BACKUP, environment=variables)
    folder.add("pg-dump", "echo no space left; exit 3")
    backups = {
        name: {"hook": hook, "every": "1d", "maxAge": "26h"}
        for name, hook in {"nightly": "pg-backup", "logical": "pg-dump"}.items()
    }
    runner = await begun(folder)
    async with driving(a_cluster(backups=backups), pair, hooks=runner) as driven:
        async with asyncio.timeout(30):
            plan = await driven.desk.one_pass(KEY)
            while not status(driven).backups:
                await asyncio.sleep(0.05)
                plan = await driven.desk.one_pass(KEY)
    await runner.close()

    assert plan.steps == ()
    found = verdict(plan, ConditionType.DEGRADED)
    assert found is not None
    assert found.reason == "BackupFailed"
    assert "backup logical by hook pg-dump: exit status 3" in found.message
    assert "no space left" in found.message
    assert (out / "base" / "PG_VERSION").read_text() == "15\n"
