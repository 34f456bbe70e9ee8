"""A cluster that is ill for ten minutes is written of once, however its figures move."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from crds.meta import ConditionType, Truth
from crds.postgres import PostgresClusterSpec
from daemon.engine.passes import AnyReconciler
from daemon.store.database import Database, Statement
from daemon.store.operations import Apply
from daemon.store.state import State
from metrics.postgres import PostgresMetrics
from reconcilers.contract import Secret
from reconcilers.gauges import Gauges
from reconcilers.postgres.reconciler import PostgresReconciler
from reconcilers.postgres.scram import verifier
from tests.builders import START
from tests.fakes.postgres import NEW_ROLE, FakeMember, FakePostgres, at_once
from tests.real_postgres import KEY, NamedSecrets
from tests.simulation.crashes import Killer, Machine
from tests.simulation.ports import VirtualClock

pytestmark = pytest.mark.looptime(end=10**9, noop_cycles=0)

SPEC = PostgresClusterSpec.model_validate(
    {"endpoint": "psa-db", "replication": {"standbys": {"replica": {}}, "lagLimit": "100Mi"}}
)
DECLARED = Apply(KEY, "0" * 32, SPEC, START)


class CountingDatabase(Database):
    """A database that counts how often it was written to."""

    writes = 0

    def write(self, statements: Iterable[Statement]) -> None:
        self.writes += 1
        super().write(statements)


class LaggingMachine(Machine):
    """A machine beside a replica that is far behind, further at each look, and a primary that is crowded."""

    def __init__(self) -> None:
        self.primary = FakeMember("primary", "10.0.30.10:5432", connections=95)
        self.replica = FakeMember(
            "replica",
            "10.0.30.11:5432",
            is_standby=True,
            behind_bytes=200 << 20,
            conninfo={
                "host": "10.0.30.10",
                "port": "5432",
                "user": "replicator",
                "password": "the replicator's",
            },
        )
        stored = Secret(verifier("the replicator's", b"salt", iterations=1))
        self.world = FakePostgres(
            {"primary": self.primary, "replica": self.replica},
            {"replicator": replace(NEW_ROLE, login=True, replication=True, verifier=stored)},
        )
        self.store_file = CountingDatabase(":memory:")
        super().__init__(self.processed, self.store_file)

    def processed(self) -> Mapping[str, AnyReconciler]:
        metrics, clock = PostgresMetrics(CollectorRegistry()), VirtualClock()
        reconciler = PostgresReconciler(
            self.world, NamedSecrets({}), metrics, Gauges(), clock.now, worker=at_once
        )
        return {KEY.kind: reconciler}

    async def beside(self) -> None:
        for second in itertools.count():
            await asyncio.sleep(1)
            self.replica.behind_bytes += 1 << 20
            self.world.end_of_wal += 2 << 20
            self.primary.connections = 92 + second % 7


async def run(machine: LaggingMachine, *declared: Apply, seconds: float) -> State:
    state = await machine.run(declared, Killer(), seconds=seconds)
    assert state is not None
    return state


async def test_a_replica_that_falls_behind_for_ten_minutes_is_written_of_once() -> None:
    machine = LaggingMachine()
    before = await run(machine, DECLARED, seconds=30)
    machine.store_file.writes = 0
    after = await run(machine, seconds=600)

    found = after.objects[KEY]
    reasons = {each.type: each.reason for each in found.conditions if each.status is not Truth.UNKNOWN}
    assert reasons[ConditionType.READY] == "ReplicationLag"
    assert reasons[ConditionType.DEGRADED] == "ConnectionsNearLimit"
    assert before.last_events[KEY].reason == "ConnectionsNearLimit"
    assert (found.conditions, found.status) == (before.objects[KEY].conditions, before.objects[KEY].status)
    assert after.next_event == before.next_event
    assert machine.store_file.writes == 0
