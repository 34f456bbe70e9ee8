"""``python -m lab fault postgres``: what happens to a primary and its replica."""

import dataclasses
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

import click

from lab.data import start_server, wait_for_server
from lab.data_fault_command import WELL, Action, fault_command
from lab.data_systems import PRIMARY, REPLICA, SLOT, postgres_of, server_of
from lab.layout import Lab
from lab.postgres import BINARIES, LabPostgres, PostgresError
from lab.processes import identify, send, wait_gone
from lab.users import as_user

_PATIENCE_S: Final = 15.0
_HELD: Final = "held_by_nobody"
#: Parts of the lab that only hold something of PostgreSQL's.
_LOCK, _CROWD = "postgres-lock", "postgres-crowd"
_CROWD_USER: Final = "psa_lab_crowd"
_END_SESSIONS: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name"
_EMIT: Final = """
SELECT count(pg_logical_emit_message(false, 'lab', repeat('x', 1000000))) FROM generate_series(1, PIECES);
SELECT pg_switch_wal();
"""


def run(lab: Lab, part: str, sql: str) -> str:
    """Return what psql prints, as the superuser; ClickException if a statement fails."""
    try:
        return postgres_of(lab, part).run(sql)
    except PostgresError as exc:
        raise click.ClickException(str(exc)) from None


def end_server(lab: Lab, part: str) -> None:
    """End a primary or replica in order, whoever is connected (SIGINT, a fast shutdown)."""
    process = lab.parts.running().get(part)
    if process is not None:
        send(process, signal.SIGINT)
        wait_gone([process], _PATIENCE_S)
    lab.parts.end(part)


def start(lab: Lab, part: str) -> None:
    """Start one and wait until it is complete."""
    server = server_of(lab, part)
    start_server(lab.parts, server)
    wait_for_server(lab.parts, server)


def rebuild(lab: Lab) -> None:
    """Make the replica anew, a copy of the primary."""
    end_server(lab, REPLICA)
    # A copy takes the slot that it will stream from.
    server_of(lab, PRIMARY).complete()
    postgres_of(lab, REPLICA).wipe()
    start(lab, REPLICA)


def _pause(lab: Lab) -> None:
    run(lab, REPLICA, "SELECT pg_wal_replay_pause()")


def _freeze(lab: Lab) -> None:
    _signal_receiver(lab, signal.SIGSTOP)


def _signal_receiver(lab: Lab, number: signal.Signals) -> None:
    pid = run(lab, REPLICA, "SELECT pid FROM pg_stat_wal_receiver")
    process = identify(int(pid)) if pid else None
    if process is None or not send(process, number):
        raise click.ClickException("the replica has no WAL receiver")


def _drop_slot(lab: Lab) -> None:
    """Cut its reader off again and again, until the slot is dropped in the moment in between."""
    which = f"FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
    _until(lambda: not _is_slot_there(lab, which))


def _is_slot_there(lab: Lab, which: str) -> bool:
    server = postgres_of(lab, PRIMARY)
    server.run(f"SELECT pg_terminate_backend(active_pid) {which} AND active")
    try:
        server.run(f"SELECT pg_drop_replication_slot(slot_name) {which}")
    except PostgresError:  # it is read again
        return True
    return False


def _break_conninfo(lab: Lab) -> None:
    nowhere = f"host={lab.address('30.99')} port=5432 user=replicator"
    run(lab, REPLICA, f"ALTER SYSTEM SET primary_conninfo = '{nowhere}'; SELECT pg_reload_conf()")


def _break_archive(lab: Lab) -> None:
    archive = postgres_of(lab, PRIMARY).archive
    archive.rename(archive.with_name("archive.away"))
    _write_wal(lab, 1)


def _hold_wal(lab: Lab) -> None:
    run(lab, PRIMARY, f"SELECT pg_create_physical_replication_slot('{_HELD}', true)")
    _write_wal(lab, 20)


def _write_wal(lab: Lab, pieces: int) -> None:
    """Write so many MB of WAL that mean nothing, and end the segment."""
    run(lab, PRIMARY, _EMIT.replace("PIECES", str(pieces)))


def _lock(lab: Lab) -> None:
    _hold(lab, _LOCK, "BEGIN; LOCK TABLE pg_authid IN SHARE MODE; SELECT pg_sleep(3600);")
    held = "SELECT 1 FROM pg_locks WHERE relation = 'pg_authid'::regclass AND mode = 'ShareLock' AND granted"
    _until(lambda: bool(run(lab, PRIMARY, held)))


def _hold(lab: Lab, name: str, sql: str) -> None:
    """Keep a session of the superuser open that does *sql*."""
    config = postgres_of(lab, PRIMARY).config
    host, _, port = config.address.rpartition(":")
    words = ["-Xq", "-h", host, "-p", port, "-U", "postgres", "-d", "postgres", "-c", sql]
    variables = {"PGPASSWORD": config.password, "PGAPPNAME": name}
    lab.parts.start(name, [*as_user("postgres"), str(BINARIES / "psql"), *words], environment=variables)


