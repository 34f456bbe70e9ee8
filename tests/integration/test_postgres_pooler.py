"""A real pgBouncer in front of a real PostgreSQL: its settings are kept, and who waits is said."""

import asyncio
from collections.abc import Iterator, Mapping

import asyncpg
import pytest

from crds.meta import ConditionType, Truth
from lab.pgbouncer import LabPgbouncer
from lab.postgres import LabPostgres
from reconcilers.contract import NotSentError, PermanentError, Secret, TransientError
from reconcilers.transports.pgbouncer import Console, Poolers
from reconcilers.transports.postgres_session import Door
from tests.builders_haproxy import verdict
from tests.real_haproxy import refusing_address
from tests.real_postgres import PASSWORD, Site, a_cluster, a_site, driving

#: The platform's design, chapter 2.
SETTINGS: Mapping[str, object] = {
    "pool_mode": "transaction",
    "max_client_conn": 1000,
    "default_pool_size": 25,
    "reserve_pool_size": 5,
    "reserve_pool_timeout": 3,
    "max_db_connections": 100,
    "max_user_connections": 100,
    "log_stats": False,
}
CLUSTER = a_cluster(pooler={"settings": SETTINGS, "databases": ["postgres"], "waitLimitS": 0.2})


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site() as site:
        site.primary()
        yield site


@pytest.fixture
def server(site: Site) -> LabPostgres:
    return site.servers[0]


@pytest.fixture
def pooler(site: Site, server: LabPostgres) -> Iterator[LabPgbouncer]:
    made = site.pooler(server, databases=("postgres",))
    yield made
    made.stop()


async def client(pooler: LabPgbouncer) -> asyncpg.Connection:
    host, _, port = pooler.config.address.rpartition(":")
    return await asyncpg.connect(
        host=host,
        port=int(port),
        user="postgres",
        password=PASSWORD,
        database="postgres",
        ssl=False,
        statement_cache_size=0,
    )


async def test_settings_are_set_once_and_again_after_each_of_its_starts(
    server: LabPostgres, pooler: LabPgbouncer
) -> None:
    async with driving(CLUSTER, {"one": server}, pooler=pooler) as driven:
        assert await driven.sentences() == [
            "max_client_conn 100 → 1000 in pgBouncer",
            "default_pool_size 20 → 25 in pgBouncer",
            "reserve_pool_size 0 → 5 in pgBouncer",
            "reserve_pool_timeout 5 → 3 in pgBouncer",
            "max_db_connections 0 → 100 in pgBouncer",
            "max_user_connections 0 → 100 in pgBouncer",
            "log_stats 1 → off in pgBouncer",
        ]
        plan = await driven.quiet()
        assert (plan.blocked, verdict(plan, ConditionType.READY)) == (None, None)
        assert await driven.sentences() == []
        pooler.stop()
        pooler.start()
        await driven.quiet()
        assert len(await driven.sentences()) == 7
        await driven.quiet()
        assert await driven.sentences() == []


async def test_who_waits_longer_than_the_limit_is_said_with_the_limit(
    server: LabPostgres, pooler: LabPgbouncer
) -> None:
    cluster = a_cluster(pooler={"settings": {"default_pool_size": 1}, "waitLimitS": 0.2})
    async with driving(cluster, {"one": server}, pooler=pooler) as driven:
        await driven.quiet()
        one, two = await client(pooler), await client(pooler)
        await one.execute("BEGIN")
        waiting = asyncio.ensure_future(two.execute("SELECT 1"))
        await asyncio.sleep(0.5)
        degraded = verdict(await driven.look(), ConditionType.DEGRADED)
        await one.execute("ROLLBACK")
        await waiting
        one.terminate()
        two.terminate()
        assert degraded is not None
        assert degraded.reason == "ClientsWait"
        assert degraded.message == (
            "clients wait for postgres as postgres for more than 0.2 s, the limit;"
            " at most 1 connections to the server are allowed"
        )
        labels = {"cluster": "psa-db", "database": "postgres", "user": "postgres"}
        assert driven.registry.get_sample_value("psa_pgbouncer_clients_waiting", labels) == 1


