"""The gates of a release on its page: what each is at, its limit, its sample, and how old that is."""

from crds.gates import GateMemo, GateState
from crds.release import Phase
from tests.builders_cli_release import NOON, RUNNING, a_memo, a_release, ago, an_attempt
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl, show

LAG = "replica-1 is 5.0 MiB behind, limit 100 MiB; 1 replica read"
FULL = "psa/mail holds 1200 messages, limit 1000; 1 queue read"
SILENT = "PostgresCluster/psa-db told nothing for 30 s"


def test_each_gate_has_a_line_with_its_value_limit_sample_and_age(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    gates = {
        "replicationLag": GateMemo(GateState.WELL, LAG, read_at=ago(seconds=2)),
        "databaseErrors": GateMemo(GateState.UNKNOWN, SILENT, read_at=ago(seconds=30)),
        "queueDepth": GateMemo(GateState.BROKEN, FULL, read_at=NOON),
    }
    show(daemon, a_release(an_attempt(Phase.WATCH), memo=a_memo(gates=gates), conditions=RUNNING))

    assert (
        """\
Gates
  ✔ replicationLag  replica-1 is 5.0 MiB behind, limit 100 MiB; 1 replica read;
                    2s ago
  ◌ databaseErrors  PostgresCluster/psa-db told nothing for 30 s
  ✖ queueDepth      psa/mail holds 1200 messages, limit 1000; 1 queue read; 0s
                    ago
"""
        in terminal("release", "status").out
    )


def test_without_gates_nothing_is_said_of_them(daemon: RecordedDaemon, terminal: Psactl) -> None:
    show(daemon, a_release(an_attempt(Phase.WATCH), memo=a_memo(), conditions=RUNNING))

    assert "Gates" not in terminal("release", "status").out


def test_the_gates_of_an_ended_attempt_are_no_news(daemon: RecordedDaemon, terminal: Psactl) -> None:
    gates = {"replicationLag": GateMemo(GateState.WELL, LAG, read_at=NOON)}
    show(daemon, a_release(an_attempt(Phase.COMPLETED), memo=a_memo(gates=gates)))

    assert "Gates" not in terminal("release", "status").out
