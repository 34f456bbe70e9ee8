"""The phases before the candidate has traffic: checks, hooks, containers, health. Pure."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from crds.balancer import ServerState
from crds.container import ContainerSpec, ContainerStatus
from crds.meta import ConditionType, Truth
from crds.release import Attempt, Check, Member, Phase, ReleaseMemo, ReleaseSpec, Trigger
from crds.service import (
    LIVE,
    VERSION,
    container_annotations,
    container_key,
    share_of,
)
from reconcilers.contract import Amend, Close, Outcome, OutcomeKind, Resource, Step, StepClass
from reconcilers.hook_runs import HookResult, HookRun, HookState
from reconcilers.release.checks import environment
from reconcilers.release.foresight import counted, foreseen
from reconcilers.release.model import ReleaseAction, SeenMember, StartHook, Well
from reconcilers.release.phases import EMPTY, Happening
from reconcilers.release.traffic import connections, is_empty
from reconcilers.release.turn import SOON, Turn

_HOOK_DEADLINE: Final = timedelta(seconds=10)
"""How long a hook's process may take to begin."""


def pre_check(turn: Turn) -> Turn:
    """Check what can be looked at, then run the hooks, one after the other."""
    if any(run.state is HookState.RUNNING for run in turn.seen.hooks.values()):
        return _run_hooks(turn)
    turn = counted(turn)
    found = environment(turn)
    for check in found:
        turn = turn.checked(check)
    wrong = [check for check in found if not check.passed]
    if wrong:
        return turn.waits("; ".join(f"{check.name}: {check.message}" for check in wrong))
    if len(turn.memo.rates) < len(turn.attempt.entries):
        return turn.waits("the traffic is being counted")
    return _run_hooks(foreseen(turn))


def nothing_yet(turn: Turn) -> Turn:
    """Pass through a phase whose work does not exist yet, and say so."""
    return turn.noted("Skipped", f"{turn.attempt.phase.value}: {EMPTY[turn.attempt.phase]}").moved(
        Happening.DONE
    )


def deploy(turn: Turn) -> Turn:
    """Have the candidates' containers made, each in the place of what its idle slot holds."""
    waiting = []
    for seen in turn.seen.members:
        member = turn.attempt.members.get(seen.name)
        if member is None or seen.service is None:
            continue
        turn = turn.written(*_closed(seen, member))
        busy = _busy(seen, member)
        if busy is not None:
            waiting.append(busy)
            continue
        asked = tuple(_candidate(turn, seen, member))
        if asked:
            turn = turn.written(*asked)
            waiting.append(f"{seen.name}-{member.candidate.value} is asked for")
            continue
        stalled, missing = _progress(turn, seen, member)
        if stalled is not None:
            return turn.moved(Happening.FAILED, reason="DeployFailed", message=stalled, trigger=Trigger.CHECK)
        waiting += [missing] if missing is not None else []
    if waiting:
        return turn.waits("; ".join(waiting), 5 * SOON)
    return turn.moved(Happening.DONE)


def _closed(seen: SeenMember, member: Member) -> Iterator[Amend]:
    """Close an idle slot that only drains: a client that clings to it would meet its end."""
    split, color = seen.split, member.candidate
    if not member.is_entry or split is None or seen.service is None or not is_empty(split.spec, color):
        return
    share = share_of(split.spec, color)
    if share.state is not ServerState.MAINT:
        update = {color.value: share.model_copy(update={"state": ServerState.MAINT})}
        yield Amend(split.key, split.spec.model_copy(update=update), split.annotations, seen.service.key)


def _busy(seen: SeenMember, member: Member) -> str | None:
    """Say why the idle slot may not be replaced yet: it has, or may have, traffic."""
    if not member.is_entry or seen.split is None:
        return None
    if not is_empty(seen.split.spec, member.candidate):
        return f"{seen.name}: the {member.candidate.value} slot has traffic"
    if share_of(seen.split.spec, member.candidate).state is not ServerState.MAINT:
        return f"{seen.name}: the {member.candidate.value} slot is being closed"
    if seen.split.observed_generation != seen.split.generation:
        return f"{seen.name}: HAProxy does not have the split yet"
    held = connections(seen, member.candidate)
    if held is None:
        return f"{seen.name}: it is not known whether the {member.candidate.value} slot has requests"
    return f"{seen.name}: the {member.candidate.value} slot still has {held} requests" if held else None


def incarnation(turn: Turn) -> str:
    """Return the mark of this attempt's containers: those of another attempt are others."""
    return f"{turn.release.key.name}.{turn.release.uid[:4]}.{turn.attempt.number}"


