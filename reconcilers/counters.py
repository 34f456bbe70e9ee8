"""What HAProxy has counted for the servers of a backend: pure.

Measured with 2.6.12, what one request adds to the row of its server (``tests/contract`` repeats it)::

    answered in whole, a 404 too                     req_tot 1
    answered 5xx                                     req_tot 1, hrsp_5xx 1
    connection refused, or not made in time          econ 1, wretr 3
    the same, and another server took it             wredis 1
    no answer in time, garbage, closed               eresp 1
    reset before an answer                           eresp 2
    body that breaks off                             req_tot 1, eresp 1
    body that stands still until a time-out          req_tot 1
    client gone: as if it were there                 cli_abrt 1 more
    websocket, whoever ends it, unless it is reset   req_tot 1
    103 or 100 before the answer                     req_tot 1 more
    no server is UP, or none is free in time         nothing
    a client's later request on an HTTP/1 connection, closed without an answer: nothing, and no line in the
    log either, since that client has to try again; reset: eresp 1

Only ``stot``, one for each attempt, tells of the last: ``vanished``.
"""

from dataclasses import dataclass

from reconcilers.servers import Health


@dataclass(frozen=True, slots=True)
class Counters:
    """What one server of one process has counted since that process began, and what it holds now."""

    requests: int
    """Requests that got an answer, or its beginning (req_tot)."""
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
    attempts: int = 0
    """Times that a request was sent to it (stot), each retry is one more."""
    client_aborts: int = 0
    """Requests whose client went away before the end (cli_abrt)."""
    answers_1xx: int = 0
    answers_2xx: int = 0
    answers_3xx: int = 0
    answers_4xx: int = 0

    @property
    def total(self) -> int:
        """Requests that were sent to it, or should have been. Never falls in the life of a process.

        What broke off within its body counts twice, which halves a share of errors near 100 % and hides none.
        """
        return self.requests + self.refused + self.broken

    @property
    def errors(self) -> int:
        """Requests whose user saw, or would have seen, an error of this server's. Never falls either.

        A reset before the answer, and a 5xx that breaks off, count twice.
        """
        return self.errors_5xx + self.refused + self.broken

    @property
    def vanished(self) -> int:
        """Requests that ended without an answer and without another trace: at least so many.

        It can fall by what was being answered at that moment, so the highest of a process is the best that
        is known. 0 if HAProxy sends failed requests again by itself (``retry-on``), which it counts twice.
        """
        ended = self.attempts - self.retries - self.redispatches - self.sessions
        return max(0, ended - self.total - self.client_aborts)


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
