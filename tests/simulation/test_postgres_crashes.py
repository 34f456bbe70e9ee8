"""Killed at every single numbered point, the daemon leaves the same PostgreSQL behind, then only reads."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from crds.postgres import PostgresClusterSpec, PostgresClusterStatus
from daemon.engine.passes import AnyReconciler
from daemon.store.operations import Apply
from daemon.store.state import State
from metrics.postgres import PostgresMetrics
from reconcilers.contract import PermanentError
from reconcilers.gauges import Gauges
from reconcilers.hook_runs import HookResult, HookRun, HookState
from reconcilers.postgres.reconciler import PostgresReconciler
from reconcilers.postgres.scram import is_password
from tests.builders import START
from tests.fakes.postgres import NEW_ROLE, FakeMember, FakePostgres, at_once
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


@dataclass
class RestartingHooks:
    """Hooks whose records outlive the daemon: one restarts the member that it is told, one makes a backup."""

    world: FakePostgres
    results: dict[str, HookResult] = field(default_factory=dict)

    @property
    def known(self) -> Mapping[str, bool]:
        return {"pg-restart": False, "pg-backup": False}

    async def start(self, run: HookRun) -> str:
        await asyncio.sleep(0.01)
        if run.run_id in self.results:
            raise PermanentError(f"there was a run {run.run_id} already", reason="HookRunExists")
        self.results[run.run_id] = HookResult(run.hook, HookState.PASSED, "passed in 0.0 s")
        if run.hook == "pg-restart":
            assert run.service is not None
            self.world.servers[run.service].restart()
        return run.run_id

    async def look(self, run_id: str) -> HookResult | None:
        await asyncio.sleep(0.01)
        return self.results.get(run_id)


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
        self.hooks = RestartingHooks(self.world)
        super().__init__(self.processed)

    def processed(self) -> Mapping[str, AnyReconciler]:
        """Return what a new process would have: nothing in memory."""
        metrics, clock = PostgresMetrics(CollectorRegistry()), VirtualClock()
        reconciler = PostgresReconciler(
            self.world, SECRETS, metrics, Gauges(), clock.now, hooks=self.hooks, worker=at_once
        )
        return {KEY.kind: reconciler}


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


def ends_restarted(machine: Machine, state: State, moment: str) -> None:
    assert isinstance(machine, PostgresMachine)
    found = state.objects[KEY].status
    assert isinstance(found, PostgresClusterStatus)
    assert found.pending_restart == (), moment
    for server in machine.world.servers.values():
        assert (server.settings["max_connections"].value, server.runs) == ("200", 2), moment
    restarts = [each.split(".")[2] for each in machine.hooks.results if ".restart." in each]
    assert restarts == ["replica", "primary"], (moment, "what rises restarts standbys first")
    backups = [each for each in machine.hooks.results if ".backup." in each]
    assert len(backups) == 1, (moment, "a backup is made once")
    assert [*found.backups] == ["nightly"], moment


async def test_a_crash_at_any_point_makes_no_second_restart_and_no_second_backup() -> None:
    more = {
        "restart": "pg-restart",
        "allow": ["restart"],
        "backups": {"nightly": {"hook": "pg-backup", "every": "1d", "maxAge": "26h"}},
    }
    spec = PostgresClusterSpec.model_validate({**SPEC.model_dump(mode="json", by_alias=True), **more})
    points = await every_crash(PostgresMachine, (Apply(KEY, "0" * 32, spec, START),), ends_restarted)
    assert points > 25
