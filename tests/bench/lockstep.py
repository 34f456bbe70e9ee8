"""Eleven services in lockstep, each with a backend: what a watch costs, and when the last is back."""

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from crds.release import Phase
from lab.control import call_now
from lab.layout import Lab
from tests.bench.poller import Poller
from tests.bench.rollbacks import one_command
from tests.bench.table import Figure
from tests.real_releases import GATEWAY, NEW, Releases, releases

_SERVICES: Final = 11
_ROUNDS: Final = 5
_COST_S: Final = 20
#: The lab sends all users to the first backend.
_ENTRY: Final = "psa-ai"
_RATE: Final = 100


def measure() -> Iterator[Figure]:
    """Measure the daemon's share of a core in a watch, and the time until the last of eleven is back."""
    with _a_lab() as lab:
        names = sorted(path.stem for path in (lab.lab.desired / "services").glob("*.yaml"))
        with lab.users(_RATE):
            rest = _share(lab)
            spec = {"services": names, "watch": "10m", "watchMax": "30m", "minHealthy": "100ms"}
            lab.ask_for(NEW, **spec)
            found = []
            for number in range(1, _ROUNDS + 1):
                poller = Poller(lab.sight.haproxy, "green")
                poller.start()
                lab.wait_in(Phase.WATCH, number=number, seconds=90)
                if number == 1:
                    what = f"core in a watch of {_SERVICES} entries"
                    yield Figure(what, "%", _share(lab), 15, rest, "the same at rest")
                found.append(_back(lab, number, poller) * 1e3)
                lab.fault(_ENTRY)
                call_now(lab.lab.socket("api"), "POST", "/api/v1/release/psa-suite/retry", {"reason": "more"})
        what = f"decided to the last of {_SERVICES}, p50/max"
        floor = one_command(lab.sight.haproxy)
    yield Figure(what, "ms", statistics.median(found), 500, floor, "a command to HAProxy", max(found), 500)


def _back(lab: Releases, number: int, poller: Poller) -> float:
    lab.fault(_ENTRY, NEW, error_rate=1.0)
    attempt = lab.wait_in(Phase.ROLLED_BACK, number=number)
    if attempt.decided_at is None:
        raise RuntimeError(f"attempt {number} was not decided: {attempt}")
    return poller.end() - attempt.decided_at.timestamp()


def _share(lab: Releases) -> float:
    """Return the percentage of a core that the daemon takes."""
    pid, began = lab.lab.parts.running()["daemon"].pid, time.monotonic()
    before = _cpu_s(pid)
    time.sleep(_COST_S)
    return 100 * (_cpu_s(pid) - before) / (time.monotonic() - began)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _a_lab() -> Iterator[Releases]:
    with tempfile.TemporaryDirectory(prefix="psa-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with releases(Path(folder) / "lab", services=_SERVICES, arrange=_behind_backends) as lab:
            yield lab


def _behind_backends(lab: Lab) -> None:
    """Give each service a backend."""
    for folder in (lab.example, lab.desired):
        for path in (folder / "services").glob("*.yaml"):
            found: dict[str, Any] = yaml.safe_load(path.read_text())
            name = found["metadata"]["name"]
            if name != GATEWAY:
                found["spec"]["backend"] = {"endpoint": "edge", "name": f"{name}_backend"}
                path.write_text(yaml.safe_dump(found))
