"""Gates after the clock was set back: what was told "in the future" neither counts as new, nor as earlier."""

from datetime import timedelta

from crds.gates import GateMark, GateMemo, GateState
from crds.meta import Key
from crds.release import Phase
from reconcilers.gauges import Gauge, Gauges
from reconcilers.release.model import SeenGate
from tests.builders import START
from tests.builders_release import Scene, memo_of

ERRORS = {"databaseErrors": {"cluster": "psa-db", "for": "10s"}}
COUNTS = {"commits": 9000.0, "rollbacks": 90.0, "deadlocks": 2.0, "conflicts": 3.0}
CONNECTIONS = {"connections_ratio": 0.4}
HOUR = timedelta(hours=1)
KEY = Key("PostgresCluster", "psa-db")


def said_by(last: Gauge, *, second: int = 0, memo: GateMemo | None = None) -> GateMemo:
    seen = {"gates": {"databaseErrors": SeenGate(is_there=True, last=last)}}
    before = {} if memo is None else {"gates": {"databaseErrors": memo}}
    now = START + timedelta(seconds=second)
    scene = Scene(Phase.WATCH, spec={"gates": ERRORS}, seen=seen, memo=before, now=now)
    return memo_of(scene.plan()).gates["databaseErrors"]


def test_what_a_database_told_before_the_clock_was_set_back_is_not_new_for_an_hour() -> None:
    gates = {"replicationLag": {"cluster": "psa-db"}}
    look = SeenGate(is_there=True, last=Gauge(START + HOUR, {"lag_bytes:r1": 0.0}, "run 1"))
    plan = Scene(Phase.WATCH, spec={"gates": gates}, seen={"gates": {"replicationLag": look}}).plan()
    found = memo_of(plan).gates["replicationLag"]
    assert (found.state, found.says) == (
        GateState.UNKNOWN,
        "PostgresCluster/psa-db told nothing since the clock was set back",
    )


def test_errors_are_counted_again_as_soon_as_after_a_start() -> None:
    late = GateMark(START + HOUR, "run 1", dict(COUNTS))
    memo = GateMemo(state=GateState.WELL, read_at=START + HOUR, marks=(late,))
    for second in range(0, 26, 5):
        at = START + timedelta(seconds=second)
        memo = said_by(Gauge(at, COUNTS | CONNECTIONS, "run 1"), second=second, memo=memo)
    assert memo.state is GateState.WELL
    assert [mark.at - START for mark in memo.marks] == [timedelta(seconds=0), timedelta(seconds=20)]


def test_what_is_usual_is_what_was_seen_since_the_clock_was_set_back() -> None:
    gauges = Gauges()
    for minute in range(10):
        gauges.tell(KEY, Gauge(START + HOUR + minute * timedelta(minutes=1), {"commits": 1.0}, "run 1"))
    for minute in range(10):
        gauges.tell(KEY, Gauge(START + minute * timedelta(minutes=1), {"commits": 2.0}, "run 1"))
    assert gauges.hour_before(KEY) == Gauge(START, {"commits": 2.0}, "run 1")
