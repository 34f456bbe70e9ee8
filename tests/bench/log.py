"""What it costs to read HAProxy's log: 10 000 lines a second, beside a loop that only receives them."""

import asyncio
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from reconcilers.response_times import ResponseTimes
from reconcilers.transports.haproxy_log import HaproxyLog
from tests.bench.table import Figure

_RATE: Final = 10_000
_SECONDS: Final = 5
_LIMITS_MS: Final = (200.0,)
#: Sends ten lines each millisecond, as a HAProxy does that is busy; without loss, as the buffer holds 1 000.
_SENDER: Final = """
import socket, sys, time
port, rate, seconds = map(int, sys.argv[1:])
line = (b"127.0.0.1:40562 [25/Nov/2026:16:14:57.123] api_frontend api_backend/green 0/0/1/%d/30 200 112 - -"
        b' ---- 1/1/0/0/0 0/0 "GET /api/tickets?page=3 HTTP/1.1"\\n')
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(("127.0.0.1", port))
began = time.perf_counter()
for number in range(rate * seconds):
    if number % 10 == 0:
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
    client.send(line % (number % 300))
"""


def measure() -> Iterator[Figure]:
    """Measure the share of a core that lines of ``option httplog`` take."""
    floor = _core(_received)
    found = _core(_read)
    what = "a loop that receives them and nothing more"
    yield Figure(f"HAProxy's log, {_RATE} lines/s", "%", found * 100, 25, floor * 100, what)


def _core(take: Callable[[Callable[[int], None]], int]) -> float:
    """Return the share of a core that *take* needs; it says at which port the lines shall come."""
    senders: list[subprocess.Popen[bytes]] = []

    def send_to(port: int) -> None:
        arguments = [str(port), str(_RATE), str(_SECONDS)]
        senders.append(subprocess.Popen([sys.executable, "-c", _SENDER, *arguments]))

    began = time.process_time()
    came = take(send_to)
    used_s = time.process_time() - began
    for sender in senders:
        sender.wait()
    # What came decides: a line that was lost on the way has cost nothing.
    return used_s / came * _RATE


def _received(send_to: Callable[[int], None]) -> int:
    came = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        server.bind(("127.0.0.1", 0))
        server.settimeout(2.0)
        send_to(server.getsockname()[1])
        try:
            while server.recv(8192):
                came += 1
        except TimeoutError:
            return came
    return came


def _read(send_to: Callable[[int], None]) -> int:
    counts: Counter[str] = Counter()

    def count(result: str, number: int) -> None:
        counts[result] += number

    async def read() -> None:
        times = ResponseTimes(["edge"], asyncio.get_running_loop().time)
        times.confirm("edge", "api_backend", {"blue", "green"})
        times.answers("edge", "api_backend", "green", _LIMITS_MS)
        log = HaproxyLog("udp://127.0.0.1:0", times.of("edge"), asyncio.get_running_loop().time, count)
        log.open()
        try:
            send_to(int(log.bound[1]))
            before = -1
            while before != counts.total() or not before:
                before = counts.total()
                await asyncio.sleep(1.0)
        finally:
            log.close()

    asyncio.run(read())
    return counts["accepted"]
