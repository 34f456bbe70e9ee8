"""The loop: takes the most urgent object, makes a pass over it, and decides when it is looked at again."""

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog

from crds.meta import Key, Mode
from daemon.engine.backoff import PATIENT, URGENT, Backoff, longest_pause_s, pause_after
from daemon.engine.bulkhead import Bulkhead
from daemon.engine.effects import AtPoint, EffectRunner, nothing_happens
from daemon.engine.interests import Interests, has_new_request, is_asked_anew
from daemon.engine.judge import differences, judge_blind
from daemon.engine.memory import Memory, Refusal
from daemon.engine.passes import AnyReconciler, Look, Passed, Passes, poll_interval
from daemon.engine.staleness import watch_staleness
from daemon.engine.tally import effects
from daemon.engine.workset import Priority, Taken, WorkSet
from daemon.ports import Clock, Random
from daemon.store.operations import Event, Record, Report
from daemon.store.store import Changed, CommitError, Store
from metrics.engine import EngineMetrics
from reconcilers.contract import (
    Amend,
    AnyResource,
    PermanentError,
    Plan,
    TransientError,
    Urgency,
)

log = structlog.stdlib.get_logger()

SLOTS: Final = 16
RESERVED_SLOTS: Final = 2
SETTLE_S: Final = 0.05
"""Pause between applied steps and the look that verifies them."""
TICK_S: Final = 0.001
"""Timers may fire early by the clock's resolution; shorter waits would spin."""
JITTER: Final = 0.1
PRIORITIES: Final = {
    Urgency.ORDINARY: Priority.POLL,
    Urgency.RELEASE: Priority.RELEASE,
    Urgency.ROLLBACK: Priority.ROLLBACK,
}
ALWAYS_WATCHED: Final = timedelta(seconds=1)
"""Kinds polled this often are exempt from bulkheads and long back-off: traffic splits."""