async def test_a_pooler_that_is_gone_is_said_and_stops_nothing_else(
    server: LabPostgres, pooler: LabPgbouncer
) -> None:
    cluster = a_cluster(settings={"work_mem": "9MB"}, pooler={"settings": SETTINGS})
    async with driving(cluster, {"one": server}, pooler=pooler) as driven:
        pooler.kill()
        ready = verdict(await driven.quiet(), ConditionType.READY)
        assert ready is not None
        assert (ready.status, ready.reason) == (Truth.FALSE, "PoolerLost")
        assert driven.registry.get_sample_value("psa_pgbouncer_up", {"cluster": "psa-db"}) == 0
    assert server.run("SHOW work_mem") == "9MB"


async def test_a_pause_lets_transactions_end_and_others_wait_until_it_is_resumed(
    server: LabPostgres, pooler: LabPgbouncer
) -> None:
    async with driving(CLUSTER, {"one": server}, pooler=pooler) as driven:
        await driven.quiet()
        user = await client(pooler)
        await driven.poolers.pause("psa-db", "postgres")
        degraded = verdict(await driven.look(), ConditionType.DEGRADED)
        waiting = asyncio.ensure_future(user.fetchval("SELECT 7"))
        await driven.poolers.resume("psa-db", "postgres")
        await driven.poolers.resume("psa-db", "postgres")
        assert await asyncio.wait_for(waiting, 5) == 7
        user.terminate()
        assert degraded is not None
        assert degraded.reason == "PoolerPaused"


async def test_a_transaction_that_does_not_end_makes_a_pause_fail_and_nobody_waits_for_it(
    pooler: LabPgbouncer,
) -> None:
    poolers = consoles(pooler.config.address, deadline_s=0.5)
    user = await client(pooler)
    await user.execute("BEGIN")
    with pytest.raises(TransientError, match=r"no answer within 0\.5 s"):
        await poolers.pause("psa-db", "postgres")
    await user.execute("ROLLBACK")
    await poolers.resume("psa-db", "postgres")
    assert await user.fetchval("SELECT 7") == 7
    user.terminate()
    await poolers.close()


def consoles(address: str, password: str = PASSWORD, user: str = "postgres", **door: float) -> Poolers:
    way = Door(user, "pgbouncer", lambda: Secret(password), connect_s=1.0, **door)  # type: ignore[arg-type]
    return Poolers({"psa-db": Console(way, address)})


@pytest.mark.parametrize(("user", "password"), [("postgres", "wrong"), ("stranger", PASSWORD)])
async def test_who_is_not_let_in_is_told_so(pooler: LabPgbouncer, user: str, password: str) -> None:
    poolers = consoles(pooler.config.address, password, user)
    with pytest.raises(PermanentError) as caught:
        await poolers.look("psa-db")
    await poolers.close()
    assert caught.value.reason == "WrongPassword"
    assert password not in str(caught.value)


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with refusing_address() as address, pytest.raises(NotSentError):
        await consoles(address).look("psa-db")


async def test_what_it_refuses_is_named_and_the_session_goes_on(pooler: LabPgbouncer) -> None:
    poolers = consoles(pooler.config.address)
    with pytest.raises(PermanentError, match="refuses SET pool_mode"):
        await poolers.set("psa-db", "pool_mode", "'banana'; SHUTDOWN")
    assert (await poolers.look("psa-db")).settings["pool_mode"].value == "transaction"
    await poolers.close()


async def test_a_file_that_is_read_again_takes_back_what_was_set(pooler: LabPgbouncer) -> None:
    poolers = consoles(pooler.config.address)
    await poolers.set("psa-db", "pool_mode", "session")
    await poolers.reload("psa-db")
    assert (await poolers.look("psa-db")).settings["pool_mode"].value == "transaction"
    await poolers.close()
