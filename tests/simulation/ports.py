"""Time, chance and disk of the simulator: virtual, seeded, in memory."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime

from tests.builders import START


class VirtualClock:
    """Wall and monotonic time both follow the virtual loop."""

    jumped_s = 0.0
    """How far somebody has set the wall clock."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(START.timestamp() + self.monotonic() + self.jumped_s, UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SeededRandom:
    """The same chance for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - chance that repeats, not a secret

    def fraction(self) -> float:
        return self._random.random()

    def uid(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


class InlineExecutor:
    """Writes happen right here, so that virtual time does not wait for a thread."""

    async def run(self, call: Callable[[], None]) -> None:
        call()

    def close(self) -> None:
        pass
