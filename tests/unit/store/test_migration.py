"""A database of an older version is brought up to date where it stands, and nothing of it is lost."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from crds.balancer import TrafficSplitSpec, TrafficSplitStatus
from crds.container import ContainerSpec
from crds.meta import ConditionType, Key
from crds.service import ServiceSpec, ServiceStatus
from daemon.store.database import SCHEMA_VERSION, Database
from daemon.store.operations import Apply, Ask, Reply
from daemon.store.store import Store
from reconcilers.contract import OutcomeKind
from tests.builders import START
from tests.builders_haproxy import NAME
from tests.simulation.ports import InlineExecutor

OLD = Path(__file__).with_name("schema-1.sql").read_text()
REDIS, SERVICE, SPLIT = Key("Container", "psa-redis"), Key("Service", NAME), Key("TrafficSplit", NAME)
BLUE = Key("Container", f"{NAME}-blue")


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A file that schema 1 wrote."""
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.executescript(OLD)
    connection.close()
    return path


def a_store(path: Path) -> Store:
    return Store(Database(path), InlineExecutor())


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return found


def test_the_old_file_is_of_schema_1(old_file: Path) -> None:
    assert version_of(old_file) == 1


def test_objects_of_schema_1_are_all_there_without_memo_and_requests(old_file: Path) -> None:
    store = a_store(old_file)
    objects = store.state.objects
    assert set(objects) == {REDIS, SERVICE, SPLIT, BLUE}
    assert {(found.memo, found.requests) for found in objects.values()} == {(None, ())}
    redis, split, service = (objects[key].spec for key in (REDIS, SPLIT, SERVICE))
    assert isinstance(redis, ContainerSpec)
    assert isinstance(split, TrafficSplitSpec)
    assert isinstance(service, ServiceSpec)
    assert (redis.memory, redis.incarnation, redis.replace) == (8192, None, None)
    assert (split.blue.weight, split.override) == (100, None)
    assert (objects[REDIS].generation, objects[REDIS].orphaned_since) == (2, START + timedelta(hours=1))
    assert store.state.children(SERVICE) == (objects[BLUE], objects[SPLIT])
    assert objects[SERVICE].status == ServiceStatus(live="blue", versions={"blue": "1.0.0"})
    observed = ("edge: blue 100 ready, green 0 maint",)
    assert objects[SPLIT].status == TrafficSplitStatus(observed=observed, pids={"edge": 4711})
    assert objects[SPLIT].condition(ConditionType.READY) is not None
    store.close()


def test_journal_events_suspensions_and_values_of_schema_1_are_all_there(old_file: Path) -> None:
    store = a_store(old_file)
    [intent] = store.state.intents(REDIS)
    assert (intent.state, intent.reference) == (OutcomeKind.RUNNING, "UPID:pve1:1")
    assert intent.absent_since == START + timedelta(minutes=1)
    assert store.state.intents(BLUE) == ()
    assert [event.reason for event in store.events(None)] == ["LiveColorFound", "Suspended"]
    assert store.is_suspended(REDIS, START)
    assert store.state.value("mode") == "Observe"
    assert (store.state.next_intent, store.state.next_event) == (3, 3)
    store.close()


async def test_an_upgraded_file_takes_what_is_new_and_keeps_it(old_file: Path) -> None:
    store = a_store(old_file)
    await store.commit(
        [Ask(SERVICE, "look", "uid 0", START), Reply(SERVICE, 1, accepted=True, message="seen")]
    )
    before = store.state
    store.close()
    assert version_of(old_file) == SCHEMA_VERSION
    again = a_store(old_file)
    assert again.state == before
    assert [request.answer for request in again.state.objects[SERVICE].requests] == ["seen"]
    again.close()
    database = Database(old_file)
    assert database.integrity() == "ok"
    database.close()


async def test_an_upgrade_alone_is_no_change_of_what_is_asked(old_file: Path) -> None:
    store = a_store(old_file)
    for key, found in store.state.objects.items():
        again = type(found.spec).model_validate(
            found.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        same = Apply(
            key,
            found.uid,
            again,
            START,
            found.labels,
            found.annotations,
            found.owner,
            found.origin,
            found.lines,
        )
        if found.orphaned_since is None:
            await store.commit([same])
    assert store.commits == 0
    store.close()


def test_an_upgraded_file_has_the_tables_of_a_new_one(old_file: Path, tmp_path: Path) -> None:
    Database(old_file).close()
    Database(tmp_path / "new.db").close()

    def columns(path: Path) -> dict[str, list[tuple[str, str, int]]]:
        connection = sqlite3.connect(path)
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = {
            table: [(row[1], row[2], row[3]) for row in connection.execute(f"PRAGMA table_info({table})")]
            for table in tables
        }
        connection.close()
        return found

    assert columns(old_file) == columns(tmp_path / "new.db")


def test_an_upgrade_that_breaks_off_leaves_the_old_file_as_it_was(old_file: Path) -> None:
    connection = sqlite3.connect(old_file)
    connection.execute("ALTER TABLE objects ADD COLUMN requests TEXT")  # the upgrade's second statement fails
    connection.close()
    with pytest.raises(sqlite3.OperationalError, match="duplicate column name: requests"):
        Database(old_file)
    connection = sqlite3.connect(old_file)
    names = [row[1] for row in connection.execute("PRAGMA table_info(objects)")]
    connection.close()
    assert version_of(old_file) == 1
    assert "memo" not in names
