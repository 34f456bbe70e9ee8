"""An override that begins and runs out is carried out and told once, wherever the daemon dies meanwhile."""

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from crds.balancer import Override, TrafficSplitSpec
from crds.meta import Key
from daemon.store.operations import Apply, Operation
from daemon.store.state import State
from metrics.traffic import TrafficMetrics
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START
from tests.builders_haproxy import NAME, a_backend, a_split_to
from tests.fakes.haproxy import FakeHaproxy
from tests.simulation.crashes import Killer, Machine
from tests.simulation.ports import VirtualClock

pytestmark = pytest.mark.looptime(end=24 * 3600)

SPLIT, OWNER = Key("TrafficSplit", NAME), Key("Service", NAME)


class SplitMachine(Machine):
    """A daemon with one traffic split before one HAProxy."""

    def __init__(self) -> None:
        self.haproxy = FakeHaproxy(a_backend())
        super().__init__(
            lambda: {
                "TrafficSplit": SplitReconciler(
                    self.haproxy, TrafficMetrics(CollectorRegistry()), VirtualClock().now
                )
            }
        )


def overridden(seconds: float) -> tuple[Operation, ...]:
    """Return a split to blue that a person gives to green until so many seconds from now."""
    until = VirtualClock().now() + timedelta(seconds=seconds)
    override = Override(blue=0, green=100, until=until, reason="a look", actor="uid 0")
    spec = a_split_to("blue").spec.model_copy(update={"override": override})
    return (Apply(SPLIT, "5" * 32, spec, START, owner=OWNER),)


def check(machine: Machine, state: State, when: str) -> None:
    assert isinstance(machine, SplitMachine)
    record = state.objects[SPLIT].spec
    assert isinstance(record, TrafficSplitSpec)
    reasons = [event.reason for event in machine.database.events(SPLIT, after=0, limit=100)]
    node = machine.haproxy.nodes[0]
    assert record.override is None, when
    assert {reason: reasons.count(reason) for reason in ("OverrideInForce", "OverrideEnded")} == {
        "OverrideInForce": 1,
        "OverrideEnded": 1,
    }, when
    assert node.carriers("api_backend") == {"blue"}, when
    assert machine.haproxy.blackouts == [], when


async def test_killed_at_any_point_from_its_begin_to_after_its_end() -> None:
    ends_in_s = 20.0
    whole = Killer()
    reference = SplitMachine()
    state = await reference.run(overridden(ends_in_s), whole)
    assert state is not None
    check(reference, state, "no crash")
    assert whole.last >= 8, "commands there and back, each with a point before and after"
    for number in range(1, whole.last + 1):
        machine, killer = SplitMachine(), Killer(number)
        operations = overridden(ends_in_s)
        ended = await machine.run(operations, killer)
        state = ended or await machine.run((), Killer())
        assert state is not None
        check(machine, state, f"killed at point {number}, {killer.points[-1]}")
