"""The transport against real HAProxy processes, and against things that only pretend to be one."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crds.balancer import ServerState
from lab.haproxy import LabHaproxy
from lab.processes import send
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.servers import Health, NodeDown, Server
from reconcilers.transports.haproxy import HaproxyTransport
from tests.real_haproxy import Site, a_babbler, a_site, free_address, the_node, until

HOSTILE = (
    "blue weight 0;set server api_backend/green",
    "blue\nset server api_backend/green",
    "blue ",
    " blue",
    "",
    "bl/ue",
    "blue\x00",
    "blau\u00df",
    "blue\\",
    "<<",
    "x" * 65,
    "blue\n",
)


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


def a_transport(*instances: LabHaproxy, deadline_s: float = 0.5) -> HaproxyTransport:
    return HaproxyTransport("edge", [each.address for each in instances], deadline_s=deadline_s)


async def weight_of(transport: HaproxyTransport, server: str = "green") -> int:
    return (await transport.get_weight(transport.sockets[0], "api_backend", server))[0]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
async def test_a_hostile_name_never_reaches_the_wire(site: Site, name: str) -> None:
    haproxy = site.start()
    transport = a_transport(haproxy)
    (socket,) = transport.sockets
    # Two questions of the test's own, and not one connection more. HAProxy counts late now and then, so three
    # tries: a call that connected would do so each time.
    counts = []
    for _ in range(3):
        before = _connections(haproxy.ask("show info"))
        await _refused_everywhere(transport, socket, name)
        counts.append(_connections(haproxy.ask("show info")) - before)
    assert min(counts) == 1
    assert [await weight_of(transport, each) for each in ("blue", "green")] == [100, 100]


async def _refused_everywhere(transport: HaproxyTransport, socket: str, name: str) -> None:
    for call in (
        transport.set_weight(socket, "api_backend", name, 0),
        transport.set_weight(socket, name, "blue", 0),
        transport.set_state(socket, "api_backend", name, ServerState.MAINT),
        transport.get_weight(socket, name, "blue"),
        transport.look(name),
    ):
        with pytest.raises(PermanentError) as refused:
            await call
        assert refused.value.reason == "NameNotAllowed"


def _connections(info: str) -> int:
    return int(next(line for line in info.splitlines() if line.startswith("CumConns:")).split()[1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text())
async def test_only_names_of_haproxys_alphabet_are_sent(name: str) -> None:
    transport = HaproxyTransport("edge", ["unix:///nowhere/haproxy.sock"])
    is_name = 0 < len(name) <= 64 and all(
        each.isascii() and (each.isalnum() or each in "_.:-") for each in name
    )
    with pytest.raises(NotSentError if is_name else PermanentError):
        await transport.set_weight(transport.sockets[0], "api_backend", name, 1)


async def test_a_name_of_digits_is_never_taken_for_a_number(site: Site) -> None:
    haproxy = site.start()
    assert [the_node(await a_transport(haproxy).look(str(number))).backends for number in range(1, 5)] == [
        ()
    ] * 4


async def test_a_socket_that_is_not_there_was_surely_not_sent_anything(site: Site) -> None:
    transport = HaproxyTransport("edge", [f"unix://{site.folder}/none.sock"])
    with pytest.raises(TransientError, match="there is no such socket"):
        await transport.look("api_backend")
    with pytest.raises(NotSentError):
        await transport.set_weight(transport.sockets[0], "api_backend", "blue", 1)


async def test_a_killed_haproxy_is_away_and_a_restarted_one_is_another_process(site: Site) -> None:
    haproxy = site.start()
    transport = a_transport(haproxy)
    before = the_node(await transport.look("api_backend"))
    haproxy.kill()
    with pytest.raises(TransientError, match="nobody listens there"):
        await transport.look("api_backend")
    haproxy.start()
    after = the_node(await transport.look("api_backend"))
    assert before.pid != after.pid


async def test_a_reload_that_is_refused_leaves_the_old_process(site: Site) -> None:
    haproxy = site.start()
    transport = a_transport(haproxy)
    await transport.set_weight(transport.sockets[0], "api_backend", "green", 5)
    before = the_node(await transport.look("api_backend"))
    haproxy.config_file.write_text(haproxy.config_file.read_text() + "nonsense\n")
    master = haproxy.master()
    assert master is not None
    send(master, signal.SIGUSR2)
    for _ in range(20):
        after = the_node(await transport.look("api_backend"))
        assert after.pid == before.pid
        await asyncio.sleep(0.01)
    assert await weight_of(transport) == 5


async def test_a_server_that_starts_slowly_has_traffic_and_the_weight_that_was_asked(site: Site) -> None:
    site.green.is_healthy = False
    haproxy = site.start(site.backend(green="slowstart 60s"))
    transport = a_transport(haproxy)

    async def green() -> Server:
        backend = the_node(await transport.look("api_backend")).find("api_backend")
        assert backend is not None
        return backend.servers[1]

    await until(green, lambda server: server.health is Health.DOWN)
    site.green.is_healthy = True
    server = await until(green, lambda server: server.health is Health.UP)
    assert (server.weight, server.takes_traffic) == (100, True)
    state = haproxy.ask("show servers state api_backend").splitlines()[3].split()
    assert state[5] == "1", "it has started already: the test shows nothing"


async def test_a_server_that_fails_some_of_its_checks_wavers_before_it_is_down(site: Site) -> None:
    transport = a_transport(site.start(site.backend(green="inter 100ms fall 10")))

    async def health() -> Health:
        backend = the_node(await transport.look("api_backend")).find("api_backend")
        assert backend is not None
        return backend.servers[1].health

    await until(health, lambda seen: seen is Health.UP)
    site.green.is_healthy = False
    await until(health, lambda seen: seen is Health.WAVERING)
    await until(health, lambda seen: seen is Health.DOWN)


async def test_one_of_two_nodes_that_hangs_costs_the_deadline_once_and_never_the_other(site: Site) -> None:
    healthy, hanging = site.start(), site.start()
    transport = a_transport(hanging, healthy, hanging)
    pid = hanging.worker_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        first, second = await transport.look("api_backend")
        took_s = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)
    assert isinstance(first, NodeDown)
    assert first.reason == f"no answer within 0.5 s at {hanging.address}"
    assert the_node((second,)).name == "node 2"
    assert 0.45 < took_s < 0.9


async def test_two_nodes_that_hang_are_waited_for_side_by_side(site: Site) -> None:
    instances = [site.start(), site.start()]
    transport = a_transport(*instances, deadline_s=0.3)
    pids = [pid for each in instances if (pid := each.worker_pid()) is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(TransientError, match=r"node 1: .*node 2: "):
            await transport.look("api_backend")
        assert time.monotonic() - began < 0.55
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_hanging_node_makes_a_command_unknown_and_not_unsent(site: Site) -> None:
    haproxy = site.start()
    transport = a_transport(haproxy, deadline_s=0.2)
    pid = haproxy.worker_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TransientError) as raised:
            await transport.set_weight(transport.sockets[0], "api_backend", "green", 1)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not isinstance(raised.value, NotSentError)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad request\r\n\r\n",
        b"Version: 2.6.12\nPid: one\nUptime_sec: 4\n\n",
        b"Version: 2.6.12\nPid: 12",
        b"\xff\xfe\x00\n",
        b"Permission denied\n\n",
    ],
    ids=["nothing", "another-protocol", "no-number", "cut-short", "no-text", "refused"],
)
async def test_what_is_no_answer_of_haproxy_is_a_node_away(site: Site, answer: bytes) -> None:
    async def give(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with a_babbler(site.folder / "babble.sock", give) as address:
        transport = HaproxyTransport("edge", [address])
        with pytest.raises(TransientError, match="show info"):
            await transport.look("api_backend")


@pytest.mark.parametrize("answer", [b"", b"\nmore\n", b"Value out of range.\n\n"])
async def test_a_command_is_done_only_if_haproxy_says_nothing(site: Site, answer: bytes) -> None:
    async def give(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with a_babbler(site.folder / "babble.sock", give) as address:
        transport = HaproxyTransport("edge", [address])
        with pytest.raises(PermanentError if answer else TransientError):
            await transport.set_weight(address, "api_backend", "blue", 1)


async def test_an_endless_answer_ends_at_the_deadline_or_at_its_size(site: Site) -> None:
    async def give(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with a_babbler(site.folder / "babble.sock", give) as address:
        with pytest.raises(TransientError, match=r"more than|no answer within"):
            await HaproxyTransport("edge", [address]).look("api_backend")


def a_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Return a certificate for 127.0.0.1, and the same with its key."""
    certificate, key, both = (folder / f"{name}.{end}" for end in ("crt", "key", "pem"))
    kind = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    subject = f"-subj /CN={name} -addext subjectAltName=IP:127.0.0.1".split()
    argv = ["/usr/bin/openssl", *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    both.write_text(certificate.read_text() + key.read_text())
    return certificate, both


async def test_a_tls_listener_is_used_like_a_local_socket_if_its_certificate_is_known(site: Site) -> None:
    certificate, both = a_certificate(site.folder, "ours")
    other, _ = a_certificate(site.folder, "other")
    address = free_address()
    socket = site.folder / "0" / "admin.sock"
    listen = (
        "listen tls",
        "    mode tcp",
        f"    bind {address} ssl crt {both}",
        f"    server cli unix@{socket}",
    )
    haproxy = site.start(more=listen)
    transport = HaproxyTransport("edge", [f"tls://{address}"], ca_file=certificate)
    node = the_node(await transport.look("api_backend"))
    assert node.pid == haproxy.worker_pid()
    await transport.set_weight(transport.sockets[0], "api_backend", "green", 9)
    assert await weight_of(transport) == 9
    stranger = HaproxyTransport("edge", [f"tls://{address}"], ca_file=other)
    with pytest.raises(TransientError, match="cannot connect"):
        await stranger.look("api_backend")


async def test_a_listener_that_speaks_plain_text_is_never_talked_to(site: Site) -> None:
    certificate, both = a_certificate(site.folder, "ours")
    address = free_address()
    plain = f"    stats socket ipv4@{address} level admin ssl crt {both}"
    haproxy = site.start(more=("global", plain))
    transport = HaproxyTransport("edge", [f"tls://{address}"], ca_file=certificate)
    with pytest.raises(NotSentError, match="does not speak TLS"):
        await transport.set_weight(transport.sockets[0], "api_backend", "green", 9)
    assert haproxy.ask("get weight api_backend/green").startswith("100 ")


@pytest.mark.parametrize(
    "socket", ["/run/haproxy.sock", "unix://run/x", "tcp://h:1", "tls://h", "tls://h:1/x", ""]
)
def test_an_address_of_another_form_is_refused_at_once(socket: str) -> None:
    with pytest.raises(ValueError, match="neither unix:///path nor tls://host:port"):
        HaproxyTransport("edge", [socket])


def test_at_least_one_socket_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one socket"):
        HaproxyTransport("edge", [])
