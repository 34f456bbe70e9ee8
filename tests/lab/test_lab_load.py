import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from crds.service import Color
from lab.app_faults import AppFault
from lab.conversation import Conversation, Serving
from lab.load import Load, Target
from lab.peers import Peers
from lab.site import Site
from lab.tally import NOBODY
from tests.lab.app_sites import a_slot

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _site(host: str, color: Color = Color.BLUE, version: str = "1.0.0") -> Site:
    return Site(a_slot(host, color=color), hostname="gateway", version=version)


def _of(site: Site) -> Serving:
    return Serving(site, Peers(lambda _peer: None), lambda: 0.0)


@asynccontextmanager
async def _serving(serving: Serving) -> AsyncIterator[Target]:
    loop, slot = asyncio.get_running_loop(), serving.site.slot
    server = await loop.create_server(lambda: Conversation(serving), slot.host, slot.port)
    yield Target(slot.host, slot.port)
    server.close()
    serving.abort()


@asynccontextmanager
async def _behaving(host: str, handler: Handler) -> AsyncIterator[Target]:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(converse, host, 3000):
        yield Target(host, 3000)


async def test_every_request_is_counted_with_who_served_it(number: int) -> None:
    site = _site(f"127.{number}.1.1", Color.GREEN, "1.2.3")
    async with _serving(_of(site)) as target:
        load = Load(target, rate=500)
        await load.run(0.4, asyncio.Event())
    assert load.tally.sent == 200 == load.tally.statuses[200] == site.counts["200"]
    assert load.tally.served_by == {("psa-api-gateway", "green", "1.2.3"): 200}
    assert load.tally.failed == 0


async def test_connections_are_kept_and_used_again(number: int) -> None:
    site, opened = _site(f"127.{number}.1.1"), 0
    serving = _of(site)

    def conversation() -> Conversation:
        nonlocal opened
        opened += 1
        return Conversation(serving)

    loop = asyncio.get_running_loop()
    async with await loop.create_server(conversation, site.slot.host, site.slot.port):
        load = Load(Target(site.slot.host, site.slot.port), rate=200)
        await load.run(0.5, asyncio.Event())
        serving.abort()
    assert load.tally.statuses == {200: 100}
    assert opened < 20


async def test_requests_leave_on_time_however_slow_the_answers_are(number: int) -> None:
    site = _site(f"127.{number}.1.1")
    site.faults = (AppFault(latency=0.3),)
    async with _serving(_of(site)) as target:
        load = Load(target, rate=100)
        stopping = asyncio.Event()
        running = asyncio.get_running_loop().create_task(load.run(None, stopping))
        async with asyncio.timeout(5):
            while load.tally.sent < 25:  # a closed loop with one connection would send one in 0.3 s
                await asyncio.sleep(0.01)
        assert load.tally.answered == 0
        stopping.set()
        await running
    assert load.tally.answered == load.tally.sent


async def test_errors_of_the_server_are_failures(number: int) -> None:
    site = _site(f"127.{number}.1.1")
    site.faults = (AppFault(error_rate=1),)
    async with _serving(_of(site)) as target:
        load = Load(target, rate=200)
        await load.run(0.1, asyncio.Event())
    assert load.tally.statuses == {500: 20}
    assert load.tally.failed_by == {(("psa-api-gateway", "blue", "1.0.0"), "500"): 20}
    first, last = load.tally.first_bad, load.tally.last_bad
    assert first is not None
    assert last is not None
    assert first.at_s < 0.05 < last.at_s < 0.2


async def test_refused_connections_are_failures(number: int) -> None:
    load = Load(Target(f"127.{number}.1.1", 3000), rate=200)
    await load.run(0.1, asyncio.Event())
    assert load.tally.failures == {"refused": 20}
    assert load.tally.failed_by == {(NOBODY, "refused"): 20}
    assert load.tally.failed == load.tally.sent == 20


