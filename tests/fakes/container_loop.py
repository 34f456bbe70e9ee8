"""The engine's passes over one container, without store and queue: journal, gate, crash points."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

from crds.container import ContainerSpec
from crds.meta import Key
from daemon.engine.gate import gate
from daemon.store.state import State
from reconcilers.container.model import ContainerAction
from reconcilers.container.reconciler import ContainerReconciler
from reconcilers.contract import (
    Answer,
    AnyResource,
    Close,
    Intent,
    MarkAbsent,
    Note,
    NotSentError,
    Outcome,
    OutcomeKind,
    PermanentError,
    Plan,
    Resource,
    Step,
    StepClass,
    TransientError,
    Write,
)
from tests.builders import START

_RESTS = 150


class Crash(BaseException):
    """The process dies here; what was committed stays."""


def virtual_now() -> datetime:
    """Return the wall time that follows the virtual loop."""
    return datetime.fromtimestamp(START.timestamp() + asyncio.get_running_loop().time(), UTC)


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass came to; *plan* is None if nothing could be seen."""

    plan: Plan[ContainerAction] | None
    ran: tuple[Step[ContainerAction], ...] = ()
    error: TransientError | PermanentError | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was done, is under way or went wrong."""
        if self.plan is None or self.error is not None or self.ran:
            return False
        return self.plan.waiting is None and self.plan.failed is None and not self.plan.writes


@dataclass
class ContainerLoop:
    """Passes over one object. ``crash_at`` counts the points still to go until the process dies."""

    reconciler: ContainerReconciler
    container: Resource[ContainerSpec]
    crash_at: int | None = None
    now: Callable[[], datetime] = virtual_now
    intents: tuple[Intent, ...] = ()
    committed: int = 0
    history: list[Pass] = field(default_factory=list)

    async def one_pass(self) -> Pass:
        """Observe, plan, gate, apply, commit. Raises Crash."""
        made = await self._make()
        self.history.append(made)
        return made

    async def until_quiet(self, patience: timedelta = timedelta(hours=2)) -> Pass:
        """Make passes as the engine would until one finds nothing to do."""
        end = self.now() + patience
        failures = rests = 0
        while True:
            made = await self.one_pass()
            rests = rests + 1 if made.is_quiet else 0
            # What asks to be looked at again soon may still move by itself, for a while.
            if made.is_quiet and (made.plan is None or made.plan.recheck_after is None or rests > _RESTS):
                return made
            assert self.now() < end, f"not quiet after {patience}: {self.history[-6:]}"
            failed = made.plan is None or made.error is not None or made.plan.failed is not None
            failures = failures + 1 if failed else 0
            await asyncio.sleep(self._pause_s(made, failures))

    def _pause_s(self, made: Pass, failures: int) -> float:
        if failures:
            return float(min(300.0, 2.0 ** (failures - 1)))
        if made.plan is not None and made.plan.recheck_after is not None:
            return made.plan.recheck_after.total_seconds()
        return 0.05 if made.ran else 60.0

    async def _make(self) -> Pass:
        resource = cast("AnyResource", self.container)
        view = State(objects={resource.key: resource}, open_intents=self._journal())
        try:
            seen = await self.reconciler.observe(self.container, view)
        except (TransientError, PermanentError) as exc:
            return Pass(None, error=exc)
        plan = self.reconciler.plan(self.container, seen, self.now())
        gated = gate(
            resource,
            plan,
            orphaned=False,
            standing=None,
            intents=self.intents,
        )
        ran, results, error = await self._run(gated.steps)
        self._point()
        if results or plan.writes or plan.status != self.container.status:
            self.committed += 1
        for intent, outcome in results:
            self._settle(intent, outcome)
        for write in plan.writes:
            self._keep(write)
        self.container = replace(self.container, status=plan.status)
        self._point()
        return Pass(plan, ran, error)

    async def _run(
        self, steps: tuple[Step[ContainerAction], ...]
    ) -> tuple[
        tuple[Step[ContainerAction], ...], list[tuple[int, Outcome]], TransientError | PermanentError | None
    ]:
        exclusive = [step for step in steps if step.step_class is StepClass.EXCLUSIVE]
        assert len(exclusive) <= 1, "two tasks at once on one container"
        numbers = [self._begin(step) for step in exclusive]
        results: list[tuple[int, Outcome]] = []
        ran: list[Step[ContainerAction]] = []
        for step in steps:
            self._point()
            outcome, error = await self._attempt(step)
            self._point()
            if step.step_class is StepClass.EXCLUSIVE:
                results.append((numbers.pop(), outcome))
            if error is not None:
                results += [(number, Outcome(OutcomeKind.FAILED)) for number in numbers]
                return tuple(ran), results, error
            ran.append(step)
        return tuple(ran), results, None

    async def _attempt(
        self, step: Step[ContainerAction]
    ) -> tuple[Outcome, TransientError | PermanentError | None]:
        try:
            return await self.reconciler.apply(step), None
        except (NotSentError, PermanentError) as exc:
            return Outcome(OutcomeKind.FAILED, message=str(exc)), exc
        except TransientError as exc:
            return Outcome(OutcomeKind.UNKNOWN, message=str(exc)), exc

    def _begin(self, step: Step[ContainerAction]) -> int:
        self._point()
        number = 1 + max((intent.id for intent in self.intents), default=0)
        intent = Intent(
            id=number,
            key=self.container.key,
            generation=self.container.generation,
            action=type(step.action).__name__,
            target=step.target,
            summary=step.summary,
            begun_at=self.now(),
            deadline=step.deadline,
            state=OutcomeKind.UNKNOWN,
        )
        self.intents = (*self.intents, intent)
        self.committed += 1
        return number

    def _journal(self) -> dict[Key, tuple[Intent, ...]]:
        return {self.container.key: self.intents} if self.intents else {}

    def _keep(self, write: Write) -> None:
        match write:
            case Close(intent, outcome):
                self._settle(intent, outcome)
            case MarkAbsent(intent):
                self._miss(intent)
            case Answer(request, accepted, message):
                self._answer(request, message, accepted=accepted)
            case Note():
                pass  # nobody reads the events here
            case _:
                raise AssertionError(write)

    def _answer(self, number: int, message: str, *, accepted: bool) -> None:
        requests = tuple(
            replace(each, accepted=accepted, answer=message) if each.id == number else each
            for each in self.container.requests
        )
        self.container = replace(self.container, requests=requests)

    def _settle(self, number: int, outcome: Outcome) -> None:
        closes = outcome.kind in {OutcomeKind.DONE, OutcomeKind.FAILED}
        self.intents = tuple(
            intent
            if intent.id != number
            else replace(intent, state=outcome.kind, reference=outcome.reference or intent.reference)
            for intent in self.intents
            if intent.id != number or not closes
        )

    def _miss(self, number: int) -> None:
        self.intents = tuple(
            replace(intent, absent_since=intent.absent_since or self.now()) if intent.id == number else intent
            for intent in self.intents
        )

    def _point(self) -> None:
        if self.crash_at is None:
            return
        self.crash_at -= 1
        if self.crash_at == 0:
            self.crash_at = None
            raise Crash
