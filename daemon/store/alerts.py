"""Which alerts were heard of already, also before the last start: bounded by number and age."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from daemon.store.operations import Hear, Record

KEPT_ALERTS: Final = 20_000
KEPT_FOR: Final = timedelta(days=14)
"""Longer than an alert may fire and a release may soak: what is forgotten is news when it comes again."""


class AlertMemory:
    """The marks of alerts as hashes, the oldest first; a tenth of a kilobyte each.

    It changes in two steps, because what could not be committed was not heard: ``hear`` says what to commit,
    ``heard`` that it was.
    """

    def __init__(self, rows: Iterable[tuple[int, str, datetime]]) -> None:
        """Take over the rows of the database: number, mark and time, in the order of their numbers."""
        self._known: OrderedDict[int, datetime] = OrderedDict()
        self._next = 1
        for number, mark, at in rows:
            self._known[hash(mark)] = at
            self._next = number + 1

    def __contains__(self, mark: object) -> bool:
        return hash(mark) in self._known

    def __len__(self) -> int:
        return len(self._known)

    def hear(self, marks: Sequence[str], records: Sequence[Record], at: datetime) -> Hear:
        """Return the operation that keeps new *marks* with their events, and forgets the oldest ones."""
        surplus = len(self._known) + len(marks) - KEPT_ALERTS
        oldest = sum(1 for _ in takewhile(lambda heard_at: heard_at < at - KEPT_FOR, self._known.values()))
        forget = self._next - len(self._known) - 1 + max(0, surplus, oldest)
        return Hear(at, tuple(marks), tuple(records), self._next, forget)

    def heard(self, hear: Hear) -> None:
        """Take note that *hear* was committed."""
        first = self._next - len(self._known)
        for mark in hear.marks:
            self._known[hash(mark)] = hear.at
        self._next = hear.first + len(hear.marks)
        for _ in range(hear.forget + 1 - first):
            self._known.popitem(last=False)
