"""Anything at any time, again and again: nobody is cut off, and once all is well the file is followed."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from crds.freeze import Freeze
from crds.release import Phase
from crds.service import Color
from reconcilers.contract import TransientError
from tests.simulation.release_world import release_spec
from tests.simulation.stage import NEW, NEWER, OLD, Stage, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(300)]
VERSIONS = (NEW, NEWER, "1.3.0")
VERBS = ("promote", "pause", "resume", "abort", "rollback", "retry")
FIELDS: dict[str, Any] = {
    "checks": ["unit"],
    "smoke": ["smoke"],
    "soak": "1m",
    "watch": "20s",
    "supersedeSoak": True,
}
EVENTS = 40
_ENDED = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK})


class Chaos:
    """Does something to a platform, by chance that repeats with its seed."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.chance = random.Random(seed)  # noqa: S311 - chance that repeats, not a secret
        self.done: list[str] = []
        self.actions: tuple[Callable[[], Awaitable[None]], ...] = (
            self.kill,
            self.be_away,
            self.reload,
            self.turn_a_weight,
            self.ask,
            self.ask,
            self.edit,
            self.silence,
            self.freeze,
            self.misbehave,
            self.misbehave,
            self.switch_off,
        )

    async def act(self) -> None:
        action = self.chance.choice(self.actions)
        self.done.append(action.__name__)
        await action()
        await self.stage.after(self.chance.uniform(0.2, 15.0))

    async def kill(self) -> None:
        await self.stage.kill()
        await self.stage.start()

    async def be_away(self) -> None:
        await self.stage.stop()
        await self.stage.after(self.chance.uniform(1, 60))
        await self.stage.start()

    async def reload(self) -> None:
        self.stage.haproxy.reload()

    async def turn_a_weight(self) -> None:
        name = self.chance.choice(list(Color)).value
        self.stage.haproxy.nodes[0].change("api_backend", name, weight=self.chance.choice([1, 30, 100]))

    async def ask(self) -> None:
        await self.stage.ask(self.chance.choice(VERBS), force=self.chance.random() < 0.2)

    async def edit(self) -> None:
        await self.stage.declare(release_spec(self.chance.choice(VERSIONS), **FIELDS))

    async def silence(self) -> None:
        node = self.stage.haproxy.nodes[0]
        node.refuses = TransientError("connection refused")
        await self.stage.after(self.chance.uniform(1, 20))
        node.refuses = None

    async def freeze(self) -> None:
        until = self.stage.world.world.clock.now() + timedelta(seconds=self.chance.uniform(1, 60))
        await self.stage.wishes.freeze(Freeze(until=until, reason="chance", actor="anna"))

    async def misbehave(self) -> None:
        """Let a version fail, hang, be ill or be well; the one that was there first stays well."""
        behaviour: dict[str, object] = self.chance.choice(
            [{}, {}, {"error_rate": 0.3}, {"hangs": True}, {"is_ill": True}, {"refuses": True}]
        )
        self.stage.version(self.chance.choice(VERSIONS), **behaviour)

    async def switch_off(self) -> None:
        """Stop the container that has the smaller part of the traffic."""
        shares = {color: self.stage.server(color).share for color in Color}
        idle = min(shares, key=lambda color: shares[color])
        if shares[idle] == 0 and self.stage.world.version_at(_address(idle)) is not None:
            self.stage.switch_off(idle)


def _address(color: Color) -> str:
    return {Color.BLUE: "10.0.20.10", Color.GREEN: "10.0.20.110"}[color]


def live_version(stage: Stage) -> str | None:
    """Return the version that has all traffic, None if none has."""
    whole = [color for color in Color if stage.server(color).share == 100]
    return stage.world.version_at(_address(whole[0])) if len(whole) == 1 else None


async def heal(stage: Stage) -> None:
    """Let everything be well, and ask for one version until it is there."""
    stage.world.versions.clear()
    await stage.after(60)
    await stage.declare(release_spec(VERSIONS[2], **FIELDS))
    for _ in range(10):
        await stage.after(100)
        if stage.attempt.phase in _ENDED:
            await stage.ask("retry")
        elif stage.attempt.hold is not None:
            await stage.ask("resume" if stage.attempt.hold.reason == "Paused" else "abort")
        if live_version(stage) == VERSIONS[2] and stage.attempt.phase in _ENDED:
            return


async def play(seed: int) -> None:
    live = Color.BLUE if seed % 2 else Color.GREEN
    async with a_stage(live) as stage:
        stage.world.hooks.seconds = {"unit": 1.0, "smoke": 1.0}
        chaos = Chaos(stage, seed)
        await stage.begin(NEW, **FIELDS)
        for _ in range(EVENTS):
            await chaos.act()
            assert stage.haproxy.blackouts == [], chaos.done
        await heal(stage)
        assert live_version(stage) == VERSIONS[2], (chaos.done, stage.end, stage.says)
        assert stage.release.is_ready(), (chaos.done, stage.says)
        assert sorted(stage.server(color).share for color in Color) == [0, 100]
        numbers = [each.number for each in reversed(stage.status.history)] + [stage.attempt.number]
        assert numbers == sorted(set(numbers)), "one attempt after the other"
        assert OLD not in {each.version for each in stage.status.history}
        repeated = [run for run in stage.world.hooks.begun if stage.world.hooks.begun[run] > 1]
        assert repeated == []


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_nobody_is_cut_off_and_in_the_end_the_file_is_followed(seed: int) -> None:
    await play(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
async def test_whatever_happens_a_hundred_times(seed: int) -> None:
    await play(seed)
