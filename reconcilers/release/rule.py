"""What a release's decision rule asks for, and what it is given each tick: pure."""

from dataclasses import dataclass
from typing import Final

from crds.release import Method
from reconcilers.counters import CountedNode

#: Seconds that a tick lasts at least: what comes in a shorter time belongs to one burst.
TICK_S: Final = 0.8
#: Seconds between two ticks from which on the time between counts as unwatched: the daemon was away.
GAP_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class SlowLimit:
    """``share`` (0.95) of the answers take at most ``limit_ms``; so at most 5 % may take longer."""

    share: float
    limit_ms: float

    @property
    def exceedances(self) -> float:
        """Share of the answers that may be slower."""
        return round(1 - self.share, 9)


@dataclass(frozen=True, slots=True)
class Rule:
    """When a release is rolled back, held or promoted.

    ``alpha`` is the probability of a false rollback a release. Each test at each of the ``entries`` (of
    errors, of each response limit) has an equal part of it: half for faults since the split, half for later
    ones, spent over ``horizon_ticks`` ticks; another horizon that is longer may follow, and spends its own.
    ``beta`` is the probability to promote a candidate that fails at ten times the limit.
    """

    limit: float = 0.001
    method: Method = Method.SEQUENTIAL
    alpha: float = 1e-3
    beta: float = 0.01
    entries: int = 1
    min_requests: int = 100
    low_traffic: bool = False
    horizon_ticks: int = 1800
    slow_limits: tuple[SlowLimit, ...] = ()

    @property
    def alpha_each(self) -> float:
        """The part of ``alpha`` that one test at one entry has."""
        return self.alpha / self.entries / (1 + len(self.slow_limits))


@dataclass(frozen=True, slots=True)
class Slowness:
    """Answers that HAProxy's log told of in one tick, and how many were slower than one limit."""

    answers: int
    slower: int
    stable_answers: int
    stable_slower: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What one tick saw of one entry. Roles go by server name; None is unknown, and never taken for False.

    ``nodes`` are the HAProxies that answered, with cumulative counters. ``weight`` and ``stable_weight`` are
    the split as it is asked (0 for stable once the candidate has all traffic). ``slowness`` is empty, or has
    one element a response limit. ``is_read_back``: every node that answered has the split as asked.
    """

    candidate: str
    stable: str | None
    nodes: tuple[CountedNode, ...]
    weight: int
    stable_weight: int
    is_read_back: bool
    slowness: tuple[Slowness, ...] = ()
    candidate_probe: bool | None = None
    """Whether the candidate's own health check was well."""
    is_running: bool | None = None
    """Whether the candidate's container runs."""
    stable_probe: bool | None = None
    """Whether the old stable colour answered well when it was asked directly (in the soak)."""
