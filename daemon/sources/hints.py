"""Hints that the directory changed: inotify through watchfiles, in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import structlog
import watchfiles

log = structlog.stdlib.get_logger()

#: How long a change must be over before watchfiles tells of it, and how often it looks, in ms.
STEP_MS: Final = 5
_CHECK_MS: Final = 250
_AFTER_ERROR_S: Final = 5.0

Hint = Callable[[], None]


class Hints(Protocol):
    """Something that says when to look. A hint may be missing: whoever needs the truth looks now and then."""

    def begin(self, hint: Hint) -> None:
        """Call *hint* in the running loop whenever something may have changed."""
        ...

    def end(self) -> None:
        """Call it no more."""
        ...


class DirectoryHints:
    """Watches a directory that need not exist yet, and another one if it is replaced."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, hint: Hint) -> None:
        """Start the thread."""
        arguments = (asyncio.get_running_loop(), hint)
        self._thread = threading.Thread(target=self._run, args=arguments, name="source-hints", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop the thread, which takes some milliseconds."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop, hint: Hint) -> None:
        def tell() -> None:
            try:
                loop.call_soon_threadsafe(hint)
            except RuntimeError:  # the loop was closed without a word
                self._stop.set()

        said = ""
        while not self._stop.is_set():
            try:
                self._watch(tell)
                pause_s = _CHECK_MS / 1000
            except (OSError, RuntimeError) as exc:  # watchfiles' own error is a RuntimeError
                pause_s = _AFTER_ERROR_S
                tell()  # it may have missed some
                if str(exc) != said:
                    said = str(exc)
                    log.warning("source.unwatched", root=str(self._root), error=said)
            self._stop.wait(pause_s)

    def _watch(self, tell: Hint) -> None:
        """Watch the directory that is there now until it is another one."""
        watched = self._identity()
        if watched is None:
            return
        armed = False
        for changes in watchfiles.watch(
            self._root,
            watch_filter=None,
            debounce=STEP_MS,
            step=STEP_MS,
            stop_event=self._stop,
            rust_timeout=_CHECK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            another = self._identity() != watched
            if changes or another or not armed:
                tell()
            armed = True  # what changed before the watch was set went unseen
            if another:
                return

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._root.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
