"""A real Redis that restarts, loads, loses its keys, runs full, fails over or is killed under our hands."""

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from crds.meta import ConditionType, Key, Truth
from crds.redis import RedisInstanceStatus
from lab.processes import send
from lab.redis import LabRedis
from reconcilers.contract import AnyResource, Note, NotSentError, Plan, TransientError
from reconcilers.redis.model import RedisAction
from tests.builders_haproxy import said, verdict
from tests.real_haproxy import free_address, until
from tests.real_redis import KEY, PASSWORD, Driven, Site, a_redis, a_site, ask, drive, settings, transport

REPLICA = Key("RedisInstance", "psa-redis-replica")


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


def notes(plan: Plan[RedisAction]) -> list[str]:
    return [write.reason for write in plan.writes if isinstance(write, Note)]


def trouble(plan: Plan[RedisAction], kind: ConditionType = ConditionType.DEGRADED) -> str:
    found = verdict(plan, kind)
    return "" if found is None or found.reason in {"Whole", "AsAsked"} else found.reason


async def filled(server: LabRedis, keys: int = 10) -> None:
    for number in range(keys):
        await ask(server, "SET", f"key:{number}", "x" * 100)


async def linked(server: LabRedis, keys: int | None = None) -> None:
    """Wait until a replica follows its primary, and has so many keys."""

    async def look() -> str:
        return str(await ask(server, "INFO", "replication")) + str(await ask(server, "INFO", "keyspace"))

    await until(
        look, lambda text: "master_link_status:up" in text and (keys is None or f"keys={keys}," in text)
    )


async def follow(server: LabRedis, primary: LabRedis, keys: int | None = None) -> None:
    host, _, port = primary.config.address.rpartition(":")
    await ask(server, "CONFIG", "SET", "masterauth", PASSWORD)
    await ask(server, "REPLICAOF", host, port)
    await linked(server, keys)


def the_spec() -> AnyResource:
    return a_redis(config={"timeout": 60}, users={"psa-app": {"commands": ["+get"]}})


async def test_f53_a_restart_that_lost_settings_and_users_is_noticed_and_put_right(site: Site) -> None:
    server = site.start()
    driven = drive(the_spec(), redis=transport(server))
    await driven.quiet()
    await asyncio.to_thread(server.restart, with_first_file=True)
    assert await settings(server, "timeout") == {"timeout": "0"}

    plan = await driven.desk.one_pass(KEY)
    assert notes(plan) == ["RedisRestarted"]
    assert said(plan) == ["set timeout 0 → 60, live, no restart", "make the ACL user psa-app"]
    plan = await driven.quiet()
    assert notes(plan) == []
    assert await settings(server, "timeout") == {"timeout": "60"}
    assert await ask(server, "ACL", "USERS") == ["default", "psa-app"]


async def test_f54_a_full_server_is_said_and_still_configured(site: Site) -> None:
    server = site.start(more=("maxmemory 3mb", "maxmemory-policy noeviction"))
    for number in range(60):
        with_room = (await transport(server).ask(("SET", f"key:{number}", "x" * 60_000)))[0] == "OK"
        if not with_room:
            break
    await ask(server, "CONFIG", "SET", "maxmemory", "2mb")
    driven = drive(a_redis(config={"timeout": 60}), redis=transport(server))
    plan = await driven.quiet()

    assert trouble(plan) == "OutOfMemory"
    assert await settings(server, "timeout") == {"timeout": "60"}
    driven.sent.clear()
    await driven.desk.one_pass(KEY)
    assert driven.changes == [], "no retry storm"


async def test_f55_after_a_failover_the_former_primary_is_left_a_replica_and_that_is_said(site: Site) -> None:
    old, new = site.start(), site.start()
    driven = drive(a_redis(config={"timeout": 60}, replication={"role": "primary"}), redis=transport(old))
    await driven.quiet()
    await follow(old, new)
    await ask(old, "CONFIG", "SET", "timeout", "0")

    plan = await driven.desk.one_pass(KEY)
    assert notes(plan) == ["RoleChanged"]
    assert plan.blocked is not None
    assert plan.blocked[0] == "RoleDiffers"
    await driven.quiet()
    # A server's own settings are its own in either role; its role and its keys are not touched.
    written = [each for each in driven.changes if each[0] not in {"CONFIG", "ACL"}]
    assert written == []
    await ask(old, "REPLICAOF", "NO", "ONE")
    assert (await driven.quiet()).blocked is None


