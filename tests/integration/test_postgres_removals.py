"""Slots and databases of a real PostgreSQL that must be absent: dropped once nobody uses them."""

from collections.abc import Iterator

import asyncpg
import pytest

from lab.postgres import LabPostgres
from reconcilers.postgres.actions import Target
from tests.real_postgres import PASSWORD, a_cluster, a_site, a_template, driving

ABSENT = a_cluster(
    absent={"slots": ["old1", "feed"], "databases": ["old"]}, allow=["drop-slot", "drop-database"]
)
SLOTS = "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots"
DATABASES = "SELECT count(*) FROM pg_database WHERE datname = 'old'"


@pytest.fixture(scope="module")
def primary() -> Iterator[LabPostgres]:
    with a_template() as template, a_site(template) as site:
        yield site.primary(more=("wal_level = logical",))


async def test_what_nobody_uses_goes_and_what_nobody_named_stays(primary: LabPostgres) -> None:
    primary.run("CREATE DATABASE old")
    primary.run("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')", "old")
    for each in ("old1", "kept"):
        primary.run(f"SELECT pg_create_physical_replication_slot('{each}', true)")
    async with driving(ABSENT, {"one": primary}) as driven:
        plan = await driven.quiet()
        assert (plan.steps, plan.blocked) == ((), None)
        assert (primary.run(SLOTS), primary.run(DATABASES)) == ("kept", "0")
        # Whoever asks twice, after an answer that was lost, does no harm.
        await driven.servers.drop_slot(Target("psa-db", "one"), "old1")
        await driven.servers.drop_database(Target("psa-db", "one"), "old")
    primary.run("SELECT pg_drop_replication_slot('kept')")


async def test_a_database_with_a_session_stays_until_that_ends(primary: LabPostgres) -> None:
    primary.run("CREATE DATABASE old")
    host, _, port = primary.config.address.rpartition(":")
    words = {"host": host, "port": int(port), "password": PASSWORD}
    session = await asyncpg.connect(user="postgres", database="old", **words)
    async with driving(ABSENT, {"one": primary}) as driven:
        plan = await driven.quiet()
        assert plan.blocked is not None
        assert plan.blocked[0] == "DatabaseInUse"
        assert "somebody is connected to it" in plan.blocked[1]
        assert primary.run(DATABASES) == "1"
        await session.close()
        await driven.until_true(
            lambda: primary.run("SELECT count(*) FROM pg_stat_activity WHERE datname = 'old'") == "0"
        )
        (found,) = await driven.sentences()
        assert found == "drop database old, which is postgres's, with all that is in it"
        await driven.quiet()
    assert primary.run(DATABASES) == "0"
