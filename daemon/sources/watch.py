"""The watched directory as a sequence of snapshots, each delivered when the directory has settled."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from crds.meta import Key
from daemon.ports import Clock
from daemon.sources.directory import Directory, Files, Scan
from daemon.sources.hints import STEP_MS, DirectoryHints, Hints
from daemon.sources.listing import Identity, RefusedFile, UnreadableError
from daemon.sources.ownership import Ownership
from daemon.sources.parser import ChildParser, Parser
from daemon.sources.reading import Reading, digest_of
from daemon.sources.snapshot import Snapshot

log = structlog.stdlib.get_logger()

#: How long nothing must change before the directory is read.
QUIET_S: Final = 0.1
#: How long changes may go on before it is read all the same.
LONGEST_S: Final = 1.0
#: How long the truth may differ from what the hints say.
RESCAN_S: Final = 60.0
#: Timers may ring this much early; waiting for the rest would spin.
_TIMER_S: Final = 0.001
#: A hint comes this long after the last change at the earliest.
_HINT_LAG_S: Final = STEP_MS / 1000


class DirectorySource:
    """Delivers a snapshot at first, and then whenever the directory says something else.

    ``name`` is the directory's path, for sentences. ``next_snapshot`` has one caller at a time.
    ``systems`` are the settings' endpoints, name to type; without them, files may select any. ``hide`` takes
    secrets out of what is said of a file.
    """

    def __init__(
        self,
        name: str,
        files: Files,
        hints: Hints,
        parser: Parser,
        clock: Clock,
        *,
        systems: Mapping[str, str] | None = None,
        hide: Callable[[str], str] = str,
    ) -> None:
        self._name = name
        self._files = files
        self._hints = hints
        self._parser = parser
        self._clock = clock
        self._reading = Reading(parser, systems, hide=hide)
        self._begun = False
        self._wake = asyncio.Event()
        self._requested = True
        self._first_hint = math.inf
        self._last_hint = math.inf
        self._rescan_at = math.inf
        self._delivered = ""
        self._asking: list[asyncio.Future[None]] = []
        self._answering: list[asyncio.Future[None]] = []
        self._identity: Identity | None = None
        self._held: frozenset[Key | str] = frozenset()

    async def next_snapshot(self) -> Snapshot:
        """Return the next snapshot that differs from the last, or that was asked for.

        Who calls again has taken the last one in.
        """
        _answer(self._answering)
        if not self._begun:
            self._begun = True
            self._hints.begin(self._hint)
        while True:
            is_early = await self._wait_until_due()
            forced, self._requested = self._requested, False
            asked = len(self._asking)
            snapshot = await self._look(forced=forced)
            is_new = forced or snapshot.digest != self._delivered
            if is_new and is_early:
                self._hint()  # found before its hint came: it has its quiet time all the same
                continue
            self._answering, self._asking = self._asking[:asked], self._asking[asked:]
            if is_new:
                self._delivered = snapshot.digest
                return snapshot
            _answer(self._answering)

    async def catch_up(self) -> None:
        """Return when what a look found that began after this call is taken in."""
        taken_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(taken_in)
        self._wake.set()
        await taken_in

    def request_scan(self) -> None:
        """Read everything again and deliver it even if it is the same; a replaced directory is accepted."""
        self._requested = True
        self._wake.set()

    async def close(self) -> None:
        """End the watcher and the parser."""
        if self._begun:
            self._hints.end()
        await self._parser.close()

    def _hint(self) -> None:
        now = self._clock.monotonic()
        self._first_hint = min(self._first_hint, now)
        self._last_hint = now
        self._wake.set()

    async def _wait_until_due(self) -> bool:
        """Return when it is time to look, and whether only because somebody wants to catch up."""
        while not self._requested:
            quiet = self._last_hint + QUIET_S - _HINT_LAG_S
            due = min(quiet, self._first_hint + LONGEST_S, self._rescan_at)
            if self._clock.monotonic() >= due - _TIMER_S:
                return False
            if self._asking and math.isinf(self._first_hint):
                return True
            await self._wake_at(due)
        return False

    async def _wake_at(self, due: float) -> None:
        """Return when that moment has come, or something has happened."""
        self._wake.clear()
        delay = max(0.0, due - self._clock.monotonic())
        timer = asyncio.get_running_loop().call_later(delay, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _look(self, *, forced: bool) -> Snapshot:
        scan = await self._settled_scan(forced=forced)
        self._rescan_at = self._clock.monotonic() + (LONGEST_S if scan.unsettled else RESCAN_S)
        scan = self._with_unsettled_refused(scan)
        if scan.unreadable is not None:
            return _unreadable(scan.unreadable)
        try:
            snapshot = await self._reading.read(scan)
        except UnreadableError as exc:
            self._rescan_at = self._clock.monotonic() + LONGEST_S
            return _unreadable(str(exc))
        if not snapshot.objects and not snapshot.problems:
            return _unreadable(f"no file in {self._name} declares an object: that says nothing")
        return self._unless_replaced(snapshot, scan.identity, forced=forced)

    async def _settled_scan(self, *, forced: bool) -> Scan:
        """Look until nothing changes meanwhile, a second at most."""
        began = self._clock.monotonic()
        if forced:
            self._files.forget()
        while True:
            self._first_hint = self._last_hint = math.inf  # from here on, hints mean another look
            scan = await self._files.scan(self._reading.known())
            if not scan.unsettled or self._clock.monotonic() - began >= LONGEST_S:
                return scan
            await self._clock.sleep(QUIET_S)

    def _with_unsettled_refused(self, scan: Scan) -> Scan:
        if not scan.unsettled:
            return scan
        log.warning("source.unsettled", root=self._name, files=sorted(scan.unsettled))
        if scan.identity is None:
            return Scan(unreadable=f"{self._name} changes faster than it can be read")
        refused = [RefusedFile(path, "the file is still being written") for path in sorted(scan.unsettled)]
        return replace(
            scan,
            files=tuple(found for found in scan.files if found.path not in scan.unsettled),
            refused=(*(file for file in scan.refused if file.path not in scan.unsettled), *refused),
        )

    def _unless_replaced(self, snapshot: Snapshot, identity: Identity | None, *, forced: bool) -> Snapshot:
        """Accept another directory in place of the one before only if it declares all that that one did.

        What a mount hides or an unmount uncovers says nothing about what is wanted.
        """
        held = _held(snapshot)
        missing = sorted(str(thing) for thing in self._held - held)
        if missing and not forced and identity != self._identity:
            return _unreadable(
                f"{self._name} is another directory than before (replaced, mounted or unmounted) and lacks "
                f"{_some(missing)}; if that is meant: systemctl reload psa-reconciler"
            )
        self._identity, self._held = identity, held
        return snapshot


def open_source(
    root: Path,
    clock: Clock,
    ownership: Ownership,
    systems: Mapping[str, str],
    *,
    hide: Callable[[str], str],
) -> DirectorySource:
    """Return the source of a real directory, with a parser child of its own; files select among *systems*."""
    files, parser = Directory(root, clock, ownership), ChildParser()
    return DirectorySource(str(root), files, DirectoryHints(root), parser, clock, systems=systems, hide=hide)


def _answer(futures: list["asyncio.Future[None]"]) -> None:
    """Let those go on who wait; some have given up."""
    for future in futures:
        if not future.done():
            future.set_result(None)
    futures.clear()


def _held(snapshot: Snapshot) -> frozenset[Key | str]:
    """Return the objects that stand in the files, and the files in which others may stand."""
    objects = {declared.key for declared in snapshot.objects}
    return frozenset({*objects, *snapshot.refused, *snapshot.broken_files})


def _some(things: list[str]) -> str:
    more = len(things) - 1
    return things[0] if not more else f"{things[0]} and {more} more"


def _unreadable(sentence: str) -> Snapshot:
    return Snapshot(unreadable=sentence, digest=digest_of(Scan(unreadable=sentence)))
