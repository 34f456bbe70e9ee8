"""What is left to do when an attempt has ended: whose fault it was, and its story as a file. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crds.evidence import Evidence
from crds.release import Attempt, Phase, ReleaseMemo, ReleaseSpec, ReleaseStatus, RestartStable
from reconcilers.contract import Amend, Note, Resource, Step, StepClass, Write
from reconcilers.counters import CountedNode
from reconcilers.release.analysis import PATIENCE_S, Action, judge
from reconcilers.release.beginning import ReleasePlan
from reconcilers.release.model import ReleaseAction, SeenMember, SeenRelease, Well, WriteReport
from reconcilers.release.report import report, report_name
from reconcilers.release.rule import GAP_S, Sample
from reconcilers.release.supervision import rule_of
from reconcilers.release.watching import advance, lasting

COMMON_CAUSE: Final = "CommonCauseSuspected"
#: So long after a rollback errors may still be the candidate's.
_GRACE: Final = timedelta(seconds=30)
#: How long stable is watched for errors that go on.
_BLAME: Final = timedelta(seconds=90)
_TICK: Final = timedelta(seconds=1)
#: How long stable may take to breathe again before it counts as ill.
_FIRST_LOOK: Final = timedelta(seconds=5)


def aftermath(
    release: Resource[ReleaseSpec], seen: SeenRelease, now: datetime, status: ReleaseStatus, plan: ReleasePlan
) -> ReleasePlan:
    """Add to the plan of a release at rest what its last attempt still asks for."""
    attempt = status.attempt
    planned = plan.status.attempt if isinstance(plan.status, ReleaseStatus) else None
    if attempt is None or planned is None or planned.number != attempt.number:
        return plan
    if attempt.phase is Phase.ROLLED_BACK and _is_fresh(attempt, now):
        plan = _blamed(release, seen, now, plan)
        memo = plan.memo if isinstance(plan.memo, ReleaseMemo) else ReleaseMemo(attempt=0)
        restarts = _restarts(release, seen, now, attempt, memo.stable_ill_s)
        plan = replace(plan, writes=(*plan.writes, *restarts))
    if attempt.phase in {Phase.ROLLED_BACK, Phase.FAILED} and not seen.has_report:
        plan = replace(plan, steps=(*plan.steps, _report(release, attempt)), outlives_file=True)
    return plan


def _is_fresh(attempt: Attempt, now: datetime) -> bool:
    return attempt.ended_at is not None and now - attempt.ended_at < _BLAME and attempt.reason != COMMON_CAUSE


def _restarts(
    release: Resource[ReleaseSpec],
    seen: SeenRelease,
    now: datetime,
    attempt: Attempt,
    ill_s: Mapping[str, float],
) -> Iterator[Amend]:
    """Have stable containers restarted once, as the file asks: those that are ill, or all.

    They have all users: one slow answer is no reason, as it is none to blame a candidate.
    """
    asked = release.spec.restart_stable
    if asked is RestartStable.NEVER or release.held is not None:
        return
    if attempt.ended_at is None or now - attempt.ended_at < _FIRST_LOOK:
        return
    mark = f"{release.key.name}.{release.uid[:4]}.{attempt.number}"
    for member in seen.members:
        role = attempt.members.get(member.name)
        if role is None or role.stable is None or member.service is None:
            continue
        child, is_ill = member.containers.get(role.stable), ill_s.get(member.name, 0.0) >= PATIENCE_S
        if child is not None and child.spec.restart != mark and (is_ill or asked is RestartStable.ALWAYS):
            spec = child.spec.model_copy(update={"restart": mark})
            yield Amend(child.key, spec, child.annotations, member.service.key)


def _report(release: Resource[ReleaseSpec], attempt: Attempt) -> Step[ReleaseAction]:
    name = report_name(release.key.name, attempt.number)
    return Step(
        WriteReport(name, report(release.key.name, attempt)),
        StepClass.ABSOLUTE,
        target=f"report {name}",
        summary=f"write the report of attempt {attempt.number} to {name}",
    )


def _blamed(
    release: Resource[ReleaseSpec], seen: SeenRelease, now: datetime, plan: ReleasePlan
) -> ReleasePlan:
    """Watch stable for a while: errors that go on there were not the candidate's."""
    status = plan.status
    if not isinstance(status, ReleaseStatus) or status.attempt is None or status.attempt.ended_at is None:
        return plan
    memo = release.memo if isinstance(release.memo, ReleaseMemo) else ReleaseMemo(attempt=0)
    since, ill_s = dict(memo.stable_since_rollback), dict(_ill(seen, status.attempt, memo))
    writes: tuple[Write, ...] = ()
    for member in seen.members:
        taken = _stable_tick(release, seen, member, now, attempt=status.attempt, memo=memo)
        if taken is not None:
            since[member.name] = taken
    if now - status.attempt.ended_at >= _GRACE and (bad := _still_bad(release, since)) is not None:
        status, writes = _exonerated(status, status.attempt, bad)
    ticked = memo.model_copy(
        update={
            "stable_since_rollback": since,
            "stable_ill_s": ill_s,
            "process": seen.process,
            "ticked_s": seen.monotonic,
        }
    )
    return replace(plan, status=status, memo=ticked, writes=(*plan.writes, *writes), recheck_after=_TICK)


