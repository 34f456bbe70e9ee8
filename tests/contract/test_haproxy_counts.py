"""What HAProxy counts of a request that goes wrong, against the fake and against the real one.

These facts decide what counts as an error of a release: the table stands in ``reconcilers/counters.py``.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from lab.haproxy import LabBackend, LabHaproxy, LabServer
from reconcilers.contract import TransientError
from reconcilers.counters import CountedNode, CountedServer, Counters
from reconcilers.servers import Health, NodeDown
from reconcilers.transports.haproxy import HaproxyTransport
from reconcilers.transports.haproxy_endpoints import HaproxyEndpoints
from tests.fakes.haproxy import FakeBackend, FakeHaproxy, FakeServer
from tests.faulty_server import FaultyServer, Manner, a_faulty_server, reset
from tests.real_haproxy import Site, a_site, refusing_address, until

NOTHING = Counters(0, 0, 0, 0, 0, 0, 0, 0)
ANSWERED = replace(NOTHING, requests=1, attempts=1, answers_2xx=1)
UNANSWERED = replace(NOTHING, broken=1, attempts=1)
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
KEPT = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
#: What one request adds, by how the server meets it.
FIRST_OF_ITS_CONNECTION = {
    Manner.WHOLE: ANSWERED,
    Manner.NOT_FOUND: replace(ANSWERED, answers_2xx=0, answers_4xx=1),
    Manner.UNAVAILABLE: replace(ANSWERED, answers_2xx=0, errors_5xx=1),
    Manner.EARLY_HINTS: replace(ANSWERED, requests=2, answers_1xx=1),
    Manner.SLOW_BODY: ANSWERED,
    Manner.CLOSE: UNANSWERED,
    Manner.RESET: replace(UNANSWERED, broken=2),
    Manner.GARBAGE: UNANSWERED,
    Manner.HANG: UNANSWERED,
    Manner.HALF_BODY: replace(ANSWERED, broken=1),
    Manner.STUCK_BODY: ANSWERED,
}
AFTER_ANOTHER = {
    Manner.UNAVAILABLE: FIRST_OF_ITS_CONNECTION[Manner.UNAVAILABLE],
    Manner.CLOSE: replace(NOTHING, attempts=1),
    Manner.RESET: UNANSWERED,
    Manner.GARBAGE: UNANSWERED,
    Manner.HANG: UNANSWERED,
}
WEBSOCKETS = {
    Manner.UPGRADE: replace(ANSWERED, answers_2xx=0, answers_1xx=1),
    Manner.UPGRADE_CLOSE: replace(ANSWERED, answers_2xx=0, answers_1xx=1),
    Manner.UPGRADE_RESET: replace(ANSWERED, answers_2xx=0, answers_1xx=1, broken=1),
}


class Rig(Protocol):
    """One HAProxy whose server green is all that it has, and counts nothing yet."""

    async def count(self) -> tuple[CountedNode | NodeDown, ...]: ...

    async def meet(self, manner: Manner, request: bytes = GET, *, first: bool = True) -> None:
        """Let green meet a request, if not *first* then after a good one on the same connection."""
        ...

    async def refuse(self) -> None:
        """Send a request to a server where nobody listens."""
        ...

    def reload(self) -> None: ...


@dataclass
class FakeRig:
    haproxy: FakeHaproxy

    async def count(self) -> tuple[CountedNode | NodeDown, ...]:
        return await self.haproxy.count("edge", "api_backend")

    async def meet(self, manner: Manner, request: bytes = GET, *, first: bool = True) -> None:
        if not first:
            self.haproxy.serve("green", 1, answers_2xx=1)
        table = WEBSOCKETS if request is WEBSOCKET else FIRST_OF_ITS_CONNECTION if first else AFTER_ANOTHER
        added = {name: getattr(table[manner], name) for name in Counters.__slots__}
        self.haproxy.serve("green", **added)

    async def refuse(self) -> None:
        self.haproxy.serve("green", refused=1, retries=3)

    def reload(self) -> None:
        self.haproxy.reload()


@dataclass
class RealRig:
    haproxy: LabHaproxy
    green: FaultyServer

    @property
    def endpoints(self) -> HaproxyEndpoints:
        return HaproxyEndpoints({"edge": HaproxyTransport("edge", [self.haproxy.address])})

    async def count(self) -> tuple[CountedNode | NodeDown, ...]:
        return await self.endpoints.count("edge", "api_backend")

    async def meet(self, manner: Manner, request: bytes = GET, *, first: bool = True) -> None:
        async with connected(self.haproxy) as (reader, writer):
            if not first:
                self.green.manner = Manner.WHOLE
                writer.write(KEPT)
                await reader.readuntil(b"ok")
            self.green.manner = manner
            writer.write(request)
            if manner is Manner.UPGRADE:
                await reader.readuntil(b"\r\n\r\n")
            else:
                await ended(reader)

    async def refuse(self) -> None:
        with refusing_address() as nobody:
            backend = one_server(nobody, "timeout connect 200ms")
            self.haproxy.reload(replace(self.haproxy.config, backends=(backend,)))
            async with connected(self.haproxy) as (reader, writer):
                writer.write(GET)
                assert b" 503 " in await ended(reader)

    def reload(self) -> None:
        self.haproxy.reload()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def connected(haproxy: LabHaproxy) -> AsyncIterator[Streams]:
    host, port = haproxy.config.frontend.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what came until HAProxy ended the connection."""
    got = b""
    with contextlib.suppress(OSError):
        while part := await reader.read(65536):
            got += part
    return got


