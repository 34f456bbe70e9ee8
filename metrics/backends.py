"""What HAProxy's servers answered, at all times: requests, errors, and failures that are no error there."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

CODE_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
HIDDEN: Final = ("retry", "redispatch", "vanished")
WINDOW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What one process has counted for one server since it began: it only grows, ``vanished`` apart."""

    pid: int
    codes: tuple[int, int, int, int, int]
    """Answers by their class, 1xx first."""
    total: int
    errors: int
    retries: int
    redispatches: int
    vanished: int
    """Requests that ended without an answer or another trace: at least so many."""

    def since(self, old: "Reading | None") -> "Reading":
        """Return what came after *old*; nothing without one, all after a reload or ``clear counters``."""
        if old is None:
            old = self
        elif old.pid != self.pid or self.total < old.total or self.errors < old.errors:
            return self
        codes = [max(0, new - before) for new, before in zip(self.codes, old.codes, strict=True)]
        return Reading(
            pid=self.pid,
            codes=(codes[0], codes[1], codes[2], codes[3], codes[4]),
            total=self.total - old.total,
            errors=self.errors - old.errors,
            retries=max(0, self.retries - old.retries),
            redispatches=max(0, self.redispatches - old.redispatches),
            vanished=max(0, self.vanished - old.vanished),
        )

    def after(self, old: "Reading | None") -> "Reading":
        """Return it as the begin of the next difference: of what vanished the most that was seen counts."""
        if old is None or old.pid != self.pid or self.total < old.total:
            return self
        return replace(self, vanished=max(self.vanished, old.vanished))


@dataclass(slots=True)
class _Backend:
    """One backend's last readings by node and server, and the last minute of each server."""

    readings: dict[tuple[str, str], Reading] = field(default_factory=dict)
    minutes: dict[str, deque[tuple[float, int, int]]] = field(default_factory=dict)


class BackendMetrics:
    """All families of backends, in a registry of the caller's. Series go with their server or backend."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where = ["endpoint", "backend", "server"]
        self._requests = Counter(
            "psa_backend_requests",
            "Answers of a server by the class of their code, as HAProxy counted them",
            [*where, "code_class"],
            registry=registry,
        )
        self._errors = Counter(
            "psa_backend_errors",
            "Requests that failed at a server: answered 5xx, refused, or not answered in whole",
            where,
            registry=registry,
        )
        self._hidden = Counter(
            "psa_backend_hidden_failures",
            "Failures that are in no error count: sent again, sent elsewhere, ended without an answer",
            [*where, "kind"],
            registry=registry,
        )
        self._ratio = Gauge(
            "psa_backend_error_ratio",
            "Part of the last minute's requests that failed; NaN without requests",
            where,
            registry=registry,
        )
        self._backends: dict[tuple[str, str], _Backend] = {}

    def counted(
        self, endpoint: str, backend: str, readings: Mapping[tuple[str, str], Reading], at: float
    ) -> None:
        """Take what all nodes that answered have counted, by node and server; *at* is monotonic seconds.

        A server that none of them has loses its series. What a node counts while it is away comes later.
        """
        known = self._backends.setdefault((endpoint, backend), _Backend())
        servers = {server for _, server in readings}
        for gone in set(known.minutes) - servers:
            self._remove(endpoint, backend, gone)
            del known.minutes[gone]
        known.readings = {key: old for key, old in known.readings.items() if key[1] in servers}
        for server in servers - set(known.minutes):
            known.minutes[server] = deque()
            self._begin(endpoint, backend, server)
        for key, reading in readings.items():
            old = known.readings.get(key)
            known.readings[key] = reading.after(old)
            more, minute = reading.since(old), known.minutes[key[1]]
            self._add((endpoint, backend, key[1]), more)
            if more.total or more.errors:
                minute.append((at, more.total, more.errors))
        for server, minute in known.minutes.items():
            self._ratio.labels(endpoint, backend, server).set(_ratio(minute, at))

    def unseen(self, endpoint: str, backend: str) -> None:
        """No node answered: how many fail now is not known."""
        known = self._backends.get((endpoint, backend), _Backend())
        for server in known.minutes:
            self._ratio.labels(endpoint, backend, server).set(math.nan)

    def forget(self, endpoint: str, backend: str) -> None:
        """Remove the series of a backend."""
        for server in self._backends.pop((endpoint, backend), _Backend()).minutes:
            self._remove(endpoint, backend, server)

    def _begin(self, *where: str) -> None:
        for code_class in CODE_CLASSES:
            self._requests.labels(*where, code_class)
        for kind in HIDDEN:
            self._hidden.labels(*where, kind)
        self._errors.labels(*where)

    def _add(self, where: tuple[str, str, str], more: Reading) -> None:
        for code_class, number in zip(CODE_CLASSES, more.codes, strict=True):
            self._requests.labels(*where, code_class).inc(number)
        hidden = (more.retries, more.redispatches, more.vanished)
        for kind, number in zip(HIDDEN, hidden, strict=True):
            self._hidden.labels(*where, kind).inc(number)
        self._errors.labels(*where).inc(more.errors)

    def _remove(self, *where: str) -> None:
        for code_class in CODE_CLASSES:
            self._requests.remove(*where, code_class)
        for kind in HIDDEN:
            self._hidden.remove(*where, kind)
        self._errors.remove(*where)
        self._ratio.remove(*where)


def _ratio(minute: deque[tuple[float, int, int]], at: float) -> float:
    """Forget what is older than a minute and return the rest's share of errors."""
    while minute and at - minute[0][0] >= WINDOW_S:
        minute.popleft()
    total = sum(each[1] for each in minute)
    errors = sum(each[2] for each in minute)
    return errors / max(total, errors) if total or errors else math.nan
