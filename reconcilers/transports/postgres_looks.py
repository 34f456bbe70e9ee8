"""What a PostgreSQL member is asked to see it, and what the answers mean. All of it only reads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from reconcilers.contract import Secret, TransientError
from reconcilers.postgres.model import (
    Archiver,
    Counts,
    Downstream,
    Receiver,
    SeenMember,
    SeenRole,
    SeenSlot,
    Setting,
)
from reconcilers.postgres.settings import SORTS

Row = Mapping[str, object]

#: One row. A timeline is that of the WAL that is written or received now: the control file's one is as old
#: as the last checkpoint. Positions are bytes since 0/0.
MEMBER: Final = """
SELECT s.is_standby,
  (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
  CASE WHEN s.is_standby
    THEN coalesce(nullif(r.received_tli, 0), (SELECT timeline_id FROM pg_control_checkpoint()))
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4 END AS timeline,
  current_setting('server_version') AS version,
  pg_postmaster_start_time()::text AS started_at,
  ((CASE WHEN s.is_standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) - '0/0')::int8
    AS position,
  (CASE WHEN s.is_standby THEN pg_last_wal_receive_lsn() END - '0/0')::int8 AS received,
  CASE WHEN s.is_standby
    THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END AS quiet_s,
  CASE WHEN s.is_standby THEN pg_is_wal_replay_paused() ELSE false END AS is_paused,
  r.status AS receiver_status, r.slot_name AS receiver_slot,
  r.sender_host || ':' || r.sender_port AS receiver_sender,
  extract(epoch FROM clock_timestamp() - r.last_msg_receipt_time)::float8 AS receiver_silent_s,
  a.archived_count, a.failed_count,
  CASE WHEN a.last_failed_time > coalesce(a.last_archived_time, '-infinity') THEN a.last_failed_wal END
    AS failing_wal,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
  current_setting('max_connections')::int4 AS connection_limit,
  EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'Patroni %') AS has_patroni,
  pg_has_role('pg_read_all_stats', 'USAGE') AND pg_has_role('pg_read_all_settings', 'USAGE') AS sees_all,
  d.commits, d.rollbacks, d.deadlocks, d.conflicts, d.since
FROM (SELECT pg_is_in_recovery() AS is_standby) s
  LEFT JOIN pg_stat_wal_receiver r ON true
  CROSS JOIN pg_stat_archiver a
  CROSS JOIN (SELECT sum(xact_commit)::int8 AS commits, sum(xact_rollback)::int8 AS rollbacks,
    sum(deadlocks)::int8 AS deadlocks, sum(conflicts)::int8 AS conflicts,
    coalesce(max(stats_reset)::text, '') AS since FROM pg_stat_database) d
"""
#: Whether we may read files of the server, and whether a superuser has made a function for us that reads one.
MAY_READ_HISTORY: Final = """
SELECT has_function_privilege('pg_read_file(text)', 'EXECUTE') AS may,
  EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'psa' AND p.proname = 'timeline_history' AND has_schema_privilege(n.oid, 'USAGE')
      AND has_function_privilege(p.oid, 'EXECUTE')) AS has_function
"""
HISTORY: Final = (
    "SELECT pg_read_file('pg_wal/' || lpad(upper(to_hex($1::int)), 8, '0') || '.history') AS said"
)
OUR_HISTORY: Final = "SELECT psa.timeline_history($1::int)::text AS said"
RIGHTS: Final = """
SELECT has_column_privilege('pg_authid', 'rolpassword', 'SELECT') AS sees_verifiers,
  has_table_privilege('pg_file_settings', 'SELECT')
    AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') AS sees_files
"""
DOWNSTREAM: Final = """
SELECT w.application_name, w.state, s.slot_name::text AS slot,
  (w.sent_lsn - '0/0')::int8 AS sent, (w.replay_lsn - '0/0')::int8 AS replayed
FROM pg_stat_replication w LEFT JOIN pg_replication_slots s ON s.active_pid = w.pid
ORDER BY w.application_name, w.pid
"""
SLOTS: Final = """
SELECT slot_name::text AS name, plugin::text AS plugin, database::text AS database, active, wal_status,
  ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)
    - restart_lsn)::int8 AS retained
