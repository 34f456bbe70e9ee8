"""Killed at every single numbered point, the daemon leaves the same PostgreSQL behind, then only reads."""

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from crds.postgres import PostgresClusterSpec, PostgresClusterStatus
from daemon.engine.passes import AnyReconciler
from daemon.store.operations import Apply
from daemon.store.state import State
from metrics.postgres import PostgresMetrics
from reconcilers.gauges import Gauges
from reconcilers.postgres.reconciler import PostgresReconciler
from reconcilers.postgres.scram import is_password
from tests.builders import START
from tests.fakes.postgres import NEW_ROLE, FakeMember, FakePostgres
from tests.real_postgres import KEY, NamedSecrets
from tests.simulation.crashes import Killer, Machine, every_crash
from tests.simulation.ports import VirtualClock

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(240)]

SECRETS = NamedSecrets({"app": "the app's", "replicator": "the replicator's"})
SPEC = PostgresClusterSpec.model_validate(
    {
        "endpoint": "psa-db",
        "minimumVersion": "15.0",
        "settings": {"work_mem": "20MB", "max_connections": 200},
        "roles": {
            "psa_app": {"login": True, "password": "app", "memberOf": ["readers"]},
            "readers": {},
            "replicator": {"login": True, "replication": True, "password": "replicator"},
        },
        "databases": {
            "psa_platform": {
                "owner": "psa_app",
                "extensions": ["pgcrypto"],
                "schemas": {"crm": {"owner": "psa_app"}},
            }
        },
        "replication": {
            "slots": {"replica1": {}},
            "standbys": {
                "replica": {"slot": "replica1", "user": "replicator", "password": "replicator"},
            },
        },
    }
)
DECLARED = Apply(KEY, "0" * 32, SPEC, START)


class PostgresMachine(Machine):
    """A machine beside a primary without anything and a standby that was led elsewhere and paused."""

    def __init__(self) -> None:
        self.world = FakePostgres(
            {
                "primary": FakeMember("primary", "10.0.30.10:5432"),
                "replica": FakeMember(
                    "replica",
                    "10.0.30.11:5432",
                    is_standby=True,
                    is_paused=True,
                    behind_bytes=200 << 20,
                    conninfo={"host": "10.9.9.9", "port": "5432", "sslmode": "prefer"},
                ),
            },
            {"psa": NEW_ROLE},
        )
        super().__init__(self.processed)

    def processed(self) -> Mapping[str, AnyReconciler]:
        """Return what a new process would have: nothing in memory."""
        metrics, clock = PostgresMetrics(CollectorRegistry()), VirtualClock()
        return {KEY.kind: PostgresReconciler(self.world, SECRETS, metrics, Gauges(), clock.now)}


def ends_well(machine: Machine, state: State, moment: str) -> None:
    assert isinstance(machine, PostgresMachine)
    world, found = machine.world, state.objects[KEY]
    primary, replica = world.servers["primary"], world.servers["replica"]
    for server in (primary, replica):
        assert server.written == {"work_mem": "20MB", "max_connections": "200"}, moment
        assert server.settings["work_mem"].value == "20480", moment
    stored = {name: role.verifier for name, role in world.roles.items() if role.verifier is not None}
    assert is_password("the app's", stored["psa_app"].value), moment
    assert world.roles["psa_app"].member_of == {"readers"}, moment
    database = world.databases["psa_platform"]
    assert (database.owner, database.schemas["crm"]) == ("psa_app", "psa_app"), moment
    assert "pgcrypto" in database.extensions, moment
    assert (replica.conninfo["host"], replica.conninfo["sslmode"]) == ("10.0.30.10", "prefer"), moment
    assert not replica.is_paused, moment
    assert found.is_ready(), (moment, found.conditions)
    assert isinstance(found.status, PostgresClusterStatus)
    assert found.status.pending_restart == ("primary: max_connections", "replica: max_connections"), moment
    again = {write for write in world.writes if world.writes.count(write) > 2}
    assert not again, (moment, "a crash repeats a step once at most")


async def test_every_single_crash_point_ends_like_the_run_without_a_crash() -> None:
    points = await every_crash(PostgresMachine, (DECLARED,), ends_well)
    assert points > 25


async def test_in_steady_state_ten_minutes_of_looks_writes_nothing() -> None:
    machine = PostgresMachine()
    assert await machine.run((DECLARED,), Killer()) is not None
    machine.world.writes.clear()
    quiet = Killer()
    state = await machine.run((), quiet, seconds=600)
    assert state is not None
    assert machine.world.writes == []
    assert not [point for point in quiet.points if "intent" in point]
    ends_well(machine, state, "ten minutes later")


async def test_what_was_changed_by_hand_and_by_a_restart_is_put_right() -> None:
    machine = PostgresMachine()
    assert await machine.run((DECLARED,), Killer()) is not None
    replica = machine.world.servers["replica"]
    replica.restart()
    replica.is_paused, replica.slot_name, replica.written["work_mem"] = True, "", "64kB"
    machine.world.roles["psa_app"] = NEW_ROLE
    state = await machine.run((), Killer(), seconds=120)
    assert state is not None
    assert (replica.is_paused, replica.slot_name) == (False, "replica1")
    assert machine.world.roles["psa_app"].login
    assert replica.written["work_mem"] == "20MB"
    status = state.objects[KEY].status
    assert isinstance(status, PostgresClusterStatus)
    assert status.pending_restart == ("primary: max_connections",)
