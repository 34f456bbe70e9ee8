"""Hooks: programs of the settings, run with a deadline, their results kept before anybody is told."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from crds.quantity import duration_text
from metrics.hooks import HookMetrics
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.hook_runs import Hook, HookResult, HookRun, HookState
from reconcilers.transports.hook_command import Refuse, command_of, is_run_id
from reconcilers.transports.hook_process import Cause, HookProcess
from reconcilers.transports.hook_records import HookRecords
from reconcilers.transports.hook_work import Clock, HookWork, Order

log = structlog.stdlib.get_logger()

AT_ONCE: Final = 4
"""Runs at the same time; further ones wait for their turn, first come, first served."""
GRACE_S: Final = 5.0
"""How long a run that must end may take between SIGTERM and SIGKILL."""
_START_S: Final = 10.0
_STOP_S: Final = 20.0
"""How long the end of a run may take beyond the grace: the kernel, and the disk."""
_HOME: Final = "home"

_Failure = TransientError | PermanentError


@dataclass(eq=False, slots=True)
class _Job:
    """A run that is not over. Only the loop's thread changes it."""

    order: Order
    begun: "asyncio.Future[str | _Failure]"
    over: asyncio.Event = field(default_factory=asyncio.Event)
    must_wait: bool = False
    process: HookProcess | None = None
    asked: Cause | None = None
    """Why it shall end, if that was asked before it began."""

    @property
    def name(self) -> str:
        return self.order.run_id

    @property
    def hook(self) -> Hook:
        return self.order.hook


