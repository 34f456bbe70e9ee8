"""The database that all simulated services share: it refuses, is slow, or has no connection left."""

from collections import Counter

from lab.app_faults import DatabaseFault


class Database:
    """Connections of all containers together. A request borrows one for no time, unless its version leaks."""

    def __init__(self) -> None:
        self.fault = DatabaseFault()
        self._kept: Counter[int] = Counter()

    @property
    def kept(self) -> int:
        """Connections that leaking containers hold."""
        return self._kept.total()

    @property
    def is_troubled(self) -> bool:
        """Whether some request may notice something."""
        return self.fault.down or self.fault.latency > 0 or self.kept >= self.fault.connections

    def refusal(self, service: str) -> str | None:
        """Return why a request of *service* gets no connection, None if it gets one."""
        if self.fault.down and self._concerns(service):
            return "database: connection refused"
        if self.kept >= self.fault.connections:
            return f"database: sorry, too many clients already ({self.kept} of {self.fault.connections})"
        return None

    def delay_s(self, service: str) -> float:
        """Return how long a request of *service* waits for an answer."""
        return self.fault.latency if self._concerns(service) else 0.0

    def keep(self, ctid: int) -> None:
        """Let a container hold one connection more until its end."""
        self._kept[ctid] += 1

    def give_back(self, ctid: int) -> None:
        """Take back all that a container held: its end closes its connections."""
        self._kept.pop(ctid, None)

    def give_back_all(self) -> None:
        """Take back what any container held, as after a restart of the database."""
        self._kept.clear()

    def _concerns(self, service: str) -> bool:
        return not self.fault.services or service in self.fault.services
