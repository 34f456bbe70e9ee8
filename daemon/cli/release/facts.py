"""A release as the daemon's JSON tells it, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from daemon.cli.facts import Thing, thing
from daemon.cli.release.phases import BROKEN, ENDED, PREPARING, Phase
from daemon.cli.spans import seconds_in
from daemon.cli.values import instant, line, number, optional

_PERCENTILES: Final = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing moves forward; ``exit`` is what happens at ``until``: rollback, resume or stay."""

    reason: str
    message: str
    since: datetime | None
    by: str
    until: datetime | None
    exit: str


@dataclass(frozen=True, slots=True)
class Part:
    """One service of an attempt; the stable colour is None where nothing was live before."""

    service: str
    candidate: str
    stable: str | None
    stable_version: str | None
    is_entry: bool


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check or hook."""

    name: str
    passed: bool
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run at a version."""

    number: int
    version: str
    parts: tuple[Part, ...]
    phase: Phase
    began_at: datetime
    entered_at: datetime
    step: int
    step_at: datetime | None
    promoted_at: datetime | None
    ended_at: datetime | None
    hold: Hold | None
    checks: tuple[Check, ...]
    reason: str | None
    message: str
    trigger: str | None
    first_bad_at: datetime | None
    decided_at: datetime | None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.phase not in ENDED

    @property
    def is_broken(self) -> bool:
        """Whether it failed, or is or was rolled back."""
        return self.phase in BROKEN

    @property
    def is_before_traffic(self) -> bool:
        """Whether users have not seen anything of it."""
        return self.phase is Phase.PENDING or self.phase in PREPARING

    @property
    def entries(self) -> tuple[Part, ...]:
        """The services that users reach, all of them where none stands behind a balancer."""
        return tuple(part for part in self.parts if part.is_entry) or self.parts

    @property
    def has_stable(self) -> bool:
        """Whether there is a way back."""
        return all(part.stable is not None for part in self.entries)

    @property
    def old_version(self) -> str:
        """Versions that were live before, empty at a first release."""
        return ", ".join(sorted({part.stable_version for part in self.parts if part.stable_version}))

    @property
    def old(self) -> str:
        """What was live before, in a sentence."""
        return "the old versions" if ", " in self.old_version else self.old_version

    @property
    def versions(self) -> str:
        """``old → new``."""
        return (
            f"{self.old_version} → {self.version}" if self.old_version else f"{self.version} (first release)"
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """One entry's figures of the last second. ``rate`` is the candidate's requests per second, 0 for unknown.

    ``watched_s`` is how long it was really watched.
    """

    requests: int
    errors: int
    stable_requests: int
    stable_errors: int
    evidence: float
    needed: float
    missing: int | None
    milliseconds: Mapping[str, float]
    asked: int
    observed: int | None
    says: str
    rate: float
    watched_s: float

    @property
    def ratio(self) -> float:
        """Share of the candidate's requests that failed."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def strength(self) -> float:
        """Evidence as a share of what is needed, 0 to 1."""
        return min(max(self.evidence / self.needed, 0.0), 1.0) if self.needed > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate is at: well, broken or unknown; ``says`` has value, limit and sample of ``read_at``."""

    state: str
    says: str
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A version that is not tried again by itself."""

    version: str
    attempt: int
    reason: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked of the release; ``answer`` is None while it is open."""

    id: int
    verb: str
    actor: str
    at: datetime | None
    reason: str
    accepted: bool
    answer: str | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the file asks for; ``limits_ms`` are those of the response time. Seconds, shares of 1."""

    version: str
    split: tuple[int, ...]
    watch_s: float
    longest_watch_s: float
    soak_s: float
    drain_s: float
    is_manual: bool
    limit: float
    method: str
    limits_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Release:
    """A release; ``attempts`` are all that are known, the newest first, and the first one may be running.

    ``held_s`` are the seconds of the running phase that do not count, ``soaked_s`` those of the soak that do.
    """

    thing: Thing
    wish: Wish
    attempts: tuple[Attempt, ...]
    quarantine: tuple[Quarantine, ...]
    visible: str
    figures: Mapping[str, Figures]
    gates: Mapping[str, Gate]
    requests: tuple[Request, ...]
    held_s: float
    soaked_s: float

    @property
    def name(self) -> str:
        """The release's name."""
        return self.thing.name

    @property
    def attempt(self) -> Attempt | None:
        """The running attempt, or the last one."""
        return self.attempts[0] if self.attempts else None

    def quarantined(self, version: str) -> Quarantine | None:
        """Return why that version is not tried again, None if it may be."""
        return next((each for each in self.quarantine if each.version == version), None)

    def request(self, number: int) -> Request | None:
        """Return the request of that number, None if it is not known (any more)."""
        return next((each for each in self.requests if each.id == number), None)


def release(raw: Any) -> Release:
    """Parse a release."""
    status, memo = raw["status"], raw.get("memo") or {}
    last = status.get("attempt")
    found = ([last] if last else []) + list(status.get("history", []))
    attempts = {attempt.number: attempt for attempt in map(_attempt, reversed(found))}
    newest = tuple(attempts[number] for number in sorted(attempts, reverse=True))
    is_of_now = bool(newest) and memo.get("attempt") == newest[0].number
    return Release(
        thing=thing(raw),
        wish=_wish(raw["spec"]),
        attempts=newest,
        quarantine=tuple(_quarantine(each) for each in status.get("quarantine", [])),
        visible=line(status.get("visible", "")),
        figures=_figures(memo) if is_of_now else {},
        gates=_gates(memo) if is_of_now and newest[0].is_running else {},
        requests=tuple(_request(each) for each in raw["metadata"].get("requests", [])),
        held_s=float(memo.get("heldS", 0.0)) if is_of_now else 0.0,
        soaked_s=float(memo.get("soakedS", 0.0)) if is_of_now else 0.0,
    )


def attempts_as_told(raw: Any) -> list[Any]:
    """Return the JSON of all attempts, the newest first, each once."""
    status = raw["status"]
    found = [*([status["attempt"]] if status.get("attempt") else []), *status.get("history", [])]
    by_number = {each["number"]: each for each in reversed(found)}
    return [by_number[each] for each in sorted(by_number, reverse=True)]


def _wish(spec: Any) -> Wish:
    watch_s = seconds_in(spec["watch"])
    limits = spec["responseTime"]
    return Wish(
        version=line(spec["version"]),
        split=tuple(int(step) for step in spec["split"]),
        watch_s=watch_s,
        # the model's own default, crds.release.ReleaseSpec.longest_watch
        longest_watch_s=seconds_in(spec["watchMax"]) if "watchMax" in spec else 3 * watch_s,
        soak_s=seconds_in(spec["soak"]),
        drain_s=seconds_in(spec["drain"]),
        is_manual=spec["promotion"] == "manual",
        limit=float(spec["errorRate"]["limit"].removesuffix("%")) / 100,
        method=line(spec["errorRate"]["method"]),
        limits_ms={name: seconds_in(limits[name]) * 1000 for name in _PERCENTILES if name in limits},
    )


def _attempt(raw: Any) -> Attempt:
    hold = raw.get("hold")
    began, entered = instant(raw["beganAt"]), instant(raw["enteredAt"])
    if began is None or entered is None:
        raise ValueError("an attempt without its times")
    return Attempt(
        number=int(raw["number"]),
        version=line(raw["version"]),
        parts=tuple(_part(name, each) for name, each in raw["members"].items()),
        phase=Phase(raw["phase"]),
        began_at=began,
        entered_at=entered,
        step=int(raw["step"]),
        step_at=instant(raw.get("stepAt")),
        promoted_at=instant(raw.get("promotedAt")),
        ended_at=instant(raw.get("endedAt")),
        hold=_hold(hold) if hold else None,
        checks=tuple(_check(each) for each in raw["checks"]),
        reason=optional(raw.get("reason")),
        message=line(raw["message"]),
        trigger=optional(raw.get("trigger")),
        first_bad_at=instant(raw.get("firstBadAt")),
        decided_at=instant(raw.get("decidedAt")),
    )


def _hold(raw: Any) -> Hold:
    return Hold(
        reason=line(raw["reason"]),
        message=line(raw["message"]),
        since=instant(raw["since"]),
        by=line(raw["by"]),
        until=instant(raw["until"]),
        exit=line(raw["exit"]),
    )


def _part(name: str, raw: Any) -> Part:
    return Part(
        service=line(name),
        candidate=line(raw["candidate"]),
        stable=optional(raw.get("stable")),
        stable_version=optional(raw.get("stableVersion")),
        is_entry=raw["isEntry"] is True,
    )


def _check(raw: Any) -> Check:
    return Check(line(raw["name"]), raw["passed"] is True, line(raw["message"]), float(raw["seconds"]))


def _quarantine(raw: Any) -> Quarantine:
    return Quarantine(line(raw["version"]), int(raw["attempt"]), line(raw["reason"]), instant(raw["at"]))


def _request(raw: Any) -> Request:
    return Request(
        id=int(raw["id"]),
        verb=line(raw["verb"]),
        actor=line(raw["actor"]),
        at=instant(raw["at"]),
        reason=line(raw["reason"]),
        accepted=raw["accepted"] is True,
        answer=optional(raw.get("answer")),
    )


def _figures(memo: Any) -> Mapping[str, Figures]:
    entries = memo.get("entries", {})
    return {line(name): _shown(raw, entries.get(name, {})) for name, raw in memo["shown"].items()}


def _gates(memo: Any) -> Mapping[str, Gate]:
    return {
        line(name): Gate(line(raw["state"]), line(raw["says"]), instant(raw.get("readAt")))
        for name, raw in memo.get("gates", {}).items()
    }


def _shown(raw: Any, evidence: Any) -> Figures:
    times = {name: number(raw.get(f"{name}Ms")) for name in _PERCENTILES}
    observed, missing = raw.get("observed"), raw.get("missing")
    return Figures(
        requests=int(raw["requests"]),
        errors=int(raw["errors"]),
        stable_requests=int(raw["stableRequests"]),
        stable_errors=int(raw["stableErrors"]),
        evidence=float(raw["evidence"]),
        needed=float(raw["needed"]),
        missing=None if missing is None else int(missing),
        milliseconds={name: value for name, value in times.items() if value is not None},
        asked=int(raw["asked"]),
        observed=None if observed is None else int(observed),
        says=line(raw["says"]),
        rate=float(evidence.get("rate", 0.0)),
        watched_s=float(evidence.get("watchedS", 0.0)),
    )
