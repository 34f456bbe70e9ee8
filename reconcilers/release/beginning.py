"""Whether an attempt begins, and with which roles: pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from crds.meta import ConditionType, Truth
from crds.release import Attempt, Member, Phase, ReleaseMemo, ReleaseSpec, ReleaseStatus
from crds.service import VERSION, Color, ServiceSpec, ServiceStatus
from reconcilers.contract import Answer, Note, Plan, Resource, Urgency, Verdict, Write
from reconcilers.release.model import ReleaseAction, SeenMember, SeenRelease

#: Its value is part of what is tried: another one lifts a quarantine.
RETRY: Final = "psa.platform/retry"
_KEPT_ATTEMPTS: Final = 20
_SOON: Final = timedelta(seconds=5)
#: Why a service is not Ready where there was never anything live.
NOBODY_LIVE: Final = "NoLiveColor"
SUPERSEDED: Final = "Superseded"
#: The event of an answer that is no: the one of the request itself does not tell.
REFUSED: Final = "RequestRefused"

ReleasePlan = Plan[ReleaseAction]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why no attempt can begin. ``waits``: it may go by itself; otherwise a person or the file must act."""

    reason: str
    message: str
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """One service as it is between attempts; ``live`` and ``version`` are None where nothing is live."""

    name: str
    spec: ServiceSpec
    live: Color | None
    version: str | None


def plan_rest(
    release: Resource[ReleaseSpec], seen: SeenRelease, now: datetime, status: ReleaseStatus
) -> ReleasePlan:
    """Plan while no attempt runs: begin one, or say why not."""
    # The last attempt may have been of more services than the file now names; they are no part of the next.
    seen = replace(seen, members=tuple(each for each in seen.members if each.name in release.spec.services))
    wants_retry, writes = _answers(release, seen, status)
    if wants_retry:
        kept = tuple(each for each in status.quarantine if each.version != release.spec.version)
        status = _archived(status).model_copy(update={"quarantine": kept, "attempt": None})
    standings = _standings(seen)
    if isinstance(standings, Obstacle):
        return _hindered(status, standings, writes, again=_SOON)
    if all(each.version == release.spec.version for each in standings):
        return Plan(writes=writes, status=status)
    obstacle = _obstacle(release, seen, now, status)
    if obstacle is not None:
        return _hindered(status, obstacle, writes)
    members = _members(standings)
    if isinstance(members, Obstacle):
        return _hindered(status, members, writes, again=_SOON)
    attempt = _attempt(release, seen, status, members, now)
    was = {name: member.stable_version or "nothing" for name, member in members.items()}
    changes = ", ".join(f"{name} {version} → {attempt.version}" for name, version in was.items())
    began = Note("AttemptBegan", f"attempt {attempt.number}: {changes}")
    return Plan(
        writes=(*writes, began),
        status=_archived(status).model_copy(update={"attempt": attempt}),
        memo=ReleaseMemo(attempt=attempt.number),
        urgency=Urgency.RELEASE,
        waiting=f"attempt {attempt.number} begins",
        recheck_after=timedelta(milliseconds=50),
    )


def _hindered(
    status: ReleaseStatus, obstacle: Obstacle, writes: tuple[Write, ...], again: timedelta | None = None
) -> ReleasePlan:
    """Say what stands against an attempt; *again*: what it is about wakes nobody when it changes."""
    verdict = Verdict(ConditionType.READY, Truth.FALSE, obstacle.reason, obstacle.message)
    if obstacle.waits:
        return Plan(
            writes=writes,
            status=status,
            verdicts=(verdict,),
            waiting=obstacle.message,
            recheck_after=_SOON,
        )
    blocked = (obstacle.reason, obstacle.message)
    return Plan(writes=writes, status=status, blocked=blocked, recheck_after=again)


def _answers(
    release: Resource[ReleaseSpec], seen: SeenRelease, status: ReleaseStatus
) -> tuple[bool, tuple[Write, ...]]:
    """Answer all open requests; return whether somebody wants another try."""
    failed = _quarantine(release, seen, status) is not None
    wants_retry, writes = False, list[Write]()
    for request in release.requests:
        if request.answer is not None:
            continue
        accepted = request.verb == "retry" and failed
        refused = "nothing failed" if request.verb == "retry" else "no attempt is running"
        message = f"{release.spec.version} is tried again" if accepted else f"{release.key.name}: {refused}"
        writes.append(Answer(request.id, accepted, message))
        if not accepted:
            writes.append(Note(REFUSED, f"{request.verb} refused: {refused}", warning=True))
        wants_retry = wants_retry or accepted
    return wants_retry, tuple(writes)


def _archived(status: ReleaseStatus) -> ReleaseStatus:
    """Put the last attempt into the history, if it is not there."""
    attempt = status.attempt
    if attempt is None or any(each.number == attempt.number for each in status.history):
        return status
    history = (attempt, *status.history)[:_KEPT_ATTEMPTS]
    return status.model_copy(update={"history": history})