def _candidate(turn: Turn, seen: SeenMember, member: Member) -> Iterator[Amend]:
    if seen.service is None:
        return
    old = seen.containers.get(member.candidate)
    mark, replace = incarnation(turn), _replaced(turn, old)
    spec = seen.service.spec.container_spec(
        seen.name, member.candidate, turn.attempt.version, incarnation=mark, replace=replace
    )
    live = None if old is None or LIVE not in old.annotations else False
    annotations = container_annotations(seen.name, member.candidate, turn.attempt.version, live=live)
    if (
        old is None
        or old.orphaned_since is not None
        or (old.spec, dict(old.annotations)) != (spec, annotations)
    ):
        yield Amend(container_key(seen.name, member.candidate), spec, annotations, seen.service.key)


def _replaced(turn: Turn, old: Resource[ContainerSpec] | None) -> str | None:
    """Return the stamp of what may go from the idle slot: what was there before this attempt."""
    if old is None:
        return None
    there = old.status if isinstance(old.status, ContainerStatus) else ContainerStatus()
    if old.spec.incarnation != incarnation(turn):
        return there.recipe
    # Somebody else's container gets its stamp only when it is adopted, in the name of this attempt.
    is_adopted = there.adopted and turn.spec.replace_adopted
    return there.recipe if is_adopted and old.spec.replace is None else old.spec.replace


def _progress(turn: Turn, seen: SeenMember, member: Member) -> tuple[str | None, str | None]:
    """Return why the candidate will never be there, and what it still lacks."""
    child = seen.containers.get(member.candidate)
    if child is None or child.spec.incarnation != incarnation(turn):
        return None, f"{seen.name}-{member.candidate.value} is asked for"
    stalled, ready = child.condition(ConditionType.STALLED), child.condition(ConditionType.READY)
    is_current = child.observed_generation == child.generation
    if (
        stalled is not None
        and stalled.status is Truth.TRUE
        and (
            # Who may not even look never sees the new generation.
            is_current or stalled.since >= turn.attempt.entered_at
        )
    ):
        return f"{child.key}: {stalled.message or stalled.reason}", None
    if child.is_ready() and child.annotations.get(VERSION) == turn.attempt.version:
        return None, None
    says = ready.message or ready.reason if is_current and ready is not None else "not looked at yet"
    return None, f"{child.key.name}: {says}"


def health(turn: Turn) -> Turn:
    """Wait until all candidates were healthy for long enough without a break."""
    ill = [text for seen in turn.seen.members if (text := _ill(turn, seen)) is not None]
    if ill:
        return turn.remembers(healthy_since=None).waits("; ".join(ill))
    since = turn.memo.healthy_since or turn.now
    turn = turn.remembers(healthy_since=since)
    if turn.now - since < turn.spec.min_healthy:
        left = (turn.spec.min_healthy - (turn.now - since)).total_seconds()
        return turn.waits(f"all candidates are healthy; {left:.0f} s more", 2 * SOON)
    text = f"{len(turn.attempt.members)} candidates healthy for {turn.spec.min_healthy.total_seconds():g} s"
    return turn.checked(Check(name="health", passed=True, message=text)).moved(Happening.DONE)


def _ill(turn: Turn, seen: SeenMember) -> str | None:
    member = turn.attempt.members.get(seen.name)
    if member is None:
        return None
    probe = seen.probes.get(member.candidate)
    if probe is None:
        return f"{seen.name}: not asked yet"
    return None if probe.well is Well.YES else f"{seen.name} {member.candidate.value}: {probe.says}"


def smoke(turn: Turn) -> Turn:
    """Run the smoke tests against each candidate's own address."""
    done = Happening.DONE if turn.attempt.has_stable else Happening.NO_STABLE
    return _run_hooks(turn, done)


def verify(turn: Turn) -> Turn:
    """Look at the promoted versions, and run the functional tests against them."""
    ill = [text for seen in turn.seen.members if (text := _ill(turn, seen)) is not None]
    if ill:
        return turn.waits("; ".join(ill))
    return _run_hooks(turn)


def _run_hooks(turn: Turn, done: Happening = Happening.DONE) -> Turn:
    """Go on with the first hook of the phase that has not passed."""
    if turn.seen.unseen_hooks is not None:
        return turn.waits(turn.seen.unseen_hooks)
    passed = {check.name for check in turn.attempt.checks if check.passed}
    for hook, service in hooks_of(turn.spec, turn.attempt):
        name = f"{turn.attempt.phase.value}: {hook}" + (f" {service}" if service is not None else "")
        if name not in passed:
            return _run_hook(turn, name, hook, service)
    return turn.moved(done)


def _run_hook(turn: Turn, name: str, hook: str, service: str | None) -> Turn:
    run = _run_of(turn, hook, service)
    result = turn.seen.hooks.get(run.run_id)
    target = f"hook {run.run_id}"
    intent = next((each for each in turn.seen.intents if each.target == target), None)
    if result is not None and result.state is HookState.RUNNING:
        return turn.waits(f"{name} runs for {result.seconds:.0f} s", 2 * SOON)
    if intent is not None:
        turn = turn.written(Close(intent.id, _outcome(result)))
    if result is None:
        # What was begun has a record, so that this one never began, whatever was intended.
        return turn.stepped(_start(turn, run, target)).waits(f"{name} begins", SOON)
    if result.state is HookState.LOST:
        return _lost(turn, name, run)
    return _ended(turn, name, run, result)


