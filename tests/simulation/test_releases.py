"""Releases from file to end in virtual time: a good one stays, a bad one goes back, whatever the colour."""

import asyncio
from datetime import timedelta

import pytest

from crds.balancer import Override
from crds.meta import Key
from crds.release import Phase, ReleaseStatus
from crds.service import VERSION
from daemon.store.operations import Apply
from daemon.store.state import State
from tests.builders import START
from tests.simulation.crashes import Killer
from tests.simulation.crowd import Application
from tests.simulation.release_world import (
    RELEASE,
    ReleaseMachine,
    declared,
    release_spec,
    service_name,
    service_spec,
)

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]

GATEWAY = Key("Service", "psa-api-gateway")


async def settled(machine: ReleaseMachine, *specs: object) -> State:
    operations = tuple(
        declared(RELEASE if hasattr(spec, "services") else GATEWAY, spec)  # type: ignore[arg-type]
        for spec in specs
    )
    state = await machine.run(operations, Killer())
    assert state is not None
    return state


def status_of(state: State) -> ReleaseStatus:
    status = state.objects[RELEASE].status
    assert isinstance(status, ReleaseStatus)
    return status


def phase_of(state: State) -> tuple[Phase, str | None]:
    attempt = status_of(state).attempt
    assert attempt is not None
    return attempt.phase, attempt.reason


def weights(machine: ReleaseMachine) -> dict[str, int]:
    node = machine.world.haproxy.nodes[0]
    return {name: server.share for (_, name), server in node.state.items()}


async def test_a_good_version_goes_live_and_a_bad_one_goes_back_from_either_colour() -> None:
    machine = ReleaseMachine()
    await settled(machine, service_spec())
    state = await settled(machine, release_spec("1.1.0"))
    assert phase_of(state) == (Phase.COMPLETED, None)
    assert weights(machine) == {"blue": 0, "green": 100}
    machine.world.versions["1.2.0"] = Application(error_rate=0.1)
    state = await settled(machine, release_spec("1.2.0"))
    assert phase_of(state) == (Phase.ROLLED_BACK, "ErrorRate")
    assert weights(machine) == {"blue": 0, "green": 100}
    state = await settled(machine, release_spec("1.3.0"))
    assert phase_of(state) == (Phase.COMPLETED, None)
    assert weights(machine) == {"blue": 100, "green": 0}
    machine.world.versions["1.2.0"] = Application()
    state = await settled(machine, release_spec("1.2.0"))
    assert phase_of(state) == (Phase.COMPLETED, None), "another version lifts nothing of the first one's"


async def test_no_user_is_lost_and_nobody_sees_more_than_the_bad_version_served() -> None:
    machine = ReleaseMachine()
    await settled(machine, service_spec())
    users = machine.world.users
    users.lost = 0
    machine.world.versions["1.1.0"] = Application(error_rate=0.5)
    await settled(machine, release_spec("1.1.0"))
    assert users.lost == 0
    assert machine.world.haproxy.blackouts == []
    assert users.failed["1.0.0"] == 0
    assert users.served["1.1.0"] <= 40


async def test_all_services_of_a_set_switch_together() -> None:
    machine = ReleaseMachine()
    operations = [declared(Key("Service", service_name(n)), service_spec(n)) for n in range(3)]
    assert await machine.run(tuple(operations), Killer()) is not None
    state = await machine.run((declared(RELEASE, release_spec("1.1.0", services=3)),), Killer())
    assert state is not None
    assert phase_of(state) == (Phase.COMPLETED, None)
    live = {
        name: state.objects[Key("Service", name)].status.live  # type: ignore[union-attr]
        for name in map(service_name, range(3))
    }
    assert set(live.values()) == {"green"}
    versions = [state.objects[Key("Container", f"{name}-green")].annotations[VERSION] for name in live]
    assert versions == ["1.1.0"] * 3


@pytest.mark.parametrize(
    ("asked", "is_ill", "restarts"),
    [
        ("ifUnhealthy", False, False),
        ("ifUnhealthy", True, True),
        ("always", False, True),
        ("never", True, False),
    ],
)
async def test_stable_is_restarted_after_a_rollback_as_the_file_asks(
    asked: str,
    is_ill: bool,  # noqa: FBT001 - a column of the table
    restarts: bool,  # noqa: FBT001
) -> None:
    machine = ReleaseMachine()
    await settled(machine, service_spec())
    old = machine.world.cluster.container(100)
    began = None if old is None else old.started_at
    machine.world.versions["1.1.0"] = Application(error_rate=0.5)
    machine.world.ill_after_rollback = is_ill
    state = await settled(machine, release_spec("1.1.0", restartStable=asked))
    assert phase_of(state) == (Phase.ROLLED_BACK, "ErrorRate")
    new = machine.world.cluster.container(100)
    assert ((None if new is None else new.started_at) != began) is restarts
    assert weights(machine) == {"blue": 100, "green": 0}


async def test_what_a_persons_override_does_to_the_candidate_is_no_breach() -> None:
    machine = ReleaseMachine()
    await settled(machine, service_spec())
    state = await machine.run((declared(RELEASE, release_spec("1.1.0")),), Killer(), seconds=20)
    assert state is not None
    assert phase_of(state) == (Phase.WATCH, None)
    split = state.objects[Key("TrafficSplit", "psa-api-gateway")]
    until = START + timedelta(seconds=asyncio.get_running_loop().time() + 20)
    override = Override(blue=100, green=0, until=until, reason="a look", actor="uid 0")
    by_hand = Apply(
        key=split.key,
        uid=split.uid,
        spec=split.spec.model_copy(update={"override": override}),
        at=START,
        labels=split.labels,
        annotations=split.annotations,
        owner=split.owner,
    )
    state = await machine.run((by_hand,), Killer(), seconds=15)
    assert state is not None
    assert phase_of(state) == (Phase.WATCH, None), "it holds"
    assert weights(machine) == {"blue": 100, "green": 0}
    state = await machine.run((), Killer())
    assert state is not None
    assert phase_of(state) == (Phase.COMPLETED, None), "it goes on by itself"
