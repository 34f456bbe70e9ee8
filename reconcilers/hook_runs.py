"""Runs of hooks as values: what is asked for, and what became of it: pure.

Who runs them has five calls: ``start(run)`` returns a reference as soon as the process runs or has its place
in the queue; ``look(run_id)`` returns a HookResult, or None for a run that was never begun; ``stop(run_id)``
returns once nothing of it is left, ``dismiss(run_id)`` at once; ``known`` says for each hook of the settings
whether it may be repeated.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

#: What a run is told, by the names of ``{version}`` in its arguments and of PSA_VERSION in its environment.
FACTS: Final = ("release", "version", "attempt", "service", "color", "address", "port", "url")


@dataclass(frozen=True, slots=True)
class Hook:
    """A program that the settings name.

    ``argv`` begins with an absolute path; an element such as ``{version}`` stands for a fact of the run.
    """

    name: str
    argv: tuple[str, ...]
    timeout: timedelta = timedelta(minutes=10)
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    is_idempotent: bool = False
    """Whether it may be run again although nobody knows how a run of it ended."""


@dataclass(frozen=True, slots=True)
class HookRun:
    """One run of a hook, and the facts that it is told.

    ``run_id`` is the caller's name for it, used once: small letters, digits, dots and dashes. ``service``,
    ``color``, ``address`` (without prefix length) and ``port`` are None where it is not about one candidate.
    """

    run_id: str
    hook: str
    release: str
    version: str
    attempt: int
    service: str | None = None
    color: str | None = None
    address: str | None = None
    port: int | None = None
    notice: str = ""
    """What a person shall be told, as PSA_MESSAGE; never an argument, for it is free text."""

    def facts(self) -> dict[str, str]:
        """Return what it is told; facts that it has not are left out."""
        url = None
        if self.address is not None and self.port is not None:
            host = f"[{self.address}]" if ":" in self.address else self.address
            url = f"http://{host}:{self.port}"
        values = (
            self.release,
            self.version,
            self.attempt,
            self.service,
            self.color,
            self.address,
            self.port,
            url,
        )
        return {name: str(value) for name, value in zip(FACTS, values, strict=True) if value is not None}


class HookState(enum.Enum):
    """Where a run is."""

    RUNNING = "running"
    """It runs, or waits for its turn."""
    PASSED = "passed"
    FAILED = "failed"
    """It ended with another exit status than 0, by a signal, wrote too much, or could not be started."""
    TIMED_OUT = "timed-out"
    STOPPED = "stopped"
    """It was ended because nobody waited for it any more."""
    LOST = "lost"
    """The daemon ended while it ran: nobody knows how far it came. Nothing of it runs now."""


@dataclass(frozen=True, slots=True)
class HookResult:
    """What is known of a run. ``says`` is one sentence for people, with its figures.

    ``seconds`` is how long it has run; ``tail`` the last 4 KiB of its output as harmless text;
    ``output_bytes`` the size of all that it wrote; ``is_cut`` whether ``tail`` is less than that.
    """

    hook: str
    state: HookState
    says: str
    seconds: float = 0.0
    exit_status: int | None = None
    """None where it runs, was ended by a signal, or nobody knows."""
    signal: int | None = None
    """Number of the signal that ended it."""
    tail: str = ""
    output_bytes: int = 0
    is_cut: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state is not HookState.RUNNING
