"""Measures the figures of DESIGN §14 on a lab of its own, each beside this machine's floor of the same run.

``python -m tests.bench`` prints a table; nothing here passes or fails.
"""

import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PSACTL = str(Path(sys.executable).with_name("psactl"))
DEBOUNCE_S = 0.1
ROUNDS = 20


def lab(*arguments: str) -> str:
    command = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def row(what: str, found: str, floor: str, ratio: float | None, goal: str) -> None:
    sys.stdout.write(
        f"{what:<34} {found:>18} {floor:>22} {'' if ratio is None else f'{ratio:.1f}':>6}  {goal}\n"
    )
    sys.stdout.flush()


def start_times() -> None:
    floor = statistics.median(seconds(lambda: run(sys.executable, "-c", "pass")) for _ in range(ROUNDS))
    found = statistics.median(seconds(lambda: run(PSACTL, "--help")) for _ in range(ROUNDS))
    row(
        "psactl --help",
        f"{found * 1e3:.0f} ms",
        f"python -c pass {floor * 1e3:.0f} ms",
        found / floor,
        "80 ms",
    )


def pss_mb(pid: int) -> float:
    """Return the memory of a process and its children, shared pages by part."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    own = int(found[1]) / 1024 if found else 0.0
    return own + sum(pss_mb(int(child)) for child in children)


def writes_of(control: str, since: float) -> list[float]:
    """Return when the simulator took mutations, in wall time, after *since*."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(control)
        client = http.client.HTTPConnection("localhost")
        client.sock = connection
        client.request("GET", "/log")
        rows = json.loads(client.getresponse().read())
    entries = rows["log"] if isinstance(rows, dict) else rows
    return [r["time"] for r in entries if r["method"] != "GET" and r["time"] >= since]


def file_to_mutation(desired: Path, control: str) -> list[float]:
    file = desired / "services" / "psa-crm.yaml"
    text, found = file.read_text(), []
    for number in range(ROUNDS):
        changed = re.sub(r"memory: \w+", f"memory: {4 + number % 2}Gi" if number else "memory: 6Gi", text)
        fresh = file.with_suffix(".new")
        fresh.write_text(changed)
        began = time.time()
        fresh.rename(file)
        while not (taken := writes_of(control, began)):
            time.sleep(0.002)
        found.append(min(taken) - began)
        time.sleep(0.5)
    return found


def command(path: str, text: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(f"{text}\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def wrong_color(admin: str, master: int) -> float:
    """Reload HAProxy and return for how long green, which shall have nothing, was open."""
    pid = re.search(r"^Pid: (\d+)", command(admin, "show info"), re.MULTILINE)
    before = pid[1] if pid else ""
    began = None
    os.kill(master, signal.SIGUSR2)
    while True:
        try:
            now = command(admin, "show info")
            weights = command(admin, "get weight api_backend/green")
            state = command(admin, "show servers state api_backend")
        except OSError:
            continue
        if f"Pid: {before}\n" in now:
            continue
        began = began or time.perf_counter()
        green = next(line.split() for line in state.splitlines() if " green " in line)
        if weights.startswith("0 ") and int(green[6]) & 1:
            return time.perf_counter() - began


def main() -> None:
    row("what", "found", "floor of this run", None, "goal")
    start_times()
    with tempfile.TemporaryDirectory(prefix="psa-bench-") as folder:
        began = time.perf_counter()
        lab("up", "--dir", folder, "--services", "3")
        try:
            measure(json.loads(lab("status", "--dir", folder, "-o", "json")))
        finally:
            lab("down", "--dir", folder)
    row("the whole run", f"{time.perf_counter() - began:.0f} s", "", None, "")


def measure(site: dict[str, dict[str, str]]) -> None:
    api, admin, control = site["sockets"]["api"], site["sockets"]["haproxy"], site["sockets"]["pve"]
    pids = {part["name"]: int(part["pid"]) for part in site["parts"]}  # type: ignore[index]  # a list of parts
    run(PSACTL, "--socket", api, "wait", "Service/psa-crm", "Service/psa-api-gateway", "--timeout", "60s")
    floor = statistics.median(seconds(lambda: command(admin, "show info")) for _ in range(ROUNDS))
    taken = [found - DEBOUNCE_S for found in file_to_mutation(Path(site["files"]["desired"]), control)]
    p50, worst = statistics.median(taken), max(taken)
    text = f"p50 {p50 * 1e3:.0f} max {worst * 1e3:.0f} ms"
    row("file to first mutation", text, f"HAProxy call {floor * 1e3:.2f} ms", None, "p50 15, p99 30 ms")
    gaps = [wrong_color(admin, pids["haproxy"]) for _ in range(5)]
    row("wrong colour after a reload", f"max {max(gaps):.2f} s", "poll 1.00 s", max(gaps), "1.2 s")
    row("memory with three services", f"{pss_mb(pids['daemon']):.0f} MB", "", None, "100 MB")
    state = time.perf_counter()
    run(PSACTL, "--socket", api, "get")
    row("psactl get", f"{(time.perf_counter() - state) * 1e3:.0f} ms", "", None, "150 ms")
    log = Path(site["files"]["logs"]) / "daemon.log"
    stamps = dict(
        re.findall(r'"event": "(daemon\.(?:started|ready))".*?"ts": "[^T]*T([^Z"]*)', log.read_text())
    )
    if len(stamps) == len({"started", "ready"}):
        begun, ready = (_clock(stamps[f"daemon.{name}"]) for name in ("started", "ready"))
        row("started to ready", f"{(ready - begun) * 1e3:.0f} ms", "", None, "1000 ms")


def _clock(text: str) -> float:
    hours, minutes, secs = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(secs)


if __name__ == "__main__":
    main()
