"""The figures of DESIGN §14 that a lab can tell, measured on one that runs."""

import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lab.control import call_now
from lab.layout import Lab
from lab.processes import identify, send
from lab.sight import Sight
from lab.start import answers
from lab.wiring import node_urls
from tests.bench import machine
from tests.bench.table import Figure
from tests.builders_source import container_yaml

PROGRAMS = Path(sys.executable).parent
PSACTL = str(PROGRAMS / "psactl")
DEBOUNCE_S = 0.1
EDITS = 100
RELOADS = 10
FILES = 1000
QUIET_S = 60


def commands(lab: Lab) -> Iterator[Figure]:
    """How long a person waits for psactl."""
    floor = machine.python("pass") * 1e3
    for what, argv, goal in (("psactl --help", ["--help"], 80), ("psactl get", ["get"], 150)):
        command = [PSACTL, "--socket", str(lab.socket("api")), *argv]
        found = machine.p50(lambda command=command: machine.run(*command)) * 1e3  # type: ignore[misc]  # bound at once
        yield Figure(what, "ms", found, goal, floor, "python -c pass")


def file_to_mutation(lab: Lab) -> Figure:
    """From a file renamed into place to the first byte of Proxmox's change, without the debounce."""
    floor = machine.new_connection(node_urls(lab)[0], lab.token.read_text().strip()) * 1e3
    found = [(taken - DEBOUNCE_S) * 1e3 for taken in (_edit(lab, number) for number in range(EDITS))]
    return Figure(
        "file to first mutation, p50/p99",
        "ms",
        statistics.median(found),
        15,
        floor,
        "a request, new TLS",
        machine.p99(found),
        30,
    )


def _edit(lab: Lab, number: int) -> float:
    """Change psa-crm's memory; return after how many seconds Proxmox was asked for it."""
    file = lab.desired / "services" / "psa-crm.yaml"
    fresh = file.with_suffix(".new")
    fresh.write_text(re.sub(r"memory: \w+", f"memory: {5 + number % 2}Gi", file.read_text(), count=1))
    before = Sight(lab).last_request()
    began = time.time()
    fresh.rename(file)
    while True:
        time.sleep(0.3)  # nobody looks meanwhile: looking would make it slower
        rows = call_now(lab.socket("pve"), "GET", f"/log?since={before}")
        taken = (
            [float(row["time"]) for row in rows if row["method"] != "GET"] if isinstance(rows, list) else []
        )
        if taken:
            return min(taken) - began


def wrong_color(lab: Lab) -> Figure:
    """For how long green, which shall have nothing, is open after a reload of HAProxy."""
    found = [_reload(lab) for _ in range(RELOADS)]
    return Figure("wrong colour after a reload, max", "s", max(found), 1.2, 1.0, "looked at each second")


def _reload(lab: Lab) -> float:
    haproxy, master = Sight(lab).haproxy, identify(lab.parts.running()["haproxy"].pid)
    before = haproxy.worker_pid()
    if master is None or not send(master, signal.SIGUSR2):
        raise RuntimeError("HAProxy is gone")
    while haproxy.worker_pid() in {before, None}:
        time.sleep(0.002)
    began = time.perf_counter()
    while Sight(lab).servers("api_backend")["green"].state != "maint":
        time.sleep(0.005)
    return time.perf_counter() - began


def memory(lab: Lab) -> Figure:
    """What the daemon and its parser child need."""
    found = machine.pss_mb(lab.parts.running()["daemon"].pid)
    return Figure("memory with three services", "MB", found, 100, machine.bare_python_mb(), "a bare Python")


def starts(lab: Lab) -> Iterator[Figure]:
    """From nothing to ready, beside the running daemon: another state, another socket, nothing changed."""
    floor = machine.python("import daemon.main") * 1e3
    with tempfile.TemporaryDirectory(prefix="psa-bench-") as folder:
        many = Path(folder) / "desired.d"
        many.mkdir()
        for number in range(FILES):
            text = container_yaml(f"ct-{number}", 10_000 + number, mode="Observe")
            (many / f"{number}.yaml").write_text(text)
        for what, desired, goal in (
            ("start to ready", lab.desired, 1000),
            (f"start to ready, {FILES} files", many, 1500),
        ):
            found = statistics.median(_start(lab, desired, Path(folder) / f"{n}") for n in range(5)) * 1e3
            yield Figure(what, "ms", found, goal, floor, "import daemon.main")


def _start(lab: Lab, desired: Path, state: Path) -> float:
    socket, settings = state.with_suffix(".sock"), state.with_suffix(".yaml")
    # The socket of HAProxy's log is the other daemon's.
    settings.write_text(
        lab.config.read_text().replace(str(lab.socket("log")), str(state.with_suffix(".log")))
    )
    argv = [str(PROGRAMS / "psa-reconciler"), "--config", str(settings), "--desired", str(desired)]
    argv += ["--state", str(state), "--socket", str(socket), "--mode", "Observe", "--listen"]
    address = f"127.{lab.record.number}.0.99:9633"
    began = time.perf_counter()
    with subprocess.Popen([*argv, address], stderr=subprocess.DEVNULL) as process:
        while not (socket.exists() and answers(socket, "/readyz")):
            if process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {process.returncode}")
            time.sleep(0.005)
        found = time.perf_counter() - began
        process.kill()
    return found


def quiet(lab: Lab, when: str = "of quiet") -> Figure:
    """Writes of the store, events and changes of the outside while nothing is to do."""
    before = _counts(lab)
    time.sleep(QUIET_S)
    found = sum(after - at for after, at in zip(_counts(lab), before, strict=True))
    return Figure(f"writes in {QUIET_S} s {when}", "", found, 0, 0, "nothing is to do")


def _counts(lab: Lab) -> tuple[int, int, int]:
    status = call_now(lab.socket("api"), "GET", "/api/v1/status")
    events = call_now(lab.socket("api"), "GET", "/api/v1/events?limit=1")
    if not isinstance(status, dict) or not isinstance(events, list):
        raise TypeError("the daemon's answers are not understood")
    return int(status["commits"]), int(events[-1]["id"]), len(Sight(lab).changes())
