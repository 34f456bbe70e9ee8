"""What can be done to the lab's PostgreSQL: each fault is there, and is over when it shall be. No daemon."""

import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab import data_systems
from lab.commands import cli
from lab.data import finish_servers, start_servers
from lab.data_systems import PRIMARY, REPLICA, SLOT, postgres_of
from lab.layout import Lab
from lab.postgres_faults import ACTIONS, run
from lab.start import Options, prepare
from tests.lab.lab_containers import until

ROLE = "SET lock_timeout = '200ms'; CREATE ROLE somebody; DROP ROLE somebody"
STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
LAG = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint FROM pg_stat_replication"
SYSTEM = "SELECT system_identifier FROM pg_control_system()"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of which nothing runs but PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="psa-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        made, lock = prepare(Options(Path(folder) / "lab", services=0, data=True), lambda _line: None)
        servers = [each for each in data_systems.servers_of(made) if each.name in {PRIMARY, REPLICA}]
        try:
            start_servers(made.parts, servers, keep_open=(lock,))
            finish_servers(made.parts, servers, keep_open=(lock,))
            yield made
        finally:
            os.close(lock)
            made.parts.end_all(grace_s=1)


@pytest.fixture(autouse=True)
def _well(lab: Lab) -> Iterator[None]:
    yield
    fault(lab, "well")
    until(lambda: run(lab, PRIMARY, STREAMING) == "1")
    assert run(lab, PRIMARY, "SELECT slot_name FROM pg_replication_slots") == SLOT
    run(lab, PRIMARY, ROLE)


def fault(lab: Lab, action: str) -> None:
    done = CliRunner().invoke(cli, ["fault", "--dir", str(lab.root), "postgres", action])
    assert done.exit_code == 0, (done.output, done.exception)


def write(lab: Lab) -> None:
    run(lab, PRIMARY, "SELECT pg_logical_emit_message(false, 'test', repeat('x', 100000))")


def test_a_paused_replica_falls_behind(lab: Lab) -> None:
    fault(lab, "replica-paused")
    write(lab)
    until(lambda: int(run(lab, PRIMARY, LAG)) >= 100_000)


def test_a_frozen_receiver_looks_as_if_it_streamed_and_gets_nothing(lab: Lab) -> None:
    # Who has not yet replied once has no lag there, and would never have one.
    until(lambda: run(lab, PRIMARY, LAG) != "")
    fault(lab, "receiver-frozen")
    write(lab)
    until(lambda: int(run(lab, PRIMARY, LAG)) >= 100_000)
    assert run(lab, PRIMARY, STREAMING) == "1"


def test_a_stopped_replica_is_gone(lab: Lab) -> None:
    fault(lab, "replica-stopped")
    assert REPLICA not in lab.parts.running()
    until(lambda: run(lab, PRIMARY, "SELECT count(*) FROM pg_stat_replication") == "0")


def test_a_slot_is_dropped_although_it_is_read_and_comes_back_with_a_new_replica(lab: Lab) -> None:
    fault(lab, "slot-dropped")
    assert run(lab, PRIMARY, "SELECT count(*) FROM pg_replication_slots") == "0"
    fault(lab, "replica-rebuilt")


def test_a_broken_conninfo_ends_the_streaming(lab: Lab) -> None:
    fault(lab, "conninfo-broken")
    until(lambda: run(lab, PRIMARY, STREAMING) == "0")
    fault(lab, "replica-rebuilt")


def test_archiving_fails_until_the_archive_is_back(lab: Lab) -> None:
    failed = "SELECT failed_count FROM pg_stat_archiver"
    fault(lab, "archive-failing")
    until(lambda: int(run(lab, PRIMARY, failed)) > 0)


def test_wal_is_held_by_a_slot_that_nobody_reads(lab: Lab) -> None:
    fault(lab, "wal-held")
    held = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots"
    assert int(run(lab, PRIMARY, f"{held} WHERE NOT active")) > 20_000_000


def test_a_lock_keeps_roles_as_they_are(lab: Lab) -> None:
    fault(lab, "table-locked")
    with pytest.raises(Exception, match="lock timeout"):
        run(lab, PRIMARY, ROLE)


def test_connections_are_exhausted_but_for_superusers(lab: Lab) -> None:
    fault(lab, "connections-exhausted")
    server = postgres_of(lab, PRIMARY)
    password = server.config.replication_password
    stranger = type(server)(server.folder, dataclasses.replace(server.config, password=password))
    with pytest.raises(Exception, match="remaining connection slots"):
        stranger.run("SELECT 1", user="replicator")
    assert int(run(lab, PRIMARY, "SELECT count(*) FROM pg_stat_activity")) > 190


def test_a_second_member_takes_writes(lab: Lab) -> None:
    fault(lab, "second-primary")
    assert run(lab, REPLICA, "SELECT pg_is_in_recovery()") == "f"
    assert run(lab, REPLICA, SYSTEM) == run(lab, PRIMARY, SYSTEM)


def test_another_cluster_stands_at_the_replicas_address(lab: Lab) -> None:
    fault(lab, "other-system")
    assert run(lab, REPLICA, SYSTEM) != run(lab, PRIMARY, SYSTEM)


@pytest.mark.parametrize(
    ("action", "part", "says"),
    [
        ("backup", PRIMARY, "whole, verified"),
        ("restart", PRIMARY, "postgres is restarted"),
        ("restart", REPLICA, "postgres-replica is restarted"),
        ("rebuild", REPLICA, "is a copy of the primary again"),
    ],
)
def test_a_hook_of_the_settings_acts_on_the_member_at_its_address(
    lab: Lab, action: str, part: str, says: str
) -> None:
    hook = data_systems.data_settings(lab)["hooks"][f"pg-{action}"]
    assert isinstance(hook, dict)
    host, _, port = postgres_of(lab, part).config.address.rpartition(":")
    done = subprocess.run(
        hook["argv"],
        cwd=hook["directory"],
        env={"PATH": "/usr/bin:/bin", "PSA_ADDRESS": host, "PSA_PORT": port},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, says in done.stdout) == (0, True), done


def test_every_fault_is_tried_here() -> None:
    text = Path(__file__).read_text()
    assert [action for action in ACTIONS if f'fault(lab, "{action}")' not in text] == []
