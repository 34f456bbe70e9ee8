"""What a tick adds to the evidence of all entries, and what that asks of the attempt: pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from crds.container import ContainerStatus
from crds.evidence import Evidence
from crds.release import Hold, HoldExit, Member, Phase, Promotion, ReleaseSpec, Shown, Trigger
from crds.service import Color, share_of
from reconcilers.counters import CountedNode
from reconcilers.release.analysis import Action, Judgement, judge
from reconcilers.release.gates import GATE_HOLDS, gate_outlook
from reconcilers.release.model import SeenMember, Well
from reconcilers.release.outlook import End, Outlook, outlook, step_outlook, watched_s
from reconcilers.release.phases import PROMOTED, Happening
from reconcilers.release.rule import Rule, Sample, SlowLimit, Slowness
from reconcilers.release.traffic import asked_percent, is_asked, not_read_back
from reconcilers.release.turn import RULE, SOON, Turn
from reconcilers.release.watching import advance, lasting, passed_over
from reconcilers.response_times import Answered

#: Holds under which the watch goes on: what is missing may still come.
OPEN_HOLDS: Final = frozenset(
    {
        "NotEnoughTraffic",
        "NoResponseTimes",
        "AwaitingPromotion",
        "Retries",
        "Unwell",
        "LimitExceeded",
        "Overdue",
    }
)
#: A phase takes longer than it may, and there is nothing to go back to.
OVERDUE: Final = "Overdue"
#: A person's hold: the rule's do not take its place.
PAUSED: Final = "Paused"
_ALSO: Final = "; meanwhile "
_LIVELY_S: Final = 600.0


def rule_of(spec: ReleaseSpec, entries: int) -> Rule:
    """Return the rule that the file asks for, shared by so many entries."""
    limits = spec.response_time
    asked = ((0.5, limits.p50), (0.95, limits.p95), (0.99, limits.p99))
    soak_s = spec.soak.total_seconds()
    lively_s = spec.longest_watch.total_seconds() + min(soak_s, _LIVELY_S)
    return Rule(
        limit=spec.error_rate.limit,
        method=spec.error_rate.method,
        entries=max(1, entries),
        min_requests=spec.error_rate.min_requests,
        low_traffic=spec.error_rate.low_traffic,
        horizon_ticks=max(1, round(lively_s + max(0.0, soak_s - _LIVELY_S) / 10)),
        slow_limits=tuple(
            SlowLimit(share, limit.total_seconds() * 1000) for share, limit in asked if limit is not None
        ),
    )


def watched(turn: Turn) -> tuple[Turn, Mapping[str, Judgement]]:
    """Take in this tick's counts of each entry, and return what they ask for."""
    rule = rule_of(turn.spec, len(turn.attempt.entries))
    entries, behind, answers = dict(turn.memo.entries), dict(turn.memo.behind), dict(turn.memo.answers)
    for seen in turn.seen.members:
        member = turn.attempt.members.get(seen.name)
        if member is None or seen.service is None:
            continue
        if not member.is_entry:
            behind[seen.name] = _health(turn, seen, member)
            continue
        sample = _sample(turn, seen, member, len(rule.slow_limits))
        before = entries.get(seen.name, Evidence())
        if seen.split is not None and seen.split.spec.overridden(turn.now):
            # A person has the traffic: what he does to the candidate is no fault of its own.
            entries[seen.name] = passed_over(before, sample, turn.now)
        else:
            entries[seen.name] = advance(before, sample, rule, turn.now, elapsed_s=turn.elapsed_s)
        answers |= {f"{seen.name} {color.value}": _reading(told) for color, told in seen.answered.items()}
    in_soak = turn.attempt.phase in PROMOTED
    judgements = {
        name: judge(found, rule, last_step_at=turn.attempt.step_at, in_soak=in_soak)
        for name, found in (entries | behind).items()
    }
    return turn.remembers(entries=entries, behind=behind, answers=answers), judgements


def _health(turn: Turn, seen: SeenMember, member: Member) -> Evidence:
    """Carry on how long a candidate behind the entry has been ill; whether stable is well is the way back."""
    before = turn.memo.behind.get(seen.name, Evidence())
    ill, is_known = _ailment(seen, member.candidate)
    stable = None if member.stable is None else _is_well(seen, member.stable)
    update: dict[str, object] = {"ticked_at": turn.now, "stable_up": stable, "stable_probe": stable}
    if is_known:
        down_s = lasting(before.down_s, turn.lasted_s) if ill else 0.0
        both_s = before.down_both_s + (down_s - before.down_s) * (stable is False)
        update |= {
            "down_s": down_s,
            "down_both_s": both_s if ill else 0.0,
            "down_reason": ill,
        }
    return before.model_copy(update=update)


