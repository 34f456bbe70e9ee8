"""The log of a real HAProxy becomes response times, whoever is made anew; a flood costs a counter."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from lab.haproxy import LabBackend, LabHaproxy, LabServer
from reconcilers.response_times import Answered, ResponseTimes
from reconcilers.transports.haproxy_log import HaproxyLog
from tests.faulty_server import FaultyServer, Manner, a_faulty_server
from tests.real_haproxy import Site, a_site, free_address

LINE = b"psa api_backend/%b 0/0/1/%d/30 200 --"
LIMITS_MS = (200.0,)


class Listening:
    """A log socket with its counts, and a clock that a test moves."""

    def __init__(self, address: str, *, a_second: int = 10_000) -> None:
        self.path = Path(address.removeprefix("unix://"))
        self.now = 0.0
        self.counts: Counter[str] = Counter()
        self.times = ResponseTimes(["edge"], lambda: self.now)
        self.times.confirm("edge", "api_backend", {"blue", "green"})
        servers = self.times.of("edge")
        self.log = HaproxyLog(address, servers, lambda: self.now, self._count, a_second=a_second)

    def _count(self, result: str, number: int) -> None:
        self.counts[result] += number

    async def come(self, number: int) -> None:
        """Wait for so many lines."""
        async with asyncio.timeout(10):
            while self.counts.total() < number:
                await asyncio.sleep(0.005)

    def answered(self, server: str) -> Answered:
        found = self.times.answers("edge", "api_backend", server, LIMITS_MS)
        assert found is not None
        return found


@contextlib.contextmanager
def listening(folder: Path, **options: int) -> Iterator[Listening]:
    found = Listening(f"unix://{folder}/log", **options)
    found.log.open()
    try:
        yield found
    finally:
        found.log.close()


def sent(path: Path, *lines: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(str(path))
        for line in lines:
            client.send(line)


async def test_lines_are_counted_by_what_they_are(tmp_path: Path) -> None:
    with listening(tmp_path) as here:
        sent(here.path, LINE % (b"green", 41), b"Proxy started.", LINE[:20] + b"!", LINE % (b"unknown", 1))
        sent(here.path, b"", b"\xff\x00" * 3000, b"psa " + b"x" * 20_000)
        await here.come(7)
    assert here.counts == {"accepted": 1, "foreign": 3, "malformed": 2, "unknown": 1}
    found = here.answered("green")
    assert found.answers == 1
    assert found.p50_ms == pytest.approx(42, abs=3)
    assert not here.path.exists()


async def test_more_than_a_seconds_lines_are_dropped_and_the_next_second_is_read_again(
    tmp_path: Path,
) -> None:
    with listening(tmp_path, a_second=100) as here:
        await asyncio.to_thread(sent, here.path, *[LINE % (b"blue", 1)] * 200)
        await here.come(200)
        assert here.counts == {"accepted": 100, "dropped": 100}
        here.now = 1.0
        sent(here.path, LINE % (b"blue", 1))
        await here.come(201)
    assert here.answered("blue").answers == 101


async def test_a_flood_is_left_to_lie_until_the_second_is_over(tmp_path: Path) -> None:
    with listening(tmp_path, a_second=1) as here:
        here.now = 0.9
        sending = asyncio.to_thread(sent, here.path, *[LINE % (b"blue", 1)] * 1000)
        async with asyncio.TaskGroup() as tasks:
            began = asyncio.get_running_loop().time()
            tasks.create_task(sending)
            await here.come(1000)
        taken_s = asyncio.get_running_loop().time() - began
    # 128 lines at most are taken out at once, and 0.1 s are left of the second, each time.
    assert taken_s > 0.5
    assert here.counts == {"accepted": 1, "dropped": 999}


async def test_a_socket_that_a_former_daemon_left_is_replaced_and_nothing_else_is(  # noqa: RUF029 - in a loop
    tmp_path: Path,
) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(tmp_path / "log"))
    left.close()
    with listening(tmp_path) as first:
        with pytest.raises(OSError, match="another daemon reads there"):
            Listening(f"unix://{first.path}").log.open()
        sent(first.path, LINE % (b"blue", 1))
    first.path.write_text("somebody's file")
    with pytest.raises(FileExistsError):
        Listening(f"unix://{first.path}").log.open()
    assert first.path.read_text() == "somebody's file"


async def test_a_folder_that_is_not_there_and_a_port_that_is_taken_are_named(  # noqa: RUF029 - in a loop
    tmp_path: Path,
) -> None:
    with pytest.raises(OSError, match=f"{tmp_path}/none/log: No such file"):
        Listening(f"unix://{tmp_path}/none/log").log.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"udp://127.0.0.1:{port}: Address already in use"):
            Listening(f"udp://127.0.0.1:{port}").log.open()


async def test_a_short_queue_is_told_of(  # noqa: RUF029 - in a loop
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for queue, warned in (("10\n", ["haproxy_log.queue_short"]), ("512\n", []), ("", [])):
        (tmp_path / "queue").write_text(queue)
        monkeypatch.setattr("reconcilers.transports.haproxy_log._QUEUE", tmp_path / "queue")
        with capture_logs() as logs, listening(tmp_path):
            pass
        assert [each["event"] for each in logs] == warned


async def test_udp_works_as_well() -> None:
    here = Listening(f"udp://{free_address()}")
    here.log.open()
    try:
        bound = here.log.bound
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(LINE % (b"blue", 5), bound)
        await here.come(1)
    finally:
        here.log.close()
    assert here.counts == {"accepted": 1}


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


@pytest.fixture
async def green() -> AsyncIterator[FaultyServer]:
    async with a_faulty_server() as green:
        yield green


async def asked(address: str, times: int = 1) -> None:
    """Send requests, one connection each, and wait for the answers."""
    host, port = address.split(":")
    for _ in range(times):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /x?psa=api_backend/blue HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(OSError):
            await reader.read()
            writer.close()
            await writer.wait_closed()


async def test_a_real_haproxys_log_counts_every_request_through_a_reload(site: Site) -> None:
    with listening(site.folder) as here:
        haproxy = site.start(log_to=str(here.path))
        await asked(haproxy.config.frontend, 20)
        haproxy.reload()
        await asked(haproxy.config.frontend, 20)
        await _until_answered(here, 40)
    assert (here.answered("blue").answers, here.answered("green").answers) == (20, 20)
    assert here.answered("blue").p99_ms is not None
    assert here.counts["malformed"] == here.counts["unknown"] == 0


async def test_haproxy_finds_the_socket_of_the_next_daemon(site: Site) -> None:
    haproxy = site.start(log_to=f"{site.folder}/log")
    for _ in range(2):
        await asked(haproxy.config.frontend)
        with listening(site.folder) as here:
            await asked(haproxy.config.frontend, 4)
            # HAProxy writes its line behind the answer: that of the request before may still come.
            await _until_counted(here, "accepted", 4)
        assert _answers(here) in {4, 5}


@pytest.mark.parametrize(
    ("manner", "answers", "slow"), [(Manner.WHOLE, 1, 0), (Manner.HANG, 1, 1), (Manner.CLOSE, 0, 0)]
)
async def test_a_hang_is_slow_and_what_has_no_answer_has_no_time(
    site: Site, green: FaultyServer, manner: Manner, answers: int, slow: int
) -> None:
    green.manner = manner
    with listening(site.folder) as here:
        assert here.answered("green").exceeded == (0,)
        haproxy = site.start(_only(green, "timeout server 300ms"), log_to=str(here.path))
        await asked(haproxy.config.frontend)
        await _until_counted(here, "accepted", 1)
        haproxy.stop(grace_s=0.1)
    found = here.answered("green")
    assert (found.answers, found.exceeded) == (answers, (slow,))


@pytest.mark.parametrize("frame", ["raw", "rfc3164", "rfc5424", "local", "short"])
async def test_the_own_form_is_read_in_every_frame_of_a_real_haproxy(
    site: Site, green: FaultyServer, frame: str
) -> None:
    with listening(site.folder) as here:
        address = free_address()
        own = (
            "listen own",
            f"    bind {address}",
            f"    log {here.path} len 1024 format {frame} local0",
            '    log-format "psa api_backend/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %tsc %{+Q}r"',
            f"    server green {green.address}",
        )
        haproxy: LabHaproxy = site.start(_only(green), more=own)
        await asked(address, 3)
        await _until_answered(here, 3)
        haproxy.stop(grace_s=0.1)
    assert here.answered("green").answers == 3


def _only(green: FaultyServer, *options: str) -> LabBackend:
    return LabBackend("api_backend", (LabServer("green", green.address),), check=None, options=options)


async def _until_answered(here: Listening, number: int) -> None:
    await _until_counted(here, "accepted", number)
    assert _answers(here) == number


def _answers(here: Listening) -> int:
    return here.answered("blue").answers + here.answered("green").answers


async def _until_counted(here: Listening, result: str, number: int) -> None:
    async with asyncio.timeout(10):
        while here.counts[result] < number:
            await asyncio.sleep(0.005)
