"""Releases as the daemon's API sends them: written by the models themselves."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crds.evidence import Evidence
from crds.meta import canonical
from crds.release import (
    Attempt,
    Check,
    Hold,
    HoldExit,
    Member,
    Phase,
    Quarantined,
    ReleaseMemo,
    ReleaseSpec,
    ReleaseStatus,
    Shown,
)
from crds.service import Color
from tests.builders_cli import GOOD, a_condition, an_object

Json = Any
NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
NAME = "psa-suite"
GATEWAY = "psa-api-gateway"
RULE = "the rule"
RUNNING = (a_condition("Ready", "False", "Waiting", "360 s to go; 409 more are needed"), *GOOD[1:])


def ago(**span: float) -> datetime:
    return NOON - timedelta(**span)


def ahead(**span: float) -> datetime:
    return NOON + timedelta(**span)


def a_member(*, stable: Color | None = Color.BLUE, is_entry: bool = False, version: str = "1.1.0") -> Member:
    candidate = stable.other if stable else Color.BLUE
    return Member(
        candidate=candidate, stable=stable, stable_version=version if stable else None, is_entry=is_entry
    )


MEMBERS = {GATEWAY: a_member(is_entry=True), "psa-crm": a_member()}
FIRST = {GATEWAY: a_member(stable=None, is_entry=True), "psa-crm": a_member(stable=None)}


def an_attempt(phase: Phase, *, for_: timedelta = timedelta(minutes=4), **fields: Any) -> Attempt:
    """Return attempt 2 at 1.2.3, which is in *phase* for so long."""
    given = {
        "number": 2,
        "version": "1.2.3",
        "fingerprint": "f" * 16,
        "members": MEMBERS,
        "phase": phase,
        "began_at": ago(minutes=6),
        "entered_at": NOON - for_,
    }
    return Attempt(**(given | fields))


def a_hold(reason: str, message: str, *, by: str = RULE, **fields: Any) -> Hold:
    given: dict[str, Any] = {"since": ago(minutes=2), "until": ahead(hours=3, minutes=40)}
    given["exit"] = HoldExit.ROLL_BACK
    return Hold(reason=reason, message=message, by=by, **(given | fields))


def a_check(name: str, message: str = "", *, passed: bool = True, seconds: float = 0.0) -> Check:
    return Check(name=name, passed=passed, message=message, seconds=seconds)


def a_quarantine(**fields: Any) -> Quarantined:
    given = {"fingerprint": "f" * 16, "version": "1.2.3", "attempt": 2, "at": ago(minutes=1)}
    return Quarantined(**(given | {"reason": "ErrorRate: 3.1% of 640 failed"} | fields))


SHOWN = Shown(
    requests=12_003,
    errors=2,
    stable_requests=12_110,
    stable_errors=1,
    evidence=0.4,
    needed=3.3,
    missing=409,
    p50_ms=12.4,
    p95_ms=143.0,
    p99_ms=310.0,
    asked=50,
    observed=50,
    says="keeps the limit so far",
)


def a_memo(shown: Shown = SHOWN, *, rate: float = 20.4, watched_s: float = 240.0, **fields: Any) -> Json:
    evidence = Evidence(rate=rate, watched_s=watched_s)
    given: dict[str, Any] = {"attempt": 2, "entries": {GATEWAY: evidence}, "shown": {GATEWAY: shown}}
    return canonical(ReleaseMemo(**(given | fields)))


def a_release(
    attempt: Attempt | None = None,
    *,
    name: str = NAME,
    memo: Json = None,
    history: Sequence[Attempt] = (),
    quarantine: Sequence[Quarantined] = (),
    spec: Mapping[str, Json] | None = None,
    visible: str = "",
    conditions: Sequence[Json] = GOOD,
    **rest: Any,
) -> Json:
    """Return a release at 1.2.3 with limits of 0.1% and, at p95, of 200 ms."""
    asked = {"version": "1.2.3", "services": list(MEMBERS), "responseTime": {"p95": "200ms"}}
    status = ReleaseStatus(
        attempt=attempt, history=tuple(history), quarantine=tuple(quarantine), visible=visible
    )
    made = an_object(
        f"Release/{name}",
        spec=canonical(ReleaseSpec.model_validate(asked | dict(spec or {}))),
        status=canonical(status),
        conditions=conditions,
        requests=[],
        **rest,
    )
    return {**made, "memo": memo}


def a_split(blue: int = 100, green: int = 0, *, service: str = GATEWAY, override: Json = None) -> Json:
    def share(color: str, weight: int) -> Json:
        return {"server": color, "weight": weight, "state": "ready" if weight else "maint"}

    spec = {
        "service": service,
        "endpoint": "edge",
        "backend": "api_backend",
        "blue": share("blue", blue),
        "green": share("green", green),
    }
    return an_object(f"TrafficSplit/{service}", spec=spec | ({"override": override} if override else {}))


def an_override(**fields: Json) -> Json:
    given = {"blue": 100, "green": 0, "until": "2026-11-24T12:30:00Z", "reason": "odd errors"}
    return {**given, "actor": "uid 0", **fields}


WAY = (
    Phase.PENDING,
    Phase.PRE_CHECK,
    Phase.BACKUP,
    Phase.MIGRATE,
    Phase.DEPLOY_CANDIDATE,
    Phase.HEALTH_CHECK,
    Phase.SMOKE,
    Phase.SPLIT,
    Phase.WATCH,
    Phase.PROMOTE,
    Phase.VERIFY,
    Phase.SOAK,
    Phase.COMPLETED,
)


def moves_to(phase: Phase, *more: tuple[Phase, str, str]) -> list[Json]:
    """Return the events of the way to *phase*, a second each, then *more*: phases, reasons and messages."""
    steps: list[tuple[Phase, str, str]] = [(each, "", "") for each in WAY[1 : WAY.index(phase) + 1]]
    events, before = [], WAY[0]
    for number, (after, reason, message) in enumerate([*steps, *more], 1):
        events.append(a_move(number, before, after, reason, message))
        before = after
    return events


def a_move(number: int, before: Phase, after: Phase, reason: str = "", message: str = "") -> Json:
    """Return the event of a move, in the daemon's words; *number* is its id and its second after 11:54."""
    text = f"attempt 2, 1.2.3: {before.value} → {after.value}"
    return {
        "id": number,
        "at": f"2026-11-24T11:54:{number:02}Z",
        "object": f"Release/{NAME}",
        "reason": reason or after.value,
        "message": f"{text}: {message}" if message else text,
        "warning": bool(reason),
        "count": 1,
        "actor": None,
    }
