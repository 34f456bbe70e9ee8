"""Somebody who looks at HAProxy all the time, independently of the daemon."""

import threading
import time
from collections.abc import Mapping
from typing import Final

from lab.haproxy import LabHaproxy

_PAUSE_S: Final = 0.001
_MAINT, _DRAIN = 0x01, 0x08


def shares(haproxy: LabHaproxy, color: str) -> Mapping[str, int]:
    """Return a colour's weight for new clients in each backend."""
    rows = [line.split() for line in haproxy.ask("show servers state").splitlines()[2:] if line.strip()]
    # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
    return {row[1]: int(row[7]) * (not int(row[6]) & (_MAINT | _DRAIN)) for row in rows if row[3] == color}


class Poller(threading.Thread):
    """Looks until a colour has traffic nowhere, after it had some everywhere."""

    def __init__(self, haproxy: LabHaproxy, color: str) -> None:
        super().__init__(daemon=True)
        self._haproxy = haproxy
        self._color = color
        self._over = threading.Event()
        self.had_traffic = threading.Event()
        self.closed_at: float | None = None
        """Wall time of the first look that found it closed everywhere."""

    def run(self) -> None:
        while not self._over.wait(_PAUSE_S):
            found = shares(self._haproxy, self._color)
            if found and all(found.values()):
                self.had_traffic.set()
            elif self.had_traffic.is_set() and not any(found.values()):
                self.closed_at = time.time()
                return

    def end(self) -> float:
        """Return when it was closed; RuntimeError if that was not seen."""
        self._over.set()
        self.join()
        if self.closed_at is None:
            raise RuntimeError(f"{self._color} was not seen closed")
        return self.closed_at
