"""Releases on a lab of its own: real HAProxy, the simulator of Proxmox, the daemon as it is installed."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from crds.release import Attempt, Phase
from lab.control import ControlError, call_now
from lab.layout import Lab
from lab.processes import marked
from lab.sight import SeenServer, Sight
from lab.stage import BACKEND, Stage
from lab.start import Options, prepare, start_daemon, start_platform
from lab.story import Story

GATEWAY: Final = "psa-api-gateway"
CRM: Final = "psa-crm"
RELEASE: Final = "Release/psa-suite"
OLD, NEW, NEWER, NEWEST = "1.0.0", "1.1.0", "1.2.0", "1.3.0"
_PACE_S: Final = 0.05
#: What a test of something else asks for: short, and a limit that what it is not about never breaks.
_SPEC: Final[Mapping[str, object]] = {
    "services": [GATEWAY, CRM],
    "split": [50],
    "watch": "3s",
    "watchMax": "5m",
    "soak": "2s",
    "minHealthy": "500ms",
    "drain": "5s",
    "errorRate": {"limit": "1%", "minRequests": 50},
}


@dataclass
class Users:
    """What users saw, once they have gone. ``by`` and ``failed_by`` are counts by version."""

    sent: int = 0
    failed: int = 0
    by: Mapping[str, int] = field(default_factory=dict)
    failed_by: Mapping[str, int] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)

    def take(self, said: Mapping[str, Any]) -> None:
        """Read what the client printed."""
        self.said, self.sent, self.failed = said, said["sent"], said["failed"]
        self.by, self.failed_by = _by_version(said["servedBy"]), _by_version(said["failedBy"])


def _by_version(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[row["version"]] = found.get(row["version"], 0) + row["count"]
    return found


class Releases:
    """A lab whose daemon runs, what is asked of it, and what is seen of its release."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.sight = Sight(lab)
        self.stage = Stage(lab, Story(io.StringIO()))

    def ask_for(self, version: str, **spec: object) -> None:
        """Save the release's file."""
        self.write("release.yaml", "Release", "psa-suite", {**_SPEC, "version": version, **spec})

    def write(self, file: str, kind: str, name: str, spec: Mapping[str, object]) -> None:
        """Save a file of the watched directory whole."""
        found = {"apiVersion": "psa.platform/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        target = self.lab.desired / file
        draft = target.with_name(f".{target.name}.new")
        draft.write_text(yaml.safe_dump(found))
        draft.replace(target)

    def status(self) -> Mapping[str, Any]:
        """Return the release's status as the daemon shows it; empty before there is one."""
        rows = call_now(self.lab.socket("api"), "GET", "/api/v1/objects/Release")
        assert isinstance(rows, list)
        return rows[0]["status"] if rows else {}

    def attempt(self) -> Attempt | None:
        """Return the running attempt, or the last one."""
        found = self.status().get("attempt")
        return Attempt.model_validate(found) if found is not None else None

    def is_in(self, *phases: Phase, number: int | None = None) -> bool:
        """Whether the attempt (that *number*) is in one of the phases."""
        found = self.attempt()
        return found is not None and found.phase in phases and number in {None, found.number}

    def hold(self) -> str | None:
        """Return the reason of the attempt's hold, None if nothing holds it."""
        found = self.attempt()
        return found.hold.reason if found is not None and found.hold is not None else None

    def wait_in(self, *phases: Phase, number: int | None = None, seconds: float = 40) -> Attempt:
        """Wait until the attempt (that *number*) is in one of the phases, and return it."""
        names = " or ".join(phase.value for phase in phases)
        self.wait(names, lambda: self.is_in(*phases, number=number), seconds)
        found = self.attempt()
        assert found is not None
        return found

    def wait(self, what: str, so: Callable[[], bool], seconds: float = 40) -> float:
        """Wait until it is so; return after how many seconds, or fail with the release's story."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(OSError, ControlError):
                if so():
                    return time.monotonic() - began
            if time.monotonic() - began > seconds:
                pytest.fail(f"waited {seconds:g} s for {what}, in vain\n{self.story()}")
            time.sleep(_PACE_S)

    def servers(self, node: int = 1) -> Mapping[str, SeenServer]:
        """Return the entry's servers as a HAProxy node has them."""
        return self.sight.servers(BACKEND, node)

    def shares(self, node: int = 1) -> tuple[int, int]:
        """Return blue's and green's weight for new clients."""
        found = self.servers(node)
        blue, green = (found[color].weight * (found[color].state == "ready") for color in ("blue", "green"))
        return blue, green

    def counts(self, node: int = 1) -> Mapping[str, int]:
        """Return how often a HAProxy node sent requests to each of the entry's servers."""
        rows = csv.DictReader(self.sight.haproxies[node - 1].ask("show stat").lstrip("# ").splitlines())
        return {row["svname"]: int(row["stot"]) for row in rows if row["pxname"] == BACKEND}

    def fault(self, service: str, version: str | None = None, **fault: object) -> None:
        """Let an application misbehave from now on; without a fault it is well again."""
        order = {"service": service, "version": version, "fault": fault}
        call_now(self.lab.socket("app"), "POST", "/lab/fault", order)

    def database(self, **fault: object) -> None:
        """Let the database that both colours share be so."""
        call_now(self.lab.socket("app"), "POST", "/lab/database", fault)

    def stop_container(self, ctid: int) -> None:
        """Stop a container on its node, as an operator would."""
        call_now(self.lab.socket("pve"), "POST", f"/container/{ctid}/stop-by-hand")

    def condition(self, name: str, kind: str) -> Mapping[str, Any]:
        """Return a condition of an object, empty if nothing was said of it."""
        found = call_now(self.lab.socket("api"), "GET", f"/api/v1/objects/{name}")
        assert isinstance(found, dict)
        return next((each for each in found["status"]["conditions"] if each["type"] == kind), {})

    def events(self) -> Sequence[tuple[str, str]]:
        """Return reasons and messages of the release's events, oldest first."""
        return self.sight.reasons(RELEASE)

    def reasons(self) -> Sequence[str]:
        """Return the reasons of the release's events, oldest first."""
        return [reason for reason, _ in self.events()]

    def story(self) -> str:
        """Return what may explain why a test fails."""
        with contextlib.suppress(OSError, ControlError):
            said = [f"{reason}: {message}" for reason, message in self.events()[-30:]]
            shown = json.dumps(self.status(), indent=1)
            tails = (self.lab.parts.tail("load"), self.lab.parts.tail("daemon", lines=20))
            return "\n".join([*said, shown, str(self.servers()), *tails])
        return self.lab.parts.tail("daemon", lines=60)

    def psactl(self, *arguments: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run psactl as a person would."""
        program = str(Path(sys.executable).with_name("psactl"))
        argv = [program, "--socket", str(self.lab.socket("api")), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=seconds)

    @contextlib.contextmanager
    def users(self, rate: int, *arguments: str) -> Iterator[Users]:
        """Have users come while the block runs; what they saw is known at its end."""
        log = self.lab.log / "load.log"
        log.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "lab", "load", "--dir", str(self.lab.root), "--rate", str(rate)]
        self.lab.parts.start("load", [*argv, "-o", "json", *arguments])
        found = Users()
        yield found
        self.lab.parts.end("load", grace_s=10)
        found.take(json.loads(log.read_text()))


@contextlib.contextmanager
def releases(
    root: Path,
    *,
    services: int = 2,
    haproxies: int = 1,
    metrics: bool = False,
    data: bool = False,
    arrange: Callable[[Lab], None] = lambda _lab: None,
    configure: Callable[[str], str] = lambda text: text,
    is_ready: bool = True,
) -> Iterator[Releases]:
    """Bring up a lab, wait until all of it is Ready, and end it.

    *arrange* may change its files before anything reads them, *configure* the daemon's settings. Without
    *is_ready* nothing is waited for.
    """
    options = Options(
        root, services=services, haproxies=haproxies, time_scale=0.05, metrics=metrics, data=data
    )
    lab, lock = prepare(options, lambda _line: None)
    is_well = False
    try:
        arrange(lab)
        start_platform(lab, options, lock, lambda _line: None)
        lab.config.write_text(configure(lab.config.read_text()))
        start_daemon(lab, keep_open=(lock,))
        found = Releases(lab)
        if is_ready:
            found.wait("everything to be Ready", lambda: not found.sight.unready(), 60)
        yield found
        is_well = True
    finally:
        os.close(lock)
        lab.parts.end_all(grace_s=1)
        sys.stdout.write("" if is_well else lab.parts.tail("daemon", lines=60))
        assert marked(lab.record.mark) == frozenset()