FROM pg_replication_slots ORDER BY slot_name
"""
#: ``reset_val`` is what new sessions have: our own one has time limits of its own. A few names have capitals
#: there (TimeZone), which mean nothing.
SETTINGS: Final = """
SELECT lower(name) AS name, reset_val AS value, unit, vartype, context, enumvals AS choices,
  pending_restart, min_val AS lowest, max_val AS highest, source = 'command line' AS is_overridden
FROM pg_settings WHERE lower(name) = ANY($1)
"""
FILE_SETTINGS: Final = """
SELECT DISTINCT ON (lower(name)) lower(name) AS name, setting AS value, error
FROM pg_file_settings WHERE lower(name) = ANY($1) ORDER BY lower(name), seqno DESC
"""
CONNECTION: Final = """
SELECT name, reset_val AS value FROM pg_settings WHERE name IN ('primary_conninfo', 'primary_slot_name')
"""
_ROLES: Final = """
SELECT r.rolname::text AS name, r.rolcanlogin AS login, r.rolsuper AS superuser, r.rolcreatedb AS createdb,
  r.rolreplication AS replication, r.rolinherit AS inherit, r.rolconnlimit AS connection_limit,
  ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
    WHERE m.member = r.oid) AS groups, {verifier} AS verifier
FROM pg_roles r {more} WHERE r.rolname = ANY($1)
"""
ROLES: Final = _ROLES.format(verifier="''", more="")
ROLES_WITH_VERIFIERS: Final = _ROLES.format(
    verifier="a.rolpassword", more="JOIN pg_authid a ON a.rolname = r.rolname"
)
DATABASES: Final = """
SELECT d.datname::text AS name, pg_get_userbyid(d.datdba)::text AS owner,
  (SELECT count(*) FROM pg_stat_activity a
    WHERE a.datid = d.oid AND a.backend_type <> 'autovacuum worker') AS connections
