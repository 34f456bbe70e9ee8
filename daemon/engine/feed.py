"""Takes each snapshot of the watched directory into the store."""

import asyncio
from typing import Final, Protocol

import structlog

from daemon.engine.intake import take_in
from daemon.ports import Clock, Random
from daemon.sources.snapshot import Snapshot
from daemon.store.store import CommitError, Store
from metrics.engine import EngineMetrics

RETRY_S: Final = 1.0

log = structlog.stdlib.get_logger()


class Source(Protocol):
    """Where snapshots come from."""

    async def next_snapshot(self) -> Snapshot:
        """Return the directory's next state, when it has changed or could not be read."""
        ...

    async def catch_up(self) -> None:
        """Return when what a look found that began after this call is taken in."""
        ...


class Feed:
    """Feeds the store for ever. ``last`` is the newest snapshot, None before the first."""

    def __init__(
        self, source: Source, store: Store, clock: Clock, random: Random, metrics: EngineMetrics
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self.last: Snapshot | None = None
        self._first: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()

    async def wait_first(self) -> Snapshot:
        """Return the first snapshot once it is in the store."""
        return await asyncio.shield(self._first)

    async def catch_up(self) -> None:
        """Return when what the files say now is in the store, if it can be."""
        await self._source.catch_up()

    async def run(self) -> None:
        """Take in one snapshot after the other; a store that takes nothing is asked again."""
        while True:
            snapshot = await self._source.next_snapshot()
            while not await self._took(snapshot):
                await self._clock.sleep(RETRY_S)
            self._tell(snapshot)
            self.last = snapshot
            if not self._first.done():
                self._first.set_result(snapshot)

    async def _took(self, snapshot: Snapshot) -> bool:
        operations = take_in(self._store.state, snapshot, self._clock.now(), self._random.uid)
        try:
            await self._store.commit(operations)
        except CommitError as exc:
            log.exception("snapshot.delayed", error=str(exc))
            return False
        return True

    def _tell(self, snapshot: Snapshot) -> None:
        broken = {problem.file for problem in snapshot.problems}
        self._metrics.source(
            valid=max(0, snapshot.files - len(broken)),
            invalid=len(broken),
            healthy=snapshot.unreadable is None,
        )
        if snapshot.unreadable is not None:
            log.warning("source.unreadable", reason=snapshot.unreadable)
            return
        log.info("snapshot.taken", files=snapshot.files, objects=len(snapshot.objects))
        known = {problem.rendered for problem in self.last.problems} if self.last is not None else set()
        for problem in snapshot.problems:
            if problem.rendered not in known:
                log.warning("file.refused", file=problem.file, line=problem.line, error=problem.message)