def _outcome(result: HookResult | None) -> Outcome:
    if result is None:
        return Outcome(OutcomeKind.FAILED, message="it never began")
    kind = OutcomeKind.DONE if result.state is HookState.PASSED else OutcomeKind.FAILED
    return Outcome(kind, message=result.says)


def _ended(turn: Turn, name: str, run: HookRun, result: HookResult) -> Turn:
    is_passed = result.state is HookState.PASSED
    message = result.says if is_passed or not result.tail else f"{result.says}\n{result.tail}"
    turn = turn.checked(Check(name=name, passed=is_passed, message=message, seconds=round(result.seconds, 3)))
    if is_passed:
        return turn.waits(f"{name} passed", SOON)
    return _not_passed(turn, run, "HookFailed", f"{name}: {result.says}")


def _lost(turn: Turn, name: str, run: HookRun) -> Turn:
    """Repeat a hook whose end nobody saw, if that is harmless; otherwise it counts as failed."""
    if turn.seen.known_hooks.get(run.hook, False):
        return _again(turn, run).noted("HookRepeated", f"{name}: how it ended is not known")
    return _not_passed(turn, run, "HookLost", f"{name}: how it ended is not known, and it is not idempotent")


def _not_passed(turn: Turn, run: HookRun, reason: str, message: str) -> Turn:
    """End the attempt; where the candidate is live and nothing is behind it, a person decides."""
    if turn.attempt.promoted_at is None:
        return turn.moved(Happening.FAILED, reason=reason, message=message, trigger=Trigger.CHECK)
    if turn.attempt.has_stable:
        return turn.moved(Happening.BREACH, reason=reason, message=message, trigger=Trigger.CHECK)
    return _again(turn, run).held(
        reason, message, by="the check", until=turn.hold_until(), then=turn.exit_of_bad_evidence
    )


def _again(turn: Turn, run: HookRun) -> Turn:
    """Let the hook's next run be another one."""
    tries = {**turn.memo.tries, _key(run.hook, run.service): _tries(turn, run.hook, run.service) + 1}
    return turn.remembers(tries=tries)


def _key(hook: str, service: str | None) -> str:
    return hook if not service else f"{hook}.{service}"


def _tries(turn: Turn, hook: str, service: str | None) -> int:
    return turn.memo.tries.get(_key(hook, service), 1)


def run_id(release: str, attempt: Attempt, memo: ReleaseMemo, hook: str, service: str | None) -> str:
    """Return the name of a hook's run in the phase that *attempt* is in.

    When it began is in it: a state that was lost or put back counts attempts that were there before again.
    """
    began, phase = f"{attempt.began_at:%Y%m%d%H%M%S}", attempt.phase.value.lower()
    tries = memo.tries.get(_key(hook, service), 1)
    return ".".join((release, str(attempt.number), began, phase, _key(hook, service), str(tries)))


def hooks_of(spec: ReleaseSpec, attempt: Attempt) -> tuple[tuple[str, str | None], ...]:
    """Return the hooks of the attempt's phase, each with the service that it is about."""
    if attempt.phase is Phase.PRE_CHECK:
        return tuple((hook, None) for hook in spec.checks)
    names = {Phase.SMOKE: spec.smoke, Phase.VERIFY: spec.verify}.get(attempt.phase, ())
    return tuple((hook, service) for hook in names for service in attempt.members)


def _run_of(turn: Turn, hook: str, service: str | None) -> HookRun:
    seen = None if service is None else turn.seen.member(service)
    member = None if service is None else turn.attempt.members[service]
    slot = None
    if seen is not None and seen.service is not None and member is not None:
        slot = seen.service.spec.colors[member.candidate]
    return HookRun(
        run_id=run_id(turn.release.key.name, turn.attempt, turn.memo, hook, service),
        hook=hook,
        release=turn.release.key.name,
        attempt=turn.attempt.number,
        version=turn.attempt.version,
        service=service,
        color=member.candidate.value if member is not None else None,
        address=slot.address.split("/")[0] if slot is not None else None,
        port=slot.port if slot is not None else None,
    )


def _start(turn: Turn, run: HookRun, target: str) -> Step[ReleaseAction]:
    where = f" against {run.service} {run.color}" if run.service is not None else ""
    return Step(
        StartHook(run),
        StepClass.ONCE,
        target=target,
        summary=f"run hook {run.hook}{where} for {run.version}",
        origin=turn.release.where("spec.checks"),
        deadline=_HOOK_DEADLINE,
    )