def _ailment(seen: SeenMember, color: Color) -> tuple[str, bool]:
    """Return what is wrong with a colour, and whether that is known at all."""
    state, probe = _power(seen, color), seen.probes.get(color)
    if state not in {None, "running"}:
        return "its container does not run", True
    if probe is not None and probe.well is not Well.YES:
        return probe.says, True
    return "", probe is not None


def _power(seen: SeenMember, color: Color) -> str | None:
    child = seen.containers.get(color)
    return child.status.state if child is not None and isinstance(child.status, ContainerStatus) else None


def _reading(answers: Answered) -> tuple[int, ...]:
    return (answers.answers, *answers.exceeded)


def _sample(turn: Turn, seen: SeenMember, member: Member, limits: int) -> Sample:
    percent = asked_percent(turn.attempt, turn.spec.split) or 0
    state = _power(seen, member.candidate)
    return Sample(
        candidate=_server(seen, member.candidate),
        stable=None if member.stable is None else _server(seen, member.stable),
        nodes=tuple(node for node in seen.counted or () if isinstance(node, CountedNode)),
        weight=percent,
        stable_weight=100 - percent if member.stable is not None else 0,
        is_read_back=is_asked(turn, seen, member),
        slowness=_slowness(turn, seen, member, limits),
        candidate_probe=_is_well(seen, member.candidate),
        is_running=None if state is None else state == "running",
        stable_probe=None if member.stable is None else _is_well(seen, member.stable),
    )


def _server(seen: SeenMember, color: Color) -> str:
    return seen.service.spec.server_name(color) if seen.service is not None else color.value


def _is_well(seen: SeenMember, color: Color) -> bool | None:
    probe = seen.probes.get(color)
    return None if probe is None else probe.well is Well.YES


def _slowness(turn: Turn, seen: SeenMember, member: Member, limits: int) -> tuple[Slowness, ...]:
    """Return what the log told since the last tick of this process; empty where it does not tell."""
    if turn.elapsed_s is None or not limits or member.candidate not in seen.answered:
        return ()
    candidate = _came(turn, seen, member.candidate, limits)
    stable = _came(turn, seen, member.candidate.other, limits)
    return tuple(Slowness(candidate[0], candidate[at], stable[0], stable[at]) for at in range(1, limits + 1))


def _came(turn: Turn, seen: SeenMember, color: Color, limits: int) -> tuple[int, ...]:
    found = seen.answered.get(color)
    if found is None:
        return (0,) * (limits + 1)
    now = _reading(found)
    before = turn.memo.answers.get(f"{seen.name} {color.value}", now)
    return tuple(max(0, new - old) for new, old in zip(now, before, strict=False))


def obeyed(turn: Turn, judgements: Mapping[str, Judgement]) -> Turn:
    """Do what the evidence asks for: roll back, hold, or end a hold of the rule's."""
    bad = {name: each for name, each in judgements.items() if each.action is not Action.NONE}
    going = {name: each for name, each in bad.items() if each.action is Action.ROLL_BACK}
    hold = turn.attempt.hold
    if not bad:
        if hold is not None and hold.by == RULE and hold.reason not in OPEN_HOLDS | GATE_HOLDS:
            return turn.released("what was wrong is over")
        return _beside_pause(turn, hold, None, "") if hold is not None and hold.reason == PAUSED else turn
    name, worst = next(iter((going or bad).items()))
    message = f"{name}: {worst.message}"
    if going and turn.attempt.has_stable:
        return turn.changed(first_bad_at=worst.first_bad_at).moved(
            Happening.BREACH, reason=worst.reason, message=message, trigger=Trigger.RULE
        )
    if hold is not None and hold.reason == PAUSED:
        return _beside_pause(turn, hold, worst.reason, message)
    return turn.held(worst.reason, message, by=RULE, until=turn.hold_until(), then=turn.exit_of_bad_evidence)


def _beside_pause(turn: Turn, hold: Hold, reason: str | None, message: str) -> Turn:
    """Leave a person's pause in force; tell once what the rule would hold for."""
    pause = hold.message.partition(_ALSO)[0]
    text = pause if reason is None else f"{pause}{_ALSO}{reason}"
    if text == hold.message:
        return turn
    turn = turn.changed(hold=hold.model_copy(update={"message": text}))
    return turn.noted(reason, message, warning=True) if reason is not None else turn


def split(turn: Turn) -> Turn:
    """Go on to the next step of the split as soon as the evidence allows, at the last one to the watch."""
    missing = not_read_back(turn)
    if missing is not None:
        return turn.waits(missing, SOON)
    turn = turn.remembers(read_back_at=turn.memo.read_back_at or turn.now)
    if not turn.attempt.entries or turn.attempt.step >= len(turn.spec.split) - 1:
        return turn.moved(Happening.DONE)
    rule = rule_of(turn.spec, len(turn.attempt.entries))
    found = _unwell(turn) or step_outlook(turn.memo.entries, rule)
    if found.end is End.PROMOTE:
        return turn.moved(Happening.NEXT_STEP)
    return turn.waits(f"{turn.spec.split[turn.attempt.step]} %: {found.message}")


