"""How soon a bad candidate is found out, and how soon HAProxy has it then: real releases and daemon."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crds.release import Attempt, Phase
from lab.control import call_now
from lab.haproxy import LabHaproxy
from tests.bench import machine
from tests.bench.poller import Poller
from tests.bench.table import Figure
from tests.real_releases import GATEWAY, NEW, Releases, releases

#: Rollbacks whose way from the decision to HAProxy is measured; 1 % of them is less than one.
_ROLLBACKS: Final = 30
#: Times that each fault is tried: a check of a few real runs, the distributions are simulated.
_RUNS: Final = 3
#: How long a watch has lasted when the fault comes.
_LATE_S: Final = 5.0
_CTID: Final = 1100
_LIMIT: Final[Mapping[str, object]] = {"limit": "0.1%"}


@dataclass(frozen=True, slots=True)
class _Fault:
    """What becomes of the candidate, at so many requests a second for both, and within how many seconds."""

    what: str
    rate: int
    fault: Mapping[str, object]
    goal_s: float


_FAULTS: Final = (
    _Fault("50 % at 20/s", 40, {"error_rate": 0.5}, 4),
    _Fault("5 % at 20/s", 40, {"error_rate": 0.05}, 25),
    _Fault("1 % at 200/s", 400, {"error_rate": 0.01}, 20),
    _Fault("dead", 40, {}, 5),
    _Fault("refusing", 40, {"refuse": True}, 5),
    _Fault("hanging at 20/s", 40, {"hang": 1.0}, 5),
)


def acknowledged() -> Iterator[Figure]:
    """Measure the time from the decision until somebody else sees that HAProxy has it."""
    with _a_lab() as lab:
        found = []
        lab.fault(GATEWAY, NEW, error_rate=1.0)
        with lab.users(200):
            for number in range(1, _ROLLBACKS + 1):
                poller = Poller(lab.sight.haproxy, "green")
                _begin(lab, number)
                poller.start()
                decided = _decided(lab, number)
                found.append((poller.end() - decided) * 1e3)
        floor = one_command(lab.sight.haproxy)
    what = f"decided to weight 0, p50/p99 of {_ROLLBACKS}"
    p50, p99 = statistics.median(found), machine.p99(found)
    yield Figure(what, "ms", p50, 100, floor, "a command to HAProxy", p99, 100)


def faults() -> Iterator[Figure]:
    """Measure the time from a fault in the middle of a watch until it is decided."""
    with _a_lab() as lab:
        number = 0
        for each in _FAULTS:
            found = []
            for _ in range(_RUNS):
                number += 1
                with lab.users(each.rate):
                    found.append(_found_out(lab, each, number))
            what = f"{each.what}: decided, p50/max"
            p50, worst = statistics.median(found), max(found)
            yield Figure(what, "s", p50, each.goal_s, 1.0, "a sample each second", worst, each.goal_s)


def one_command(haproxy: LabHaproxy) -> float:
    """Return how many milliseconds HAProxy needs for one command."""
    return machine.p50(lambda: haproxy.ask("show servers state")) * 1e3


@contextlib.contextmanager
def _a_lab() -> Iterator[Releases]:
    with tempfile.TemporaryDirectory(prefix="psa-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with releases(Path(folder) / "lab", services=1) as lab:
            yield lab


def _begin(lab: Releases, number: int) -> None:
    """Begin another attempt at the same version."""
    if number == 1:
        lab.ask_for(
            NEW, services=[GATEWAY], watch="10m", watchMax="30m", minHealthy="100ms", errorRate=_LIMIT
        )
        return
    call_now(lab.lab.socket("api"), "POST", "/api/v1/release/psa-suite/retry", {"reason": "once more"})


def _decided(lab: Releases, number: int) -> float:
    attempt: Attempt = lab.wait_in(Phase.ROLLED_BACK, number=number, seconds=120)
    if attempt.decided_at is None:
        raise RuntimeError(f"attempt {number} was not decided: {attempt}")
    return attempt.decided_at.timestamp()


def _found_out(lab: Releases, each: _Fault, number: int) -> float:
    """Let one attempt break in the middle of its watch; return after how many seconds it was decided."""
    lab.fault(GATEWAY)
    _begin(lab, number)
    lab.wait_in(Phase.WATCH, number=number, seconds=90)
    time.sleep(_LATE_S)
    began = time.time()
    if each.fault:
        lab.fault(GATEWAY, NEW, **each.fault)
    else:
        lab.stop_container(_CTID)
    return _decided(lab, number) - began
