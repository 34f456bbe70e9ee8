"""Response times by server, as HAProxy's log tells of them: bins of the last minute, counts at limits."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

#: Upper bounds that are exported, in ms (the platform's own buckets).
BUCKETS_MS: Final = (10, 50, 100, 500, 1000, 2000, 5000)
_SLOT_S: Final = 5.0
_SLOTS: Final = 12
_LARGEST_MS: Final = 600_000
_LIMITS: Final = 16
"""Limits that are counted at once for one server."""


def _bounds() -> tuple[int, ...]:
    """Return upper bounds of bins in ms, each at most 5 % above the last: a quantile is as exact as that."""
    bounds, bound = set(BUCKETS_MS), 1
    while bound < _LARGEST_MS:
        bounds.add(bound)
        bound = max(bound + 1, round(bound * 1.05))
    return tuple(sorted(bounds))


BOUNDS_MS: Final = _bounds()
_EXPORTED: Final = tuple(BOUNDS_MS.index(bound) for bound in BUCKETS_MS)


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of one server since it was first confirmed; quantiles are of the last minute."""

    answers: int
    exceeded: tuple[int, ...]
    """Answers that took longer than each limit, since that limit was first asked for."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """One server's answers so far; ``counts`` are those within each bound of BUCKETS_MS, shorter ones too."""

    endpoint: str
    backend: str
    server: str
    counts: tuple[int, ...]
    answers: int
    sum_s: float


class ServerTimes:
    """One server's times. ``add`` is all that happens with each line of the log."""

    __slots__ = ("_exceeded", "_limits", "_slot", "_slots", "answers", "bins", "sum_ms")

    def __init__(self) -> None:
        self.answers = 0
        self.sum_ms = 0
        self.bins = [0] * (len(BOUNDS_MS) + 1)
        self._slots: deque[tuple[int, list[int]]] = deque(maxlen=_SLOTS)
        self._slot = -1
        self._limits: list[float] = []
        self._exceeded: list[int] = []

    def add(self, ms: int, slot: int) -> None:
        """Take one answer; *slot* is ``slot_of`` now."""
        if slot != self._slot:
            self._slots.append((slot, [0] * len(self.bins)))
            self._slot = slot
        at = bisect_left(BOUNDS_MS, ms)
        self.bins[at] += 1
        self._slots[-1][1][at] += 1
        self.answers += 1
        self.sum_ms += ms
        for number, limit in enumerate(self._limits):
            if ms > limit:
                self._exceeded[number] += 1

    def exceeded(self, limits_ms: Collection[float]) -> tuple[int, ...]:
        """Return how many took longer than each limit; a new limit begins at 0, and the oldest one goes."""
        for limit in limits_ms:
            if limit not in self._limits:
                self._limits = [*self._limits, limit][-_LIMITS:]
                self._exceeded = [*self._exceeded, 0][-_LIMITS:]
        counted = dict(zip(self._limits, self._exceeded, strict=True))
        return tuple(counted.get(limit, 0) for limit in limits_ms)

    def quantiles(self, shares: Collection[float], slot: int) -> tuple[float | None, ...]:
        """Return the times in ms that such shares of the last minute's answers did not exceed."""
        recent = [bins for began, bins in self._slots if slot - began < _SLOTS]
        sums = list(accumulate(map(sum, zip(*recent, strict=True)))) if recent else []
        return tuple(_quantile(sums, share) for share in shares)


def slot_of(at: float) -> int:
    """Return the slot of the last minute that *at* (monotonic seconds) belongs to."""
    return int(at // _SLOT_S)


def _quantile(sums: list[int], share: float) -> float | None:
    """Return the quantile out of cumulative counts of bins, even within a bin; None without answers."""
    if not sums or not sums[-1]:
        return None
    wanted = share * sums[-1]
    at = bisect_left(sums, wanted)
    below = sums[at - 1] if at else 0
    lower = BOUNDS_MS[at - 1] if at else 0
    upper = BOUNDS_MS[at] if at < len(BOUNDS_MS) else lower
    return lower + (upper - lower) * (wanted - below) / (sums[at] - below)


class ResponseTimes:
    """Times of all servers that a look at HAProxy has confirmed; others have no place here."""

    def __init__(self, endpoints: Iterable[str], monotonic: Callable[[], float]) -> None:
        """Take the names of the *endpoints* whose log comes here."""
        self._servers: dict[str, dict[bytes, ServerTimes]] = {name: {} for name in endpoints}
        self._monotonic = monotonic

    def of(self, endpoint: str) -> Mapping[bytes, ServerTimes]:
        """Return an endpoint's servers by backend/server, as they are at any time."""
        return self._servers[endpoint]

    def confirm(self, endpoint: str, backend: str, servers: Collection[str]) -> None:
        """Keep the times of these servers of a backend, which a look has found, and of no other ones."""
        known = self._servers.get(endpoint)
        if known is None:
            return
        names = {f"{backend}/{server}".encode() for server in servers}
        start = f"{backend}/".encode()
        for gone in [name for name in known if name.startswith(start) and name not in names]:
            del known[gone]
        for name in names - known.keys():
            known[name] = ServerTimes()

    def forget(self, endpoint: str, backend: str) -> None:
        """Forget the servers of a backend."""
        self.confirm(endpoint, backend, ())

    def answers(
        self, endpoint: str, backend: str, server: str, limits_ms: Collection[float]
    ) -> Answered | None:
        """Return what the log told of one server; None where none tells, or the server is not confirmed."""
        known = self._servers.get(endpoint, {}).get(f"{backend}/{server}".encode())
        if known is None:
            return None
        exceeded = known.exceeded(limits_ms)
        p50, p95, p99 = known.quantiles((0.5, 0.95, 0.99), slot_of(self._monotonic()))
        return Answered(known.answers, exceeded, p50, p95, p99)

    def histograms(self) -> Iterable[Histogram]:
        """Return every server's answers for the export."""
        for endpoint, known in self._servers.items():
            for name, times in known.items():
                backend, _, server = name.decode().partition("/")
                sums = list(accumulate(times.bins))
                counts = tuple(sums[at] for at in _EXPORTED)
                yield Histogram(endpoint, backend, server, counts, times.answers, times.sum_ms / 1000)
