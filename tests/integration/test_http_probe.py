"""Health endpoints as real servers answer: in pieces, without end, with what is no JSON for us."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence

import pytest

from crds.service import Health
from reconcilers.contract import TransientError
from reconcilers.release.client import probe
from reconcilers.release.model import Well
from reconcilers.transports.http_probe import HttpProbe

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PIECES = (
    b'9\r\n{"status"\r\n',
    b'a\r\n:"healthy"\r\n',
    b'12\r\n,"version":"1.1.0"\r\n',
    b"1\r\n}\r\n0\r\n\r\n",
)


@contextlib.asynccontextmanager
async def answering(parts: Sequence[bytes], pause_s: float = 0.0) -> AsyncIterator[int]:
    """Serve *parts* to everybody, a pause behind each; yield the port."""
    is_over, ended = asyncio.Event(), asyncio.Semaphore(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await is_over.wait()
        writer.transport.abort() if is_over.is_set() else writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.release()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            is_over.set()
            await ended.acquire()


@pytest.fixture
async def prober() -> AsyncIterator[HttpProbe]:
    found = HttpProbe(deadline_s=1.0)
    yield found
    await found.close()


async def test_an_answer_that_comes_in_pieces_is_read_whole(prober: HttpProbe) -> None:
    parts = (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *PIECES)
    async with answering(parts, pause_s=0.05) as port:
        found = await probe(prober, "127.0.0.1", port, Health(expect={"status": "healthy"}), "1.1.0")
    assert (found.well, found.says) == (Well.YES, f"127.0.0.1:{port}/health is well, 1.1.0")


async def test_an_answer_without_end_is_cut_at_64_kib_and_not_waited_for(prober: HttpProbe) -> None:
    async with answering((HEAD + b"\r\n", *(1000 * (b"x" * 8192,)))) as port:
        answer = await prober.get("127.0.0.1", port, "/health")
    assert len(answer.body) == 64 * 1024


async def test_an_answer_that_does_not_end_in_time_is_none(prober: HttpProbe) -> None:
    async with answering((HEAD + b"Content-Length: 100\r\n\r\n{", b"}"), pause_s=5.0) as port:
        with pytest.raises(TransientError, match="no answer within 1 s"):
            await prober.get("127.0.0.1", port, "/health")


async def test_an_answer_that_breaks_off_is_none(prober: HttpProbe) -> None:
    async with answering((HEAD + b'Content-Length: 100\r\n\r\n{"status"',)) as port:
        with pytest.raises(TransientError, match="/health"):
            await prober.get("127.0.0.1", port, "/health")


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 10_000, b"\xff\xfe", b"9" * 5000])
async def test_what_a_candidate_may_answer_never_ends_the_look(prober: HttpProbe, body: bytes) -> None:
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    async with answering((head + body,)) as port:
        found = await probe(prober, "127.0.0.1", port, Health(), "1.1.0")
    assert (found.well, found.says) == (Well.NO, f"127.0.0.1:{port}/health answers no JSON")


@pytest.mark.parametrize(
    ("said", "asked", "is_well"),
    [("true", "true", True), ("false", "true", False), ("null", "null", True), ("3", "3", True)],
)
async def test_what_is_no_text_is_compared_as_json_writes_it(
    prober: HttpProbe, said: str, asked: str, *, is_well: bool
) -> None:
    body = f'{{"ready": {said}, "version": "1.1.0"}}'.encode()
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    async with answering((head + body,)) as port:
        found = await probe(prober, "127.0.0.1", port, Health(expect={"ready": asked}), "1.1.0")
    assert (found.well is Well.YES) is is_well


async def test_a_whole_set_of_candidates_that_hang_makes_no_stable_look_ill(prober: HttpProbe) -> None:
    """A release has up to 64 services, and both colours of each are asked at once."""
    body = b'{"version":"1.0.0"}'
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    async with answering((head + body,)) as port, silent() as hung, asyncio.TaskGroup() as tasks:
        for _ in range(64):
            tasks.create_task(probe(prober, "127.0.0.1", hung, Health(), "1.1.0"))
        stable = tasks.create_task(probe(prober, "127.0.0.1", port, Health(), "1.0.0"))
    assert stable.result().well is Well.YES


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """Take connections and say nothing; yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield listener.getsockname()[1]
