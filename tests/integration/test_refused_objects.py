"""One object that a server refuses for good is named, and holds back no other one."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from reconcilers.contract import Plan, TransientError
from tests import real_postgres, real_rabbitmq, real_redis
from tests.builders_elasticsearch import drive_core
from tests.builders_haproxy import said
from tests.real_redis import a_redis, ask, settings

BAD = {"durable": True, "arguments": {"x-message-ttl": -1}}


@pytest.fixture
def site() -> Iterator[real_redis.Site]:
    with real_redis.a_site() as site:
        yield site


async def until_blocked(driven: real_redis.Driven) -> Plan[Any]:
    """Make passes as the engine does: settings refused together are set one by one the next time."""
    with contextlib.suppress(TransientError):
        return await driven.quiet()
    return await driven.quiet()


async def test_redis_sets_the_others_where_one_value_is_refused(site: real_redis.Site) -> None:
    server = site.start()
    spec = {"timeout": 60, "maxmemory-policy": "no-such-policy", "tcp-keepalive": 200, "hz": 20}
    users = {"app": {"passwords": ["redis-password"], "keys": ["*"], "commands": ["+get"]}}
    driven = real_redis.drive(a_redis(config=spec, users=users), redis=real_redis.transport(server))
    plan = await until_blocked(driven)

    assert plan.blocked is not None
    assert plan.blocked[0] == "SettingRefused"
    assert "maxmemory-policy" in plan.blocked[1]
    assert "timeout" not in plan.blocked[1]
    found = await settings(server, "timeout", "tcp-keepalive", "hz", "maxmemory-policy")
    assert found == {"timeout": "60", "tcp-keepalive": "200", "hz": "20", "maxmemory-policy": "noeviction"}
    assert "timeout 60" in (server.folder / "redis.conf").read_text()
    assert await ask(server, "ACL", "GETUSER", "app") is not None

    # Put right, all is well; and while it was not, nothing was sent again and again.
    before = len(driven.changes)
    await driven.quiet()
    assert driven.changes[before:] == []
    driven.desk.put(a_redis(config={**spec, "maxmemory-policy": "allkeys-lru"}, users=users))
    plan = await driven.desk.one_pass(real_redis.KEY)
    assert said(plan) == ["set maxmemory-policy noeviction → allkeys-lru, live, no restart"]
    assert (await driven.quiet()).blocked is None


async def test_redis_sets_what_drifts_later_although_one_value_is_refused(site: real_redis.Site) -> None:
    server = site.start()
    spec = {"timeout": 60, "maxmemory-policy": "no-such-policy"}
    driven = real_redis.drive(a_redis(config=spec), redis=real_redis.transport(server))
    await until_blocked(driven)
    await ask(server, "CONFIG", "SET", "timeout", "5")
    plan = await driven.desk.one_pass(real_redis.KEY)
    assert said(plan) == ["set timeout 5 → 60, live, no restart"]
    assert await settings(server, "timeout") == {"timeout": "60"}


async def test_rabbitmq_makes_the_others_where_one_queue_is_refused() -> None:
    async with real_rabbitmq.a_site() as site:
        wish = real_rabbitmq.a_topology()
        queues, bindings = {"bad": BAD, **wish["queues"]}, [{"source": "psa.events", "queue": "bad"}]  # type: ignore[dict-item]
        wish |= {"queues": queues, "bindings": [*bindings, *wish["bindings"]]}  # type: ignore[misc]
        driven = real_rabbitmq.drive(site.wire, real_rabbitmq.a_rabbit(vhosts={site.vhost: wish}))
        plan = await driven.quiet()

        assert plan.blocked is not None
        assert plan.blocked[0] == "Refused"
        assert "queues/" + site.vhost + "/bad" in plan.blocked[1]
        assert "no queue 'bad'" in plan.blocked[1]
        assert await site.names("queues") == ["email", "teams"]
        assert await site.bound() == ["ticket.* email", "ticket.created teams"]

        queues["bad"] = {"durable": True}
        driven.desk.put(real_rabbitmq.a_rabbit(vhosts={site.vhost: {**wish, "queues": queues}}))
        with_it = await driven.quiet()
        assert with_it.blocked is None
        assert " bad" in await site.bound()


async def test_elasticsearch_makes_the_others_where_one_index_is_refused() -> None:
    driven, core = drive_core(indices={"a": {"settings": {"nosuch": 1}}, "b": {}, "c": {}})
    plan = await driven.quiet()
    assert plan.blocked is not None
    assert plan.blocked[0] == "UnknownSetting"
    assert sorted(core.cluster.world.indices) == ["b", "c"]
    driven.ask_for(indices={"a": {}, "b": {}, "c": {}})
    assert (await driven.quiet()).blocked is None


async def test_postgres_makes_the_others_where_one_extension_is_refused() -> None:
    databases = {"app": {"extensions": ["no_such_extension", "pg_trgm"]}}
    with real_postgres.a_site() as site:
        server = site.primary()
        cluster = real_postgres.a_cluster(databases=databases)
        async with real_postgres.driving(cluster, {"one": server}) as driven:
            plan = await driven.quiet()
            assert plan.blocked is not None
            assert "no_such_extension" in plan.blocked[1]
            assert server.run("SELECT extname FROM pg_extension ORDER BY 1", "app") == "pg_trgm\nplpgsql"
