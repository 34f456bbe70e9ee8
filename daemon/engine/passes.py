"""One pass over one object: observe, plan, gate, apply, commit."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from crds.meta import ConditionType, Key, Mode, Truth
from daemon.engine.effects import EffectRunner, Ran
from daemon.engine.gate import Gated, Hold, dependencies, gate, standing_hold
from daemon.engine.judge import judge, judge_blind
from daemon.engine.memory import Memory
from daemon.engine.refusals import some
from daemon.ports import Clock, Random
from daemon.store.operations import Apply, Miss, Operation, Orphan, Record, Reply, Report, Saw, Settle
from daemon.store.operations import Ask as Asked
from daemon.store.store import StaleError, Store
from reconcilers.contract import (
    Amend,
    Answer,
    AnyResource,
    Ask,
    Close,
    Declare,
    MarkAbsent,
    Note,
    PermanentError,
    Plan,
    Reconciler,
    Step,
    TransientError,
    View,
)

log = structlog.stdlib.get_logger()

AnyReconciler = Reconciler[Any, Any, Any]
NOTHING_RAN = Ran((), (), (), None)


@dataclass(frozen=True, slots=True)
class Look:
    """What observing and planning gave: a plan with its gate, or the error that stood in the way."""

    plan: Plan[Any] | None
    gated: Gated
    waits_for: Hold | None
    view: View
    error: TransientError | PermanentError | None = None
    whole: Plan[Any] | None = None
    """The plan with what was refused lately, which ``plan`` leaves out."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass came to; the controller decides from it when the next one is due."""

    look: Look
    ran: Ran = NOTHING_RAN
    withheld: bool = False
    """Steps were kept back because the same ones had no effect, or were refused for good."""
    stale: bool = False
    """Nothing was written: what the plan would change is not any more what it was made for."""


