"""Tells people of rollbacks, holds and missing evidence: each event once, in order, also across restarts."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog

from crds.release import ReleaseStatus
from daemon.engine.backoff import Backoff
from daemon.ports import Clock, Random
from daemon.store.operations import Assign, Event
from daemon.store.store import Changed, CommitError, Store
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.hook_runs import HookRun

log = structlog.stdlib.get_logger()

_CURSOR: Final = "noticed"
_KIND: Final = "Release"
_PATIENCE: Final = Backoff(base_s=1.0, cap_s=60.0)
_TRIES: Final = 8
"""A notice that nobody takes for so long is given up, so that it does not hold the next one."""


class Webhook(Protocol):
    """Where notices go as JSON."""

    async def send(self, notice: Mapping[str, str | int], key: str) -> None: ...


class Hooks(Protocol):
    """Who runs the program that tells people."""

    async def start(self, run: HookRun) -> str: ...


class Notices:
    """Sends warnings about releases; the number of the last one that was sent is in the store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        random: Random,
        *,
        webhook: Webhook | None,
        hooks: Hooks,
        hook: str | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._webhook = webhook
        self._hooks = hooks
        self._hook = hook
        self._news = asyncio.Event()
        self._told = 0
        """Number of the last one that this process has sent: the store may take nothing."""

    async def run(self) -> None:
        """Send for ever; without anybody to send to, return at once."""
        if self._webhook is None and self._hook is None:
            return
        unlisten = self._store.listen(self._heard)
        try:
            await self._begin()
            while True:
                self._news.clear()
                while await self._send_next():
                    pass
                await self._news.wait()
        finally:
            unlisten()

    def _heard(self, _changes: Sequence[Changed], events: Sequence[Event]) -> None:
        if any(_matters(event) for event in events):
            self._news.set()

    async def _begin(self) -> None:
        """Start with what happens from now on, where nothing was ever sent."""
        if self._store.state.value(_CURSOR) is None:
            await self._note(self._store.state.next_event - 1)

    async def _note(self, number: int) -> None:
        try:
            await self._store.commit([Assign(_CURSOR, str(number))])
        except CommitError as exc:
            log.exception("commit.failed", error=str(exc))

    async def _send_next(self) -> bool:
        """Send what is next; return whether there was anything."""
        last = max(self._told, int(self._store.state.value(_CURSOR) or 0))
        newest = self._store.state.next_event - 1
        if last >= newest:
            return False
        events = self._store.events(None, after=last, limit=newest - last)
        chosen = next((event for event in events if _matters(event)), None)
        if chosen is None:
            await self._note(newest)
            return False
        await self._deliver(chosen)
        self._told = chosen.id
        await self._note(chosen.id)
        return True

    async def _deliver(self, event: Event) -> None:
        for failures in range(1, _TRIES + 1):
            try:
                await self._tell(event)
            except PermanentError as exc:
                log.warning("notice.refused", event_id=event.id, error=str(exc))
                return
            except (NotSentError, TransientError) as exc:
                pause_s = _PATIENCE.pause(failures, self._random.fraction())
                log.warning("notice.delayed", event_id=event.id, error=str(exc), retry_s=round(pause_s, 1))
            else:
                log.info("notice.sent", event_id=event.id, reason=event.reason)
                return
            await self._clock.sleep(pause_s)
        log.error("notice.given_up", event_id=event.id, reason=event.reason)

    async def _tell(self, event: Event) -> None:
        if self._webhook is not None:
            await self._webhook.send(_notice(event), f"psa-{event.id}-{event.at:%Y%m%dT%H%M%S}")
        if self._hook is not None:
            await self._hooks.start(self._run_of(event, self._hook))

    def _run_of(self, event: Event, hook: str) -> HookRun:
        """Return a run whose name is the event's: the same one is never begun twice."""
        release = self._store.state.get(event.key)
        status = release.status if release is not None else None
        attempt = status.attempt if isinstance(status, ReleaseStatus) else None
        return HookRun(
            run_id=f"notice.{event.id}.{event.at:%Y%m%d%H%M%S}",
            hook=hook,
            release=event.key.name,
            version=attempt.version if attempt is not None else "none",
            attempt=attempt.number if attempt is not None else 0,
            notice=f"{event.reason}: {event.message}",
        )


def _matters(event: Event) -> bool:
    return event.warning and event.key.kind == _KIND


def _notice(event: Event) -> Mapping[str, str | int]:
    return {
        "id": event.id,
        "at": f"{event.at:%Y-%m-%dT%H:%M:%SZ}",
        "object": str(event.key),
        "reason": event.reason,
        "message": event.message,
        "text": f"{event.key}: {event.reason}: {event.message}",
    }