class Controller:
    """Drives all objects of the store, for ever, until drained."""

    def __init__(
        self,
        store: Store,
        reconcilers: Mapping[str, AnyReconciler],
        clock: Clock,
        random: Random,
        metrics: EngineMetrics,
        *,
        mode: Mode,
        at_point: AtPoint = nothing_happens,
    ) -> None:
        self._store = store
        self._reconcilers = reconcilers
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self.configured_mode = mode
        """The settings' one."""
        self._passes = Passes(store, reconcilers, EffectRunner(store, clock, at_point), clock, random)
        self._work = WorkSet()
        self._memories: dict[Key, Memory] = {}
        self._bulkheads: dict[str, Bulkhead] = {}
        self._interests = Interests()
        self._running: dict[Key, float] = {}
        self._wake = asyncio.Event()
        self._draining = False
        self.last_progress = clock.monotonic()
        """Monotonic time of the last finished pass; the watchdog wants it to move while work is due."""
        self._unlisten = store.listen(self._on_commit)

    @property
    def mode(self) -> Mode:
        """The mode in force: the stricter one of the settings' and the operators'."""
        said = Mode(self._store.state.values.get("mode", Mode.ENFORCE.value))
        return Mode.OBSERVE if Mode.OBSERVE in {said, self.configured_mode} else Mode.ENFORCE

    def configure(self, mode: Mode) -> None:
        """Take the mode of newly read settings."""
        self.configured_mode = mode
        self.wake_all()

    def wake(self, key: Key, priority: Priority = Priority.CHANGE, after_s: float = 0.0) -> None:
        """Look at *key* soon; a person's wish also ends back-off and quarantine."""
        if priority >= Priority.CHANGE:
            self._memory(key).asked()
        self._work.add(key, priority, self._clock.monotonic() + after_s)
        self._wake.set()

    def wake_all(self, priority: Priority = Priority.DEPENDENCY) -> None:
        """Look at everything soon."""
        for key in self._store.state.objects:
            self.wake(key, priority)

    def drain(self) -> None:
        """Start nothing more; ``run`` returns when the passes under way have ended."""
        self._draining = True
        self._wake.set()

    async def look(self, resource: AnyResource) -> Look:
        """Observe and plan one object now; nothing is changed."""
        return await self._passes.look(resource, self._memory(resource.key), self.mode)

    def breaker_is_open(self, endpoint: str) -> bool:
        """Whether ordinary passes are kept away from *endpoint*."""
        return endpoint in self._bulkheads and self._bulkheads[endpoint].is_open

    def is_endpoint_up(self, endpoint: str) -> bool | None:
        """Whether the last look at *endpoint* worked; None before the first."""
        bulkhead = self._bulkheads.get(endpoint)
        return None if bulkhead is None or bulkhead.never_left else bulkhead.failures == 0

    def queue_depth(self) -> int:
        """Return how many objects have a next look planned or due."""
        return len(self._work)

    def oldest_running_s(self) -> float:
        """Return for how many seconds the longest pass has been under way, 0 if there is none."""
        return self._clock.monotonic() - min(self._running.values(), default=self._clock.monotonic())

    def is_work_due(self) -> bool:
        """Whether a pass is under way or overdue."""
        due = self._work.next_due()
        return bool(self._running) or (due is not None and due < self._clock.monotonic())

    async def run(self) -> None:
        """Make passes until drained. Raises only what is not an Exception (a crash in a test)."""
        for key, resource in self._store.state.objects.items():
            self._interests.index(key, None, resource)
            self._tell(resource)
            self._work.add(key, Priority.STARTUP, self._clock.monotonic())
        try:
            async with asyncio.TaskGroup() as group:
                while not self._draining:
                    self._wake.clear()
                    while (taken := self._take()) is not None:
                        group.create_task(self._work_on(taken))
                    self._metrics.queue_depth(len(self._work))
                    await self._wait_for_work()
        finally:
            self._unlisten()

    async def watch_staleness(self) -> None:
        """For ever: say Unknown of what has not been seen for three poll intervals."""
        await watch_staleness(self._store, self._reconcilers, self._memory, self._clock)

    def _memory(self, key: Key) -> Memory:
        return self._memories.setdefault(key, Memory(seen_at=self._clock.monotonic()))

    async def _wait_for_work(self) -> None:
        due = self._work.next_due()
        timer = None
        if due is not None and len(self._running) < SLOTS:
            # Only the reserved slots may be left: what is due but ordinary must not make this spin.
            soonest = SETTLE_S if len(self._running) >= SLOTS - RESERVED_SLOTS else TICK_S
            delay = max(soonest, due - self._clock.monotonic())
            timer = asyncio.get_running_loop().call_later(delay, self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()

    def _take(self) -> Taken | None:
        """Return the next key that may start now; park those whose endpoint has no room."""
        now = self._clock.monotonic()
        while len(self._running) < SLOTS:
            taken = self._work.take(now, reserved_only=len(self._running) >= SLOTS - RESERVED_SLOTS)
            if taken is None:
                return None
            if self._may_start(taken, now):
                self._running[taken.key] = now
                return taken
        return None

    def _may_start(self, taken: Taken, now: float) -> bool:
        resource = self._store.state.get(taken.key)
        if resource is None:
            self._work.done(taken.key)
            self._forget(taken.key)
            return False
        bulkhead = self._bulkhead(resource)
        if bulkhead is None:
            return True
        if self._is_exempt(taken) or bulkhead.admits(now, eager=taken.priority >= Priority.CHANGE):
            bulkhead.enter()
            return True
        self._work.done(taken.key)
        if bulkhead.open_until is not None:
            self._work.add(taken.key, taken.priority, max(now + SETTLE_S, bulkhead.open_until))
        else:
            bulkhead.parked[taken.key] = taken.priority
        return False

    def _bulkhead(self, resource: AnyResource) -> Bulkhead | None:
        endpoint = self._reconcilers[resource.key.kind].endpoint(resource)
        return None if endpoint is None else self._bulkheads.setdefault(endpoint, Bulkhead())

    def _is_exempt(self, taken: Taken) -> bool:
        always = self._reconcilers[taken.key.kind].poll_interval <= ALWAYS_WATCHED
        return always or taken.priority.is_reserved

    async def _work_on(self, taken: Taken) -> None:
        key, started = taken.key, self._clock.monotonic()
        self._metrics.queue_latency(taken.waited_s)
        resource = self._store.state.objects[key]
        with structlog.contextvars.bound_contextvars(object=str(key), generation=resource.generation):
            passed = await self._attempt(resource)
        now = self._clock.monotonic()
        self._leave_bulkhead(resource, passed, now)
        self._tally(resource, passed)
        del self._running[key]
        self._work.done(key)
        self.last_progress = now
        if isinstance(passed, Passed) and passed.stale:
            self._work.add(key, taken.priority, now)
            result = "stale"
        else:
            result = self._schedule(taken, resource, passed)
        self._metrics.reconciled(key.kind, result, now - started)
        self._wake.set()

    async def _attempt(self, resource: AnyResource) -> Passed | Exception:
        """Make a pass; whatever goes wrong becomes a value. The one place that catches everything."""
        memory = self._memory(resource.key)
        if memory.is_quarantined(resource.generation):
            return PermanentError(f"quarantined: {memory.panic}", reason="Quarantined")
        try:
            return await self._passes.make(resource, memory, self.mode)
        except CommitError as exc:
            failure: Exception = exc
        except Exception as exc:  # noqa: BLE001 - a bug in one kind must not stop the others
            failure = exc
        if isinstance(failure, CommitError):
            log.error("commit.failed", error=str(failure))
        else:
            await self._panicked(resource, memory, failure)
        return failure

    async def _panicked(self, resource: AnyResource, memory: Memory, failure: Exception) -> None:
        text = "".join(traceback.format_exception_only(failure)).strip()
        log.error("pass.panicked", error=text, exc_info=failure)
        memory.panicked(text, resource.generation)
        quarantined = memory.is_quarantined(resource.generation)
        reason = "Quarantined" if quarantined else "Panic"
        now = self._clock.now()
        verdicts = judge_blind(resource, reason, text, stalled=quarantined)
        try:
            await self._store.commit(
                [Report(resource.key, now, verdicts), Record(resource.key, now, reason, text, warning=True)]
            )
        except CommitError as exc:
            log.exception("commit.failed", error=str(exc))

    def _leave_bulkhead(self, resource: AnyResource, passed: Passed | Exception, now: float) -> None:
        endpoint = self._reconcilers[resource.key.kind].endpoint(resource)
        bulkhead = self._bulkhead(resource)
        if bulkhead is None or endpoint is None:
            return
        error = passed.look.error if isinstance(passed, Passed) else None
        unseen = isinstance(error, TransientError)
        bulkhead.leave(failed=unseen, now=now, within_s=self._longest_pause_s(resource))
        self._metrics.target(endpoint, not unseen)
        self._metrics.breaker(endpoint, bulkhead.is_open)
        if bulkhead.parked and bulkhead.admits(now):
            key = next(iter(bulkhead.parked))
            self._work.add(key, bulkhead.parked.pop(key), now)

    def _tally(self, resource: AnyResource, passed: Passed | Exception) -> None:
        endpoint = self._reconcilers[resource.key.kind].endpoint(resource) or "none"
        for result in effects(passed) if isinstance(passed, Passed) else ():
            self._metrics.effect(endpoint, result)

    def _schedule(self, taken: Taken, resource: AnyResource, passed: Passed | Exception) -> str:
        """Decide when the object is looked at again; return the result's name for the metric."""
        memory, now = self._memory(taken.key), self._clock.monotonic()
        patience = URGENT if self._is_exempt(taken) else PATIENT
        if isinstance(passed, Exception) or passed.look.plan is None:
            return self._again_after_failure(taken, resource, patience, _error_of(passed))
        memory.seen_at = now
        plan, ran = passed.look.plan, passed.ran
        self._hurry(plan, now)
        self._metrics.drift(taken.key.kind, taken.key.name, differences(plan))
        if passed.withheld:
            wait = patience.cap_s if ran.error is not None else max(SETTLE_S, memory.hold_until - now)
            self._work.add(taken.key, Priority.RETRY, now + min(wait, self._interval(resource)))
            return "withheld"
        if ran.error is not None or plan.failed is not None:
            if isinstance(ran.error, PermanentError):
                memory.refusal = Refusal(resource.generation, passed.look.gated.steps, ran.error)
            error = ran.error or TransientError(plan.failed or "")
            return self._again_after_failure(taken, resource, patience, error)
        if ran.done or ran.running:
            memory.failures *= bool(ran.running)  # a task that began has not succeeded yet
            pause = patience.pause(memory.repeats + 1, self._random.fraction())
            memory.ran(passed.look.gated.steps, now, pause)
            settle = plan.recheck_after.total_seconds() if plan.recheck_after else SETTLE_S
            self._work.add(taken.key, taken.priority, now + settle)
            return "applied"
        if not plan.steps and plan.waiting is None:
            memory.rested()
        self._work.add(taken.key, PRIORITIES[plan.urgency], now + self._rest(resource, plan.recheck_after))
        return "waiting" if plan.waiting else "held" if passed.look.gated.hold else "unchanged"

    def _hurry(self, plan: Plan[Any], now: float) -> None:
        """Give what an urgent plan amended its urgency."""
        if plan.urgency is not Urgency.ORDINARY:
            for write in plan.writes:
                if isinstance(write, Amend):
                    self._work.add(write.key, PRIORITIES[plan.urgency], now)

    def _again_after_failure(
        self, taken: Taken, resource: AnyResource, patience: Backoff, error: Exception | None
    ) -> str:
        memory = self._memory(taken.key)
        memory.failures += 1
        longest_s, fraction = self._longest_pause_s(resource), self._random.fraction()
        refused = memory.refusal is not None and memory.refusal.error is error
        pause = pause_after(error, patience, memory.failures, fraction, longest_s, is_refusal=refused)
        priority = taken.priority if taken.priority.is_reserved else Priority.RETRY
        self._work.add(taken.key, priority, self._clock.monotonic() + pause)
        if str(error) != memory.said:
            log.warning("pass.failed", object=str(taken.key), error=str(error), retry_s=round(pause, 3))
            memory.said = str(error)
        return "stalled" if isinstance(error, PermanentError) else "failed"

    def _longest_pause_s(self, resource: AnyResource) -> float:
        kind = self._reconcilers[resource.key.kind]
        return longest_pause_s(kind.poll_interval.total_seconds(), self._interval(resource))

    def _interval(self, resource: AnyResource) -> float:
        return poll_interval(self._reconcilers[resource.key.kind], resource).total_seconds()

    def _rest(self, resource: AnyResource, recheck_after: timedelta | None) -> float:
        """Return the seconds to the next look: the plan's own wish, else the poll interval ± 10 %."""
        if recheck_after is not None:
            return recheck_after.total_seconds()
        interval = self._interval(resource)
        if interval <= ALWAYS_WATCHED.total_seconds():
            return interval
        return interval * (1 + JITTER * (2 * self._random.fraction() - 1))

    def _on_commit(self, changes: Sequence[Changed], events: Sequence[Event]) -> None:
        for change in changes:
            before, after = change.before, change.after
            self._interests.index(change.key, before, after)
            if after is None:
                continue
            self._tell(after)
            if is_asked_anew(before, after):
                self.wake(change.key, Priority.CHANGE)
            if has_new_request(before, after):
                self.wake(change.key, Priority.ROLLBACK)
            for interested in self._interests.of(before, after):
                self._work.add(interested, Priority.DEPENDENCY, self._clock.monotonic())
                self._wake.set()

    def _tell(self, resource: AnyResource) -> None:
        statuses = {condition.type.value: condition.status.value for condition in resource.conditions}
        self._metrics.conditions(resource.key.kind, resource.key.name, statuses)

    def _forget(self, key: Key) -> None:
        self._memories.pop(key, None)
        self._metrics.forget(key.kind, key.name)
        if key.kind in self._reconcilers:
            self._reconcilers[key.kind].gone(key)


def _error_of(passed: Passed | Exception) -> Exception | None:
    return passed if isinstance(passed, Exception) else passed.look.error