def fingerprint(release: Resource[ReleaseSpec], templates: Mapping[str, str]) -> str:
    """Return the digest of what is tried: the version, its templates by service, the retry annotation."""
    parts = [release.spec.version, release.annotations.get(RETRY, "")]
    parts += [f"{name}={template}" for name, template in sorted(templates.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _templates(release: Resource[ReleaseSpec], seen: SeenRelease) -> dict[str, str]:
    version = release.spec.version
    return {
        each.name: each.service.spec.container.template.replace("{version}", version)
        for each in seen.members
        if each.service is not None
    }


def _standings(seen: SeenRelease) -> tuple[Standing, ...] | Obstacle:
    missing = [each.name for each in seen.members if each.service is None]
    if missing:
        return Obstacle("ServiceMissing", f"there is no Service {', '.join(missing)}")
    found = [_standing(each) for each in seen.members]
    obstacles = [each for each in found if isinstance(each, Obstacle)]
    if obstacles:
        return next((each for each in obstacles if not each.waits), obstacles[0])
    return tuple(each for each in found if isinstance(each, Standing))


def _standing(member: SeenMember) -> Standing | Obstacle:
    service = member.service
    if service is None or not isinstance(service.status, ServiceStatus):
        return Obstacle("NotLookedAt", f"Service/{member.name} was not looked at yet")
    unsettled = _unsettled(service)
    if unsettled is not None:
        return unsettled
    live = None if service.status.live is None else Color(service.status.live)
    if live is None:
        return _without_live(member, service)
    child = member.containers.get(live)
    version = None if child is None else child.annotations.get(VERSION)
    if version is None:
        hint = f"`initial: {{color: {live.value}, version: …}}` in its file says it"
        text = f"{member.name}: it is not known which version {live.value} runs; {hint}"
        return Obstacle("VersionUnknown", text, waits=False)
    return Standing(member.name, service.spec, live, version)


def _unsettled(service: Resource[ServiceSpec]) -> Obstacle | None:
    """Say why what is known of a service may not be so any more, or will not become so."""
    stalled = service.condition(ConditionType.STALLED)
    if stalled is not None and stalled.status is Truth.TRUE:
        return Obstacle("ServiceStalled", f"{service.key}: {stalled.message}", waits=False)
    if service.observed_generation != service.generation:
        return Obstacle("NotLookedAt", f"{service.key} changed and was not looked at yet")
    if service.orphaned_since is not None:
        return Obstacle("ServiceOrphaned", f"{service.key}: its file is gone", waits=False)
    return None


def _without_live(member: SeenMember, service: Resource[ServiceSpec]) -> Standing | Obstacle:
    """Tell a service of which surely no colour is live from one where nobody knows."""
    if member.split is not None:
        return Obstacle("MixedTraffic", f"{member.name}: both colours have traffic, or none", waits=False)
    ready = service.condition(ConditionType.READY)
    if ready is None or ready.reason != NOBODY_LIVE:
        return Obstacle("NoLiveColor", f"{member.name}: it is not known which colour is live")
    return Standing(member.name, service.spec, None, None)


def _obstacle(
    release: Resource[ReleaseSpec], seen: SeenRelease, now: datetime, status: ReleaseStatus
) -> Obstacle | None:
    if release.orphaned_since is not None:
        return Obstacle("Orphaned", "its file is gone: no attempt begins", waits=False)
    quarantine = _quarantine(release, seen, status)
    if quarantine is not None:
        return quarantine
    if release.held is not None:
        return Obstacle(*release.held)
    if seen.freeze is not None and now < seen.freeze.until:
        until = f"{seen.freeze.until:%Y-%m-%d %H:%M} UTC"
        return Obstacle("Frozen", f"frozen until {until} by {seen.freeze.actor}: {seen.freeze.reason}")
    return None


def _quarantine(release: Resource[ReleaseSpec], seen: SeenRelease, status: ReleaseStatus) -> Obstacle | None:
    """Say why what the file asks for is not followed, if it was tried and did not come to its end."""
    tried = fingerprint(release, _templates(release, seen))
    again = f"`psactl release retry {release.key.name}` tries again; another version does, too"
    kept = next((each for each in status.quarantine if each.fingerprint == tried), None)
    if kept is not None:
        text = f"{kept.version} is in quarantine since attempt {kept.attempt}: {kept.reason}. {again}"
        return Obstacle("Quarantined", text, waits=False)
    last = status.attempt
    if last is None or last.fingerprint != tried:
        return None
    if last.phase is Phase.COMPLETED or last.reason == SUPERSEDED:
        return None
    text = f"attempt {last.number} of {last.version} ended as {last.phase.value}: {last.message}. {again}"
    return Obstacle(last.reason or last.phase.value, text, waits=False)


def _members(standings: tuple[Standing, ...]) -> dict[str, Member] | Obstacle:
    """Fix the roles. All services of a set switch the same way: a colour talks to its own colour."""
    lives = {each.live for each in standings if each.live is not None}
    if len(lives) > 1 and any(each.spec.peers for each in standings):
        said = ", ".join(f"{each.name} {each.live.value}" for each in standings if each.live)
        text = f"services that call their own colour are live in different ones: {said}"
        return Obstacle("ColorsDiffer", text, waits=False)
    first = next(iter(lives)).other if lives else _first_color(standings)
    return {
        each.name: Member(
            candidate=each.live.other if each.live is not None else first,
            stable=each.live,
            stable_version=each.version,
            is_entry=each.spec.backend is not None,
        )
        for each in standings
    }


def _first_color(standings: tuple[Standing, ...]) -> Color:
    return next((each.spec.initial.color for each in standings if each.spec.initial is not None), Color.BLUE)


def _attempt(
    release: Resource[ReleaseSpec],
    seen: SeenRelease,
    status: ReleaseStatus,
    members: dict[str, Member],
    now: datetime,
) -> Attempt:
    numbers = [each.number for each in (status.attempt, *status.history) if each is not None]
    return Attempt(
        number=max(numbers, default=0) + 1,
        version=release.spec.version,
        fingerprint=fingerprint(release, _templates(release, seen)),
        members=members,
        began_at=now,
        entered_at=now,
    )