def one_server(address: str, *options: str) -> LabBackend:
    lines = ("timeout server 300ms", *options)
    return LabBackend("api_backend", (LabServer("green", address),), check=None, options=lines)


def both_servers(blue: str, green: str, *options: str) -> LabBackend:
    servers = (LabServer("blue", blue), LabServer("green", green))
    return LabBackend("api_backend", servers, check=None, options=("timeout server 300ms", *options))


@pytest.fixture(params=["fake", "real"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield FakeRig(FakeHaproxy(FakeBackend("api_backend", [FakeServer("green")])))
        return
    async with a_real_rig() as real:
        yield real


@contextlib.asynccontextmanager
async def a_real_rig(*options: str) -> AsyncIterator[RealRig]:
    with a_site() as site:
        async with a_faulty_server() as green:
            yield RealRig(site.start(one_server(green.address, *options)), green)
            for haproxy in site.instances:
                haproxy.stop(grace_s=0.2)


async def counted(rig: Rig, name: str = "green") -> CountedServer:
    (node,) = await rig.count()
    assert isinstance(node, CountedNode), node
    server = node.find(name)
    assert server is not None
    return server


async def settled(rig: Rig, name: str = "green") -> Counters:
    """Return the counters once the server holds no request any more."""
    return (await until(lambda: counted(rig, name), lambda each: not each.counters.sessions)).counters


@pytest.mark.parametrize("manner", FIRST_OF_ITS_CONNECTION)
async def test_what_the_first_request_of_a_connection_adds(rig: Rig, manner: Manner) -> None:
    await rig.meet(manner)
    assert await settled(rig) == FIRST_OF_ITS_CONNECTION[manner]


@pytest.mark.parametrize("manner", AFTER_ANOTHER)
async def test_what_a_later_request_of_a_connection_adds(rig: Rig, manner: Manner) -> None:
    await rig.meet(manner, first=False)
    more = AFTER_ANOTHER[manner]
    assert await settled(rig) == replace(
        more, requests=more.requests + 1, attempts=more.attempts + 1, answers_2xx=1
    )


@pytest.mark.parametrize("manner", WEBSOCKETS)
async def test_a_websocket_is_one_good_request_whoever_ends_it_unless_it_is_reset(
    rig: Rig, manner: Manner
) -> None:
    await rig.meet(manner, WEBSOCKET)
    found = replace(await settled(rig), client_aborts=0)
    assert found == WEBSOCKETS[manner]
    assert found.vanished == 0


async def test_a_refused_connection_is_one_error_and_no_request(rig: Rig) -> None:
    await rig.refuse()
    found = await settled(rig)
    assert (found.requests, found.refused, found.broken, found.retries) == (0, 1, 0, 3)
    assert (found.total, found.errors, found.vanished) == (1, 1, 0)


@pytest.mark.parametrize(
    ("manner", "errors"),
    [
        (Manner.WHOLE, 0), (Manner.NOT_FOUND, 0), (Manner.SLOW_BODY, 0), (Manner.STUCK_BODY, 0),
        (Manner.UNAVAILABLE, 1), (Manner.HANG, 1), (Manner.CLOSE, 1), (Manner.GARBAGE, 1),
        (Manner.HALF_BODY, 1), (Manner.RESET, 2),
    ],
)  # fmt: skip
async def test_what_counts_as_an_error_of_the_server(rig: Rig, manner: Manner, errors: int) -> None:
    await rig.meet(manner)
    found = await settled(rig)
    assert (found.errors, found.vanished) == (errors, 0)
    assert found.total >= max(errors, 1)


async def test_a_request_that_haproxy_leaves_to_the_client_has_vanished(rig: Rig) -> None:
    await rig.meet(Manner.CLOSE, first=False)
    found = await settled(rig)
    assert (found.errors, found.vanished) == (0, 1)


async def test_a_reload_is_another_process_that_has_counted_nothing(rig: Rig) -> None:
    await rig.meet(Manner.WHOLE)
    await settled(rig)
    (before,) = await rig.count()
    rig.reload()
    (after,) = await rig.count()
    assert isinstance(before, CountedNode)
    assert isinstance(after, CountedNode)
    assert before.pid != after.pid
    assert [server.counters for server in after.servers] == [NOTHING]


async def test_a_backend_that_is_not_there_has_no_servers() -> None:
    async with a_real_rig() as rig:
        for name in ("nothing", "2"):
            (node,) = await rig.endpoints.count("edge", name)
            assert isinstance(node, CountedNode)
            assert node.servers == ()
            assert node.pid == rig.haproxy.worker_pid()


async def test_a_node_that_is_away_is_told_apart_and_all_away_is_an_error() -> None:
    async with a_real_rig() as rig:
        nowhere = "unix:///nowhere/haproxy.sock"
        pair = HaproxyTransport("edge", [nowhere, rig.haproxy.address])
        away, there = await pair.count("api_backend")
        assert isinstance(away, NodeDown)
        assert isinstance(there, CountedNode)
        assert (away.name, there.name, there.socket) == ("node 1", "node 2", rig.haproxy.address)
        with pytest.raises(TransientError):
            await HaproxyTransport("edge", [nowhere]).count("api_backend")


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


@pytest.fixture
async def green() -> AsyncIterator[FaultyServer]:
    async with a_faulty_server() as green:
        yield green


async def _four_requests(haproxy: LabHaproxy) -> None:
    for _ in range(4):
        async with connected(haproxy) as (reader, writer):
            writer.write(GET)
            assert b" 200 " in await ended(reader)


@pytest.fixture
def nobody() -> Iterator[str]:
    with refusing_address() as address:
        yield address


@pytest.mark.parametrize("option", ["option redispatch", "option redispatch 1"])
async def test_what_goes_to_another_server_is_no_error_of_the_one_that_refused(
    site: Site, green: FaultyServer, nobody: str, option: str
) -> None:
    backend = both_servers(nobody, green.address, "timeout connect 200ms", option)
    rig = RealRig(site.start(backend), green)
    await _four_requests(rig.haproxy)
    found = await settled(rig, "blue")
    # How many came here first depends on whose turn it is after a redispatch.
    assert 2 <= found.redispatches <= 4
    assert (found.total, found.errors, found.vanished) == (0, 0, 0)
    assert (await settled(rig)).total == 4


async def test_without_redispatch_the_one_that_refuses_has_the_error(
    site: Site, green: FaultyServer, nobody: str
) -> None:
    backend = both_servers(nobody, green.address, "timeout connect 200ms", "no option redispatch")
    rig = RealRig(site.start(backend), green)
    answers = []
    for _ in range(2):
        async with connected(rig.haproxy) as (reader, writer):
            writer.write(GET)
            answers.append((await ended(reader))[9:12])
    assert sorted(answers) == [b"200", b"503"]
    found = await settled(rig, "blue")
    assert (found.total, found.errors, found.redispatches, found.retries) == (1, 1, 0, 3)


async def test_requests_that_haproxy_sends_again_by_itself_never_seem_to_vanish(
    site: Site, green: FaultyServer
) -> None:
    backend = one_server(green.address, "retry-on all-retryable-errors", "retries 1")
    rig = RealRig(site.start(backend), green)
    await rig.meet(Manner.UNAVAILABLE)
    found = await settled(rig)
    assert (found.requests, found.errors, found.retries, found.attempts) == (1, 1, 2, 2)
    assert found.vanished == 0


async def test_a_client_that_goes_away_is_no_error_if_the_answer_comes(
    site: Site, green: FaultyServer
) -> None:
    rig = RealRig(site.start(one_server(green.address)), green)
    green.manner = Manner.SLOW_BODY
    async with connected(rig.haproxy) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)
    found = await settled(rig)
    assert (found.total, found.errors, found.vanished) == (1, 0, 0)


async def test_a_request_under_way_is_held_and_has_not_vanished(site: Site, green: FaultyServer) -> None:
    rig = RealRig(site.start(one_server(green.address)), green)
    green.manner = Manner.HANG
    async with connected(rig.haproxy) as (_, writer):
        writer.write(GET)
        found = await until(lambda: counted(rig), lambda each: each.counters.sessions == 1)
        assert (found.counters.total, found.counters.vanished) == (0, 0)


async def test_a_request_that_waits_for_a_place_in_vain_is_no_servers_error(
    site: Site, green: FaultyServer
) -> None:
    server = LabServer("green", green.address, options="maxconn 1")
    backend = LabBackend("api_backend", (server,), check=None, options=("timeout queue 200ms",))
    rig = RealRig(site.start(backend), green)
    green.manner = Manner.HANG
    async with connected(rig.haproxy) as (_, first), connected(rig.haproxy) as (reader, second):
        first.write(GET)
        await until(lambda: counted(rig), lambda each: each.counters.sessions == 1)
        second.write(GET)
        assert b" 503 " in await ended(reader)
        found = (await counted(rig)).counters
        assert (found.total, found.vanished) == (0, 0)


async def test_health_is_that_of_a_look(site: Site) -> None:
    haproxy = site.start(site.backend(green="disabled"))
    endpoints = HaproxyEndpoints({"edge": HaproxyTransport("edge", [haproxy.address])})
    site.blue.is_healthy = False

    async def both() -> tuple[dict[str, Health], dict[str, Health]]:
        (node,) = await endpoints.count("edge", "api_backend")
        (looked,) = await endpoints.look("edge", "api_backend")
        assert isinstance(node, CountedNode)
        assert not isinstance(looked, NodeDown)
        backend = looked.find("api_backend")
        assert backend is not None
        return {each.name: each.health for each in node.servers}, {e.name: e.health for e in backend.servers}

    # Blue goes from the doubt of its start to DOWN: the two questions are not one moment.
    counted, looked = await until(both, lambda seen: seen[0]["blue"] is Health.DOWN and seen[0] == seen[1])
    assert counted == looked == {"blue": Health.DOWN, "green": Health.DOWN}
    site.blue.is_healthy = True
    haproxy.ask("set server api_backend/green state ready")
    healthy = {"blue": Health.UP, "green": Health.UP}
    await until(both, lambda seen: seen == (healthy, healthy))
