import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lab.app_faults import AppFault
from lab.peers import Address
from tests.lab.app_sites import a_site, a_slot, ask, body, get, served, status

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def gateway(number: int) -> str:
    return f"127.{number}.1.1"


@pytest.fixture
def crm(number: int) -> str:
    return f"127.{number}.1.2"


@asynccontextmanager
async def _behaving(host: str, handler: Handler) -> AsyncIterator[Address]:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(converse, host, 3000):
        yield host, 3000


async def test_a_gateway_answers_with_what_its_peer_said(gateway: str, crm: str) -> None:
    peer = a_site(a_slot(crm, service="psa-crm"), version="1.1.0")
    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    async with served(peer), served(site, {"psa-crm": (crm, 3000)}):
        (answer,) = await ask(gateway, get("/api/psa-crm", close=True))
    assert status(answer) == 200
    assert body(answer)["service"] == "psa-api-gateway"
    assert body(answer)["peer"] == {
        "service": "psa-crm", "color": "blue", "version": "1.1.0", "hostname": "ct"
    }  # fmt: skip
    assert (peer.counts, site.counts) == ({"200": 1}, {"200": 1})


async def test_other_paths_stay_with_the_gateway(gateway: str, crm: str) -> None:
    peer = a_site(a_slot(crm, service="psa-crm"))
    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    async with served(peer), served(site, {"psa-crm": (crm, 3000)}):
        page, unknown = await ask(gateway, get("/"), get("/api/psa-cmr", close=True))
    assert "peer" not in body(page)
    assert status(unknown) == 404
    assert "there is psa-crm" in str(body(unknown))
    assert peer.counts == {}


async def test_without_a_name_the_peers_have_their_turns(gateway: str, crm: str, number: int) -> None:
    tickets = f"127.{number}.1.3"
    one, two = a_site(a_slot(crm, service="psa-crm")), a_site(a_slot(tickets, service="psa-tickets"))
    site = a_site(a_slot(gateway, peers=("psa-crm", "psa-tickets")))
    where = {"psa-crm": (crm, 3000), "psa-tickets": (tickets, 3000)}
    async with served(one), served(two), served(site, where):
        await ask(gateway, *[get("/api")] * 5, get("/api", close=True))
    assert (one.counts, two.counts) == ({"200": 3}, {"200": 3})


async def test_the_rest_of_the_path_is_the_peers(gateway: str, crm: str) -> None:
    peer = a_site(a_slot(crm, service="psa-crm"), AppFault(error_rate=1, path="/customers"))
    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    async with served(peer), served(site, {"psa-crm": (crm, 3000)}):
        answers = await ask(gateway, get("/api/psa-crm/customers/7"), get("/api/psa-crm/x", close=True))
    assert [*map(status, answers)] == [502, 200]


async def test_a_bad_service_behind_a_good_gateway_is_seen_there(gateway: str, crm: str) -> None:
    peer = a_site(a_slot(crm, service="psa-crm"), AppFault(error_rate=1))
    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    async with served(peer), served(site, {"psa-crm": (crm, 3000)}):
        (answer,) = await ask(gateway, get("/api/psa-crm", close=True))
    assert status(answer) == 502
    assert "psa-crm: 500" in str(body(answer)["error"])
    assert site.counts == {"502": 1}


async def test_a_peer_that_does_not_run_is_an_error(gateway: str, crm: str) -> None:
    site = a_site(a_slot(gateway, peers=("psa-crm", "psa-ai")))
    async with served(site, {"psa-crm": (crm, 3000)}):
        gone, unknown = await ask(gateway, get("/api/psa-crm"), get("/api/psa-ai", close=True))
    assert (status(gone), status(unknown)) == (502, 502)
    assert body(gone)["error"] == "psa-crm: Connection refused"
    assert body(unknown)["error"] == "psa-ai: nobody knows where it is"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (AppFault(reset=1), "reset by peer"),
        (AppFault(garbage=1), "not HTTP"),
        (AppFault(hang=1), "no answer within 0.2 s"),
        (AppFault(latency=5), "no answer within 0.2 s"),
        (AppFault(slow_body=5), "no answer within 0.2 s"),
    ],
)
async def test_a_peer_without_a_whole_answer_in_time_is_an_error(
    gateway: str, crm: str, fault: AppFault, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.peers.TIMEOUT_S", 0.2)
    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    async with served(a_site(a_slot(crm, service="psa-crm"), fault)), served(
        site, {"psa-crm": (crm, 3000)}
    ):  # fmt: skip
        (answer,) = await ask(gateway, get("/api/psa-crm", close=True))
    assert status(answer) == 502
    assert why in str(body(answer)["error"])


async def test_connections_to_peers_are_kept(gateway: str, crm: str) -> None:
    opened = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    async with _behaving(crm, answer) as where, served(site, {"psa-crm": where}):
        await ask(gateway, *[get("/api/psa-crm")] * 20, get("/api/psa-crm", close=True))
    assert site.counts == {"200": 21}
    assert opened == 1


async def test_a_kept_connection_that_the_peer_closed_meanwhile_harms_nobody(gateway: str, crm: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    async with _behaving(crm, answer) as where, served(site, {"psa-crm": where}):
        await ask(gateway, *[get("/api/psa-crm")] * 20, get("/api/psa-crm", close=True))
    assert site.counts == {"200": 21}


async def test_a_gateway_whose_connections_were_cut_calls_its_peers_again(gateway: str, crm: str) -> None:
    peer = a_site(a_slot(crm, service="psa-crm"))
    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    async with served(peer), served(site, {"psa-crm": (crm, 3000)}) as serving:
        (before,) = await ask(gateway, get("/api/psa-crm", close=True))
        serving.abort()
        (after,) = await ask(gateway, get("/api/psa-crm?page=2", close=True))
    assert (status(before), status(after)) == (200, 200)


async def test_a_client_that_leaves_during_a_call_harms_nobody(
    gateway: str, crm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.peers.TIMEOUT_S", 0.1)
    site = a_site(a_slot(gateway, peers=("psa-crm",)))
    peer = a_site(a_slot(crm, service="psa-crm"), AppFault(hang=1, path="/slow"))
    async with served(peer), served(site, {"psa-crm": (crm, 3000)}):
        _, writer = await asyncio.open_connection(gateway, 3000)
        writer.write(get("/api/psa-crm/slow"))
        await writer.drain()
        while peer.requests == 0:
            await asyncio.sleep(0.01)
        writer.transport.abort()
        await asyncio.sleep(0.15)
        (answer,) = await ask(gateway, get("/api/psa-crm", close=True))
    assert status(answer) == 200
    assert site.counts == {"200": 1}
