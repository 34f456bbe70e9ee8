"""The store: what a commit means, and what survives the process."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from crds.container import ContainerStatus
from crds.meta import ConditionType, Key, Origin, Truth
from daemon.store.database import Database, NewerSchemaError
from daemon.store.lock import DirectoryLock, HeldError
from daemon.store.operations import (
    Apply,
    Assign,
    Begin,
    Miss,
    Operation,
    Orphan,
    Record,
    Report,
    Resume,
    Settle,
    Suspend,
)
from daemon.store.store import Changed, CommitError, Store, WriterThread
from reconcilers.contract import Outcome, OutcomeKind, Verdict
from tests.builders import START, a_container_spec

KEY = Key("Container", "one")
READY = Verdict(ConditionType.READY, Truth.TRUE, "AsAsked")
LATER = START + timedelta(minutes=5)


class Inline:
    """Writes right here."""

    async def run(self, call: Callable[[], None]) -> None:
        call()

    def close(self) -> None:
        pass


def a_store(path: Path | str = ":memory:") -> Store:
    return Store(Database(path), Inline())


def declared(**fields: object) -> Apply:
    return Apply(
        KEY, "uid", a_container_spec(**fields), START, origin=Origin("one.yaml", 3), lines={"spec": 4}
    )


def begun(target: str = "CT 100 on pve") -> Begin:
    return Begin(KEY, 1, "Create", target, "create CT 100", START, timedelta(seconds=60))


async def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    store = a_store(tmp_path / "state.db")
    await store.commit([
        declared(),
        Report(KEY, START, (READY,), 1, ContainerStatus(node="pve1", state="running")),
        begun(),
        Settle(1, Outcome(OutcomeKind.RUNNING, "UPID:x"), START),
        Miss(1, LATER),
        Record(KEY, START, "Created", "declared in one.yaml:3", actor="uid 0"),
        Suspend(KEY, "maintenance", "uid 0", LATER),
        Assign("mode", "Observe"),
    ])  # fmt: skip
    before = store.state
    store.close()
    again = a_store(tmp_path / "state.db")
    assert again.state == before
    assert [event.reason for event in again.events(KEY)] == ["Created"]


async def test_a_changed_spec_counts_a_generation_and_the_same_spec_does_not() -> None:
    store = a_store()
    await store.commit([declared()])
    await store.commit([declared()])
    assert store.commits == 1
    await store.commit([declared(memory="6Gi")])
    resource = store.state.objects[KEY]
    assert resource.generation == 2
    assert resource.uid == "uid"


async def test_a_report_that_says_nothing_new_writes_nothing() -> None:
    store = a_store()
    await store.commit([declared(), Report(KEY, START, (READY,), 1)])
    await store.commit([Report(KEY, LATER, (READY,), 1)])
    assert store.commits == 1


async def test_the_time_of_a_condition_moves_only_when_its_status_flips() -> None:
    store = a_store()
    await store.commit([declared(), Report(KEY, START, (READY,), 1)])
    other_words = Verdict(ConditionType.READY, Truth.TRUE, "StillAsAsked")
    await store.commit([Report(KEY, LATER, (other_words,), 1)])
    condition = store.state.objects[KEY].condition(ConditionType.READY)
    assert condition is not None
    assert (condition.reason, condition.since) == ("StillAsAsked", START)
    await store.commit([Report(KEY, LATER, (Verdict(ConditionType.READY, Truth.FALSE, "Gone"),), 1)])
    condition = store.state.objects[KEY].condition(ConditionType.READY)
    assert condition is not None
    assert condition.since == LATER


@pytest.mark.parametrize("kind", [OutcomeKind.DONE, OutcomeKind.FAILED])
async def test_an_intent_stays_open_until_it_is_done_or_failed(kind: OutcomeKind) -> None:
    store = a_store()
    await store.commit([declared(), begun()])
    assert store.state.intents(KEY)[0].state is OutcomeKind.UNKNOWN
    await store.commit([Settle(1, Outcome(OutcomeKind.RUNNING, "UPID:1"), START)])
    assert store.state.intents(KEY)[0].reference == "UPID:1"
    await store.commit([Settle(1, Outcome(kind), START)])
    assert store.state.intents(KEY) == ()
    await store.commit([begun()])
    assert store.state.intents(KEY)[0].id == 2


async def test_the_first_time_without_a_trace_is_kept() -> None:
    store = a_store()
    await store.commit([declared(), begun(), Miss(1, START), Miss(1, LATER)])
    assert store.state.intents(KEY)[0].absent_since == START


async def test_the_same_event_again_is_counted_not_repeated() -> None:
    store = a_store()
    await store.commit([declared(), Record(KEY, START, "Failed", "no answer", warning=True)])
    await store.commit([Record(KEY, LATER, "Failed", "no answer", warning=True)])
    await store.commit([Record(KEY, LATER, "Failed", "refused", warning=True)])
    assert [(event.message, event.count) for event in store.events(KEY)] == [("no answer", 2), ("refused", 1)]


async def test_events_can_be_read_from_a_number_on() -> None:
    store = a_store()
    await store.commit([declared(), *(Record(KEY, START, "Said", f"word {n}") for n in range(5))])
    assert [event.message for event in store.events(None, after=3, limit=10)] == ["word 3", "word 4"]
    assert [event.message for event in store.events(None, limit=2)] == ["word 3", "word 4"]


async def test_an_orphan_that_is_declared_again_is_none() -> None:
    store = a_store()
    await store.commit([declared(), Orphan(KEY, START)])
    assert store.state.objects[KEY].orphaned_since == START
    await store.commit([Orphan(KEY, LATER)])
    assert store.state.objects[KEY].orphaned_since == START
    await store.commit([declared()])
    assert store.state.objects[KEY].orphaned_since is None


async def test_a_suspension_ends_by_itself_or_by_resume_and_holds_for_children() -> None:
    store = a_store()
    child = Apply(Key("Container", "child"), "c", a_container_spec(ctid=101), START, owner=KEY)
    await store.commit([declared(), child, Suspend(KEY, "work", "uid 0", LATER)])
    assert store.is_suspended(child.key, START)
    assert not store.is_suspended(child.key, LATER)
    await store.commit([Resume(KEY)])
    assert not store.is_suspended(KEY, START)


async def test_listeners_hear_what_changed_and_nothing_else() -> None:
    store = a_store()
    heard: list[Changed] = []
    stop = store.listen(lambda changes, _: heard.extend(changes))
    await store.commit([declared()])
    await store.commit([declared()])
    assert [(change.key, change.before) for change in heard] == [(KEY, None)]
    stop()
    await store.commit([declared(cores=4)])
    assert len(heard) == 1


async def test_a_commit_that_the_disk_refuses_leaves_memory_as_it_was() -> None:
    class Full(Inline):
        async def run(self, call: Callable[[], None]) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    store = a_store()
    await store.commit([declared()])
    before = store.state
    store._executor = Full()
    with pytest.raises(CommitError, match="disk is full"):
        await store.commit([declared(cores=8)])
    assert store.state is before


async def test_commits_that_meet_are_all_kept(tmp_path: Path) -> None:
    store = Store(Database(tmp_path / "state.db"), WriterThread())
    operations: list[Operation] = [Record(KEY, START, "Said", f"word {n}") for n in range(30)]
    await store.commit([declared()])
    async with asyncio.TaskGroup() as group:
        for operation in operations:
            group.create_task(store.commit([operation]))
    assert [event.message for event in store.events(KEY)] == [f"word {n}" for n in range(30)]
    store.close()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(NewerSchemaError, match="schema 999"):
        Database(tmp_path / "state.db")


def test_a_commit_survives_sigkill_because_it_is_synchronous(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    assert database._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.integrity() == "ok"
    database.close()


def test_a_second_daemon_on_the_same_directory_is_told_whose_it_is(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with pytest.raises(HeldError, match=r"in use by another psa-reconciler, pid \d+"):
        DirectoryLock(tmp_path)
    lock.close()
    DirectoryLock(tmp_path).close()