FROM pg_database d WHERE d.datname = ANY($1)
"""
EXTENSIONS: Final = "SELECT extname::text AS name FROM pg_extension"
#: Reads the files of all extensions.
AVAILABLE: Final = "SELECT name::text AS name FROM pg_available_extensions WHERE name = ANY($1)"
SCHEMAS: Final = """
SELECT nspname::text AS name, pg_get_userbyid(nspowner)::text AS owner
FROM pg_namespace WHERE nspname = ANY($1)
"""
#: Objects of these names, each with the sort that ``SeenDatabase.objects`` has it under.
OBJECTS: Final = """
WITH found AS (
  SELECT CASE WHEN c.relkind IN ('r', 'p') THEN 'tables' WHEN c.relkind IN ('v', 'm') THEN 'views'
      ELSE 'indexes' END AS sort,
    n.nspname || '.' || c.relname AS name, coalesce(i.indisvalid AND i.indisready, true) AS valid
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'i', 'I')
  UNION ALL
  SELECT 'functions', n.nspname || '.' || p.proname, true
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  UNION ALL
  SELECT 'triggers', n.nspname || '.' || t.tgname, true
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT t.tgisinternal
)
SELECT DISTINCT sort, name, valid FROM found WHERE name = ANY($1)
"""


def text(row: Row, name: str) -> str | None:
    """Read text that may be absent."""
    value = row[name]
    if value is None or isinstance(value, str):
        return value
    raise TransientError(f"{name}: text was expected, and not {type(value).__name__}")


def word(row: Row, name: str) -> str:
    """Read text that must be there."""
    value = text(row, name)
    if value is None:
        raise TransientError(f"{name}: the server says nothing")
    return value


def whole(row: Row, name: str) -> int | None:
    """Read a number that may be absent."""
    value = row[name]
    if value is None or isinstance(value, int):
        return value
    raise TransientError(f"{name}: a number was expected, and not {type(value).__name__}")


def count(row: Row, name: str) -> int:
    """Read a number; absent is 0."""
    return whole(row, name) or 0


def words(row: Row, name: str) -> tuple[str, ...]:
    """Read an array of texts; absent is none."""
    value = row[name]
    return tuple(str(each) for each in value) if isinstance(value, list) else ()


def read_member(
    name: str, address: str, row: Row, downstream: Iterable[Row], slots: Iterable[Row]
) -> SeenMember:
    """Put together the cheap look at a member."""
    status = text(row, "receiver_status")
    quiet = row["quiet_s"]
    return SeenMember(
        name=name,
        address=address,
        is_standby=bool(row["is_standby"]),
        system_identifier=word(row, "system_identifier"),
        timeline=count(row, "timeline"),
        version=word(row, "version").partition(" ")[0],
        started_at=word(row, "started_at"),
        position=whole(row, "position"),
        received=whole(row, "received"),
        quiet_s=max(0.0, quiet) if isinstance(quiet, float) else None,
        is_paused=bool(row["is_paused"]),
        receiver=None if status is None else _receiver(row, status),
        downstream=tuple(_downstream(each) for each in downstream),
        slots={word(each, "name"): _slot(each) for each in slots},
        archiver=_archiver(row),
        connections=count(row, "connections"),
        connection_limit=count(row, "connection_limit"),
        counts=_counts(row),
        has_patroni=bool(row["has_patroni"]),
    )


def _receiver(row: Row, status: str) -> Receiver:
    silent = row["receiver_silent_s"]
    return Receiver(
        status,
        text(row, "receiver_slot"),
        text(row, "receiver_sender") or "",
        max(0.0, silent) if isinstance(silent, float) else None,
    )


def _downstream(row: Row) -> Downstream:
    return Downstream(
        text(row, "application_name") or "",
        text(row, "state") or "",
        text(row, "slot"),
        whole(row, "sent"),
        whole(row, "replayed"),
    )


def _slot(row: Row) -> SeenSlot:
    return SeenSlot(
        text(row, "plugin"),
        text(row, "database"),
        bool(row["active"]),
        text(row, "wal_status"),
        whole(row, "retained"),
    )


def _archiver(row: Row) -> Archiver:
    return Archiver(count(row, "archived_count"), count(row, "failed_count"), text(row, "failing_wal"))


def _counts(row: Row) -> Counts:
    return Counts(
        commits=count(row, "commits"),
        rollbacks=count(row, "rollbacks"),
        deadlocks=count(row, "deadlocks"),
        conflicts=count(row, "conflicts"),
        # They are lost in a crash, which is a start, and by a reset.
        since=f"{word(row, 'started_at')} {word(row, 'since')}",
    )


def read_settings(rows: Iterable[Row], files: Iterable[Row]) -> Mapping[str, Setting]:
    """Put settings and what the files say of them together."""
    written = {word(each, "name"): each for each in files}
    return {word(each, "name"): _setting(each, written.get(word(each, "name"))) for each in rows}


def _setting(row: Row, written: Row | None) -> Setting:
    return Setting(
        value=text(row, "value") or "",
        unit=text(row, "unit"),
        vartype=SORTS.get(word(row, "name"), word(row, "vartype")),
        context=word(row, "context"),
        choices=words(row, "choices"),
        pending_restart=bool(row["pending_restart"]),
        file_value=None if written is None else text(written, "value"),
        # Said of every setting that waits for a restart, too: that is no error.
        file_error=None if written is None or row["pending_restart"] else text(written, "error"),
        lowest=text(row, "lowest"),
        highest=text(row, "highest"),
        is_overridden=bool(row["is_overridden"]),
    )


def read_roles(rows: Iterable[Row]) -> Mapping[str, SeenRole]:
    """Read roles."""
    return {word(each, "name"): _role(each) for each in rows}


def _role(row: Row) -> SeenRole:
    verifier = text(row, "verifier")
    return SeenRole(
        login=bool(row["login"]),
        superuser=bool(row["superuser"]),
        createdb=bool(row["createdb"]),
        replication=bool(row["replication"]),
        inherit=bool(row["inherit"]),
        connection_limit=count(row, "connection_limit"),
        member_of=frozenset(words(row, "groups")),
        verifier=None if verifier is None else Secret(verifier),
    )


def read_objects(rows: Sequence[Row]) -> tuple[Mapping[str, frozenset[str]], frozenset[str]]:
    """Return the objects by their sort, and the indexes that are not valid."""
    sorts: dict[str, set[str]] = {}
    for each in rows:
        sorts.setdefault(word(each, "sort"), set()).add(word(each, "name"))
    invalid = frozenset(word(each, "name") for each in rows if not each["valid"])
    return {sort: frozenset(names) for sort, names in sorts.items()}, invalid