async def test_69_an_emptied_primary_is_said_loudly_and_no_replica_is_pointed_at_it(site: Site) -> None:
    primary, replica = site.start(more=('save ""',)), site.start()
    await filled(primary)
    objects = (
        a_redis(replication={"role": "primary", "replicas": 1}),
        a_redis(
            REPLICA.name,
            endpoint="second",
            replication={"replicaOf": primary.config.address, "password": "redis-password"},
        ),
    )
    driven = drive(*objects, redis=transport(primary), second=transport(replica))
    for key in (REPLICA, KEY):
        await driven.quiet(key)
    await linked(replica, 10)
    await until(lambda: driven.desk.one_pass(KEY), lambda plan: trouble(plan) == "")
    await ask(replica, "REPLICAOF", "NO", "ONE")  # a person saves the keys
    primary.kill()
    primary.start()

    plan = await driven.desk.one_pass(KEY)
    assert "EmptyPrimary" in notes(plan)
    assert (trouble(plan), trouble(plan, ConditionType.READY)) == ("EmptyPrimary", "EmptyPrimary")
    status = driven.desk.state.objects[KEY].status
    assert isinstance(status, RedisInstanceStatus)
    assert status.emptied is not None
    assert replica.config.address in status.emptied
    driven.sent.clear()
    plan = await driven.desk.one_pass(REPLICA)
    assert plan.blocked is not None
    assert plan.blocked[0] == "EmptyPrimary"
    assert driven.changes == []

    await filled(primary, 1)
    assert trouble(await driven.desk.one_pass(KEY)) == "ReplicasMissing"


async def test_a_server_with_keys_becomes_a_replica_only_with_the_verb(site: Site) -> None:
    primary, replica = site.start(), site.start()
    await filled(primary, 3)
    await filled(replica, 7)
    wanted = {"replicaOf": primary.config.address, "password": "redis-password"}
    (first, last) = (await drive(a_redis(replication=wanted), redis=transport(replica)).desk.look(KEY)).steps

    assert first.needs is None, "the password of the link is no danger"
    assert last.needs is not None
    assert last.needs.value == "replace-data"
    assert "its 1 to 9 keys go" in last.summary
    driven = drive(a_redis(replication=wanted, allow=["replace-data"]), redis=transport(replica))
    await driven.quiet()
    await linked(replica, 3)


async def test_an_empty_server_becomes_a_replica_and_its_lag_is_told(site: Site) -> None:
    primary, replica = site.start(), site.start()
    await filled(primary, 3)
    wanted = {"replicaOf": primary.config.address, "password": "redis-password", "maxLag": "10s"}
    driven = drive(
        a_redis(REPLICA.name, endpoint="second", replication=wanted),
        a_redis(replication={"role": "primary", "replicas": 1, "maxLag": "10s"}),
        redis=transport(primary),
        second=transport(replica),
    )
    await driven.quiet(REPLICA)
    await linked(replica, 3)

    plan = await until(lambda: driven.desk.one_pass(KEY), lambda plan: trouble(plan) == "")
    assert plan.status is not None
    assert plan.status.model_dump()["replicas"] == (replica.config.address,)
    assert trouble(await driven.quiet(REPLICA)) == ""
    gauge, place = driven.gauges.of(KEY), replica.config.address
    assert gauge is not None
    assert (gauge.values[f"lag_seconds:{place}"] <= 1, gauge.values["keys"]) == (True, 3)
    labels = {"redis": KEY.name, "replica": place}
    lag_bytes = driven.registry.get_sample_value("psa_redis_replication_lag_bytes", labels)
    assert lag_bytes == gauge.values[f"lag_bytes:{place}"]
    link = {"redis": REPLICA.name}
    assert driven.registry.get_sample_value("psa_redis_primary_link_up", link) == 1
    primary.kill()
    plan = await until(lambda: driven.desk.one_pass(REPLICA), lambda plan: trouble(plan) != "")
    assert trouble(plan) == "LinkDown"


async def test_70_where_no_role_is_asked_a_failover_is_followed_and_not_fought(site: Site) -> None:
    one, two = site.start(), site.start()
    driven = drive(a_redis(config={"timeout": 60}), redis=transport(one))
    await driven.quiet()
    driven.sent.clear()
    await follow(one, two)

    plan = await driven.desk.one_pass(KEY)
    assert (notes(plan), plan.steps, plan.blocked) == (["RoleChanged"], (), None)
    assert driven.changes == []