def _crowd(lab: Lab) -> None:
    """Take every connection that is not kept for superusers; who had one may go on."""
    config = postgres_of(lab, PRIMARY).config
    who = f"FROM pg_roles WHERE rolname = '{_CROWD_USER}'"
    if not run(lab, PRIMARY, f"SELECT 1 {who}"):
        run(lab, PRIMARY, f"CREATE ROLE {_CROWD_USER} LOGIN PASSWORD '{config.password}'")
    host, _, port = config.address.rpartition(":")
    conninfo = f"host={host} port={port} user={_CROWD_USER} dbname=postgres connect_timeout=5"
    argv = [sys.executable, "-m", "lab.postgres_crowd", conninfo]
    lab.parts.start(_CROWD, argv, environment={"PGPASSWORD": config.password, "PGAPPNAME": _CROWD})
    _until(
        lambda: "too many" in lab.parts.tail(_CROWD) or "remaining connection slots" in lab.parts.tail(_CROWD)
    )


def _promote(lab: Lab) -> None:
    run(lab, REPLICA, "SELECT pg_promote(true, 10)")


def _replace(lab: Lab) -> None:
    """Put a new cluster at the replica's address."""
    end_server(lab, REPLICA)
    replica = postgres_of(lab, REPLICA)
    replica.wipe()
    alone = dataclasses.replace(replica.config, primary=None, slot=None)
    LabPostgres(replica.folder, alone).prepare()
    start(lab, REPLICA)


def well(lab: Lab) -> None:
    """End every fault that a person would have to end; what the daemon puts right is its own."""
    for part in (PRIMARY, REPLICA):
        if part not in lab.parts.running():
            start(lab, part)
    for name in (_LOCK, _CROWD):
        lab.parts.end(name, grace_s=1)
        # A session that sleeps does not see that its client is gone.
        run(lab, PRIMARY, f"{_END_SESSIONS} = '{name}'")
    primary = postgres_of(lab, PRIMARY)
    away = primary.archive.with_name("archive.away")
    if away.exists():
        shutil.rmtree(primary.archive, ignore_errors=True)
        away.rename(primary.archive)
        _write_wal(lab, 1)  # the archiver tries again when there is more to do, else in a minute
    held = f"FROM pg_replication_slots WHERE slot_name = '{_HELD}'"
    run(lab, PRIMARY, f"SELECT pg_drop_replication_slot(slot_name) {held}")
    run(lab, PRIMARY, f"DROP ROLE IF EXISTS {_CROWD_USER}")
    if _is_foreign(lab):
        rebuild(lab)
        return
    run(lab, REPLICA, "SELECT pg_wal_replay_resume() WHERE pg_is_wal_replay_paused()")
    if run(lab, REPLICA, "SELECT 1 FROM pg_stat_wal_receiver"):
        _signal_receiver(lab, signal.SIGCONT)


def _is_foreign(lab: Lab) -> bool:
    """Whether what is at the replica's address is no replica of the primary."""
    number = "SELECT system_identifier FROM pg_control_system()"
    takes_writes = run(lab, REPLICA, "SELECT NOT pg_is_in_recovery()") == "t"
    return takes_writes or run(lab, REPLICA, number) != run(lab, PRIMARY, number)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise click.ClickException(f"nothing came of it within {_PATIENCE_S:g} s")
        time.sleep(0.02)


ACTIONS: Final[Mapping[str, Action]] = {
    "replica-paused": Action("replay is paused by hand: the replica falls behind", _pause),
    "replica-stopped": Action("the replica's server has ended", lambda lab: end_server(lab, REPLICA)),
    "receiver-frozen": Action(
        "the replica's WAL receiver hangs: nothing comes, and it says that it streams", _freeze
    ),
    "slot-dropped": Action("the replica's slot is dropped: it cannot stream any more", _drop_slot),
    "conninfo-broken": Action("the replica follows an address where nobody is", _break_conninfo),
    "archive-failing": Action("the archive is away: WAL cannot be archived", _break_archive),
    "wal-held": Action("a slot that nobody reads holds 20 MB of WAL", _hold_wal),
    "table-locked": Action("a session holds a lock: no role can be made or changed", _lock),
    "connections-exhausted": Action("all connections but the superusers' are taken", _crowd),
    "second-primary": Action("somebody promotes the replica: two members take writes", _promote),
    "other-system": Action("another cluster is at the replica's address", _replace),
    "replica-rebuilt": Action("the replica is made anew, a copy of the primary", rebuild),
    WELL: Action("all of these are over; the replica is made anew where it must be", well),
}
postgres = fault_command("postgres", "Do something to PostgreSQL, or let it be well again.", ACTIONS)
