"""An address for alerts alone: certificates, tokens, and connections that cost something."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from daemon.ports import SystemClock
from daemon.settings_alerts import AlertTls
from daemon.web import alert_listener
from daemon.web.alert_access import Access
from daemon.web.alert_door import AlertDoor
from daemon.web.alert_route import PATH
from metrics.alerts import AlertMetrics
from tests.builders_alerts import ASKS, RELEASE, alert_json, message_json
from tests.builders_tls import Authority, make_authority
from tests.integration.test_api import until
from tests.real_alerts import BEARER, TOKEN, Site, a_site

MESSAGE = message_json(alert_json({**ASKS, "release": RELEASE}))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


def trust(authority: Authority, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return what a client knows: our CA, and who it is itself."""
    context = ssl.create_default_context(cafile=authority.ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def our_context(authority: Authority, *, asks: bool) -> ssl.SSLContext:
    files = AlertTls(
        cert_file=authority.certificate,
        key_file=authority.key,
        client_ca_file=authority.ca if asks else None,
    )
    return files.context()


@contextlib.asynccontextmanager
async def a_listener(
    folder: Path, context: ssl.SSLContext | None, *tokens: str
) -> AsyncIterator[tuple[Site, str]]:
    """Run a site whose alerts have an address of their own; return it and the URL there."""
    address = f"127.0.0.1:{free_port()}"
    scheme = "https" if context is not None else "http"
    async with a_site(folder, Access.of(tokens, address, context)) as site:
        yield site, f"{scheme}://{address}{PATH}"


async def status_of(
    url: str, context: ssl.SSLContext | None = None, headers: dict[str, str] | None = None
) -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context or True)) as client,
        client.post(url, json=MESSAGE, headers=headers) as answer,
    ):
        assert answer.headers["Server"] == "psa-reconciler"
        return answer.status


async def test_a_client_certificate_lets_in_and_nothing_else_does(
    tmp_path: Path, authority: Authority
) -> None:
    async with a_listener(tmp_path, our_context(authority, asks=True)) as (site, url):
        for context in (
            trust(authority),
            trust(authority, authority.stranger_certificate, authority.stranger_key),
        ):
            with pytest.raises(aiohttp.ClientError):
                await status_of(url, context, BEARER)
        assert site.requests() == ()
        ours = trust(authority, authority.client_certificate, authority.client_key)
        assert await status_of(url, ours) == 200
        assert len(site.requests()) == 1


async def test_with_a_token_beside_the_certificate_both_are_needed(
    tmp_path: Path, authority: Authority
) -> None:
    async with a_listener(tmp_path, our_context(authority, asks=True), TOKEN) as (site, url):
        ours = trust(authority, authority.client_certificate, authority.client_key)
        assert await status_of(url, ours) == 401
        with pytest.raises(aiohttp.ClientError):
            await status_of(url, trust(authority), BEARER)
        assert await status_of(url, ours, BEARER) == 200
        assert site.counted("acted") == 1


async def test_tls_with_a_token_needs_no_client_certificate(tmp_path: Path, authority: Authority) -> None:
    async with a_listener(tmp_path, our_context(authority, asks=False), TOKEN) as (_, url):
        assert await status_of(url, trust(authority)) == 401
        assert await status_of(url, trust(authority), BEARER) == 200


async def test_an_old_tls_is_refused(tmp_path: Path, authority: Authority) -> None:
    async with a_listener(tmp_path, our_context(authority, asks=False), TOKEN) as (_, url):
        old = trust(authority)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(aiohttp.ClientError):
            await status_of(url, old, BEARER)


async def test_there_are_alerts_only_at_that_address_and_nothing_but_alerts(tmp_path: Path) -> None:
    async with a_listener(tmp_path, None, TOKEN) as (site, url):
        assert (await site.post(MESSAGE))[0] == 404
        for path in ("/metrics", "/api/v1/status", "/readyz", "/"):
            assert await _get(url.replace(PATH, path)) == 404
        assert await status_of(url.replace("127.0.0.1", "localhost"), None, BEARER) == 200


