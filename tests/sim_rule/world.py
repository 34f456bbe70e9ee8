"""A made-up entry: requests come at random, a fault begins, and the real rule looks each tick."""

import functools
import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from crds.evidence import Detector, Dispersion, Evidence
from reconcilers.counters import CountedNode, CountedServer, Counters
from reconcilers.release.analysis import Action, judge
from reconcilers.release.detection import dispersed
from reconcilers.release.rule import Rule, Sample
from reconcilers.release.watching import advance
from reconcilers.servers import Health

_START = datetime(2026, 11, 24, tzinfo=UTC)
_NEVER = 10**12


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens at an entry; rates are shares of requests, times are in ticks of ``tick_s``."""

    per_s: float
    """Requests per second of both colours together, half of them each (all the candidate's in the soak)."""
    healthy: float = 0.0003
    fault: float | None = None
    """The candidate's rate from the onset on."""
    stable_fault: float | None = None
    onset: int = 0
    stable_heals: int | None = None
    """Tick at which only stable is well again."""
    ticks: int = 600
    burst: float = 1.0
    """Mean number of requests that fail in a row."""
    learned_bursts: int = 0
    """Bursts of stable's that are known before the split."""
    horizon_ticks: int = 600
    tick_s: float = 1.0
    in_soak: bool = False
    is_dead: bool = False
    """From the onset on HAProxy sees the candidate DOWN, and sends it nothing."""
    hangs: bool = False
    """From the onset on the candidate answers nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """When the rule first did what, in ticks; None for never."""

    rolled_back: int | None
    held: int | None
    alarmed: int | None


@functools.lru_cache(maxsize=64)
def _arrivals(mean: float) -> tuple[float, ...]:
    """Return P(X ≤ k) of a Poisson number of requests, as far as it matters."""
    total, table = 0.0, []
    for k in range(int(mean + 12 * math.sqrt(mean) + 20)):
        total += math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1))
        table.append(total)
    return tuple(table)


class Stream:
    """The requests of one server, and those of them that failed."""

    def __init__(self, rnd: random.Random, per_tick: float, rate: float, burst: float) -> None:
        self._random = rnd
        self._table = _arrivals(per_tick)
        self._burst = burst
        self._in_burst = 0
        self.requests = 0
        self.errors = 0
        self.become(rate)

    def become(self, rate: float) -> None:
        """Fail at another rate from now on."""
        self._rate = rate / self._burst
        self._gap = self._next_gap()

    def _next_gap(self) -> int:
        """Return how many requests are well before the next burst: geometric, so one draw a burst."""
        if self._rate <= 0:
            return _NEVER
        return 0 if self._rate >= 1 else int(math.log(1 - self._random.random()) / math.log1p(-self._rate))

    def _next_burst(self) -> int:
        if self._burst <= 1:
            return 1
        return 1 + int(math.log(1 - self._random.random()) / math.log1p(-1 / self._burst))

    def come(self) -> int:
        """Return how many requests come in one tick."""
        return bisect_right(self._table, self._random.random())

    def tick(self) -> None:
        """Answer one tick's requests."""
        left = self.come()
        self.requests += left
        while left > 0:
            if self._in_burst:
                failed = min(left, self._in_burst)
                self.errors, self._in_burst, left = (
                    self.errors + failed,
                    self._in_burst - failed,
                    left - failed,
                )
            elif self._gap >= left:
                self._gap, left = self._gap - left, 0
            else:
                left -= self._gap
                self._gap, self._in_burst = self._next_gap(), self._next_burst()


class World:
    """One entry in its course."""

    def __init__(self, scenario: Scenario, seed: str) -> None:
        self._scenario = scenario
        rnd = random.Random(seed)  # noqa: S311 - a simulation, seeded
        per_tick = scenario.per_s * scenario.tick_s * (1 if scenario.in_soak else 0.5)
        self._candidate = Stream(rnd, per_tick, scenario.healthy, scenario.burst)
        self._stable = Stream(rnd, per_tick, scenario.healthy, scenario.burst)
        self._rule = Rule(horizon_ticks=scenario.horizon_ticks)
        self._now = _START
        self._hanging = 0
        self._begun = False
        learned = _learned(rnd, scenario, per_tick)
        self.evidence = Evidence(failing=Detector(dispersion=learned))
        self._look(None)

    def _shown(self, name: str, stream: Stream, *, is_down: bool, sessions: int) -> CountedServer:
        counters = Counters(
            requests=stream.requests,
            errors_5xx=stream.errors,
            refused=0,
            broken=0,
            retries=0,
            redispatches=0,
            sessions=sessions,
            queued=0,
        )
        return CountedServer(name, Health.DOWN if is_down else Health.UP, counters)

    def _look(self, elapsed_s: float | None) -> None:
        is_dead = self._begun and self._scenario.is_dead
        in_soak = self._scenario.in_soak
        node = CountedNode(
            "node 1",
            "unix:///run/haproxy.sock",
            1,
            (
                self._shown("blue", self._stable, is_down=in_soak, sessions=1),
                self._shown("green", self._candidate, is_down=is_dead, sessions=1 + self._hanging),
            ),
        )
        weights = (100, 0) if in_soak else (50, 50)
        sample = Sample("green", "blue", (node,), *weights, is_read_back=True, stable_probe=in_soak or None)
        self.evidence = advance(self.evidence, sample, self._rule, self._now, elapsed_s=elapsed_s)

    def tick(self, at: int) -> None:
        """Let tick *at* pass, counted from 1."""
        scenario = self._scenario
        if at == scenario.onset + 1:
            self._begun = True
            if scenario.fault is not None:
                self._candidate.become(scenario.fault)
            if scenario.stable_fault is not None:
                self._stable.become(scenario.stable_fault)
        if at == scenario.stable_heals:
            self._stable.become(scenario.healthy)
        if self._begun and scenario.hangs:
            self._hanging += self._candidate.come()
        elif not (self._begun and scenario.is_dead):
            self._candidate.tick()
        if not scenario.in_soak:
            self._stable.tick()
        self._now += timedelta(seconds=scenario.tick_s)
        self._look(scenario.tick_s)

    def asked(self) -> Action:
        """Return what the rule asks for; where nothing is wrong at all it need not be asked."""
        evidence = self.evidence
        if evidence.failing.alarm is None and not evidence.hang_s and not evidence.down_s:
            return Action.NONE
        return judge(evidence, self._rule, last_step_at=None, in_soak=self._scenario.in_soak).action


def _learned(rnd: random.Random, scenario: Scenario, per_tick: float) -> Dispersion:
    known, stream = Dispersion(), Stream(rnd, per_tick, scenario.healthy, scenario.burst)
    while known.bursts < scenario.learned_bursts:
        before = stream.errors
        stream.tick()
        known = dispersed(known, stream.errors - before)
    return known


def play(scenario: Scenario, seed: str) -> Outcome:
    """Let it happen once, until the rule rolls back or the time is up."""
    world = World(scenario, seed)
    held = alarmed = None
    for at in range(1, scenario.ticks + 1):
        world.tick(at)
        if alarmed is None and world.evidence.failing.alarm is not None:
            alarmed = at
        action = world.asked()
        if action is Action.ROLL_BACK:
            return Outcome(at, held, alarmed)
        if action is Action.HOLD and held is None:
            held = at
    return Outcome(None, held, alarmed)
