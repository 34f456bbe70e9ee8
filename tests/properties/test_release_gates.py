"""Whatever data services tell: nothing is promoted over a gate that is not well, and silence is no breach."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from crds.evidence import Evidence
from crds.gates import GateMark, GateMemo, GateState, Usual
from crds.release import Phase
from crds.service import Color
from reconcilers.gauges import Gauge
from reconcilers.release.gates import STALE, UNKNOWN_S
from reconcilers.release.model import SeenGate
from tests.builders import START
from tests.builders_release import GATEWAY, Scene, attempt_of, memo_of

GATES = {
    "replicationLag": {"cluster": "psa-db", "age": "30s"},
    "databaseErrors": {"cluster": "psa-db"},
    "queueDepth": {"broker": "psa-mq", "queues": ["psa/a", "psa/b"], "limit": 100, "growth": 10},
}
NAMES = ("lag_bytes:r1", "lag_seconds:r1", "commits", "rollbacks", "deadlocks", "conflicts",
         "connections_ratio", "depth:psa/a", "depth:psa/b")  # fmt: skip
#: Most often all that is asked for, and well.
VALUES = st.one_of(
    st.fixed_dictionaries({name: st.sampled_from([0.0, 0.5]) for name in NAMES}),
    st.dictionaries(st.sampled_from(NAMES), st.floats(-10, 1e12)),
)
AGES = st.integers(0, 120)


@st.composite
def looks(draw: st.DrawFn) -> SeenGate:
    gauge = Gauge(START - timedelta(seconds=draw(AGES)), draw(VALUES), draw(st.sampled_from(["a", "b"])))
    hour = Gauge(START - timedelta(seconds=draw(st.integers(0, 3600))), draw(VALUES), gauge.epoch)
    return SeenGate(
        is_there=draw(st.booleans()),
        last=draw(st.sampled_from([gauge, None])),
        hour_before=draw(st.sampled_from([hour, None])),
        replicas=draw(st.sampled_from([(), ("r1",), ("r1", "r2")])),
    )


@st.composite
def memos(draw: st.DrawFn) -> GateMemo:
    marks = tuple(
        GateMark(START - timedelta(seconds=seconds), draw(st.sampled_from(["a", "b"])), draw(VALUES))
        for seconds in sorted(draw(st.lists(st.integers(0, 200), max_size=4, unique=True)), reverse=True)
    )
    return GateMemo(
        state=draw(st.sampled_from(GateState)),
        says="before",
        read_at=draw(st.sampled_from([None, START - timedelta(seconds=5)])),
        since=START - timedelta(seconds=draw(AGES)),
        lasted_s=float(draw(AGES)),
        marks=marks,
        usual=draw(st.sampled_from([None, Usual(600.0, 0.01, 1.0, 2.0)])),
    )


@given(
    st.sets(st.sampled_from(list(GATES)), min_size=1),
    st.fixed_dictionaries({name: looks() for name in GATES}),
    st.fixed_dictionaries({name: memos() for name in GATES}),
    st.sampled_from(list(Color)),
)
def test_only_what_is_well_is_promoted(
    asked: set[str], seen: dict[str, SeenGate], before: dict[str, GateMemo], live: Color
) -> None:
    scene = Scene(
        phase=Phase.WATCH,
        live=live,
        spec={
            "gates": {name: GATES[name] for name in asked},
            "errorRate": {"method": "off", "lowTraffic": True},
        },
        seen={"gates": seen},
        memo={"gates": before, "entries": {GATEWAY: Evidence(watched_s=1000.0, stable_up=True)}},
        attempt={"split_at": START - timedelta(hours=1), "step_at": START - timedelta(hours=1)},
    )
    plan = scene.plan()
    attempt, found = attempt_of(plan), memo_of(plan).gates
    assert set(found) == asked
    is_well = {memo.state for memo in found.values()} == {GateState.WELL}
    assert (attempt.phase is Phase.PROMOTE) is is_well
    assert attempt.phase in {Phase.WATCH, Phase.PROMOTE}, "an hour after the step a gate holds, no more"
    for name, memo in found.items():
        last = seen[name].last
        if last is None or START - last.at > STALE:
            assert memo.state is GateState.UNKNOWN
    if attempt.hold is not None:
        patience_s = {GateState.BROKEN: 10.0, GateState.UNKNOWN: UNKNOWN_S}
        lasting = [each for each in found.values() if each.lasted_s >= patience_s.get(each.state, 1e9)]
        assert attempt.hold.message in [each.says for each in lasting]
