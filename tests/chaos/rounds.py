"""Rounds of random trouble: faults of data services and killed parts together, ended after a while."""

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from lab import elasticsearch_faults, postgres_faults, rabbitmq_faults, redis_faults
from lab.data_fault_command import WELL, Action
from lab.layout import Lab
from lab.parts import PartError
from lab.processes import send, wait_gone
from lab.start import start_again

SYSTEMS: Final[Mapping[str, Mapping[str, Action]]] = {
    "postgres": postgres_faults.ACTIONS,
    "redis": redis_faults.ACTIONS,
    "rabbitmq": rabbitmq_faults.ACTIONS,
    "elasticsearch": elasticsearch_faults.ACTIONS,
}
KILLED: Final = (
    *("daemon", "proxmox", "app", "haproxy", "postgres", "postgres-replica", "pgbouncer", "redis"),
    *("rabbitmq", "elasticsearch"),
)
MOST_FAULTS: Final = 4
MOST_KILLED: Final = 2
LASTS_S: Final = (0.0, 1.0, 4.0, 10.0)
WHOLE_WITHIN_S: Final = 60.0
PSACTL: Final = str(Path(sys.executable).with_name("psactl"))
_GONE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """What one round does. ``faults`` are system and action; ``lasts_s`` is how long nothing ends it."""

    faults: tuple[tuple[str, str], ...]
    killed: tuple[str, ...]
    lasts_s: float

    def __str__(self) -> str:
        faults = ", ".join(" ".join(each) for each in self.faults)
        return f"{faults}; killed: {', '.join(self.killed) or 'nothing'}; for {self.lasts_s:g} s"


def troubles(seed: int) -> Iterator[Trouble]:
    """Yield rounds for ever, the same ones for the same *seed*."""
    chance = random.Random(seed)  # noqa: S311 - a game, no secret
    every = [(system, word) for system, words in SYSTEMS.items() for word in words if word != WELL]
    while True:
        yield Trouble(
            faults=tuple(chance.sample(every, chance.randint(1, MOST_FAULTS))),
            killed=tuple(chance.sample(KILLED, chance.randint(0, MOST_KILLED))),
            lasts_s=chance.choice(LASTS_S),
        )


def play(lab: Lab, trouble: Trouble) -> Sequence[str]:
    """Do it, wait, and end it; return what could not be done, because something else was broken, too."""
    vain = [f"{system} {word}" for system, word in trouble.faults if not _does(SYSTEMS[system][word], lab)]
    for part in trouble.killed:
        process = lab.parts.running().get(part)
        if process is None:
            vain.append(f"kill {part}")
        else:
            send(process, signal.SIGKILL)
            wait_gone([process], _GONE_S)
    time.sleep(trouble.lasts_s)
    for part in trouble.killed:
        # What was frozen outlives its server, and keeps a new one from starting until it is well.
        with contextlib.suppress(PartError):
            _start(lab, part)
    for system in dict(trouble.faults):
        SYSTEMS[system][WELL].do(lab)
    for part in trouble.killed:
        _start(lab, part)
    return vain


def _start(lab: Lab, part: str) -> None:
    if part not in lab.parts.running():
        start_again(lab, part)


def _does(action: Action, lab: Lab) -> bool:
    with contextlib.suppress(click.ClickException):
        action.do(lab)
        return True
    return False


def heal(lab: Lab) -> tuple[float, str]:
    """Wait until all is as its files ask, by itself; return the seconds, and what was wrong at last."""
    began = time.monotonic()
    while True:
        wrong = _complaint(lab, "wait", "--all", "--timeout", "5s") or _complaint(lab, "diff")
        took = time.monotonic() - began
        if not wrong or took > WHOLE_WITHIN_S:
            return took, wrong
        time.sleep(0.2)


def _complaint(lab: Lab, *command: str) -> str:
    """Return what a command of psactl says, unless it says that all is well."""
    words = [PSACTL, "--socket", str(lab.socket("api")), *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"