class HookRunner:
    """Runs hooks, each in a thread that waits for it; ``sweep`` comes first, ``close`` last.

    *directory* is where records are kept, by one daemon at a time; *refuse* says why a program must not be
    run; *new_mark* gives a text that nothing else has; *hide* takes secrets out of what a hook wrote.
    """

    def __init__(
        self,
        hooks: Iterable[Hook],
        directory: Path,
        clock: Clock,
        *,
        new_mark: Callable[[], str],
        refuse: Refuse,
        metrics: HookMetrics,
        hide: Callable[[str], str] = str,
        grace_s: float = GRACE_S,
        at_once: int = AT_ONCE,
    ) -> None:
        self._hooks = {hook.name: hook for hook in hooks}
        self._home = directory / _HOME
        self._records = HookRecords(directory)
        self._work = HookWork(self._records, clock, refuse=refuse, hide=hide, grace_s=grace_s)
        self._new_mark = new_mark
        self._metrics = metrics
        self._hide = hide
        self._grace_s = grace_s
        self._at_once = at_once
        self._jobs: dict[str, _Job] = {}
        self._running: set[_Job] = set()
        self._queue: deque[_Job] = deque()
        self._unkept: dict[str, HookResult] = {}
        self._is_closing = False

    @property
    def known(self) -> Mapping[str, bool]:
        """Each hook of the settings, True if it may simply be run again."""
        return {name: hook.is_idempotent for name, hook in self._hooks.items()}

    async def sweep(self) -> None:
        """End what a daemon that was killed left behind; those runs are LOST from now on. Raises OSError."""
        lost = await asyncio.to_thread(self._work.sweep)
        await asyncio.to_thread(self._home.mkdir, mode=0o700, exist_ok=True)
        for record in lost:
            self._metrics.ended(record.result.hook, HookState.LOST.value, None)
            log.warning("hook.lost", run=record.run_id, hook=record.result.hook, reason=record.result.says)

    async def start(self, run: HookRun) -> str:
        """Run a hook; return a reference once its process runs, or has its place in the queue.

        Raises NotSentError if it surely did not start, TransientError if nobody knows, PermanentError for a
        hook that is unknown or not trusted (any more), and for a name that a run had before.
        """
        hook = self._hooks.get(run.hook)
        if hook is None:
            known = ", ".join(sorted(self._hooks)) or "none"
            raise PermanentError(
                f"the settings have no hook {run.hook!r}; they have: {known}", reason="UnknownHook"
            )
        command = command_of(hook, run, self._home)
        if await self.look(run.run_id) is not None:
            raise PermanentError(f"there was a run {run.run_id} already", reason="HookRunExists")
        # From here on there is no await until the name and the place are taken.
        if self._is_closing:
            raise NotSentError("no hook begins while the daemon stops")
        order = Order(run.run_id, hook, command, self._new_mark())
        job = self._jobs[run.run_id] = _Job(order, asyncio.get_running_loop().create_future())
        if len(self._running) >= self._at_once:
            job.must_wait = True
            self._queue.append(job)
            return f"queued:{order.mark}"
        self._launch(job)
        return await _begun(job)

    async def look(self, run_id: str) -> HookResult | None:
        """Return what is known of a run, None if it was never begun. Raises TransientError."""
        if not is_run_id(run_id):
            return None
        try:
            record = None if run_id in self._jobs else await asyncio.to_thread(self._records.read, run_id)
        except OSError as exc:
            raise TransientError(f"cannot read the record of {run_id}: {exc.strerror}") from exc
        job = self._jobs.get(run_id)
        if job is not None:
            return self._live(job)
        return self._unkept.get(run_id, record.result if record is not None else None)

    async def stop(self, run_id: str) -> None:
        """End a run, and return when nothing of it is left: SIGTERM, and after the grace SIGKILL.

        Nothing happens if it is over. Raises TransientError if it does not end.
        """
        job = self._jobs.get(run_id)
        if job is None:
            return
        self.dismiss(run_id)
        try:
            async with asyncio.timeout(self._grace_s + _STOP_S):
                await job.over.wait()
        except TimeoutError as exc:
            raise TransientError(f"hook run {run_id} does not end") from exc

    def dismiss(self, run_id: str) -> None:
        """Ask a run to end as ``stop`` does, and do not wait for it; nothing happens if it is over."""
        job = self._jobs.get(run_id)
        if job is not None:
            self._ask(job, Cause.STOPPED)

    async def close(self) -> None:
        """End all runs, as LOST: the daemon stops, and nobody will hear of their ends."""
        self._is_closing = True
        left = tuple(self._jobs.values())
        for job in left:
            self._ask(job, Cause.CLOSED)
        try:
            async with asyncio.timeout(self._grace_s + _STOP_S):
                for job in left:
                    await job.over.wait()
        except TimeoutError:
            log.warning("hook.overdue", runs=sorted(self._jobs))

    def _ask(self, job: _Job, cause: Cause) -> None:
        if job in self._queue:
            self._queue.remove(job)
            self._leave(job)
        elif job.process is not None:
            job.process.end(cause)
        elif job.asked is None:
            job.asked = cause

    def _live(self, job: _Job) -> HookResult:
        if job.process is None:
            turn = f"waits for its turn: {self._at_once} hooks run at once"
            return HookResult(job.hook.name, HookState.RUNNING, turn if job in self._queue else "begins")
        output, seconds = job.process.output, job.process.seconds
        return HookResult(
            job.hook.name,
            HookState.RUNNING,
            f"runs for {seconds:.0f} s, at most {duration_text(job.hook.timeout)}",
            seconds=seconds,
            tail=self._hide(output.tail()),
            output_bytes=output.total,
            is_cut=output.is_cut,
        )

    def _launch(self, job: _Job) -> None:
        self._running.add(job)
        arguments = (job, asyncio.get_running_loop())
        thread = threading.Thread(target=self._follow, args=arguments, name=f"hook {job.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            self._on_refused(job, NotSentError(f"{job.order.command.program} was not started: {exc}"))

    def _follow(self, job: _Job, loop: asyncio.AbstractEventLoop) -> None:
        """Be the thread of a run; all that others see is told to the loop."""
        try:
            process = self._work.begin(job.order)
        except (TransientError, PermanentError) as exc:
            _tell(loop, self._on_refused, job, exc)
            return
        _tell(loop, self._on_begun, job, process)
        result = HookResult(job.hook.name, HookState.LOST, "its thread ended early: this is a bug")
        is_kept = False
        try:
            result, is_kept = self._work.follow(job.order, process)
        finally:
            _tell(loop, self._on_over, job, result, is_kept)

    def _on_begun(self, job: _Job, process: HookProcess) -> None:
        job.process = process
        log.info("hook.started", run=job.name, hook=job.hook.name, pid=process.pid)
        if job.asked is not None:
            process.end(job.asked)
        job.begun.set_result(process.reference)

    def _on_refused(self, job: _Job, error: _Failure) -> None:
        log.warning("hook.not_started", run=job.name, hook=job.hook.name, error=str(error))
        if job.must_wait:  # nobody waits to hear it: who looks is told
            self._unkept[job.name] = HookResult(job.hook.name, HookState.FAILED, str(error))
            self._metrics.ended(job.hook.name, HookState.FAILED.value, 0.0)
        job.begun.set_result(error)
        self._leave(job)

    def _on_over(self, job: _Job, result: HookResult, is_kept: bool) -> None:  # noqa: FBT001 - a callback's
        if not is_kept:
            self._unkept[job.name] = result
        self._metrics.ended(job.hook.name, result.state.value, result.seconds)
        log.info(
            "hook.ended",
            run=job.name,
            hook=job.hook.name,
            result=result.state.value,
            says=result.says,
            seconds=round(result.seconds, 3),
            bytes=result.output_bytes,
        )
        self._leave(job)

    def _leave(self, job: _Job) -> None:
        """Give the place to who waits longest."""
        self._running.discard(job)
        del self._jobs[job.name]
        job.over.set()
        if self._queue and len(self._running) < self._at_once:
            self._launch(self._queue.popleft())


async def _begun(job: _Job) -> str:
    try:
        async with asyncio.timeout(_START_S):
            answer = await asyncio.shield(job.begun)
    except TimeoutError as exc:
        text = f"{job.order.command.program} has not started within {_START_S:g} s"
        raise TransientError(text) from exc
    if isinstance(answer, str):
        return answer
    raise answer


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the record on disk tells the next daemon
        loop.call_soon_threadsafe(what, *arguments)