class Passes:
    """Makes passes. Time, chance and the outside come from the caller."""

    def __init__(
        self,
        store: Store,
        reconcilers: Mapping[str, AnyReconciler],
        effects: EffectRunner,
        clock: Clock,
        random: Random,
    ) -> None:
        self._store = store
        self._reconcilers = reconcilers
        self._effects = effects
        self._clock = clock
        self._random = random

    async def look(self, resource: AnyResource, memory: Memory, mode: Mode) -> Look:
        """Observe and plan; change nothing, inside or outside."""
        reconciler = self._reconcilers[resource.key.kind]
        view = self._store.state
        waits_for = dependencies(view, resource)
        try:
            async with asyncio.timeout(reconciler.pass_deadline.total_seconds()):
                seen = await reconciler.observe(resource, view)
        except TimeoutError:
            seconds = reconciler.pass_deadline.total_seconds()
            error = TransientError(f"no observation within {seconds:g} s")
            return Look(None, Gated((), (), None), waits_for, view, error)
        except (TransientError, PermanentError) as exc:
            return Look(None, Gated((), (), None), waits_for, view, exc)
        now = self._clock.now()
        suspended = self._store.is_suspended(resource.key, now)
        standing = standing_hold(resource, mode=mode, suspended=suspended, waits_for=waits_for)
        held = None if standing is None else (standing.reason, standing.message)
        whole = reconciler.plan(replace(resource, held=held), seen, now)
        plan = memory.refusals.sorted_out(whole, self._clock.monotonic())
        gated = gate(
            resource,
            plan,
            orphaned=self._is_orphaned(resource),
            standing=standing,
            intents=self._store.state.intents(resource.key),
        )
        return Look(plan, gated, waits_for, view, whole=whole)

    async def make(self, resource: AnyResource, memory: Memory, mode: Mode) -> Passed:
        """Make one whole pass. Raises CommitError, and whatever a broken reconciler raises."""
        look = await self.look(resource, memory, mode)
        if look.plan is None or look.whole is None:
            await self._report_blind(resource, look)
            return Passed(look)
        now = self._clock.monotonic()
        steps = look.gated.steps
        refusal = memory.refused(steps, resource.generation) if steps else None
        withheld = refusal is not None or memory.is_repetition(steps, now)
        ran = Ran((), (), (), refusal)
        if steps and not withheld:
            apply = self._reconcilers[resource.key.kind].apply
            deadline = self._reconcilers[resource.key.kind].pass_deadline
            ran = await self._effects.run(resource, steps, apply, deadline=deadline)
        news = self._learn(memory, steps, ran)
        look = replace(look, plan=memory.refusals.sorted_out(look.whole, now))
        passed = Passed(look, ran, withheld)
        try:
            await self._effects.commit(self._findings(resource, passed, news))
        except StaleError as exc:
            log.info("pass.stale", object=str(resource.key), why=str(exc))
        else:
            return passed
        await self._effects.commit(ran.results)
        return replace(passed, stale=True)

    def _learn(self, memory: Memory, steps: tuple[Step[Any], ...], ran: Ran) -> tuple[PermanentError, ...]:
        """Remember what was refused, in the order in which it happened; return what is news."""
        news = []
        for number, step in enumerate(steps):
            error = ran.refused.get(number)
            if error is None and step in ran.done:
                memory.refusals.succeeded(step)
            elif error is not None and memory.refusals.note(step, error, self._clock.monotonic()):
                news.append(error)
        return tuple(news)

    def _findings(
        self, resource: AnyResource, passed: Passed, news: tuple[PermanentError, ...]
    ) -> tuple[Operation, ...]:
        """Return all that the pass has to say, results of its steps first."""
        plan, look, now = passed.look.plan, passed.look, self._clock.now()
        if plan is None:
            return ()
        report = Report(
            key=resource.key,
            at=now,
            verdicts=judge(resource, plan, look.gated, passed.ran, look.waits_for),
            generation=resource.generation,
            status=plan.status,
            memo=plan.memo,
        )
        trouble = str(passed.ran.error) if passed.ran.error else plan.failed
        failed = self._failure(resource.key, "StepFailed", trouble)
        written = self._written(resource, plan, look.view)
        texts = some([str(each) for each in news])
        refused = (Record(resource.key, now, news[0].reason, each, warning=True) for each in texts)
        worse = self._worse(resource, plan)
        return (*passed.ran.results, *written, *refused, *failed, *worse, report)

    def _written(self, resource: AnyResource, plan: Plan[Any], view: View) -> Iterable[Operation]:
        now = self._clock.now()
        declared = [write for write in plan.writes if isinstance(write, Declare)]
        if not self._is_orphaned(resource):
            for write in declared:
                yield from self._declared(resource, write, view)
        if declared:
            keys = {child.key for child in declared}
            lost = [child.key for child in view.children(resource.key) if child.key not in keys]
            yield from (Orphan(key, now) for key in lost)
        for other in plan.writes:
            if isinstance(other, Amend):
                yield self._amended(other, view)
            elif isinstance(other, Ask):
                yield from self._asked(resource.key, other)
            elif not isinstance(other, Declare):
                yield _translated(resource.key, other, now)

    def _amended(self, write: Amend, view: View) -> Operation:
        owner = view.get(write.owner)
        return Apply(
            key=write.key,
            uid=self._random.uid(),
            spec=write.spec,
            at=self._clock.now(),
            labels=owner.labels if owner is not None else {},
            annotations=write.annotations,
            owner=write.owner,
            origin=owner.origin if owner is not None else None,
            lines=owner.spec.child_lines(write.key, owner.lines) if owner is not None else {},
            saw=Saw.of(view.get(write.key)),
        )

    def _asked(self, key: Key, write: Ask) -> Iterable[Operation]:
        """Ask another object once, and say so: a request of that name is as good as a new one."""
        found, actor, now = self._store.state.get(write.key), str(key), self._clock.now()
        if found is None or any(each.asks(actor, write.name) for each in found.requests):
            return
        yield Asked(write.key, write.verb, actor, now, write.reason, {"name": write.name})
        yield Record(write.key, now, f"{write.verb.capitalize()}Requested", write.reason, actor=actor)

    def _declared(self, resource: AnyResource, write: Declare, view: View) -> Iterable[Operation]:
        found = self._store.state.get(write.key)
        if found is not None and found.owner != resource.key:
            holder = found.owner or found.origin
            yield from self._failure(resource.key, "NameTaken", f"{write.key} belongs to {holder}")
            return
        yield Apply(
            key=write.key,
            uid=self._random.uid(),
            spec=write.spec,
            at=self._clock.now(),
            labels=write.labels,
            annotations=write.annotations,
            owner=resource.key,
            origin=resource.origin,
            lines=resource.spec.child_lines(write.key, resource.lines),
            saw=Saw.of(view.get(write.key)),
        )

    async def _report_blind(self, resource: AnyResource, look: Look) -> None:
        if look.error is None:
            return
        permanent = isinstance(look.error, PermanentError)
        reason = look.error.reason if isinstance(look.error, PermanentError) else "ObserveFailed"
        verdicts = judge_blind(resource, reason, str(look.error), stalled=permanent)
        failure = self._failure(resource.key, reason, str(look.error))
        await self._store.commit((*failure, Report(resource.key, self._clock.now(), verdicts)))

    def _failure(self, key: Key, reason: str, message: str | None) -> Iterable[Operation]:
        """Say a failure once; the same again is no news, and no write."""
        last = self._store.state.last_events.get(key)
        if message is None or (last is not None and (last.reason, last.message) == (reason, message)):
            return
        yield Record(key, self._clock.now(), reason, message, warning=True)

    def _worse(self, resource: AnyResource, plan: Plan[Any]) -> Iterable[Operation]:
        """Say what has become worse since the last look, unless the plan tells something itself."""
        if any(isinstance(write, Note) for write in plan.writes):
            return
        degraded, ready = map(resource.condition, (ConditionType.DEGRADED, ConditionType.READY))
        known = degraded.reason if degraded is not None and degraded.status is Truth.TRUE else None
        was_ready = ready is not None and ready.status is Truth.TRUE
        told = {
            each.reason: each.message
            for each in plan.verdicts
            if (each.type, each.status) == (ConditionType.DEGRADED, Truth.TRUE)
            or (was_ready and (each.type, each.status) == (ConditionType.READY, Truth.FALSE))
        }
        for reason, message in told.items():
            if reason != known:
                yield Record(resource.key, self._clock.now(), reason, message, warning=True)

    def _is_orphaned(self, resource: AnyResource) -> bool:
        if resource.orphaned_since is not None:
            return True
        owner = self._store.state.get(resource.owner) if resource.owner is not None else None
        return owner is not None and self._is_orphaned(owner)


def _translated(key: Key, write: Answer | Close | MarkAbsent | Note, now: datetime) -> Operation:
    match write:
        case Answer(request, accepted, message):
            return Reply(key, request, accepted, message)
        case Close(intent, outcome):
            return Settle(intent, outcome, now)
        case MarkAbsent(intent):
            return Miss(intent, now)
        case Note(reason, message, warning):
            return Record(key, now, reason, message, warning)


def poll_interval(reconciler: AnyReconciler, resource: AnyResource) -> timedelta:
    """Return how often the object is looked at: its own wish, else the kind's."""
    return resource.spec.poll_interval or reconciler.poll_interval
