"""Changes as they come, across restarts of the daemon."""

import time
from collections.abc import Iterator
from typing import Final

from daemon.cli.client import DaemonClient, Frame, Stream
from daemon.cli.failures import UnreachableError
from daemon.cli.screen import Tone
from daemon.cli.session import Session

_PAUSE_S: Final = 1.0
"""How long to wait before the next attempt to reach a daemon that went away."""

#: What comes first after each connection: look at everything anew, changes may have been missed.
CONNECTED: Final = Frame("connected", None)


def follow(session: Session, after: int = 0, deadline: float | None = None) -> Iterator[Frame]:
    """Yield CONNECTED, then frames; again CONNECTED after a break. Return at *deadline* (monotonic).

    Events that happened in a break come again, because the stream is asked to go on after the last one.
    Raises UnreachableError only if the daemon cannot be reached at first.
    """
    stream: Stream | None = session.client.stream(after, deadline)
    while stream is not None:
        try:
            with stream:
                yield CONNECTED
                for frame in stream:
                    after = max(after, frame.id or 0)
                    yield frame
                return
        except UnreachableError as exc:
            lost = exc.message
        session.say(Tone.BUSY, f"{lost}; trying again")
        stream = _reconnected(session.client, after, deadline)


def _reconnected(client: DaemonClient, after: int, deadline: float | None) -> Stream | None:
    while deadline is None or time.monotonic() < deadline:
        try:
            return client.stream(after, deadline)
        except UnreachableError:
            left = _PAUSE_S if deadline is None else max(deadline - time.monotonic(), 0.0)
        time.sleep(min(_PAUSE_S, left))
    return None
