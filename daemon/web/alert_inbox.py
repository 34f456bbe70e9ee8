"""Alerts on their way to the disk: two lanes, and one transaction for all that wait."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from crds.meta import Key
from daemon.ports import Clock
from daemon.store.operations import Hear, Operation, Record
from daemon.store.store import CommitError, Store
from daemon.web.alert_decision import ACTION, ROLLBACK, Decision, Releases, Result, decide_all
from daemon.web.alert_lanes import MOST_WAITING, Lane, Letter, NotTakenError
from daemon.web.alert_message import Alert, Message
from daemon.web.console import DAEMON
from reconcilers.contract import AnyResource

log = structlog.stdlib.get_logger()

_AT_ONCE: Final = 500
"""About so many ordinary alerts are one transaction: to decide on them takes the loop a few milliseconds."""
_STOPPING: Final = "the daemon is stopping"


class Metrics(Protocol):
    """Where alerts are counted."""

    def count(self, result: str, number: int = 1) -> None: ...


@dataclass(frozen=True, slots=True)
class _Batch:
    """What some letters lead to; ``hear`` is None where none of their alerts is new."""

    decisions: Mapping[str, Decision]
    hear: Hear | None
    operations: tuple[Operation, ...]


class AlertInbox:
    """Decides on alerts, and writes what was decided before anybody is told that they were taken.

    Messages that may roll back a running release have a lane of their own, which no storm of others fills.
    """

    def __init__(self, store: Store, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._memory = store.alert_memory()
        self._urgent, self._ordinary = Lane(), Lane()
        self._notes: list[Record] = []
        self._writing: list[Letter] = []
        self._news = asyncio.Event()
        self._is_closed = False
        self._is_broken = False
        self._objects: Mapping[Key, AnyResource] = {}
        self._releases = Releases()

    async def take(self, message: Message, actor: str, size: int) -> tuple[Decision, ...]:
        """Return what became of each alert, once that is on disk. *actor* sent them, as *size* bytes.

        Raises NotTakenError when there is no room or no time left, CommitError when the disk takes nothing.
        """
        if all(alert.mark() in self._memory for alert in message.alerts):
            return self._counted([_repetition(alert) for alert in message.alerts])
        letter = Letter(message, actor, size, asyncio.get_running_loop().create_future())
        lane = self._urgent if any(map(self._is_urgent, message.alerts)) else self._ordinary
        if self._is_closed or not lane.put(letter):
            self._metrics.count("dropped", len(message.alerts))
            raise NotTakenError(_STOPPING if self._is_closed else "too many alerts wait")
        self._news.set()
        return await letter.taken

    def note(self, record: Record) -> None:
        """Write an event of the door's own with what is written next."""
        self._notes.append(record)
        self._news.set()

    async def run(self) -> None:
        """Write what comes, until cancelled; what waits then is sent again by its sender."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._take_letters() or self._notes:
                    await self._write(self._writing)
        finally:
            self._is_closed = True
            waiting = [*self._urgent.take(MOST_WAITING), *self._ordinary.take(MOST_WAITING)]
            for letter in [*self._writing, *waiting]:
                letter.give_back(NotTakenError(_STOPPING))

    def _take_letters(self) -> bool:
        self._writing = [*self._urgent.take(MOST_WAITING), *self._ordinary.take(_AT_ONCE)]
        return bool(self._writing)

    async def _write(self, letters: Sequence[Letter]) -> None:
        batch = self._decided(letters)
        notes, self._notes = self._notes, []
        try:
            await self._store.commit([*batch.operations, *notes])
        except CommitError as exc:
            self._fail(letters, exc)
            return
        self._is_broken = False
        if batch.hear is not None:
            self._memory.heard(batch.hear)
        told = set[str]()
        for letter in letters:
            letter.answer(self._counted([*_answers(letter, batch.decisions, told)]))

    def _fail(self, letters: Sequence[Letter], error: CommitError) -> None:
        if not self._is_broken:
            log.error("alerts.refused", error=str(error), meaning="they are sent again")
        self._is_broken = True
        for letter in letters:
            letter.give_back(error)

    def _decided(self, letters: Sequence[Letter]) -> _Batch:
        fresh: dict[str, tuple[Alert, str]] = {}
        for letter in letters:
            for alert in letter.message.alerts:
                if alert.mark() not in self._memory:
                    fresh.setdefault(alert.mark(), (alert, letter.actor))
        if not fresh:
            return _Batch({}, None, ())
        now = self._clock.now()
        decisions = decide_all(self._current_releases(), fresh.values(), self._memory, now)
        pairs = zip(decisions, fresh.values(), strict=True)
        hear = self._memory.hear([*fresh], [each.record(now, actor) for each, (_, actor) in pairs], now)
        asks = [each.ask for each in decisions if each.ask is not None]
        cut = [letter.message.truncated_alerts for letter in letters if letter.message.truncated_alerts]
        missing = [Record(DAEMON, now, "AlertsTruncated", _truncation(sum(cut)), warning=True)] if cut else []
        return _Batch(dict(zip(fresh, decisions, strict=True)), hear, (*asks, hear, *missing))

    def _is_urgent(self, alert: Alert) -> bool:
        if alert.is_resolved or alert.labels.get(ACTION) != ROLLBACK:
            return False
        releases = self._current_releases()
        named = releases.standings.get(alert.labels.get("release", ""))
        return named.has_traffic if named is not None else bool(releases.running)

    def _current_releases(self) -> Releases:
        """Return the releases as they are; looked for anew only when some object has changed."""
        state = self._store.state
        if state.objects is not self._objects:
            self._objects, self._releases = state.objects, Releases.of(state)
        return self._releases

    def _counted(self, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
        for decision in decisions:
            self._metrics.count(decision.result.value)
            if decision.ask is not None:
                log.warning("alert.acted", object=str(decision.key), message=decision.message)
        return tuple(decisions)


def _answers(letter: Letter, decisions: Mapping[str, Decision], told: set[str]) -> Iterator[Decision]:
    """Yield what became of each alert; who sent the same as another one before has sent nothing new."""
    for alert in letter.message.alerts:
        mark = alert.mark()
        yield _repetition(alert) if mark in told or mark not in decisions else decisions[mark]
        told.add(mark)


def _repetition(alert: Alert) -> Decision:
    return Decision(Result.DUPLICATE, DAEMON, f"{alert.title}: it was heard of before, so nothing is done")


def _truncation(number: int) -> str:
    which = "whether one of them asks for a rollback is not known: raise the receiver's max_alerts"
    return f"Alertmanager left {number} alerts out; {which}"
