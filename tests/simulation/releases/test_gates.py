"""Gates in virtual time: data services fall behind, come back, or do not, while a release goes on."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from crds.meta import Key
from crds.postgres import PostgresClusterSpec
from crds.release import Phase, Trigger
from crds.service import Color
from daemon.store.operations import Apply
from reconcilers.gauges import Gauge, Gauges
from tests.builders import START
from tests.simulation.stage import Stage, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
#: What holds does not ask which colour is live: one of them is enough for every day.
COLORS = pytest.mark.parametrize(
    "live", [Color.BLUE, pytest.param(Color.GREEN, marks=pytest.mark.slow)], ids=lambda color: color.value
)
DATABASE = Key("PostgresCluster", "psa-db")
MIB = 1024**2
LAG = {"replicationLag": {"cluster": "psa-db", "limit": "100Mi", "for": "5s"}}
ERRORS = {"databaseErrors": {"cluster": "psa-db", "for": "5s"}}


@dataclass
class Database:
    """A cluster that tells its figures each second, unless it is silent."""

    stage: Stage
    lag_mib: float = 1.0
    is_silent: bool = False
    rollbacks_s: float = 0.1
    counted: dict[str, float] = field(
        default_factory=lambda: {"commits": 0.0, "rollbacks": 0.0, "deadlocks": 0.0, "conflicts": 0.0}
    )

    def tell(self, gauges: Gauges) -> None:
        self.counted["commits"] += 50
        self.counted["rollbacks"] += self.rollbacks_s
        if self.is_silent:
            gauges.forget(DATABASE)
            return
        values = {**self.counted, "connections_ratio": 0.3, "lag_bytes:replica-1": self.lag_mib * MIB}
        gauges.tell(DATABASE, Gauge(self.stage.world.world.clock.now(), values, "run 1"))


async def a_database(stage: Stage) -> Database:
    """Put a cluster's file into the directory, and let it tell."""
    spec = PostgresClusterSpec.model_validate(
        {"endpoint": "psa-db", "replication": {"standbys": {"replica-1": {}}}}
    )
    await stage.commit(Apply(DATABASE, "d" * 32, spec, START))
    database = Database(stage)
    stage.world.told = database.tell
    return database


@COLORS
async def test_a_lag_holds_and_ends_and_the_version_is_promoted(live: Color) -> None:
    async with a_stage(live) as stage:
        database = await a_database(stage)
        await stage.begin(gates=LAG)
        await stage.phase(Phase.WATCH)
        database.lag_mib = 150
        attempt = await stage.hold("GateReplicationLag", within=timedelta(seconds=10))
        assert attempt.hold is not None
        assert attempt.hold.message == "replica-1 is 150.0 MiB behind, limit 100 MiB; 1 replica read"
        await stage.after(120)
        assert stage.attempt.phase is Phase.WATCH, "longer than the whole watch, and nothing moved forward"
        assert stage.reasons(warnings=True) == ["GateReplicationLag"], "it pages once"
        database.lag_mib = 2
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.share() == (0, 100)
        stage.no_user_is_lost()


@COLORS
async def test_a_lag_that_nobody_ends_goes_back_after_its_time(live: Color) -> None:
    async with a_stage(live) as stage:
        database = await a_database(stage)
        await stage.begin(gates=LAG, holdFor="5m")
        await stage.phase(Phase.WATCH)
        database.lag_mib = 150
        await stage.hold("GateReplicationLag")
        since = stage.world.world.clock.now()
        assert await stage.ended() == (Phase.ROLLED_BACK, "GateReplicationLag")
        assert timedelta(minutes=4, seconds=50) < stage.world.world.clock.now() - since < timedelta(minutes=6)
        assert stage.attempt.trigger is Trigger.DEADLINE
        assert stage.share() == (100, 0)
        stage.no_user_is_lost()


@COLORS
async def test_a_database_that_falls_silent_holds_is_no_breach_and_never_passes(live: Color) -> None:
    async with a_stage(live) as stage:
        database = await a_database(stage)
        await stage.begin(gates=LAG)
        await stage.phase(Phase.WATCH)
        database.is_silent = True
        await stage.hold("GateUnknown", within=timedelta(seconds=30))
        await stage.after(3600)
        assert stage.attempt.phase is Phase.WATCH, "an hour, longer than holdFor"
        database.is_silent = False
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_a_silence_that_nobody_ends_goes_back_like_missing_evidence(live: Color) -> None:
    async with a_stage(live) as stage:
        database = await a_database(stage)
        await stage.begin(gates=LAG, holdForEvidence="1h")
        await stage.phase(Phase.WATCH)
        database.is_silent = True
        assert await stage.ended() == (Phase.ROLLED_BACK, "GateUnknown")


@COLORS
async def test_errors_of_the_database_that_come_with_the_candidate_go_back_at_once(live: Color) -> None:
    async with a_stage(live) as stage:
        database = await a_database(stage)
        await stage.begin(gates=ERRORS)
        await stage.phase(Phase.WATCH)
        database.rollbacks_s = 30
        assert await stage.ended(within=timedelta(seconds=30)) == (Phase.ROLLED_BACK, "GateDatabaseErrors")
        assert stage.attempt.trigger is Trigger.RULE
        assert "after a step of this release" in stage.attempt.message
        stage.no_user_is_lost()


@COLORS
async def test_errors_of_the_database_long_after_the_split_hold(live: Color) -> None:
    async with a_stage(live) as stage:
        database = await a_database(stage)
        await stage.begin(gates=ERRORS, watch="10m", watchMax="20m")
        await stage.phase(Phase.WATCH)
        await stage.after(180)
        database.rollbacks_s = 30
        await stage.hold("GateDatabaseErrors", within=timedelta(seconds=30))
        database.rollbacks_s = 0.1
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_a_restart_in_the_middle_of_a_watch_is_no_breach_and_no_news(live: Color) -> None:
    async with a_stage(live) as stage:
        await a_database(stage)
        await stage.begin(gates={**LAG, **ERRORS})
        await stage.phase(Phase.WATCH)
        before = stage.memo.gates["databaseErrors"].usual
        await stage.kill()
        await stage.after(5)
        await stage.start()
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.reasons(warnings=True) == []
        assert stage.memo.gates["databaseErrors"].usual == before, "what is usual outlives the daemon"


async def test_a_gate_on_nothing_ends_before_anybody_is_touched() -> None:
    async with a_stage(Color.BLUE) as stage:
        await stage.begin(gates=LAG)
        assert await stage.ended() == (Phase.FAILED, "PreCheckOverdue")
        assert "there is no PostgresCluster/psa-db" in stage.attempt.message
        assert stage.share() == (100, 0)


@COLORS
async def test_a_lag_in_the_soak_holds_until_it_is_over(live: Color) -> None:
    async with a_stage(live) as stage:
        database = await a_database(stage)
        await stage.begin(gates=LAG)
        await stage.phase(Phase.SOAK)
        database.lag_mib = 150
        await stage.hold("GateReplicationLag")
        await stage.after(3600)
        assert stage.attempt.phase is Phase.SOAK, (
            "it is live: nobody would want it to go because of a replica"
        )
        assert stage.share() == (0, 100)
        database.lag_mib = 0
        assert await stage.ended() == (Phase.COMPLETED, None)
