"""Many who talk to one HAProxy at once: its socket takes ten, queues some, and turns the others away."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from lab.haproxy import LabHaproxy
from reconcilers.contract import NotSentError
from reconcilers.counters import CountedNode
from reconcilers.servers import Node
from reconcilers.transports.haproxy import HaproxyTransport
from tests.real_haproxy import Site, a_site, until

_ENTRIES = 40


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


async def test_forty_services_of_one_haproxy_are_looked_at_and_counted_in_the_same_moment(site: Site) -> None:
    haproxy = site.start()
    transport = HaproxyTransport("edge", [haproxy.address])
    async with asyncio.TaskGroup() as tasks:
        looks = [tasks.create_task(transport.look("api_backend")) for _ in range(_ENTRIES)]
        counts = [tasks.create_task(transport.count("api_backend")) for _ in range(_ENTRIES)]
        weights = [
            tasks.create_task(transport.set_weight(haproxy.address, "api_backend", "green", 7))
            for _ in range(_ENTRIES)
        ]
    assert {type(node) for look in looks for node in look.result()} == {Node}
    assert {type(node) for count in counts for node in count.result()} == {CountedNode}
    assert [weight.result() for weight in weights] == [None] * _ENTRIES


@contextlib.contextmanager
def a_crowd(haproxy: LabHaproxy) -> Iterator[int]:
    """Hold connections that ask nothing, until no more fit in."""
    with contextlib.ExitStack() as held:
        for number in range(1000):
            one = held.enter_context(socket.socket(socket.AF_UNIX))
            one.settimeout(0)
            try:
                one.connect(str(haproxy.socket))
            except BlockingIOError:
                yield number
                return
    pytest.fail("HAProxy takes everybody")


async def test_whom_haproxy_turns_away_surely_sent_nothing_and_is_told_why(site: Site) -> None:
    haproxy = site.start()
    transport = HaproxyTransport("edge", [haproxy.address])
    with a_crowd(haproxy) as size:
        assert size >= 10
        with pytest.raises(NotSentError, match="too many talk to it already"):
            await transport.set_weight(haproxy.address, "api_backend", "green", 7)

    async def has_room() -> bool:
        with contextlib.suppress(NotSentError):
            await transport.set_weight(haproxy.address, "api_backend", "green", 7)
            return True
        return False

    await until(has_room, bool)
