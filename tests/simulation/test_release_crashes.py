"""Killed at any numbered point of a release, the daemon ends like one that was never killed."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields

import pytest

from crds.meta import Key
from crds.release import Phase, ReleaseStatus
from crds.service import LIVE, Color
from daemon.store.operations import Operation
from daemon.store.state import State
from tests.simulation.crashes import Killer
from tests.simulation.crowd import Application
from tests.simulation.release_world import (
    RELEASE,
    ReleaseMachine,
    declared,
    release_spec,
    service_spec,
)

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(600)]

GATEWAY = Key("Service", "psa-api-gateway")
VERSION_ASKED = "1.1.0"
#: Virtual seconds after its end in which an attempt may still be moved by a crash.
AFTER_S = 3.0
#: Every n-th point in the fast run; each colour begins at another one.
STRIDE = 11
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
ENDS = pytest.mark.parametrize(
    ("error_rate", "phase", "reason"),
    [(0.0, Phase.COMPLETED, None), (0.5, Phase.ROLLED_BACK, "ErrorRate")],
    ids=["good", "bad"],
)


@dataclass(frozen=True)
class Ending:
    """All that must be the same whether a crash came in between or not."""

    phase: Phase
    reason: str | None
    number: int
    weights: Mapping[str, tuple[int, str]]
    containers: Mapping[int, str]
    live: Mapping[str, str | None]
    writes: Mapping[str, int]
    hooks: frozenset[str]
    reports: frozenset[str]
    quarantined: tuple[str, ...]


def ending(machine: ReleaseMachine, state: State) -> Ending:
    status = state.objects[RELEASE].status
    assert isinstance(status, ReleaseStatus)
    assert status.attempt is not None
    world = machine.world
    servers = {name: server for (_, name), server in world.haproxy.nodes[0].state.items()}
    containers = [found for key, found in state.objects.items() if key.kind == "Container"]
    # A configuration that is written twice is the same configuration.
    once = (each for each in world.world.proxmox.writes if not each.endswith("/config"))
    return Ending(
        phase=status.attempt.phase,
        reason=status.attempt.reason,
        number=status.attempt.number,
        weights={name: (server.weight, server.state.value) for name, server in servers.items()},
        containers={found.vmid: found.ostemplate for found in world.cluster.running()},
        live={found.key.name: found.annotations.get(LIVE) for found in containers},
        writes=dict(Counter(once)),
        # The name of a run has the second in which its attempt began, which a crash puts off.
        hooks=frozenset(re.sub(r"\.\d{14}\.", ".", run.rpartition(".")[0]) for run in world.hooks.begun),
        reports=frozenset(world.reports),
        quarantined=tuple(each.version for each in status.quarantine),
    )


def a_release() -> tuple[Operation, ...]:
    spec = release_spec(
        VERSION_ASKED,
        watch="4s",
        soak="4s",
        minHealthy="1s",
        drain="1s",
        checks=["unit", "audit"],
        smoke=["smoke"],
    )
    return (declared(RELEASE, spec),)


async def a_machine(live: Color, error_rate: float) -> ReleaseMachine:
    """Return a platform with 1.0.0 live in that colour, and many users."""
    machine = ReleaseMachine()
    service = service_spec(initial={"color": live.value, "version": "1.0.0"})
    assert await machine.run((declared(GATEWAY, service),), Killer()) is not None
    world = machine.world
    world.users.rate, world.users.lost = 200, 0
    world.hooks.seconds = {"unit": 0.3}
    world.versions[VERSION_ASKED] = Application(error_rate=error_rate)
    return machine


async def counted(live: Color, error_rate: float) -> tuple[Ending, int]:
    """Return how a release ends without a crash, and how many points there are until shortly after."""
    machine = await a_machine(live, error_rate)
    state = await machine.run(a_release(), Killer())
    assert state is not None
    reference = ending(machine, state)
    status = state.objects[RELEASE].status
    assert isinstance(status, ReleaseStatus)
    assert status.attempt is not None
    assert status.attempt.ended_at is not None
    lasted = status.attempt.ended_at - status.attempt.began_at
    machine, short = await a_machine(live, error_rate), Killer()
    assert await machine.run(a_release(), short, seconds=lasted.total_seconds() + AFTER_S) is not None
    return reference, len(short.points)


async def crashed(live: Color, error_rate: float, number: int) -> tuple[ReleaseMachine, State, str]:
    machine, killer = await a_machine(live, error_rate), Killer(number)
    assert await machine.run(a_release(), killer) is None, "the point was not reached"
    state = await machine.run(a_release(), Killer())
    assert state is not None
    return machine, state, f"killed at point {number}, {killer.points[-1]}"


def differences(machine: ReleaseMachine, state: State, reference: Ending) -> list[str]:
    """Return what a crash has changed."""
    found, world = ending(machine, state), machine.world
    said = [
        f"{each.name}: {getattr(found, each.name)}, not {getattr(reference, each.name)}"
        for each in fields(Ending)
        if getattr(found, each.name) != getattr(reference, each.name)
    ]
    said += [f"still open: {intents}" for intents in state.open_intents.values()]
    said += [f"nobody served after {command}" for command in world.haproxy.blackouts]
    said += [f"{world.users.lost} requests found nobody"] if world.users.lost else []
    twice = [run for run in world.hooks.begun if not run.endswith(".1") and ".unit." not in run]
    return said + [f"run again: {run}" for run in twice]


async def every(
    stride: int, first: int, live: Color, error_rate: float, end: tuple[Phase, str | None]
) -> int:
    reference, points = await counted(live, error_rate)
    assert (reference.phase, reference.reason) == end
    changed = {}
    for number in range(first, points + 1, stride):
        machine, state, moment = await crashed(live, error_rate, number)
        if said := differences(machine, state, reference):
            changed[moment] = said
    assert changed == {}
    return points


@ENDS
@COLORS
async def test_a_crash_at_many_points_changes_nothing_in_the_end(
    live: Color, error_rate: float, phase: Phase, reason: str | None
) -> None:
    first = 1 + 5 * list(Color).index(live)
    assert await every(STRIDE, first, live, error_rate, (phase, reason)) > 100


@pytest.mark.slow
@ENDS
@COLORS
async def test_a_crash_at_every_single_point_changes_nothing_in_the_end(
    live: Color, error_rate: float, phase: Phase, reason: str | None
) -> None:
    assert await every(1, 1, live, error_rate, (phase, reason)) > 100