async def test_72_a_server_that_loads_is_waited_for(site: Site) -> None:
    server = site.start()
    await filled(server, 300)
    await ask(server, "SAVE")
    driven = drive(the_spec(), redis=transport(server))
    await driven.quiet()
    server.kill()
    text = server.config_file.read_text()
    slow = "\nkey-load-delay 3000\nloading-process-events-interval-bytes 1024\ntimeout 0\n"
    server.config_file.write_text(text + slow)
    server.start()

    plan = await driven.desk.one_pass(KEY)
    assert plan.waiting is not None
    assert (plan.steps, plan.blocked) == ((), None)
    plan = await until(lambda: driven.desk.one_pass(KEY), lambda plan: plan.waiting is None)
    assert notes(plan) == ["RedisRestarted"]
    assert said(plan) == ["set timeout 0 → 60, live, no restart"]


async def test_killed_in_the_middle_of_an_apply_it_is_whole_after_its_restart(site: Site) -> None:
    server = site.start()
    driven = drive(the_spec(), redis=transport(server))
    reconciler = driven.desk.reconcilers["RedisInstance"]
    first, second = (await driven.desk.look(KEY)).steps
    await reconciler.apply(first)
    server.kill()
    with pytest.raises(NotSentError, match=r"nobody listens there|reset by peer"):
        await reconciler.apply(second)
    with pytest.raises(NotSentError):
        await driven.desk.look(KEY)
    server.start()
    await driven.quiet()

    assert await settings(server, "timeout") == {"timeout": "60"}
    assert await ask(server, "ACL", "USERS") == ["default", "psa-app"]


async def test_a_server_that_hangs_in_the_middle_of_an_exchange_costs_one_deadline(site: Site) -> None:
    server = site.start()
    driven = drive(the_spec(), redis=transport(server, deadline_s=0.3))
    (first, _) = (await driven.desk.look(KEY)).steps
    process = server.life.process
    assert process is not None
    send(process, signal.SIGSTOP)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TransientError, match=r"no answer|cannot connect"):
        await driven.desk.reconcilers["RedisInstance"].apply(first)
    assert asyncio.get_running_loop().time() - began < 1
    server.kill()
    server.start()
    await driven.quiet()
    assert await settings(server, "timeout") == {"timeout": "60"}


async def test_failing_snapshots_are_said(site: Site) -> None:
    server = site.start()
    await filled(server)
    driven = drive(a_redis(maxUnsaved="2h"), redis=transport(server))
    driven.desk.now += timedelta(days=366)
    assert trouble(await driven.desk.one_pass(KEY)) == "SnapshotTooOld"
    server.folder.chmod(0o555)
    await ask(server, "BGSAVE")
    plan = await until(lambda: driven.desk.one_pass(KEY), lambda plan: "Persistence" in trouble(plan))
    server.folder.chmod(0o755)

    found = verdict(plan, ConditionType.DEGRADED)
    assert found is not None
    assert "the last snapshot failed" in found.message


async def test_a_version_below_the_wanted_one_names_both(site: Site) -> None:
    driven = drive(a_redis(minimumVersion="9.1"), redis=transport(site.start()))
    found = verdict(await driven.quiet(), ConditionType.READY)
    assert found is not None
    assert (found.status, found.reason) == (Truth.FALSE, "VersionTooLow")
    assert found.message == "it runs Redis 7.0.15, at least 9.1 is asked"


async def test_a_node_of_a_cluster_is_observed_and_made_nobodys_replica(site: Site) -> None:
    bus = free_address().rpartition(":")[2]  # else ten thousand above its port, which may be too high
    server = site.start(more=("cluster-enabled yes", f"cluster-port {bus}"))
    driven = drive(a_redis(replication={"replicaOf": "10.0.30.13:6379"}), redis=transport(server))
    plan = await driven.quiet()

    assert plan.blocked is not None
    assert plan.blocked[0] == "ClusterMode"
    assert trouble(plan) == "ClusterNotOk"
    assert plan.status is not None
    assert plan.status.model_dump()["cluster"] == "fail, 1 nodes"


async def test_nothing_of_a_quiet_server_moves_in_the_status(site: Site) -> None:
    server = site.start()
    driven = drive(the_spec(), redis=transport(server))
    await driven.quiet()
    before = driven.desk.state.objects[KEY]
    await filled(server)
    await driven.desk.one_pass(KEY)
    settled = driven.desk.state.objects[KEY]
    for _ in range(3):
        await filled(server)
        await driven.desk.one_pass(KEY)

    assert settled.status != before.status, "the first keys are news"
    assert replace(driven.desk.state.objects[KEY]) == settled


def test_a_desk_shows_no_secret(site: Site) -> None:
    driven: Driven = drive(the_spec(), redis=transport(site.start()))
    assert PASSWORD not in repr(driven.desk)
