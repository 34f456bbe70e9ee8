"""The store: reads from memory, commits to SQLite, and tells who listens what changed."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crds.meta import Key
from daemon.store import codec
from daemon.store import database as sql
from daemon.store.alerts import AlertMemory
from daemon.store.database import Database, Statement
from daemon.store.operations import (
    Apply,
    Ask,
    Assign,
    Begin,
    Event,
    Hear,
    Miss,
    Operation,
    Orphan,
    Record,
    Reply,
    Report,
    Resume,
    Saw,
    Settle,
    Suspend,
)
from daemon.store.state import State, advance, find_intent, heard_events
from reconcilers.contract import AnyResource, OutcomeKind


class CommitError(Exception):
    """Nothing of the transaction was kept: the disk is full, read-only or broken."""


class StaleError(Exception):
    """Nothing of the transaction was kept: an object changed since its writer saw it."""


class Executor(Protocol):
    """Where blocking writes run: a thread of their own, or right here in the simulator."""

    async def run(self, call: Callable[[], None]) -> None:
        """Return when *call* has returned; raise what it raises."""
        ...

    def close(self) -> None:
        """Let go of the thread."""
        ...


class WriterThread:
    """One thread, so that commits stay in order and the loop never waits for a disk."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def run(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        self._pool.shutdown()


@dataclass(frozen=True, slots=True)
class Changed:
    """One object before and after a commit; equal where only its events or intents changed."""

    key: Key
    before: AnyResource | None
    after: AnyResource | None


Listener = Callable[[Sequence[Changed], Sequence[Event]], None]


class Store:
    """Commits are serial, durable and atomic; listeners hear of them before ``commit`` returns."""

    def __init__(self, database: Database, executor: Executor) -> None:
        self._database = database
        self._executor = executor
        self._turn = asyncio.Lock()
        self._listeners: list[Listener] = []
        self.state: State = database.load()
        self.commits = 0
        """Commits that wrote, since the start: steady state adds none."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* after each commit that changed something; the result takes it off again."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def commit(self, operations: Iterable[Operation]) -> State:
        """Carry out all *operations* or none, and return the new state.

        What changes nothing is not written. Raises CommitError, or StaleError where an object is not as its
        writer saw it; then memory is as it was, too.
        """
        async with self._turn:
            before = after = self.state
            statements: list[Statement] = []
            touched: dict[Key, None] = {}
            events: list[Event] = []
            for operation in operations:
                _refuse_stale(before, operation)
                old, after = after, advance(after, operation)
                if after is not old:
                    statements += _statements(after, operation)
                    _note(after, operation, touched, events)
            if not statements:
                return after
            await self._write(statements)
            self.state = after
            self.commits += 1
        changed = [Changed(key, before.get(key), after.get(key)) for key in touched]
        for listener in tuple(self._listeners):
            listener(changed, events)
        return after

    async def _write(self, statements: Sequence[Statement]) -> None:
        try:
            await self._executor.run(lambda: self._database.write(statements))
        except sqlite3.Error as exc:
            raise CommitError(f"the database took nothing: {exc}") from exc

    def events(self, key: Key | None, *, after: int = 0, limit: int = 100) -> tuple[Event, ...]:
        """Return the newest *limit* events above id *after*, oldest first; of one object or of all."""
        return self._database.events(key, after=after, limit=limit)

    def alert_memory(self) -> AlertMemory:
        """Return what is known of alerts that were heard of; who asks is the only one who hears."""
        return AlertMemory(self._database.alerts())

    def is_suspended(self, key: Key, now: datetime) -> bool:
        """Whether a person wants the object, or its owner, left alone now."""
        resource = self.state.get(key)
        if self.state.suspension(key, now) is not None:
            return True
        return resource is not None and resource.owner is not None and self.is_suspended(resource.owner, now)

    def close(self) -> None:
        """Close the thread and the file."""
        self._executor.close()
        self._database.close()


def _refuse_stale(state: State, operation: Operation) -> None:
    if not isinstance(operation, Apply) or operation.saw is None:
        return
    found = Saw.of(state.get(operation.key))
    if found != operation.saw:
        seen = operation.saw.generation
        raise StaleError(f"{operation.key} changed: seen at generation {seen}, now {found.generation}")


def _note(state: State, operation: Operation, touched: dict[Key, None], events: list[Event]) -> None:
    match operation:
        case Record() | Hear():
            events.extend(_told(state, operation))
        case Apply(key=key) | Orphan(key=key) | Report(key=key) | Suspend(key=key) | Resume(key=key):
            touched[key] = None
        case Ask(key=key) | Reply(key=key):
            touched[key] = None
        case Begin() | Settle() | Miss() | Assign():
            pass


def _statements(after: State, operation: Operation) -> list[Statement]:
    match operation:
        case Begin() | Settle() | Miss():
            return _intent_statements(after, operation)
        case Record() | Hear():
            return _event_statements(_told(after, operation), operation)
        case Suspend(key, reason, actor, until):
            row = (key.kind, key.name, until.isoformat() if until else None, reason, actor)
            return [(sql.PUT_SUSPENSION, row)]
        case Resume(key):
            return [(sql.DROP_SUSPENSION, (key.kind, key.name))]
        case Assign(name, value):
            return [(sql.PUT_VALUE, (name, value))]
        case Apply(key=key) | Orphan(key=key) | Report(key=key) | Ask(key=key) | Reply(key=key):
            return [(sql.PUT_OBJECT, codec.object_row(after.objects[key]))]


def _told(after: State, operation: Record | Hear) -> tuple[Event, ...]:
    """Return the events that *operation* has led to."""
    if isinstance(operation, Record):
        return (after.last_events[operation.key],)
    return heard_events(operation, after.next_event - len(operation.records))


def _event_statements(events: Sequence[Event], operation: Record | Hear) -> list[Statement]:
    statements: list[Statement] = [(sql.PUT_EVENT, codec.event_row(event)) for event in events]
    if any(event.id % sql.TRIMMED_EACH == 0 for event in events):
        statements.append((sql.TRIM_EVENTS, (sql.KEPT_EVENTS,)))
    if isinstance(operation, Hear):
        statements += _alert_statements(operation)
    return statements


def _alert_statements(hear: Hear) -> Iterator[Statement]:
    at = hear.at.isoformat()
    for number, mark in enumerate(hear.marks, hear.first):
        yield sql.PUT_ALERT, (number, mark, at)
    yield sql.TRIM_ALERTS, (hear.forget,)
    for key in {record.key for record in hear.records}:
        yield sql.TRIM_ALERT_EVENTS, (key.kind, key.name, sql.KEPT_ALERT_EVENTS)


def _intent_statements(after: State, operation: Begin | Settle | Miss) -> list[Statement]:
    if isinstance(operation, Begin):
        intent = after.open_intents[operation.key][-1]
        put = (sql.PUT_INTENT, codec.intent_row(intent))
        return [put, (sql.TRIM_INTENTS, (intent.id - sql.KEPT_INTENTS,))]
    still_open = find_intent(after, operation.intent)
    if still_open is not None:
        return [(sql.PUT_INTENT, codec.intent_row(still_open))]
    outcome = operation.outcome if isinstance(operation, Settle) else None
    kind = outcome.kind if outcome else OutcomeKind.UNKNOWN
    return [(sql.CLOSE_INTENT, (kind.value, outcome.reference if outcome else None, operation.intent))]