def _ill(seen: SeenRelease, attempt: Attempt, memo: ReleaseMemo) -> Iterator[tuple[str, float]]:
    """Yield for how long each stable colour has not answered well; where nobody asked, as long as before."""
    elapsed_s = seen.monotonic - memo.ticked_s if memo.process == seen.process else 0.0
    lasted_s = elapsed_s if 0 < elapsed_s < GAP_S else 0.0
    for member in seen.members:
        role, before_s = attempt.members.get(member.name), memo.stable_ill_s.get(member.name, 0.0)
        probe = member.probes.get(role.stable) if role is not None and role.stable is not None else None
        if probe is None:
            yield member.name, before_s
        else:
            is_well = probe.well is Well.YES
            yield member.name, 0.0 if is_well else lasting(before_s, lasted_s)


def _stable_tick(
    release: Resource[ReleaseSpec],
    seen: SeenRelease,
    member: SeenMember,
    now: datetime,
    *,
    attempt: Attempt,
    memo: ReleaseMemo,
) -> Evidence | None:
    """Count stable's errors as if it were on trial; from the end of the grace on."""
    role = attempt.entries.get(member.name)
    if role is None or role.stable is None or member.service is None or member.counted is None:
        return None
    if attempt.ended_at is None or now - attempt.ended_at < _GRACE / 2:
        return None
    elapsed = seen.monotonic - memo.ticked_s if memo.process == seen.process else None
    sample = Sample(
        candidate=member.service.spec.server_name(role.stable),
        stable=None,
        nodes=tuple(node for node in member.counted if isinstance(node, CountedNode)),
        weight=100,
        stable_weight=0,
        is_read_back=True,
    )
    rule = rule_of(release.spec, len(attempt.entries))
    before = memo.stable_since_rollback.get(member.name, Evidence())
    return advance(before, sample, rule, now, elapsed_s=elapsed)


def _still_bad(release: Resource[ReleaseSpec], since: dict[str, Evidence]) -> str | None:
    rule = rule_of(release.spec, len(since))
    for name, evidence in since.items():
        found = judge(evidence, rule, last_step_at=None, in_soak=True)
        if found.action is not Action.NONE:
            return f"{name}: stable fails as well since the rollback: {found.message}"
    return None


def _exonerated(status: ReleaseStatus, attempt: Attempt, bad: str) -> tuple[ReleaseStatus, tuple[Write, ...]]:
    """Take back the quarantine: the version was not the reason."""
    message = f"{attempt.message}; but {bad}"
    update = {
        "attempt": attempt.model_copy(update={"reason": COMMON_CAUSE, "message": message}),
        "quarantine": tuple(each for each in status.quarantine if each.attempt != attempt.number),
    }
    return status.model_copy(update=update), (Note(COMMON_CAUSE, message, warning=True),)
