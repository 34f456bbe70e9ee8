"""Alerts in the store: each leaves one event and one mark, in one transaction, and both are bounded."""

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from crds.meta import Key
from daemon.store import alerts as alerts_module
from daemon.store import database as database_module
from daemon.store.alerts import KEPT_FOR, AlertMemory
from daemon.store.database import SCHEMA_VERSION, Database
from daemon.store.operations import Event, Record
from daemon.store.store import CommitError, Store
from tests.builders import START
from tests.simulation.ports import InlineExecutor

DAEMON, RELEASE = Key("Daemon", "psa-reconciler"), Key("Release", "psa-suite")
LATER = START + timedelta(minutes=5)


def a_store(path: Path | str = ":memory:") -> Store:
    return Store(Database(path), InlineExecutor())


def a_record(mark: str, key: Key = DAEMON) -> Record:
    return Record(key, START, "AlertUnknown", f"{mark} asks for nothing", actor="alertmanager")


async def hear(
    store: Store, memory: AlertMemory, *marks: str, at: datetime = START, key: Key = DAEMON
) -> None:
    operation = memory.hear(marks, [a_record(mark, key) for mark in marks], at)
    await store.commit([operation])
    memory.heard(operation)


async def test_an_alert_is_known_once_it_is_committed_and_also_after_a_restart(tmp_path: Path) -> None:
    store = a_store(tmp_path / "state.db")
    memory = store.alert_memory()
    assert "one" not in memory
    await hear(store, memory, "one", "two")
    await hear(store, memory, "three")
    store.close()
    again = a_store(tmp_path / "state.db")
    found = again.alert_memory()
    assert [mark in found for mark in ("one", "two", "three", "four")] == [True, True, True, False]
    assert again.state == store.state
    await hear(again, found, "four")
    assert [row[:2] for row in again._database.alerts()] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
        (4, "four"),
    ]
    again.close()


async def test_each_alert_leaves_its_own_event_and_listeners_hear_of_all() -> None:
    store = a_store()
    heard: list[Event] = []
    store.listen(lambda _changes, events: heard.extend(events))
    memory = store.alert_memory()
    same = [a_record("x"), a_record("x"), a_record("x", RELEASE)]
    await store.commit([memory.hear(["1", "2", "3"], same, START)])
    assert [(event.id, event.count, event.key) for event in store.events(None)] == [
        (1, 1, DAEMON),
        (2, 1, DAEMON),
        (3, 1, RELEASE),
    ]
    assert heard == list(store.events(None))
    assert store.state.next_event == 4
    assert {key: event.id for key, event in store.state.last_events.items()} == {DAEMON: 2, RELEASE: 3}


async def test_what_the_disk_refuses_was_not_heard() -> None:
    class Full(InlineExecutor):
        async def run(self, call: Callable[[], None]) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    store = a_store()
    memory = store.alert_memory()
    store._executor = Full()
    with pytest.raises(CommitError):
        await hear(store, memory, "one")
    assert "one" not in memory
    store._executor = InlineExecutor()
    await hear(store, memory, "one")
    assert [row[0] for row in store._database.alerts()] == [1]


async def test_the_oldest_alerts_are_forgotten_in_memory_and_on_disk_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(alerts_module, "KEPT_ALERTS", 5)
    store = a_store(tmp_path / "state.db")
    memory = store.alert_memory()
    for number in range(4):
        await hear(store, memory, f"a{number}", f"b{number}", f"c{number}")
        kept = [row[1] for row in store._database.alerts()]
        assert len(kept) == len(memory) == min(5, 3 * (number + 1))
        assert all(mark in memory for mark in kept)
    assert [row[1] for row in store._database.alerts()] == ["b2", "c2", "a3", "b3", "c3"]
    assert "a2" not in memory
    store.close()


async def test_alerts_of_long_ago_are_forgotten() -> None:
    store = a_store()
    memory = store.alert_memory()
    await hear(store, memory, "old", "too")
    await hear(store, memory, "young", at=LATER)
    await hear(store, memory, "new", at=LATER + KEPT_FOR - timedelta(seconds=1))
    assert [row[1] for row in store._database.alerts()] == ["young", "new"]
    assert ["old" in memory, "young" in memory] == [False, True]


async def test_a_storm_drives_out_its_own_events_and_not_the_history_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "KEPT_ALERT_EVENTS", 10)
    monkeypatch.setattr(database_module, "KEPT_EVENTS", 100)
    store = a_store()
    memory = store.alert_memory()
    await store.commit([Record(DAEMON, START, "ModeSet", "mode Observe", actor="uid 0")])
    await store.commit([Record(RELEASE, START, "AttemptBegan", "attempt 1")])
    for number in range(50):
        await hear(store, memory, *(f"{number}-{each}" for each in range(20)))
    reasons = [event.reason for event in store.events(None, limit=1000)]
    assert reasons == ["ModeSet", "AttemptBegan", *["AlertUnknown"] * 10]
    assert store.events(DAEMON)[-1].message == "49-19 asks for nothing"


async def test_events_are_trimmed_by_their_number_however_far_their_ids_are_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "KEPT_EVENTS", 100)
    store = a_store()
    for number in range(500):
        await store.commit([Record(RELEASE, START, "Said", f"word {number}")])
        assert len(store.events(None, limit=1000)) <= 100 + database_module.TRIMMED_EACH
    assert store.events(None, limit=1000)[-1].message == "word 499"
    assert len(store.events(None, limit=1000)) >= 100


def test_a_file_of_schema_2_gets_the_table_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP TABLE alerts; PRAGMA user_version = 2; INSERT INTO vars VALUES ('mode', 'Observe');"
    )
    connection.close()
    database = Database(path)
    assert database.alerts() == ()
    assert database.load().value("mode") == "Observe"
    assert database._connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    database.close()


@pytest.mark.parametrize("count", [1, 7, 300])
async def test_marks_may_come_one_by_one_or_all_at_once(count: int) -> None:
    store = a_store()
    memory = store.alert_memory()
    marks = [f"mark {number}" for number in range(600)]
    for first in range(0, len(marks), count):
        await hear(store, memory, *marks[first : first + count])
    assert len(memory) == 600
    assert [row[1] for row in store._database.alerts()] == marks
