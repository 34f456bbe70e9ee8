"""A real PostgreSQL cluster that is ill: what is said, what is done about it, and what is never done."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crds.meta import ConditionType, Truth
from crds.postgres import PostgresClusterStatus
from lab.postgres import LabPostgres
from lab.processes import identify, send
from reconcilers.contract import AnyResource, Note, NotSentError, Plan, TransientError, Verdict
from reconcilers.postgres.actions import PostgresAction, PutRole, Target
from tests.builders_haproxy import said, verdict
from tests.real_haproxy import refusing_address
from tests.real_postgres import KEY, PASSWORD, SLOT, Driven, Site, a_cluster, a_site, a_template, driving

pytestmark = pytest.mark.slow

STANDBY = {"slot": SLOT, "user": "replicator", "password": "replicator", "applicationName": SLOT}
REPLICATION: Mapping[str, object] = {"slots": {SLOT: {}}, "standbys": {"two": STANDBY}}
WRITE = (
    "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000)) IS NULL FROM generate_series(1, {});"
)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with a_template() as template:
        yield template


@pytest.fixture
def site(template: Path) -> Iterator[Site]:
    with a_site(template) as site:
        yield site


@pytest.fixture
def pair(site: Site) -> Mapping[str, LabPostgres]:
    primary = site.primary()
    return {"one": primary, "two": site.standby(primary)}


def a_pair(**more: object) -> AnyResource:
    return a_cluster(**{"replication": REPLICATION, **more})


def streams(pair: Mapping[str, LabPostgres]) -> bool:
    return pair["one"].run("SELECT state FROM pg_stat_replication") == "streaming"


def the(kind: ConditionType, plan: Plan[PostgresAction]) -> Verdict:
    found = verdict(plan, kind)
    assert found is not None
    return found


def status(driven: Driven) -> PostgresClusterStatus:
    found = driven.desk.state.objects[KEY].status
    assert isinstance(found, PostgresClusterStatus)
    return found


async def test_broken_in_four_ways_at_once_it_streams_again_without_a_person(
    pair: Mapping[str, LabPostgres],
) -> None:
    async with driving(a_pair(roles={"replicator": {"password": "replicator"}}), pair) as driven:
        await driven.quiet()
        pair["two"].run(
            "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'; "
            "ALTER SYSTEM SET primary_slot_name = 'gone'; SELECT pg_reload_conf()"
        )
        await driven.until_true(lambda: pair["one"].run("SELECT count(*) FROM pg_stat_replication") == "0")
        pair["two"].run("SELECT pg_wal_replay_pause()")
        pair["one"].run(
            f"SELECT pg_drop_replication_slot('{SLOT}'); ALTER ROLE replicator PASSWORD 'guessed'"
        )
        await driven.until(lambda: streams(pair))
        plan = await driven.quiet()

        assert (plan.blocked, verdict(plan, ConditionType.READY)) == (None, None)
        pair["one"].run("CREATE DATABASE seen")
        await driven.until_true(
            lambda: pair["two"].run("SELECT count(*) FROM pg_database WHERE datname = 'seen'") == "1"
        )


async def test_after_a_restart_of_each_server_nothing_is_to_do(pair: Mapping[str, LabPostgres]) -> None:
    async with driving(a_pair(settings={"work_mem": "20MB", "log_lock_waits": True}), pair) as driven:
        await driven.quiet()
        for each in pair.values():
            each.restart()
        await driven.until_true(lambda: streams(pair))
        await driven.quiet()  # the end of a session is seen at the latest by the first that is sent
        plan = await driven.look()
        assert (plan.steps, verdict(plan, ConditionType.READY)) == ((), None)


async def test_36_a_dead_primary_is_said_and_nobody_is_promoted(pair: Mapping[str, LabPostgres]) -> None:
    async with driving(a_pair(), pair) as driven:
        await driven.quiet()
        pair["one"].kill()
        await driven.quiet()  # the end of a session is seen at the latest by the first that is sent
        plan = await driven.look()
        assert said(plan) == []
        assert the(ConditionType.READY, plan).status is not Truth.TRUE
        assert "nobody listens there" in the(ConditionType.READY, plan).message
        assert driven.gauges.of(KEY) is None
        assert pair["two"].run("SELECT pg_is_in_recovery()") == "t"
        pair["one"].start()
        await driven.until(lambda: streams(pair))
        assert verdict(await driven.quiet(), ConditionType.READY) is None


async def test_37_a_primary_that_only_we_do_not_reach_is_unknown(
    pair: Mapping[str, LabPostgres],
) -> None:
    with refusing_address() as address:
        async with driving(a_pair(), pair, addresses={"one": address}) as driven:
            plan = await driven.desk.one_pass(KEY)
    assert (the(ConditionType.READY, plan).status, said(plan)) == (Truth.UNKNOWN, [])


async def test_38_lag_of_a_frozen_receiver_is_told_in_bytes_and_said_above_its_limit(
    pair: Mapping[str, LabPostgres],
) -> None:
    cluster = a_pair(replication={**REPLICATION, "lagLimit": "3Mi"})
    async with driving(cluster, pair) as driven:
        await driven.quiet()
        await driven.until(lambda: streams(pair))
        process = identify(int(pair["two"].run("SELECT pid FROM pg_stat_wal_receiver")))
        assert process is not None
        send(process, signal.SIGSTOP)
        pair["one"].run(WRITE.format(5))
        plan = await driven.look()
        told = driven.gauges.of(KEY)
        assert told is not None
        assert told.values["lag_bytes:two"] >= 4_000_000
        name = "psa_postgres_replication_lag_bytes"
        told_bytes = driven.registry.get_sample_value(name, {"cluster": "psa-db", "replica": "two"})
        assert told_bytes == told.values["lag_bytes:two"]
        assert the(ConditionType.READY, plan).reason == "ReplicationLag"
        ready = await until_ready_is(driven, "ReceiverSilent", seconds=25)
        assert "two was sent WAL by one and has heard nothing for more than 15 s" in ready.message
        assert "more than 3 MiB, the limit, behind one" in ready.message
        send(process, signal.SIGCONT)
        await driven.until_true(lambda: pair["one"].run("SELECT count(*) FROM pg_stat_replication") == "1")


async def until_ready_is(driven: Driven, reason: str, seconds: float) -> Verdict:
    """Look again and again until Ready has that reason."""
    deadline = time.monotonic() + seconds
    while (found := the(ConditionType.READY, await driven.look())).reason != reason:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
    return found


async def test_39_a_slot_that_nobody_reads_is_said_and_not_dropped(site: Site) -> None:
    primary = site.primary(
        more=("max_slot_wal_keep_size = '5MB'", "min_wal_size = '4MB'", "max_wal_size = '4MB'")
    )
    primary.run("SELECT pg_create_physical_replication_slot('orphan', true)")
    async with driving(a_cluster(replication={"slotLimit": "2Mi"}), {"one": primary}) as driven:
        primary.run(WRITE.format(3))
        degraded = the(ConditionType.DEGRADED, await driven.look())
        assert (degraded.reason, "slot orphan is not in use and holds" in degraded.message) == (
            "SlotHoldsDisk",
            True,
        )
        primary.run(WRITE.format(12) + "SELECT pg_switch_wal(); CHECKPOINT")
        plan = await driven.look()
        assert (the(ConditionType.DEGRADED, plan).reason, said(plan)) == ("SlotLost", [])
    assert primary.run("SELECT slot_name FROM pg_replication_slots") == "orphan"


async def test_an_archive_that_cannot_be_written_is_said_for_as_long(site: Site) -> None:
    primary = site.primary()
    async with driving(a_cluster(archived=True), {"one": primary}) as driven:
        moved = primary.archive.rename(primary.folder / "moved")
        primary.run(WRITE.format(1) + "SELECT pg_switch_wal()")
        failing = "SELECT failed_count > 0 FROM pg_stat_archiver"
        await driven.until_true(lambda: primary.run(failing) == "t")
        degraded = the(ConditionType.DEGRADED, await driven.look())
        assert degraded.reason == "ArchiverFailing"
        series = {"cluster": "psa-db", "member": "one"}
        assert driven.registry.get_sample_value("psa_postgres_archive_failing", series) == 1

        moved.rename(primary.archive)
        primary.run(WRITE.format(1) + "SELECT pg_switch_wal()")
        recovered = "SELECT last_archived_time > last_failed_time FROM pg_stat_archiver"
        await driven.until_true(lambda: primary.run(recovered) == "t")
        assert the(ConditionType.DEGRADED, await driven.look()).status is Truth.FALSE


async def test_40_who_is_the_primary_is_seen_anew_at_each_look(pair: Mapping[str, LabPostgres]) -> None:
    async with driving(a_cluster(settings={"work_mem": "20MB"}), pair) as driven:
        await driven.quiet()
        pair["one"].kill()
        pair["two"].run("SELECT pg_promote(true, 10)")
        plan = await driven.desk.one_pass(KEY)
        notes = [each.reason for each in plan.writes if isinstance(each, Note)]
        assert (status(driven).primary, notes) == ("two", ["PrimaryChanged"])
        assert "timeline 2" in status(driven).members["two"]


async def test_41_two_members_that_take_writes_freeze_everything(pair: Mapping[str, LabPostgres]) -> None:
    async with driving(a_pair(settings={"work_mem": "20MB"}), pair) as driven:
        await driven.quiet()
        pair["two"].run("SELECT pg_promote(true, 10); ALTER SYSTEM RESET work_mem; SELECT pg_reload_conf()")
        plan = await driven.look()
        assert plan.blocked is not None
        assert (plan.blocked[0], said(plan)) == ("SplitBrain", [])
        assert "two (timeline 2)" in plan.blocked[1]
        (_, place, *_) = (pair["two"].data / "pg_wal/00000002.history").read_text().split()
        assert f"one and two have the same history up to {place} on timeline 1" in plan.blocked[1]
        # What either writes then does not move it.
        pair["one"].run(WRITE.format(1))
        assert (await driven.look()).blocked == plan.blocked
    assert driven.registry.get_sample_value("psa_postgres_split_brain", {"cluster": "psa-db"}) == 1


async def test_42_another_cluster_behind_an_address_is_not_touched(site: Site) -> None:
    ours, stranger = site.primary(), site.primary(template=None)
    async with driving(a_cluster(settings={"work_mem": "20MB"}), {"one": ours}) as driven:
        await driven.quiet()
        object_now = driven.desk.state.objects[KEY]
    async with driving(object_now, {"one": stranger}) as driven:
        plan = await driven.desk.one_pass(KEY)
        assert plan.blocked is not None
        assert (plan.blocked[0], said(plan)) == ("WrongSystem", [])
        assert status(driven).system_identifier == ours.run(
            "SELECT system_identifier FROM pg_control_system()"
        )
    assert stranger.run("SHOW work_mem") == "4MB"


@pytest.mark.slow  # a lock is waited for for three seconds
async def test_44_what_another_session_holds_locked_is_tried_again_later(site: Site) -> None:
    primary = site.primary()
    primary.run("CREATE ROLE psa_app")
    async with driving(a_cluster(), {"one": primary}) as driven, _session(primary) as holder:
        await holder.execute("BEGIN; ALTER ROLE psa_app NOINHERIT")
        action = PutRole(Target("psa-db", "one"), "psa_app", is_new=False, options=("LOGIN",))
        with pytest.raises(NotSentError, match="locked by another session"):
            await driven.servers.put_role(action)
        await holder.execute("ROLLBACK")
        await driven.servers.put_role(action)
    assert primary.run("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'psa_app'") == "t"


@contextlib.asynccontextmanager
async def _session(server: LabPostgres) -> AsyncIterator[Any]:
    host, _, port = server.config.address.rpartition(":")
    session = await asyncpg.connect(host=host, port=int(port), user="postgres", password=PASSWORD, ssl=False)
    try:
        yield session
    finally:
        session.terminate()


async def test_45_a_write_that_meets_a_standby_was_not_done(pair: Mapping[str, LabPostgres]) -> None:
    async with driving(a_pair(), pair) as driven:
        with pytest.raises(NotSentError, match="takes no writes"):
            await driven.servers.make_database(Target("psa-db", "two"), "psa_platform", None)


async def test_a_server_that_restarts_in_the_middle_of_an_apply_is_finished_later(site: Site) -> None:
    primary = site.primary()
    roles = {f"role {number:03}": {"login": True} for number in range(300)}
    made = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'role %'"
    async with driving(a_cluster(roles=roles), {"one": primary}) as driven, asyncio.TaskGroup() as group:
        passing = group.create_task(outcome(driven.desk.one_pass(KEY)))
        await driven.until_true(lambda: primary.run(made) != "0")
        primary.kill()
        assert isinstance(await passing, TransientError)
        primary.start()
        assert 0 < int(primary.run(made)) < 300
        assert (await driven.quiet()).blocked is None
        assert primary.run(made) == "300"


async def outcome(passing: Coroutine[Any, Any, object]) -> object:
    """Return what a pass raises, or gives."""
    try:
        return await passing
    except TransientError as exc:
        return exc


async def test_61_what_waits_for_a_restart_is_named_with_the_order_and_a_wrong_order_is_survived(
    pair: Mapping[str, LabPostgres],
) -> None:
    async with driving(a_pair(settings={"max_connections": 60}), pair) as driven:
        plan = await driven.quiet()
        degraded = the(ConditionType.DEGRADED, plan)
        assert status(driven).pending_restart == ("one: max_connections", "two: max_connections")
        assert (degraded.reason, "standbys first" in degraded.message) == ("PendingRestart", True)

        pair["one"].restart()
        await driven.until_true(lambda: pair["two"].run("SELECT pg_is_wal_replay_paused()") == "t")
        plan = await driven.look()
        assert said(plan) == []
        with pytest.raises(NotSentError, match="max_connections 40 here, 60 on one"):
            await driven.servers.resume_replay(Target("psa-db", "two"))
        pair["two"].restart()
        await driven.until(lambda: streams(pair))
        await driven.quiet()
        assert status(driven).pending_restart == ()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("work_mem", "banana", "BadSetting"),
        ("work_mem", "1kB", "BadSetting"),
        ("wal_level", "most", "BadSetting"),
        ("no_such_setting", "1", "UnknownSetting"),
        ("block_size", "4096", "BadSetting"),
    ],
)
async def test_a_setting_that_no_server_takes_stops_nothing_else(
    shared: LabPostgres, name: str, value: str, reason: str
) -> None:
    settings = {name: value, "random_page_cost": 1.5}
    async with driving(a_cluster(settings=settings), {"one": shared}) as driven:
        plan = await driven.quiet()
        assert plan.blocked is not None
        assert (plan.blocked[0], name in plan.blocked[1]) == (reason, True)
    assert shared.run("SHOW random_page_cost") == "1.5"


async def test_what_the_application_must_have_made_is_named_where_it_is_missing(shared: LabPostgres) -> None:
    shared.run("CREATE DATABASE app")
    shared.run(
        """CREATE TABLE tickets (id int PRIMARY KEY); CREATE VIEW open_tickets AS SELECT * FROM tickets;
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER touched BEFORE UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE INDEX halfway ON tickets (id);
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'halfway'::regclass;
        CREATE TABLE knex_migrations (name text); INSERT INTO knex_migrations VALUES ('0001'), ('0007');""",
        "app",
    )
    expected = {
        "tables": ["tickets", "invoices"],
        "views": ["open_tickets"],
        "indexes": ["tickets_pkey", "halfway"],
        "functions": ["touch"],
        "triggers": ["touched"],
        "migration": {"table": "knex_migrations", "atLeast": "0009"},
    }
    async with driving(a_cluster(databases={"app": {"expect": expected}}), {"one": shared}) as driven:
        degraded = the(ConditionType.DEGRADED, await driven.quiet())
        assert degraded.reason == "SchemaIncomplete"
        assert "tables missing: invoices; indexes invalid: halfway; last migration 0007" in degraded.message
        assert status(driven).migrations == {"app": "0007"}


@pytest.fixture(scope="module")
def shared(template: Path) -> Iterator[LabPostgres]:
    """A primary for tests that leave nothing behind that another one sees."""
    with a_site(template) as site:
        yield site.primary()