async def _get(url: str) -> int:
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return answer.status


Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def a_link(url: str, local: str = "127.0.0.1") -> AsyncIterator[Link]:
    """Open a connection from a local address, and close it."""
    port = int(url.split(":")[2].split("/", maxsplit=1)[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(local, 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def is_hung_up(reader: asyncio.StreamReader, seconds: float = 3) -> bool:
    """Whether the other side ends the connection in time."""
    try:
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):
                await reader.read()
    except TimeoutError:
        return False
    return True


async def test_clear_text_and_garbage_at_a_tls_address_harm_nobody(
    tmp_path: Path, authority: Authority
) -> None:
    async with a_listener(tmp_path, our_context(authority, asks=False), TOKEN) as (_, url):
        for garbage in (b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\x00" * 500, b""):
            async with a_link(url) as (reader, writer):
                writer.write(garbage)
                writer.write_eof()
                assert await is_hung_up(reader)
        assert await status_of(url, trust(authority), BEARER) == 200


async def test_one_sender_has_so_many_connections_and_gets_new_ones_for_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_listener, "MOST_OF_ONE", 3)
    async with a_listener(tmp_path, None, TOKEN) as (_, url):
        async with a_link(url) as (first, _), a_link(url), a_link(url):
            assert not await is_hung_up(first, 0.2)
            async with a_link(url) as (surplus, _), a_link(url, "127.0.0.9") as (other, _):
                assert await is_hung_up(surplus)
                assert not await is_hung_up(other, 0.2), "another sender is shut out by it"
        async with asyncio.timeout(5):
            while not await is_taken(url):
                await asyncio.sleep(0.02)


async def is_taken(url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        return await status_of(url, None, BEARER) == 200
    return False


async def test_all_senders_together_have_so_many_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_listener, "MOST_CONNECTIONS", 4)
    async with a_listener(tmp_path, None, TOKEN) as (_, url), contextlib.AsyncExitStack() as links:
        for last in range(10, 14):
            await links.enter_async_context(a_link(url, f"127.0.0.{last}"))
        async with a_link(url) as (surplus, _):
            assert await is_hung_up(surplus)


async def test_who_says_nothing_or_half_a_request_loses_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_listener, "SILENT_S", 0.3)
    async with a_listener(tmp_path, None, TOKEN) as (_, url):
        for start in (b"", f"POST {PATH} HTTP/1.1\r\nHost:".encode()):
            async with a_link(url) as (reader, writer):
                writer.write(start)
                assert await is_hung_up(reader)


async def test_who_does_not_shake_hands_loses_the_connection(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_listener, "HANDSHAKE_S", 0.5)
    monkeypatch.setattr(alert_listener, "MOST_OF_ONE", 2)
    async with a_listener(tmp_path, our_context(authority, asks=True)) as (_, url):
        async with a_link(url) as (first, _), a_link(url) as (second, _), a_link(url) as (surplus, _):
            assert await is_hung_up(surplus, 0.3)
            assert await is_hung_up(first)
            assert await is_hung_up(second)
        ours = trust(authority, authority.client_certificate, authority.client_key)
        assert await status_of(url, ours) == 200


async def test_the_address_is_free_again_when_the_daemon_ends(tmp_path: Path) -> None:
    async with a_listener(tmp_path, None, TOKEN) as (site, url):
        assert await status_of(url, None, BEARER) == 200
        site.task.cancel()
        await until(site.task.done)
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", int(url.split(":")[2].split("/")[0])))


async def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    async with a_listener(tmp_path, None, TOKEN) as (site, url):
        address = url.split("/")[2]
        access = Access.of((TOKEN,), address, None)
        with pytest.raises(OSError, match=f"{address}: Address already in use"):
            AlertDoor(site.store, SystemClock(), AlertMetrics(CollectorRegistry()), access)
