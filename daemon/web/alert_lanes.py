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


class NotTakenError(Exception):
    """Nothing of the message was kept: it is to be sent again."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """A message, who sent it, and who waits to hear what became of its alerts."""

    message: Message
    actor: str
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
    """Letters in the order of their arrival; its room is counted in alerts."""

    def __init__(self) -> None:
        self._letters: deque[Letter] = deque()
        self._alerts = 0

    def put(self, letter: Letter) -> bool:
        """Take a letter in, unless the lane is full."""
        if self._alerts >= MOST_WAITING:
            return False
        self._letters.append(letter)
        self._alerts += len(letter.message.alerts)
        return True

    def take(self, room: int) -> Iterator[Letter]:
        """Yield letters until they have *room* alerts."""
        while self._letters and room > 0:
            letter = self._letters.popleft()
            self._alerts -= len(letter.message.alerts)
            room -= len(letter.message.alerts)
            yield letter
