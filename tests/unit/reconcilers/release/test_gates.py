"""Gates: a broken or unknown one holds, nothing passes it, and a database's errors after a step go back."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from crds.gates import GateMark, GateMemo, GateState, Usual
from crds.release import HoldExit, Phase, Trigger
from crds.service import Color
from reconcilers.gauges import Gauge
from reconcilers.release.gates import STALE
from reconcilers.release.model import SeenGate
from tests.builders import START
from tests.builders_release import Scene, a_hold, attempt_of, memo_of, notes

MIB = 1024**2
LAG = {"replicationLag": {"cluster": "psa-db", "limit": "100Mi", "for": "10s"}}
ERRORS = {"databaseErrors": {"cluster": "psa-db", "for": "10s"}}
DEPTH = {"queueDepth": {"broker": "psa-mq", "queues": ["psa/mail"], "limit": 1000, "growth": 100}}
COUNTS = {"commits": 9000.0, "rollbacks": 90.0, "deadlocks": 2.0, "conflicts": 3.0}
CONNECTIONS = {"connections_ratio": 0.4}
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
PROMOTED = (Phase.PROMOTE, Phase.VERIFY, Phase.SOAK)


def ago(seconds: float) -> Any:
    return START - timedelta(seconds=seconds)


def seen(values: Mapping[str, float], *, age_s: float = 1.0, **fields: Any) -> SeenGate:
    return SeenGate(is_there=True, last=Gauge(ago(age_s), values, "run 1"), **fields)


def memo(state: GateState, lasted_s: float, *, since_s: float = 20.0, **fields: Any) -> GateMemo:
    return GateMemo(
        **{"state": state, "says": "before", "since": ago(since_s), "lasted_s": lasted_s} | fields
    )


def mark(values: Mapping[str, float], seconds: float = 61.0) -> tuple[GateMark, ...]:
    return (GateMark(ago(seconds), "run 1", dict(values)),)


def after(**more: float) -> dict[str, float]:
    """Return the counters with so much more than before."""
    return {**CONNECTIONS, **{name: value + more.get(name, 0.0) for name, value in COUNTS.items()}}


def a_scene(
    gates: Mapping[str, Any], look: SeenGate | None, before: GateMemo | None = None, **fields: Any
) -> Scene:
    name = next(iter(gates))
    given: dict[str, Any] = {
        "phase": Phase.WATCH,
        "spec": {"gates": gates},
        "seen": {} if look is None else {"gates": {name: look}},
        "memo": {} if before is None else {"gates": {name: before}},
        "attempt": {"split_at": ago(600), "step_at": ago(600)} | dict(fields.pop("attempt", {})),
    }
    return Scene(**given | fields)


def said_by(scene: Scene) -> GateMemo:
    return next(iter(memo_of(scene.plan()).gates.values()))


@pytest.mark.parametrize(
    ("values", "state", "says"),
    [
        ({"lag_bytes:r1": 5.0 * MIB}, GateState.WELL, "r1 is 5.0 MiB behind, limit 100 MiB; 1 replica read"),
        ({"lag_bytes:r1": 2e9}, GateState.BROKEN, "r1 is 1907.3 MiB behind, limit 100 MiB; 1 replica read"),
        ({}, GateState.UNKNOWN, "no replica of psa-db tells its lag"),
    ],
    ids=["within", "beyond", "no-replica"],
)  # fmt: skip
def test_lag_is_told_with_value_limit_and_sample(
    values: dict[str, float], state: GateState, says: str
) -> None:
    found = said_by(a_scene(LAG, seen(values)))
    assert (found.state, found.says) == (state, says)


def test_a_replica_of_the_file_that_tells_nothing_is_unknown_and_never_0() -> None:
    found = said_by(a_scene(LAG, seen({"lag_bytes:r1": 0.0}, replicas=("r1", "r2"))))
    assert found.state is GateState.UNKNOWN
    assert found.says == "how far r2 is behind is not known"


def test_the_age_of_what_was_replayed_counts_where_it_is_asked_for() -> None:
    gates = {"replicationLag": LAG["replicationLag"] | {"age": "30s"}}
    found = said_by(a_scene(gates, seen({"lag_bytes:r1": 0.0, "lag_seconds:r1": 45.0})))
    assert found.state is GateState.BROKEN
    assert "r1 is 45 s behind, limit 30 s" in found.says
    assert said_by(a_scene(gates, seen({"lag_bytes:r1": 0.0}))).state is GateState.UNKNOWN


@pytest.mark.parametrize(
    ("more", "usual", "is_broken", "says"),
    [
        ({"commits": 990, "rollbacks": 10}, None, False, "1.0% of 1000 transactions were rolled back"),
        ({"commits": 900, "rollbacks": 100}, None, True, "were rolled back, limit 5.0%"),
        ({"commits": 900, "rollbacks": 100}, Usual(3600, 0.06, 0, 0), False, "limit 18.0%"),
        ({"commits": 3, "rollbacks": 2}, None, False, "40.0% of 5 transactions"),
        ({"commits": 900, "deadlocks": 6}, None, True, "6 deadlocks a minute, limit 5"),
        ({"commits": 900, "deadlocks": 6}, Usual(3600, 0, 4, 0), False, "limit 12"),
        ({"commits": 900, "conflicts": 11}, None, True, "11 cancelled queries a minute, limit 10"),
    ],
    ids=["well", "rollbacks", "usual-rollbacks", "too-few", "deadlocks", "usual-deadlocks", "conflicts"],
)  # fmt: skip
def test_errors_of_a_database_count_against_a_floor_and_what_is_usual(
    *,
    more: dict[str, float],
    usual: Usual | None,
    is_broken: bool,
    says: str,
) -> None:
    before = memo(GateState.WELL, 5, marks=mark(COUNTS), usual=usual)
    found = said_by(a_scene(ERRORS, seen(after(**more)), before))
    assert found.state is (GateState.BROKEN if is_broken else GateState.WELL)
    assert says in found.says
    assert "in 60 s" in found.says


def test_connections_that_are_nearly_used_up_break_the_gate() -> None:
    values = after(commits=10) | {"connections_ratio": 0.95}
    found = said_by(a_scene(ERRORS, seen(values), memo(GateState.WELL, 5, marks=mark(COUNTS))))
    assert found.state is GateState.BROKEN
    assert found.says.startswith("95% of the connections in use, limit 90%")


def test_counters_of_another_run_are_no_evidence() -> None:
    before = memo(GateState.WELL, 5, marks=(GateMark(ago(61), "run 0", dict(COUNTS)),))
    assert said_by(a_scene(ERRORS, seen(after(rollbacks=500)), before)).state is GateState.UNKNOWN


@pytest.mark.parametrize(
    ("depth", "earlier", "state"),
    [
        (900.0, 880.0, GateState.WELL),
        (1001.0, 1000.0, GateState.BROKEN),
        (500.0, 300.0, GateState.BROKEN),
        (500.0, None, GateState.UNKNOWN),
        (1001.0, None, GateState.BROKEN),
    ],
    ids=["well", "too-full", "grows", "growth-unknown", "too-full-at-once"],
)
def test_a_queue_may_neither_be_too_full_nor_grow_too_fast(
    depth: float, earlier: float | None, state: GateState
) -> None:
    marks = () if earlier is None else mark({"depth:psa/mail": earlier})
    found = said_by(a_scene(DEPTH, seen({"depth:psa/mail": depth}), memo(GateState.WELL, 5, marks=marks)))
    assert found.state is state
    assert f"psa/mail holds {depth:.0f} messages, limit 1000" in found.says


def test_a_queue_that_is_not_told_is_unknown() -> None:
    found = said_by(a_scene(DEPTH, seen({"depth:psa/other": 1.0})))
    assert found.state is GateState.UNKNOWN
    assert "psa/mail" in found.says


@pytest.mark.parametrize("age_s", [STALE.total_seconds() + 1, 3600.0])
def test_what_was_told_too_long_ago_is_unknown(age_s: float) -> None:
    found = said_by(a_scene(LAG, seen({"lag_bytes:r1": 0.0}, age_s=age_s)))
    assert found.state is GateState.UNKNOWN
    assert found.says == f"PostgresCluster/psa-db told nothing for {age_s:.0f} s"


def test_an_object_that_tells_nothing_is_unknown() -> None:
    assert said_by(a_scene(LAG, SeenGate(is_there=True))).says == "PostgresCluster/psa-db tells nothing"


@COLORS
@pytest.mark.parametrize("phase", [Phase.SPLIT, Phase.WATCH])
def test_a_gate_that_stays_broken_holds_and_ends_in_a_rollback(phase: Phase, live: Color) -> None:
    broken = seen({"lag_bytes:r1": 200.0 * MIB})
    plan = a_scene(LAG, broken, memo(GateState.BROKEN, 10), phase=phase, live=live).plan()
    hold = attempt_of(plan).hold
    assert hold is not None
    assert hold.reason == "GateReplicationLag"
    assert hold.message == "r1 is 200.0 MiB behind, limit 100 MiB; 1 replica read"
    assert hold.exit is HoldExit.ROLL_BACK
    assert hold.until == START + timedelta(minutes=30)


@pytest.mark.parametrize("phase", PROMOTED)
def test_after_the_promotion_the_hold_stays(phase: Phase) -> None:
    broken = seen({"lag_bytes:r1": 200.0 * MIB})
    hold = attempt_of(a_scene(LAG, broken, memo(GateState.BROKEN, 10), phase=phase).plan()).hold
    assert hold is not None
    assert hold.exit is HoldExit.STAY


def test_a_gate_that_just_broke_holds_nothing_yet() -> None:
    broken = seen({"lag_bytes:r1": 200.0 * MIB})
    assert attempt_of(a_scene(LAG, broken, memo(GateState.BROKEN, 3)).plan()).hold is None
    assert attempt_of(a_scene(LAG, broken, memo(GateState.WELL, 100)).plan()).hold is None


def test_what_stays_unknown_holds_as_missing_evidence() -> None:
    plan = a_scene(LAG, SeenGate(is_there=True), memo(GateState.UNKNOWN, 10)).plan()
    hold = attempt_of(plan).hold
    assert hold is not None
    assert (hold.reason, hold.until) == ("GateUnknown", START + timedelta(hours=4))
    assert hold.exit is HoldExit.ROLL_BACK


def test_the_hold_ends_when_the_gate_is_well_again() -> None:
    hold = a_hold("GateReplicationLag")
    scene = a_scene(LAG, seen({"lag_bytes:r1": 0.0}), memo(GateState.BROKEN, 60), attempt={"hold": hold})
    plan = scene.plan()
    assert attempt_of(plan).hold is None
    assert notes(plan) == ["HoldEnded"]


def test_the_hold_stays_while_nobody_can_tell() -> None:
    hold = a_hold("GateReplicationLag")
    scene = a_scene(LAG, SeenGate(is_there=True), memo(GateState.BROKEN, 60), attempt={"hold": hold})
    assert attempt_of(scene.plan()).hold == hold


def test_a_hold_that_nobody_ends_ends_in_a_rollback_that_names_the_gate() -> None:
    hold = a_hold("GateReplicationLag", for_=timedelta(seconds=-1))
    broken = seen({"lag_bytes:r1": 200.0 * MIB})
    attempt = attempt_of(a_scene(LAG, broken, memo(GateState.BROKEN, 60), attempt={"hold": hold}).plan())
    assert attempt.phase is Phase.ROLLING_BACK
    assert (attempt.reason, attempt.trigger) == ("GateReplicationLag", Trigger.DEADLINE)


def test_a_persons_pause_stays_in_force() -> None:
    hold = a_hold("Paused", by="anna", then=HoldExit.RESUME)
    broken = seen({"lag_bytes:r1": 200.0 * MIB})
    plan = a_scene(LAG, broken, memo(GateState.BROKEN, 60), attempt={"hold": hold}).plan()
    assert attempt_of(plan).hold == hold


@COLORS
@pytest.mark.parametrize(("after_s", "goes_back"), [(-3, True), (5, True), (60, True), (70, False)])
def test_errors_of_a_database_right_after_a_step_go_back(
    *,
    after_s: int,
    goes_back: bool,
    live: Color,
) -> None:
    since_s = 30.0
    before = memo(GateState.BROKEN, 15, since_s=since_s, marks=mark(COUNTS))
    scene = a_scene(
        ERRORS,
        seen(after(commits=900, rollbacks=300)),
        before,
        live=live,
        attempt={"step_at": ago(since_s + after_s)},
    )
    attempt = attempt_of(scene.plan())
    if goes_back:
        assert attempt.phase is Phase.ROLLING_BACK
        assert (attempt.reason, attempt.trigger) == ("GateDatabaseErrors", Trigger.RULE)
        assert attempt.first_bad_at == ago(since_s)
        assert f"it began {max(0, after_s)} s after a step of this release" in attempt.message
    else:
        assert attempt.phase is Phase.WATCH
        assert attempt.hold is not None
        assert attempt.hold.reason == "GateDatabaseErrors"


def test_lag_right_after_a_step_holds() -> None:
    broken = seen({"lag_bytes:r1": 200.0 * MIB})
    before = memo(GateState.BROKEN, 15, since_s=30)
    attempt = attempt_of(a_scene(LAG, broken, before, attempt={"step_at": ago(35)}).plan())
    assert (attempt.phase, attempt.hold is not None) == (Phase.WATCH, True)


def test_a_first_release_has_nothing_to_go_back_to_and_holds() -> None:
    before = memo(GateState.BROKEN, 15, since_s=30, marks=mark(COUNTS))
    look = seen(after(commits=900, rollbacks=300))
    attempt = attempt_of(
        a_scene(ERRORS, look, before, phase=Phase.SOAK, live=None, attempt={"step_at": ago(35)}).plan()
    )
    assert attempt.phase is Phase.SOAK
    assert attempt.hold is not None
    assert attempt.hold.exit is HoldExit.STAY


def test_what_is_usual_is_what_the_hour_before_the_split_counted() -> None:
    begin = Gauge(ago(1801), dict.fromkeys(COUNTS, 0.0), "run 1")
    scene = a_scene(
        ERRORS,
        seen(after(), hour_before=begin),
        phase=Phase.HEALTH_CHECK,
        attempt={"split_at": None, "step_at": None},
    )
    usual = said_by(scene).usual
    assert usual is not None
    assert (usual.seconds, round(usual.deadlocks, 3)) == (1800, round(2 / 30, 3))
    assert usual.rollbacks == 90 / 9090


def test_what_is_usual_is_not_learned_from_the_candidate() -> None:
    begin = Gauge(ago(1801), dict.fromkeys(COUNTS, 0.0), "run 1")
    before = memo(GateState.WELL, 5, marks=mark(COUNTS), usual=Usual(3600, 0.01, 0, 0))
    scene = a_scene(ERRORS, seen(after(rollbacks=900), hour_before=begin), before)
    assert said_by(scene).usual == Usual(3600, 0.01, 0, 0)


@pytest.mark.parametrize(
    ("look", "passed", "says"),
    [
        (SeenGate(is_there=False), False, "there is no PostgresCluster/psa-db"),
        (SeenGate(is_there=True), False, "PostgresCluster/psa-db tells nothing"),
        (seen({"lag_bytes:r1": 200.0 * MIB}), False, "r1 is 200.0 MiB behind"),
        (seen({"lag_bytes:r1": 0.0}), True, "r1 is 0.0 MiB behind"),
    ],
    ids=["not-there", "silent", "broken", "well"],
)
def test_the_pre_check_wants_a_gate_that_is_there_and_well(
    *,
    look: SeenGate,
    passed: bool,
    says: str,
) -> None:
    scene = a_scene(LAG, look, phase=Phase.PRE_CHECK, attempt={"split_at": None, "step_at": None})
    check = next(each for each in attempt_of(scene.plan()).checks if each.name == "gate replicationLag")
    assert check.passed is passed
    assert says in check.message


def test_a_person_promotes_over_a_broken_gate_only_by_force() -> None:
    broken = seen({"lag_bytes:r1": 200.0 * MIB})
    scene = a_scene(LAG, broken, memo(GateState.BROKEN, 3))
    assert attempt_of(scene.asked("promote")).phase is Phase.WATCH
    assert attempt_of(scene.asked("promote", force="true")).phase is Phase.PROMOTE
    unknown = a_scene(LAG, SeenGate(is_there=True), memo(GateState.UNKNOWN, 60))
    assert attempt_of(unknown.asked("promote")).phase is Phase.PROMOTE, (
        "missing evidence speaks against nobody"
    )


def test_gates_that_the_file_does_not_ask_for_any_more_are_forgotten() -> None:
    hold = a_hold("GateReplicationLag")
    before = {"gates": {"replicationLag": memo(GateState.BROKEN, 60)}}
    plan = Scene(phase=Phase.WATCH, memo=before, attempt={"hold": hold}).plan()
    assert memo_of(plan).gates == {}
    assert attempt_of(plan).hold is None
