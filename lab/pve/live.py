"""The pure cluster on a real clock: kept in a file, with its past requests, waking who waits for it."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from lab.pve.cluster import PveCluster
from lab.pve.message import Request, Response

Result = TypeVar("Result")
KEPT_REQUESTS: Final = 20_000
LONGEST_SLEEP_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request as it was answered; *number* counts from 1. *user* is the token or "" for none."""

    number: int
    time: float
    node: str
    method: str
    path: str
    user: str
    status: int
    reason: str


class LiveCluster:
    """Every change is in the file before anybody hears of it, so that kill -9 loses nothing."""

    def __init__(self, cluster: PveCluster, path: Path) -> None:
        self.cluster = cluster
        self.requests: list[LoggedRequest] = []
        self._path = path
        self._answered = 0
        self._stored = ""
        self._changed = asyncio.Event()
        self.store()

    def now(self) -> float:
        return time.time()

    def store(self) -> None:
        """Write the state if it differs from what is on disk; atomic, not flushed (the machine stays up)."""
        text = self.cluster.to_json()
        if text == self._stored:
            return
        temporary = self._path.with_suffix(".new")
        temporary.write_text(text)
        os.replace(temporary, self._path)  # noqa: PTH105 - the one call that is atomic by contract
        self._stored = text
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def answer(self, request: Request) -> Response:
        """Handle one request now, keep the result, write the log."""
        now = self.now()
        before = self._key()
        response = self.cluster.handle(request, now)
        self._answered += 1
        user = request.auth.authorization.removeprefix("PVEAPIToken=").partition("=")[0]
        user = user or request.auth.ticket.removeprefix("PVE:").partition(":")[0]
        self.requests.append(
            LoggedRequest(
                self._answered,
                now,
                request.via_node,
                request.method,
                request.path,
                user,
                response.status,
                response.reason,
            )
        )
        del self.requests[:-KEPT_REQUESTS]
        if request.method != "GET" or before != self._key():
            self.store()
        return response

    def _key(self) -> tuple[object, ...]:
        """Return what even a read may change: tasks that have ended meanwhile, faults that struck."""
        world, faults = self.cluster.world, self.cluster.faults
        return (
            tuple(world.open_tasks),
            world.running_version,
            tuple((f.number, f.left) for f in faults.active),
        )

    def change(self, work: Callable[[float], Result]) -> Result:
        """Do something to the cluster by hand, at the time that *work* is given, and keep it."""
        result = work(self.now())
        self.store()
        return result

    async def tick(self) -> None:
        """Let tasks end when they are due, for ever."""
        while True:
            due = self.cluster.next_event_at()
            pause_s = LONGEST_SLEEP_S if due is None else max(0.0, due - self.now())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            self.cluster.advance(self.now())
            self.store()

    async def wait_running(self, since: int, timeout_s: float) -> None:
        """Return when the running version differs from *since*, at the latest after *timeout_s*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.cluster.running_version == since:
                    await self._changed.wait()
