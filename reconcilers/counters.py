"""What HAProxy has counted for the servers of a backend: pure."""

from dataclasses import dataclass

from reconcilers.servers import Health


@dataclass(frozen=True, slots=True)
class Counters:
    """What one server of one process has counted since that process began, and what it holds now.

    ``requests`` (req_tot) have not the refused ones among them, so the total is ``requests + refused``.
    """

    requests: int
    errors_5xx: int
    """Answers 5xx (hrsp_5xx)."""
    refused: int
    """Connections that were not made (econ): refused, reset, timed out."""
    broken: int
    """Answers that were none, or broke off (eresp)."""
    retries: int
    """Attempts made again on the same server (wretr)."""
    redispatches: int
    """Requests that went to another server because this one failed (wredis)."""
    sessions: int
    """Requests that it holds now (scur)."""
    queued: int
    """Requests that wait for it now (qcur)."""

    @property
    def total(self) -> int:
        """Requests that were sent to it, or should have been."""
        return self.requests + self.refused

    @property
    def errors(self) -> int:
        """Requests whose user saw, or would have seen, an error of this server's."""
        return self.errors_5xx + self.refused + self.broken


@dataclass(frozen=True, slots=True)
class CountedServer:
    """One server with its counters; ``health`` as HAProxy sees it."""

    name: str
    health: Health
    counters: Counters


@dataclass(frozen=True, slots=True)
class CountedNode:
    """One backend's counters on one process; another ``pid`` means that they began again at 0."""

    name: str
    socket: str
    pid: int
    servers: tuple[CountedServer, ...]

    def find(self, name: str) -> CountedServer | None:
        """Return the server of that name, None if there is none."""
        return next((server for server in self.servers if server.name == name), None)
