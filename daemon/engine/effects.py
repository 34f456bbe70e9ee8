"""Carries out steps with the journal around them: intents before, results after, numbered points between."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from daemon.ports import Clock
from daemon.store.operations import Begin, Operation, Record, Settle
from daemon.store.store import Store
from reconcilers.contract import (
    AnyResource,
    NotSentError,
    Outcome,
    OutcomeKind,
    PermanentError,
    Step,
    StepClass,
    TransientError,
)

log = structlog.stdlib.get_logger()

AtPoint = Callable[[str], None]
Apply = Callable[[Step[Any]], Awaitable[Outcome]]


def nothing_happens(point: str) -> None:
    """At a numbered point the product does nothing; only tests pass something else."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of the steps of one pass. ``results`` still have to be committed."""

    done: tuple[Step[Any], ...]
    running: tuple[Step[Any], ...]
    results: tuple[Operation, ...]
    error: TransientError | PermanentError | None
    refused: Mapping[int, PermanentError] = field(default_factory=dict)
    """What the outside said to independent steps that it will never do, by their place among the steps."""


class EffectRunner:
    """Runs the steps of one pass; all mutations of the outside go through here."""

    def __init__(self, store: Store, clock: Clock, at_point: AtPoint = nothing_happens) -> None:
        self._store = store
        self._clock = clock
        self._at_point = at_point

    async def run(
        self,
        resource: AnyResource,
        steps: tuple[Step[Any], ...],
        apply: Apply,
        *,
        deadline: timedelta,
    ) -> Ran:
        """Carry out *steps* in order up to the first one that fails; each may take *deadline*.

        An independent one that is refused for good does not end it.
        Raises CommitError if the intents cannot be kept; then nothing was done outside.
        """
        intents = await self._begin(resource, [s for s in steps if s.step_class is not StepClass.ABSOLUTE])
        done: list[Step[Any]] = []
        running: list[Step[Any]] = []
        results: list[Operation] = []
        refused: dict[int, PermanentError] = {}
        error: TransientError | PermanentError | None = None
        for number, step in enumerate(steps):
            self._at_point(f"before {type(step.action).__name__}")
            outcome, error = await self._attempt(step, apply, deadline.total_seconds())
            self._at_point(f"after {type(step.action).__name__}")
            now = self._clock.now()
            if step.step_class is not StepClass.ABSOLUTE:
                results.append(Settle(intents.pop(0), outcome, now))
            if step.independent and isinstance(error, PermanentError) and error.asked_outside:
                refused[number] = error
                error = None
                continue
            if error is not None:
                break
            (running if outcome.kind is OutcomeKind.RUNNING else done).append(step)
            results.append(Record(resource.key, now, type(step.action).__name__, step.summary))
            log.info("step.applied", step=step.summary, target=step.target, outcome=outcome.kind.value)
        never_begun = Outcome(OutcomeKind.FAILED, message="not attempted: an earlier step failed")
        results += [Settle(intent, never_begun, self._clock.now()) for intent in intents]
        return Ran(tuple(done), tuple(running), tuple(results), error, refused)

    async def commit(self, operations: tuple[Operation, ...]) -> None:
        """Commit the results of a pass together with what it found. Raises CommitError."""
        self._at_point("before the result commit")
        await self._store.commit(operations)
        self._at_point("after the result commit")

    async def _begin(self, resource: AnyResource, steps: list[Step[Any]]) -> list[int]:
        if not steps:
            return []
        self._at_point("before the intent commit")
        now = self._clock.now()
        before = {intent.id for intent in self._store.state.intents(resource.key)}
        state = await self._store.commit(
            Begin(
                key=resource.key,
                generation=resource.generation,
                action=type(step.action).__name__,
                target=step.target,
                summary=step.summary,
                at=now,
                deadline=step.deadline,
            )
            for step in steps
        )
        self._at_point("after the intent commit")
        return [intent.id for intent in state.intents(resource.key) if intent.id not in before]

    async def _attempt(
        self, step: Step[Any], apply: Apply, deadline_s: float
    ) -> tuple[Outcome, TransientError | PermanentError | None]:
        try:
            async with asyncio.timeout(deadline_s):
                return await apply(step), None
        except TimeoutError:
            late = TransientError(f"{step.summary}: no answer within {deadline_s:g} s")
            return Outcome(OutcomeKind.UNKNOWN, message=str(late)), late
        except (NotSentError, PermanentError) as exc:
            return Outcome(OutcomeKind.FAILED, message=str(exc)), exc
        except TransientError as exc:
            return Outcome(OutcomeKind.UNKNOWN, message=str(exc)), exc
