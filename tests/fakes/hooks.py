"""Hooks in memory, in the loop's time, real or virtual; ``tests/contract`` compares them with real ones."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crds.quantity import duration_text
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.hook_runs import Hook, HookResult, HookRun, HookState
from reconcilers.transports.hook_command import command_of

_LATENCY_S = 0.001


@dataclass(frozen=True, slots=True)
class Act:
    """What every run of a hook does from now on; ``signal`` is what ends it, if anything does."""

    seconds: float = 0.1
    exit_status: int = 0
    signal: int | None = None
    tail: str = ""


@dataclass
class _Run:
    hook: Hook
    act: Act
    began_s: float | None = None
    result: HookResult | None = None

    @property
    def lasts_s(self) -> float:
        return min(self.act.seconds, self.hook.timeout.total_seconds())

    def ended(self) -> HookResult:
        """Return what became of it when it ended by itself, or was too late."""
        is_late = self.act.seconds > self.hook.timeout.total_seconds()
        took = f"{self.lasts_s:.1f} s"
        if is_late:
            text = f"not done after {duration_text(self.hook.timeout)}, and ended"
            return self.over(HookState.TIMED_OUT, text, self.lasts_s)
        if self.act.signal is not None:
            return self.over(
                HookState.FAILED, f"ended by signal {self.act.signal} after {took}", self.lasts_s
            )
        if self.act.exit_status:
            text = f"exit status {self.act.exit_status} after {took}"
            return self.over(HookState.FAILED, text, self.lasts_s)
        return self.over(HookState.PASSED, f"passed in {took}", self.lasts_s)

    def over(self, state: HookState, says: str, seconds: float) -> HookResult:
        is_own_end = state in {HookState.PASSED, HookState.FAILED}
        return HookResult(
            self.hook.name,
            state,
            says,
            seconds=seconds,
            exit_status=self.act.exit_status if is_own_end and self.act.signal is None else None,
            signal=self.act.signal if is_own_end else None,
            tail=self.act.tail,
            output_bytes=len(self.act.tail.encode()),
        )


@dataclass
class FakeHooks:
    """The runner of one daemon after another: ``crash`` ends the one, ``sweep`` begins the next.

    ``acts`` says what each hook does; ``refuses`` is the error that starting a hook meets.
    """

    hooks: Sequence[Hook] = ()
    acts: dict[str, Act] = field(default_factory=dict)
    refuses: dict[str, TransientError | PermanentError] = field(default_factory=dict)
    at_once: int = 4
    started: list[str] = field(default_factory=list)
    """Runs in the order in which they began."""
    _runs: dict[str, _Run] = field(default_factory=dict)
    _is_closing: bool = False

    @property
    def known(self) -> Mapping[str, bool]:
        return {hook.name: hook.is_idempotent for hook in self.hooks}

    async def sweep(self) -> None:
        await asyncio.sleep(_LATENCY_S)
        self._is_closing = False

    async def start(self, run: HookRun) -> str:
        await asyncio.sleep(_LATENCY_S)
        self._advance()
        hook = next((each for each in self.hooks if each.name == run.hook), None)
        if hook is None:
            raise PermanentError(f"the settings have no hook {run.hook!r}", reason="UnknownHook")
        command_of(hook, run, Path("/"))
        if run.run_id in self._runs:
            raise PermanentError(f"there was a run {run.run_id} already", reason="HookRunExists")
        if self._is_closing:
            raise NotSentError("no hook begins while the daemon stops")
        if run.hook in self.refuses:
            raise self.refuses[run.hook]
        self._runs[run.run_id] = _Run(hook, self.acts.get(run.hook, Act()))
        self._advance()
        return f"fake:{run.run_id}"

    async def look(self, run_id: str) -> HookResult | None:
        await asyncio.sleep(_LATENCY_S)
        self._advance()
        run = self._runs.get(run_id)
        if run is None or run.result is not None:
            return run.result if run is not None else None
        if run.began_s is None:
            says = f"waits for its turn: {self.at_once} hooks run at once"
            return HookResult(run.hook.name, HookState.RUNNING, says)
        seconds = _now() - run.began_s
        says = f"runs for {seconds:.0f} s, at most {duration_text(run.hook.timeout)}"
        return HookResult(run.hook.name, HookState.RUNNING, says, seconds=seconds)

    async def stop(self, run_id: str) -> None:
        await asyncio.sleep(_LATENCY_S)
        self.dismiss(run_id)

    def dismiss(self, run_id: str) -> None:
        self._advance()
        self._end(run_id, HookState.STOPPED, "stopped")
        self._advance()

    async def close(self) -> None:
        await asyncio.sleep(_LATENCY_S)
        self._is_closing = True
        self.crash("the daemon was stopped while it ran")

    def crash(self, why: str = "the daemon ended while it ran") -> None:
        """Let the daemon die: what runs is lost, what waits was never begun."""
        self._advance()
        for run_id in [*self._runs]:
            self._end(run_id, HookState.LOST, f"{why}: how far it came is not known")

    def _end(self, run_id: str, state: HookState, says: str) -> None:
        run = self._runs.get(run_id)
        if run is None or run.result is not None:
            return
        if run.began_s is None:
            del self._runs[run_id]
        else:
            run.result = run.over(state, says, _now() - run.began_s)

    def _advance(self) -> None:
        """Let everything happen that has happened by now, in its order."""
        now = _now()
        self._begin(now)
        while True:
            ends = [(run.began_s + run.lasts_s, run) for run in self._active() if run.began_s is not None]
            at, run = min(ends, key=lambda end: end[0], default=(now + 1, None))
            if run is None or at > now:
                return
            run.result = run.ended()
            self._begin(at)

    def _active(self) -> list[_Run]:
        return [run for run in self._runs.values() if run.began_s is not None and run.result is None]

    def _begin(self, at: float) -> None:
        for run_id, run in self._runs.items():
            if run.began_s is None and len(self._active()) < self.at_once:
                run.began_s = at
                self.started.append(run_id)


def _now() -> float:
    return asyncio.get_running_loop().time()
