"""One request begins a turn of the loop, so that a crowd of them delays nothing else by more than one."""

import asyncio
from collections import deque


class Turns:
    """Requests that are ready to be answered, first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Return when it is the caller's turn; nobody else's begins in the same turn of the loop."""
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.append(mine)
        if len(self._waiting) == 1:
            loop.call_soon(self._next)
        await mine

    def _next(self) -> None:
        mine = self._waiting[0]
        if not mine.done():  # else its sender has gone
            mine.set_result(None)
        self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
