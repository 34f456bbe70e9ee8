"""What this machine needs for the least: starts of processes, connections, memory."""

import http.client
import re
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROUNDS = 20


def p50(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median of the seconds that *call* takes."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def p99(values: Sequence[float]) -> float:
    """Return the value that 99 % do not exceed."""
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def python(code: str) -> float:
    """Return how long Python takes for *code*, from nothing."""
    return p50(lambda: run(sys.executable, "-c", code))


def new_connection(url: str, token: str) -> float:
    """Return how long one request to Proxmox over a new TLS connection takes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = url.removeprefix("https://")

    def ask() -> None:
        connection = http.client.HTTPSConnection(address, context=context, timeout=5)
        connection.request("GET", "/api2/json/version", headers={"Authorization": f"PVEAPIToken={token}"})
        connection.getresponse().read()
        connection.close()

    return p50(ask)


def pss_mb(pid: int) -> float:
    """Return the memory of a process and its children, shared pages by part."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    own = int(found[1]) / 1024 if found else 0.0
    return own + sum(pss_mb(int(child)) for child in children)


def bare_python_mb() -> float:
    """Return the memory of a Python that does nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        time.sleep(0.3)
        found = pss_mb(process.pid)
        process.communicate(b"\n")
    return found
