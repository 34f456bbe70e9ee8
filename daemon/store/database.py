"""The SQLite file: one connection, one transaction a commit, durable when the commit returns."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from crds.meta import Key
from daemon.store import codec
from daemon.store.codec import Cell, Row
from daemon.store.operations import Event, Suspend
from daemon.store.state import State

SCHEMA_VERSION: Final = 3

_SCHEMA: Final = """
CREATE TABLE objects (
    kind TEXT, name TEXT, uid TEXT NOT NULL, generation INTEGER NOT NULL, spec TEXT NOT NULL,
    created_at TEXT NOT NULL, labels TEXT NOT NULL, annotations TEXT NOT NULL, owner TEXT,
    file TEXT, line INTEGER, lines TEXT NOT NULL, orphaned_since TEXT, observed_generation INTEGER NOT NULL,
    conditions TEXT NOT NULL, status TEXT, memo TEXT, requests TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE intents (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL,
    action TEXT NOT NULL, target TEXT NOT NULL, summary TEXT NOT NULL, begun_at TEXT NOT NULL,
    deadline REAL NOT NULL, state TEXT NOT NULL, reference TEXT, absent_since TEXT);
CREATE INDEX open_intents ON intents (state) WHERE state IN ('running', 'unknown');
CREATE TABLE events (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL,
    message TEXT NOT NULL, warning INTEGER NOT NULL, count INTEGER NOT NULL, actor TEXT);
CREATE INDEX events_of ON events (kind, name, id);
CREATE TABLE suspensions (
    kind TEXT, name TEXT, until TEXT, reason TEXT NOT NULL, actor TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE TABLE vars (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE alerts (id INTEGER PRIMARY KEY, mark TEXT NOT NULL, heard_at TEXT NOT NULL);
"""

#: What brings an older file to the next schema.
_MIGRATIONS: Final = {
    1: "ALTER TABLE objects ADD COLUMN memo TEXT; "
    "ALTER TABLE objects ADD COLUMN requests TEXT NOT NULL DEFAULT '[]';",
    2: "CREATE TABLE alerts (id INTEGER PRIMARY KEY, mark TEXT NOT NULL, heard_at TEXT NOT NULL);",
}

#: How many rows are kept; the rest of the history is in the journal of systemd.
KEPT_EVENTS: Final = 10_000
KEPT_INTENTS: Final = 10_000
#: Of one object's alerts only so many events are kept, so that a storm does not drive out its history.
KEPT_ALERT_EVENTS: Final = 2_000
#: Counting the events takes half a millisecond, so it is done this rarely.
TRIMMED_EACH: Final = 64

Statement = tuple[str, Row]


class NewerSchemaError(Exception):
    """The database was written by a newer version; using it could lose what that version knows."""


def _insert(table: str, columns: str) -> str:
    places = ", ".join("?" for _ in columns.split(","))
    return f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({places})"  # noqa: S608 - constants only


PUT_OBJECT: Final = _insert("objects", codec.OBJECT_COLUMNS)
PUT_INTENT: Final = _insert("intents", codec.INTENT_COLUMNS)
CLOSE_INTENT: Final = "UPDATE intents SET state = ?, reference = coalesce(?, reference) WHERE id = ?"
PUT_EVENT: Final = _insert("events", codec.EVENT_COLUMNS)
TRIM_EVENTS: Final = (
    "DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)"
)
TRIM_ALERT_EVENTS: Final = (
    "DELETE FROM events WHERE kind = ?1 AND name = ?2 AND reason GLOB 'Alert*' AND id <= "
    "(SELECT id FROM events WHERE kind = ?1 AND name = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)"
)
TRIM_INTENTS: Final = "DELETE FROM intents WHERE id <= ? AND state NOT IN ('running', 'unknown')"
PUT_SUSPENSION: Final = _insert("suspensions", "kind, name, until, reason, actor")
DROP_SUSPENSION: Final = "DELETE FROM suspensions WHERE kind = ? AND name = ?"
PUT_VALUE: Final = _insert("vars", "name, value")
PUT_ALERT: Final = _insert("alerts", "id, mark, heard_at")
TRIM_ALERTS: Final = "DELETE FROM alerts WHERE id <= ?"


class Database:
    """A connection to the file. Calls block; one thread at a time may make them."""

    def __init__(self, path: Path | str) -> None:
        """Open or make the database at *path* (``:memory:`` for none on disk).

        Raises NewerSchemaError; OSError or sqlite3.Error where it cannot be opened or is no database.
        """
        if path != ":memory:":
            # SQLite gives its other files this one's mode; plans and events are for psactl to show.
            Path(path).touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # Reads of the web page must not wait for, nor see, a half-done commit of the writer thread.
        alone = path == ":memory:"
        self._reader = self._connection if alone else sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL loses acknowledged commits at a power cut.
        self._connection.execute("PRAGMA synchronous = FULL")
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if found > SCHEMA_VERSION:
            self._connection.close()
            raise NewerSchemaError(
                f"the database has schema {found}, this version knows up to {SCHEMA_VERSION}"
            )
        script = _SCHEMA if found == 0 else "".join(_MIGRATIONS[old] for old in range(found, SCHEMA_VERSION))
        if found < SCHEMA_VERSION:
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    def write(self, statements: Iterable[Statement]) -> None:
        """Carry out all *statements* or none; they are on disk when this returns. Raises sqlite3.Error."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, row in statements:
                self._put(sql, row)
            self._connection.execute("COMMIT")
        finally:
            # Whatever stood in the way: a transaction that stays open would refuse all that follow.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _put(self, sql: str, row: Row) -> None:
        try:
            self._connection.execute(sql, row)
        except UnicodeEncodeError:
            self._connection.execute(sql, tuple(map(_encodable, row)))

    def load(self) -> State:
        """Return what the database holds; raise UnreadableRowError for an object of another version."""
        objects = {found.key: found for found in map(codec.object_from, self._all("objects"))}
        owned: dict[Key, frozenset[Key]] = {}
        for found in objects.values():
            if found.owner is not None:
                owned[found.owner] = owned.get(found.owner, frozenset()) | {found.key}
        intents = [codec.intent_from(row) for row in self._rows(
            f"SELECT {codec.INTENT_COLUMNS} FROM intents WHERE state IN ('running', 'unknown') ORDER BY id"  # noqa: S608
        )]  # fmt: skip
        last_events = {
            event.key: event
            for event in map(codec.event_from, self._rows(
                f"SELECT {codec.EVENT_COLUMNS} FROM events WHERE id IN"  # noqa: S608
                " (SELECT max(id) FROM events GROUP BY kind, name)"
            ))
        }  # fmt: skip
        return State(
            objects=objects,
            owned=owned,
            open_intents={
                key: tuple(intent for intent in intents if intent.key == key)
                for key in {i.key for i in intents}
            },
            suspended={
                found.key: found for found in map(_suspension, self._rows("SELECT * FROM suspensions"))
            },
            values={str(name): str(value) for name, value in self._rows("SELECT name, value FROM vars")},
            last_events=last_events,
            next_intent=self._next("intents"),
            next_event=self._next("events"),
        )

    def events(self, key: Key | None, *, after: int, limit: int) -> tuple[Event, ...]:
        """Return the newest *limit* events above id *after*, oldest first; of one object or of all."""
        where, row = ("", ()) if key is None else (" AND kind = ? AND name = ?", (key.kind, key.name))
        sql = f"SELECT {codec.EVENT_COLUMNS} FROM events WHERE id > ?{where} ORDER BY id DESC LIMIT ?"  # noqa: S608
        return tuple(codec.event_from(found) for found in reversed(self._rows(sql, (after, *row, limit))))

    def alerts(self) -> tuple[tuple[int, str, datetime], ...]:
        """Return number, mark and time of all alerts that are remembered, oldest first."""
        rows = self._rows("SELECT id, mark, heard_at FROM alerts ORDER BY id")
        return tuple((int(row[0] or 0), str(row[1]), codec.instant(row[2])) for row in rows)

    def integrity(self) -> str:
        """Return ``ok``, or what SQLite finds wrong with the file."""
        return str(self._rows("PRAGMA quick_check(1)")[0][0])

    def close(self) -> None:
        """Close the file; the write-ahead log goes into it."""
        self._reader.close()
        self._connection.close()

    def _all(self, table: str) -> list[Row]:
        return self._rows(f"SELECT {codec.OBJECT_COLUMNS} FROM {table}")  # noqa: S608 - constants only

    def _rows(self, sql: str, row: tuple[Cell, ...] = ()) -> list[Row]:
        return self._reader.execute(sql, row).fetchall()

    def _next(self, table: str) -> int:
        highest = self._rows(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0]  # noqa: S608
        return int(highest or 0) + 1


def _encodable(cell: Cell) -> Cell:
    """Return text without halves of surrogate pairs, which the JSON of others may have."""
    return cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else cell


def _suspension(row: Row) -> Suspend:
    until = codec.instant(str(row[2])) if row[2] is not None else None
    return Suspend(Key(str(row[0]), str(row[1])), str(row[3]), str(row[4]), until)
