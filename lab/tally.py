"""What users saw: every request counted, who served it, and when the bad answers came."""

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

#: Service, colour and version of who gave an answer.
Who = tuple[str, str, str]
#: HAProxy's own answers, and requests without one.
NOBODY: Final[Who] = ("?", "?", "?")
_BAD: Final = 500
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Bad:
    """A request that failed: ``at_s`` after the start a user saw ``what``, a status or a reason."""

    at_s: float
    what: str
    by: Who


@dataclass(slots=True)
class Second:
    """What was seen in one second."""

    answered: int = 0
    failed: int = 0
    slowest_ms: float = 0.0
    served_by: Counter[Who] = field(default_factory=Counter)


@dataclass(slots=True)
class Tally:
    """What users saw. ``sent`` is the sum of all answers, all failures and what is still under way."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    """Requests without an answer, by reason: refused, cut off, timed out, no HTTP, no connection free."""
    retried: int = 0
    """Requests sent once more, as browsers do: a kept connection was closed before it answered anything."""
    served_by: Counter[Who] = field(default_factory=Counter)
    """Good answers by who gave them."""
    failed_by: Counter[tuple[Who, str]] = field(default_factory=Counter)
    """Failed requests by who failed and what was seen."""
    first_bad: Bad | None = None
    last_bad: Bad | None = None
    seconds: dict[int, Second] = field(default_factory=dict)
    """By whole seconds since the start; seconds without any answer are left out."""
    milliseconds: "array[float]" = field(default_factory=lambda: array("d"))
    """Time from when a request was due to its whole answer."""
    percentiles: Mapping[str, float] = field(default_factory=dict)
    """Latency in ms by name, p50, p95, p99, where the single times are not known."""

    def answer(self, status: int, who: Who, *, at_s: float, took_s: float) -> None:
        """Count one answer that came *at_s* after the start, *took_s* after its request was due."""
        self.statuses[status] += 1
        self.milliseconds.append(took_s * 1000)
        second = self._second(at_s)
        second.answered += 1
        second.slowest_ms = max(second.slowest_ms, took_s * 1000)
        if status < _BAD:
            self.served_by[who] += 1
            second.served_by[who] += 1
        else:
            self._bad(Bad(at_s, str(status), who))

    def fail(self, reason: str, *, at_s: float) -> None:
        """Count one request that got no answer, which was known *at_s* after the start."""
        self.failures[reason] += 1
        self._bad(Bad(at_s, reason, NOBODY))

    @property
    def failed(self) -> int:
        """Requests without an answer or with a status of 500 and above."""
        return self.failed_by.total()

    @property
    def answered(self) -> int:
        """Requests that got any answer."""
        return self.statuses.total()

    def percentile(self, share: float) -> float | None:
        """Return the latency that *share* of the answers did not exceed, in ms; None without answers."""
        ordered = sorted(self.milliseconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None

    def as_data(self, started: datetime, *, series: bool = False) -> dict[str, object]:
        """Return all counts as JSON data; *started* is when the first request was due."""
        data: dict[str, object] = {
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "retried": self.retried,
            "failures": dict(sorted(self.failures.items())),
            "servedBy": [_named(who) | {"count": n} for who, n in sorted(self.served_by.items())],
            "failedBy": [
                _named(who) | {"what": what, "count": n} for (who, what), n in sorted(self.failed_by.items())
            ],
            "startedAt": _instant(started),
            "firstBad": _shown(self.first_bad, started),
            "lastBad": _shown(self.last_bad, started),
            "latencyMs": self._latency(),
        }
        return data | ({"series": self._series()} if series else {})

    def table(self, started: datetime) -> str:
        """Return the same for people."""
        lines = [f"{self.sent} requests, {self.answered} answered, {self.failed} failed"]
        lines += [f"  status {code:<28}{count:>8}" for code, count in sorted(self.statuses.items())]
        lines += [f"  {reason:35}{count:>8}" for reason, count in sorted(self.failures.items())]
        lines += [f"  {' '.join(who):35}{count:>8}" for who, count in sorted(self.served_by.items())]
        for (who, what), count in sorted(self.failed_by.items()):
            lines.append(f"  {f'{_worded(who)}: {what}':35}{count:>8}  failed")
        for word, bad in (("first", self.first_bad), ("last", self.last_bad)):
            if bad is not None:
                instant = _instant(started + timedelta(seconds=bad.at_s))
                lines.append(
                    f"  {word} bad answer after {bad.at_s:.2f} s, {instant}: {_worded(bad.by)}: {bad.what}"
                )
        shown = [f"{name} {value:.1f} ms" for name, value in self._latency().items() if value is not None]
        return "\n".join([*lines, *([f"  latency {', '.join(shown)}"] if shown else [])])

    def _latency(self) -> dict[str, float | None]:
        return {name: self.percentiles.get(name, self.percentile(share)) for name, share in _SHARES.items()}

    def _bad(self, bad: Bad) -> None:
        self.failed_by[bad.by, bad.what] += 1
        self._second(bad.at_s).failed += 1
        self.first_bad = self.first_bad or bad
        self.last_bad = bad

    def _second(self, at_s: float) -> Second:
        return self.seconds.setdefault(int(at_s), Second())

    def _series(self) -> list[dict[str, object]]:
        return [
            {
                "second": number,
                "answered": second.answered,
                "failed": second.failed,
                "slowestMs": second.slowest_ms,
                "servedBy": {" ".join(who): count for who, count in sorted(second.served_by.items())},
            }
            for number, second in sorted(self.seconds.items())
        ]


def who_served(head: bytes) -> Who:
    """Return who names itself in an answer's head (lower case)."""
    words = head.partition(b"\r\nx-served-by: ")[2].partition(b"\r\n")[0].decode("latin-1").split(" ")
    return (words[0], words[1], words[2]) if len(words) == len(NOBODY) else NOBODY


def _named(who: Who) -> dict[str, object]:
    service, color, version = who
    return {"service": service, "color": color, "version": version}


def _worded(who: Who) -> str:
    return "no application" if who == NOBODY else " ".join(who)


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _shown(bad: Bad | None, started: datetime) -> dict[str, object] | None:
    if bad is None:
        return None
    at = _instant(started + timedelta(seconds=bad.at_s))
    return {"at": at, "afterS": round(bad.at_s, 3), "what": bad.what} | _named(bad.by)
