"""Messages that wait to be written: who waits for them, and how many may."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from daemon.web.alert_decision import Decision
from daemon.web.alert_message import Message

MOST_WAITING: Final = 5_000
"""Alerts that may wait in a lane; more are sent away and come again."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes of messages that may wait in a lane: some alerts are large."""


class NotTakenError(Exception):
    """Nothing of the message was kept: it is to be sent again."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """A message of *size* bytes, who sent it, and who waits to hear what became of its alerts."""

    message: Message
    actor: str
    size: int
    taken: "asyncio.Future[tuple[Decision, ...]]"

    def answer(self, decisions: tuple[Decision, ...]) -> None:
        """Tell who waits that all is written."""
        if not self.taken.done():
            self.taken.set_result(decisions)

    def give_back(self, error: Exception) -> None:
        """Tell who waits that nothing was kept."""
        if not self.taken.done():
            self.taken.set_exception(error)


class Lane:
    """Letters in the order of their arrival; its room is counted in alerts and in bytes."""

    def __init__(self) -> None:
        self._letters: deque[Letter] = deque()
        self._alerts = self._bytes = 0

    def put(self, letter: Letter) -> bool:
        """Take a letter in, unless the lane is full."""
        if self._alerts >= MOST_WAITING or self._bytes >= MOST_BYTES:
            return False
        self._letters.append(letter)
        self._alerts += len(letter.message.alerts)
        self._bytes += letter.size
        return True

    def take(self, room: int) -> Iterator[Letter]:
        """Yield letters until they have *room* alerts."""
        while self._letters and room > 0:
            letter = self._letters.popleft()
            self._alerts -= len(letter.message.alerts)
            self._bytes -= letter.size
            room -= len(letter.message.alerts)
            yield letter
