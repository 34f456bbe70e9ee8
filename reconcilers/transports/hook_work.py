"""One run from its record to its result. It blocks: for a thread of its own."""

import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from crds.quantity import duration_text
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.hook_runs import Hook, HookResult, HookState
from reconcilers.transports.hook_command import MARK, Command, Refuse
from reconcilers.transports.hook_process import Cause, Ending, HookProcess, Limits
from reconcilers.transports.hook_records import HookRecord, HookRecords
from reconcilers.transports.processes import end_marked

log = structlog.stdlib.get_logger()

_STATES: Final = MappingProxyType({
    Cause.EXITED: HookState.FAILED,
    Cause.FLOODED: HookState.FAILED,
    Cause.TIMED_OUT: HookState.TIMED_OUT,
    Cause.STOPPED: HookState.STOPPED,
    Cause.CLOSED: HookState.LOST,
    Cause.STUCK: HookState.LOST,
})  # fmt: skip


class Clock(Protocol):
    """Wall time for records, monotonic time for deadlines."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Order:
    """A run that shall begin; ``mark`` is carried by all its processes."""

    run_id: str
    hook: Hook
    command: Command
    mark: str


class HookWork:
    """Begins runs, follows them, and keeps what became of them."""

    def __init__(
        self,
        records: HookRecords,
        clock: Clock,
        *,
        refuse: Refuse,
        hide: Callable[[str], str],
        grace_s: float,
    ) -> None:
        self._records = records
        self._clock = clock
        self._refuse = refuse
        self._hide = hide
        self._grace_s = grace_s

    def begin(self, order: Order) -> HookProcess:
        """Start the process, after its record. Raises as HookProcess.start does: then no record is left."""
        running = HookResult(order.hook.name, HookState.RUNNING, "runs")
        record = HookRecord(order.run_id, order.mark, self._clock.now(), running)
        try:
            self._records.write(record)
        except OSError as exc:
            text = f"hook {order.hook.name} was not started: its record cannot be written: {exc.strerror}"
            raise NotSentError(text) from exc
        try:
            return HookProcess.start(order.command, order.mark, self._refuse, self._clock.monotonic)
        except (NotSentError, PermanentError):
            self._records.forget(order.run_id)
            raise
        except TransientError as exc:
            self._keep(replace(record, result=_lost(running, str(exc))))
            raise

    def follow(self, order: Order, process: HookProcess) -> tuple[HookResult, bool]:
        """Return what became of it once nothing of it is left, and whether that is written down."""
        limits = Limits(order.hook.timeout.total_seconds(), self._grace_s)
        ending = process.follow(limits)
        result = self._result(order.hook, ending, process)
        record = HookRecord(order.run_id, order.mark, self._clock.now(), result)
        is_kept = self._keep(record, self._hide(process.output.kept()))
        with contextlib.suppress(OSError):
            self._records.trim(self._clock.now())
        return result, is_kept

    def sweep(self) -> tuple[HookRecord, ...]:
        """End what runs of a former daemon have left, and return those runs: LOST. Raises OSError."""
        self._records.prepare()
        found = self._records.open_runs()
        if found:
            end_marked(MARK, [record.mark for record in found])
        lost = tuple(
            replace(each, result=_lost(each.result, "the daemon ended while it ran")) for each in found
        )
        for record in lost:
            self._records.write(record)
        self._records.trim(self._clock.now())
        return lost

    def _keep(self, record: HookRecord, output: str | None = None) -> bool:
        try:
            self._records.write(record, output)
        except OSError as exc:
            # Told all the same; after a crash the run counts as lost, which is the safe side.
            log.warning("hook.not_recorded", run=record.run_id, error=str(exc))
            return False
        return True

    def _result(self, hook: Hook, ending: Ending, process: HookProcess) -> HookResult:
        is_passed = ending.cause is Cause.EXITED and ending.exit_status == 0
        return HookResult(
            hook.name,
            HookState.PASSED if is_passed else _STATES[ending.cause],
            _sentence(hook, ending, process),
            seconds=ending.seconds,
            exit_status=ending.exit_status,
            signal=ending.signal,
            tail=self._hide(process.output.tail()),
            output_bytes=process.output.total,
            is_cut=process.output.is_cut,
        )


def _lost(result: HookResult, why: str) -> HookResult:
    return replace(result, state=HookState.LOST, says=f"{why}: how far it came is not known")


def _sentence(hook: Hook, ending: Ending, process: HookProcess) -> str:
    text = _end(hook, ending, process)
    if not ending.left:
        return text
    left = "1 process" if ending.left == 1 else f"{ending.left} processes"
    return f"{text}; {left} that it left running {'was' if ending.left == 1 else 'were'} ended with it"


def _end(hook: Hook, ending: Ending, process: HookProcess) -> str:
    took = f"{ending.seconds:.1f} s"
    match ending.cause:
        case Cause.EXITED:
            return f"{_exit(ending)} {took}"
        case Cause.TIMED_OUT:
            how = " with SIGKILL" if ending.signal == signal.SIGKILL else ""
            return f"not done after {duration_text(hook.timeout)}, and ended{how}"
        case Cause.STOPPED:
            return f"stopped after {took}"
        case Cause.FLOODED:
            return f"wrote {process.output.total} bytes, more than it may, and was ended after {took}"
        case Cause.CLOSED:
            return f"the daemon was stopped after it had run for {took}: how far it came is not known"
        case Cause.STUCK:
            return f"process {process.pid} hangs in the kernel and cannot be ended"


def _exit(ending: Ending) -> str:
    if ending.signal is not None:
        return f"ended by {_name(ending.signal)} after"
    return "passed in" if ending.exit_status == 0 else f"exit status {ending.exit_status} after"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between the named ones
        return f"signal {number}"
