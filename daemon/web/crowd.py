"""Who is connected: so many at most, for who has all descriptors keeps the daemon from its own work."""

import asyncio
from collections import Counter


class Crowd:
    """Open connections. One too many closes the oldest of the sender that has most; used by the loop only.

    Newcomers are not turned away: somebody who holds all places would keep Prometheus and Alertmanager out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[asyncio.Transport, str] = {}

    def admit(self, transport: asyncio.Transport) -> None:
        """Count a new connection, and make room for it."""
        if len(self._open) >= self._most:
            self._open = {each: host for each, host in self._open.items() if not each.is_closing()}
        if len(self._open) >= self._most:
            self._close_one()
        self._open[transport] = _host(transport)

    def _close_one(self) -> None:
        ((crowded, _),) = Counter(self._open.values()).most_common(1)
        oldest = next(each for each, host in self._open.items() if host == crowded)
        del self._open[oldest]
        oldest.abort()


def _host(transport: asyncio.Transport) -> str:
    """Return who is at the other end; empty where he has gone already."""
    found = transport.get_extra_info("peername")
    return str(found[0]) if found else ""
