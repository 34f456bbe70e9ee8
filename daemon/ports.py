"""Time and chance as the daemon sees them; tests bring their own."""

import asyncio
import random
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for people and stamps, monotonic time for durations."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""
        ...


class Random(Protocol):
    """Jitter and identities."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def uid(self) -> str:
        """Return 32 hex digits that nothing else has."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemRandom:
    """The machine's chance."""

    def fraction(self) -> float:
        return random.random()  # noqa: S311 - jitter, not a secret

    def uid(self) -> str:
        return uuid.uuid4().hex
