"""Server-sent events: what happens, as it happens, for readers that may come back."""

import asyncio
import contextlib
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from aiohttp import web

from crds.meta import Key
from daemon.store.operations import Event
from daemon.store.store import Changed, Store
from daemon.web.answers import Json, Object, event_answer

_HEARTBEAT_S: Final = 15.0
_WRITE_S: Final = 10.0
"""How long a reader may take no byte before it loses the connection."""
_MOST_REPLAYED: Final = 1000
_MOST_BEHIND: Final = 20_000
_AT_ONCE: Final = 100
"""So many objects and so many events go out in one piece: thousands change when the daemon starts."""
_STILL_HERE: Final = b": still here\n\n"


#: An object as the API shows it, None if it is gone.
Show = Callable[[Key], Object | None]


class SlowReaderError(Exception):
    """The reader takes less than what happens."""


class Mailbox:
    """What one reader has not got yet: of each object its newest state, and all events."""

    def __init__(self, store: Store, show: Show) -> None:
        self._store = store
        self._show = show
        self._objects: dict[Key, None] = {}
        self._events: deque[Event] = deque()
        self._replayed: set[tuple[int, int]] = set()
        self._news = asyncio.Event()
        self._closed = False

    def hear(self, changes: Sequence[Changed], events: Sequence[Event]) -> None:
        """Take note of a commit. Objects are looked up only when they are sent, so they need no room."""
        self._objects.update((change.key, None) for change in changes)
        self._events.extend(event for event in events if (event.id, event.count) not in self._replayed)
        self._news.set()

    def replay(self, after: int) -> None:
        """Send again what happened since the event *after*."""
        missed = self._store.events(None, after=after, limit=_MOST_REPLAYED)
        # A commit under way may be on disk already and be heard of only after this.
        self._replayed = {(event.id, event.count) for event in missed}
        self._events.extend(missed)
        self._news.set()

    def close(self) -> None:
        """End the stream."""
        self._closed = True
        self._news.set()

    async def frames(self) -> bytes | None:
        """Return what to send next, a sign of life after a while without news, None at the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEARTBEAT_S):
                await self._news.wait()
        if self._closed:
            return None
        if len(self._events) > _MOST_BEHIND:
            raise SlowReaderError
        frames = b"".join(self._taken())
        if not self._objects and not self._events:
            self._news.clear()
        return frames or _STILL_HERE

    def _taken(self) -> Iterator[bytes]:
        for key in tuple(itertools.islice(self._objects, _AT_ONCE)):
            del self._objects[key]
            shown = self._show(key)
            if shown is not None:
                yield _frame("object", shown)
        for _ in range(min(len(self._events), _AT_ONCE)):
            event = self._events.popleft()
            yield _frame("event", event_answer(event), event.id)


class Streams:
    """All readers that are connected."""

    def __init__(self, store: Store, show: Show) -> None:
        self._store = store
        self._show = show
        self._open: set[Mailbox] = set()

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """End all streams, so that nobody holds up the end of the daemon."""
        for mailbox in self._open:
            mailbox.close()

    async def serve(self, request: web.Request, after: int | None) -> web.StreamResponse:
        """Send what happens until the reader goes; *after* is the event that it saw last, if it was here."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        # Listening begins before the reader knows that it is connected: it may look at everything then.
        with self._mailbox() as mailbox:
            if after is not None:
                mailbox.replay(after)
            await response.prepare(request)
            try:
                while (frames := await mailbox.frames()) is not None:
                    async with asyncio.timeout(_WRITE_S):
                        await response.write(frames)
            except (TimeoutError, SlowReaderError):
                # No polite end: that would wait for the reader, too.
                if request.transport is not None:
                    request.transport.abort()
            except ConnectionResetError:
                pass
        return response

    @contextlib.contextmanager
    def _mailbox(self) -> Iterator[Mailbox]:
        mailbox = Mailbox(self._store, self._show)
        stop = self._store.listen(mailbox.hear)
        self._open.add(mailbox)
        try:
            yield mailbox
        finally:
            stop()
            self._open.discard(mailbox)


def _frame(name: str, answer: Json, number: int | None = None) -> bytes:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: {json.dumps(answer)}\n\n".encode()