def watch(turn: Turn) -> Turn:
    """Promote once the time is over and the evidence is there; say what is missing."""
    if not turn.attempt.entries:
        return _watch_health(turn)
    rest_s = turn.spec.watch.total_seconds() - watched_s(turn.memo.entries)
    found = _unwell(turn) or outlook(turn.memo.entries, rule_of(turn.spec, len(turn.attempt.entries)))
    if found.end is End.PROMOTE and rest_s <= 0:
        return _promotable(turn, found)
    rest = f"{rest_s:.0f} s to go; {found.message}" if rest_s > 0 else found.message
    if turn.in_phase < turn.spec.longest_watch:
        return turn.waits(rest)
    return _undecided(turn, found, rest)


def _unwell(turn: Turn) -> Outlook | None:
    """Say which candidate behind the entry, or which gate, is ill right now, long enough to act or not."""
    for name, evidence in turn.memo.behind.items():
        if evidence.down_s > 0:
            return Outlook(End.BLOCKED, "Unwell", f"{name}: {evidence.down_reason}")
    return gate_outlook(turn)


def _watch_health(turn: Turn) -> Turn:
    """Without an entry there is no traffic to count: the health endpoints are all there is."""
    found = _unwell(turn)
    if found is not None and turn.in_phase >= turn.spec.longest_watch:
        return _undecided(turn, found, found.message)
    if found is not None or turn.in_phase < turn.spec.watch:
        what = "no service of the set stands behind a backend: only its health is watched"
        return turn.waits(what if found is None else found.message)
    return _promotable(turn, Outlook(End.PROMOTE, "", "healthy; there was no traffic to count"))


def _promotable(turn: Turn, found: Outlook) -> Turn:
    if turn.spec.promotion is Promotion.AUTO:
        return turn.noted("Evidence", found.message).moved(Happening.DONE)
    message = f"{found.message}; `psactl release promote {turn.release.key.name}` promotes it"
    return turn.held("AwaitingPromotion", message, by=RULE, until=_patience(turn), then=HoldExit.ROLL_BACK)


def _patience(turn: Turn) -> datetime:
    return turn.now + turn.spec.hold_for_evidence


def _undecided(turn: Turn, found: Outlook, rest: str) -> Turn:
    """Decide at the end of the longest watch, where the evidence does not allow to promote."""
    if found.end is End.LIMIT_EXCEEDED and turn.attempt.has_stable:
        return turn.moved(
            Happening.BREACH, reason="LimitExceeded", message=found.message, trigger=Trigger.RULE
        )
    lacks_evidence = found.end in {End.NOT_ENOUGH, End.PROMOTE}
    reason = found.reason or "NotEnoughTraffic"
    until = _patience(turn) if lacks_evidence else turn.hold_until()
    return turn.held(reason, rest, by=RULE, until=until, then=turn.exit_of_bad_evidence)


def shown(turn: Turn, judgements: Mapping[str, Judgement]) -> Turn:
    """Write down the figures that people see."""
    rule, percent = (
        rule_of(turn.spec, len(turn.attempt.entries)),
        asked_percent(turn.attempt, turn.spec.split),
    )
    is_watch = turn.attempt.phase is Phase.WATCH and bool(turn.memo.entries)
    missing = outlook(turn.memo.entries, rule).missing if is_watch else 0
    figures = {
        seen.name: _figures(
            seen, turn.attempt.entries[seen.name], judgements.get(seen.name), missing, percent or 0
        )
        for seen in turn.seen.members
        if seen.name in turn.attempt.entries
    }
    return turn.remembers(shown=figures)


def _figures(seen: SeenMember, member: Member, said: Judgement | None, missing: int, percent: int) -> Shown:
    answers = seen.answered.get(member.candidate)
    figures = Shown(asked=percent, observed=_observed(seen, member), missing=missing or None)
    if answers is not None:
        update = {"p50_ms": answers.p50_ms, "p95_ms": answers.p95_ms, "p99_ms": answers.p99_ms}
        figures = figures.model_copy(update=update)
    if said is None:
        return figures
    return figures.model_copy(
        update={
            "requests": said.total.requests,
            "errors": said.total.errors,
            "stable_requests": said.total.stable_requests,
            "stable_errors": said.total.stable_errors,
            "evidence": round(said.evidence.log10_evidence, 2),
            "needed": round(said.evidence.log10_needed, 2),
            "says": said.message,
        }
    )


def _observed(seen: SeenMember, member: Member) -> int | None:
    """Return the candidate's percentage that the split last read back, None while that is not known."""
    if seen.split is None or not seen.split.is_ready():
        return None
    parts = {color: share_of(seen.split.spec, color).part for color in Color}
    whole = sum(parts.values())
    return round(100 * parts[member.candidate] / whole) if whole else None
