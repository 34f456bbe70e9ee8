"""People are told of what a release warns of: once, in order, also when somebody was away."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from crds.meta import Key
from daemon.notices import Notices
from daemon.store.database import Database
from daemon.store.operations import Record
from daemon.store.store import Store
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.hook_runs import HookRun
from tests.builders import START
from tests.simulation.ports import InlineExecutor, SeededRandom, VirtualClock

pytestmark = pytest.mark.looptime(end=10**6)

RELEASE = Key("Release", "psa-suite")


@dataclass
class Receiver:
    """A webhook and a runner of hooks; ``away`` calls fail before one works."""

    away: int = 0
    refuses: bool = False
    sent: list[str] = field(default_factory=list)
    runs: list[HookRun] = field(default_factory=list)

    async def send(self, notice: Mapping[str, str | int], key: str) -> None:
        await asyncio.sleep(0.01)
        if self.refuses:
            raise PermanentError("the webhook answers 404", reason="NoticeRefused")
        if self.away > 0:
            self.away -= 1
            raise TransientError("the webhook was not reached")
        assert key.startswith(f"psa-{notice['id']}-")
        self.sent.append(f"{notice['reason']}: {notice['message']}")

    async def start(self, run: HookRun) -> str:
        if any(run.run_id == known.run_id for known in self.runs):
            raise NotSentError("that name had a run before")
        self.runs.append(run)
        return run.run_id


class Failing(InlineExecutor):
    """A disk that may be full."""

    is_full = False

    async def run(self, call: Callable[[], None]) -> None:
        if self.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        await super().run(call)


def a_store(database: Database) -> Store:
    return Store(database, InlineExecutor())


async def happened(store: Store, text: str, *, key: Key = RELEASE, warning: bool = True) -> None:
    await store.commit([Record(key, START, "RollbackRequested", text, warning=warning)])


async def run_for(
    store: Store, receiver: Receiver, seconds: float, *events: str, hook: str | None = None
) -> None:
    notices = Notices(store, VirtualClock(), SeededRandom(1), webhook=receiver, hooks=receiver, hook=hook)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(notices.run())
        await asyncio.sleep(0.1)
        for text in events:
            await happened(store, text)
        await asyncio.sleep(seconds)
        task.cancel()


async def test_only_what_happens_from_now_on_and_only_warnings_of_releases_are_told() -> None:
    store, receiver = a_store(Database(":memory:")), Receiver()
    await happened(store, "long ago")
    await run_for(store, receiver, 1, "first")
    await happened(store, "a container's", key=Key("Container", "psa-redis"))
    await happened(store, "nothing bad", warning=False)
    await run_for(store, receiver, 1, "second")
    assert receiver.sent == ["RollbackRequested: first", "RollbackRequested: second"]


async def test_what_happened_while_nobody_told_is_told_after_the_restart_and_once() -> None:
    database, receiver = Database(":memory:"), Receiver()
    await run_for(a_store(database), receiver, 1, "first")
    store = a_store(database)
    await happened(store, "while the daemon was going down")
    await run_for(a_store(database), receiver, 1)
    await run_for(a_store(database), receiver, 1)
    assert receiver.sent == ["RollbackRequested: first", "RollbackRequested: while the daemon was going down"]


async def test_a_receiver_that_is_away_gets_all_in_order_when_it_is_back() -> None:
    store, receiver = a_store(Database(":memory:")), Receiver(away=4)
    await run_for(store, receiver, 60, "first", "second")
    assert receiver.sent == ["RollbackRequested: first", "RollbackRequested: second"]


@pytest.mark.parametrize(
    "receiver", [Receiver(refuses=True), Receiver(away=8)], ids=["refuses", "stays-away"]
)
async def test_a_notice_that_nobody_takes_does_not_hold_the_next_one(receiver: Receiver) -> None:
    store = a_store(Database(":memory:"))
    await run_for(store, receiver, 1000, "first")
    receiver.refuses = False
    await run_for(store, receiver, 10, "second")
    assert receiver.sent == ["RollbackRequested: second"]


async def test_a_hook_gets_the_text_and_is_begun_once_an_event() -> None:
    store, receiver = a_store(Database(":memory:")), Receiver()
    await run_for(store, receiver, 1, "5 % of 80 requests failed", hook="page")
    (run,) = receiver.runs
    assert (run.hook, run.release) == ("page", "psa-suite")
    assert run.notice == "RollbackRequested: 5 % of 80 requests failed"


async def test_a_disk_that_takes_nothing_makes_nobody_hear_a_notice_twice() -> None:
    database, receiver = Database(":memory:"), Receiver()
    store = Store(database, executor := Failing())
    notices = Notices(store, VirtualClock(), SeededRandom(1), webhook=receiver, hooks=receiver, hook="page")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(notices.run())
        await asyncio.sleep(0.1)
        await happened(store, "first")
        executor.is_full = True
        await asyncio.sleep(60)
        assert receiver.sent == ["RollbackRequested: first"]
        executor.is_full = False
        await happened(store, "second")
        await asyncio.sleep(60)
        task.cancel()
    assert receiver.sent == ["RollbackRequested: first", "RollbackRequested: second"]
    assert len(receiver.runs) == 2
