"""Which object may be worked on now: one entry a key, never two workers a key. The caller has the clock."""

import enum
import heapq
import itertools
from dataclasses import dataclass
from typing import Final

from crds.meta import Key

#: Seconds of waiting that weigh as much as one point of priority, so that nothing starves (60 s a class).
AGING_S: Final = 1.2


class Priority(enum.IntEnum):
    """Why a key is due; the higher goes first."""

    ROLLBACK = 100
    RELEASE = 60
    CHANGE = 50
    DEPENDENCY = 40
    RETRY = 0
    POLL = -50
    STARTUP = -100

    @property
    def is_reserved(self) -> bool:
        """Whether it may use the slots that are kept free for rollbacks and releases."""
        return self >= Priority.RELEASE


@dataclass(frozen=True, slots=True)
class Taken:
    """A key to work on now. ``waited_s`` is how long it has been due."""

    key: Key
    priority: Priority
    waited_s: float


@dataclass(slots=True)
class _Entry:
    priority: Priority
    due: float
    order: int


class WorkSet:
    """Keys with due times and priorities. Times are seconds of one monotonic clock.

    Adding a key again keeps the earlier time and the higher priority. A key that is out is handed out again
    only after ``done``, and then if it was added meanwhile.
    """

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}
        self._out: set[Key] = set()
        self._delayed: list[tuple[float, int, Key]] = []
        self._ready: list[tuple[float, int, Key]] = []
        self._reserved: list[tuple[float, int, Key]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def out(self) -> int:
        """Keys that are being worked on."""
        return len(self._out)

    def add(self, key: Key, priority: Priority, due: float) -> None:
        """Make *key* due at *due*, or earlier if it already was."""
        old = self._entries.get(key)
        if old is not None:
            if old.due <= due and old.priority >= priority:
                return
            priority, due = max(old.priority, priority), min(old.due, due)
        self._entries[key] = entry = _Entry(priority, due, next(self._order))
        if key not in self._out:
            heapq.heappush(self._delayed, (due, entry.order, key))

    def take(self, now: float, *, reserved_only: bool = False) -> Taken | None:
        """Hand out the most urgent key that is due at *now*; with *reserved_only* no lesser priority."""
        self._ripen(now)
        heaps = (self._reserved,) if reserved_only else (self._reserved, self._ready)
        for heap in heaps:
            while heap:
                _, order, key = heapq.heappop(heap)
                entry = self._entries.get(key)
                if entry is None or entry.order != order or key in self._out:
                    continue
                del self._entries[key]
                self._out.add(key)
                return Taken(key, entry.priority, max(0.0, now - entry.due))
        return None

    def done(self, key: Key) -> None:
        """Take *key* back: the work on it is over."""
        self._out.discard(key)
        entry = self._entries.get(key)
        if entry is not None:
            heapq.heappush(self._delayed, (entry.due, entry.order, key))

    def forget(self, key: Key) -> None:
        """Drop *key*; it is not handed out until added again."""
        self._entries.pop(key, None)

    def next_due(self) -> float | None:
        """Return when the next key that is not out becomes due (any that is due already), or None."""
        for heap in (self._reserved, self._ready):
            while heap and not self._is_current(heap[0]):
                heapq.heappop(heap)
        while self._delayed and not self._is_current(self._delayed[0]):
            heapq.heappop(self._delayed)
        dues = [
            self._entries[heap[0][2]].due for heap in (self._reserved, self._ready, self._delayed) if heap
        ]
        return min(dues, default=None)

    def _is_current(self, item: tuple[float, int, Key]) -> bool:
        entry = self._entries.get(item[2])
        return entry is not None and entry.order == item[1] and item[2] not in self._out

    def _ripen(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            item = heapq.heappop(self._delayed)
            if self._is_current(item):
                due, order, key = item
                priority = self._entries[key].priority
                heap = self._reserved if priority.is_reserved else self._ready
                heapq.heappush(heap, (due - AGING_S * priority, order, key))