async def test_an_answer_that_is_cut_off_is_a_failure(number: int) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    async with _behaving(f"127.{number}.1.1", cut) as target:
        load = Load(target, rate=100)
        await load.run(0.1, asyncio.Event())
    assert load.tally.failures == {"cut off": 10}
    assert load.tally.answered == 0


async def test_an_answer_without_a_length_ends_with_its_connection(number: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 503 Service Unavailable\r\n\r\n<html>nobody is there</html>")

    async with _behaving(f"127.{number}.1.1", answer) as target:
        load = Load(target, rate=100)
        await load.run(0.1, asyncio.Event())
    assert load.tally.statuses == {503: 10}
    assert load.tally.failed == 10


async def test_an_answer_in_pieces_is_one_answer(number: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-",
            b"Length: 4\r\n\r",
            b"\nab",
            b"cd",
        ):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)

    async with _behaving(f"127.{number}.1.1", answer) as target:
        load = Load(target, rate=100)
        await load.run(0.05, asyncio.Event())
    assert load.tally.statuses == {200: 5}


async def test_a_request_that_gets_no_answer_is_counted_as_timed_out(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.load._TIMEOUT_S", 0.1)
    site = _site(f"127.{number}.1.1")
    site.faults = (AppFault(hang=1),)
    async with _serving(_of(site)) as target:
        load = Load(target, rate=100)
        await load.run(0.1, asyncio.Event())
    assert load.tally.failures == {"timed out": 10}


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again(number: int) -> None:
    serving = _of(_site(f"127.{number}.1.1"))
    async with _serving(serving) as target:
        load = Load(target, rate=50)
        stopping = asyncio.Event()
        running = asyncio.get_running_loop().create_task(load.run(None, stopping))
        async with asyncio.timeout(5):
            while load.tally.answered < 20:
                if load.tally.answered == load.tally.sent:
                    for transport in tuple(serving.transports):
                        transport.close()
                await asyncio.sleep(0.005)
        stopping.set()
        await running
    assert load.tally.failures == {}


async def test_a_kept_connection_that_is_closed_before_it_answers_is_tried_once_more(number: int) -> None:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.readuntil(b"\r\n\r\n")  # the next request: as a reload of HAProxy, close

    async with _behaving(f"127.{number}.1.1", answer_once) as target:
        load = Load(target, rate=100)
        await load.run(0.1, asyncio.Event())
    assert load.tally.statuses == {200: 10}
    assert 0 < load.tally.retried <= 9  # two at once take two connections
    assert load.tally.failed == 0


async def test_a_retry_that_finds_nobody_is_a_failure(number: int) -> None:
    is_open = asyncio.Event()

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        is_open.set()
        await reader.readuntil(b"\r\n\r\n")

    async with asyncio.TaskGroup() as tasks, _behaving(f"127.{number}.1.1", answer_once) as target:
        load = Load(target, rate=2)
        tasks.create_task(load.run(1, asyncio.Event()))
        await is_open.wait()
    assert (load.tally.statuses, load.tally.failures) == ({200: 1}, {"refused": 1})


async def test_an_answer_that_is_no_http_is_a_failure(number: int) -> None:
    site = _site(f"127.{number}.1.1")
    site.faults = (AppFault(garbage=1),)
    async with _serving(_of(site)) as target:
        load = Load(target, rate=100)
        await load.run(0.05, asyncio.Event())
    assert load.tally.failures == {"no HTTP": 5}


async def test_two_entries_get_every_other_request(number: int) -> None:
    one, two = _site(f"127.{number}.1.1"), _site(f"127.{number}.1.2", Color.GREEN)
    async with _serving(_of(one)) as first, _serving(_of(two)) as second:
        load = Load(first, second, rate=200)
        await load.run(0.1, asyncio.Event())
    assert (one.counts["200"], two.counts["200"]) == (10, 10)


def test_a_rate_beyond_what_it_can_do_is_refused() -> None:
    with pytest.raises(ValueError, match="take --heavy"):
        Load(Target("127.0.0.1", 1), rate=1001)
