"""Whoever opens connections without end takes neither the daemon's descriptors nor the door from others."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.web.liveness import LivenessDoor, listen_tcp
from tests.integration.test_api import a_daemon, until

MOST = 8
HALF = b"GET /metrics HTTP/1.1\r\nX: "


class _Guest(asyncio.Protocol):
    """Counts who is connected."""

    def __init__(self, open_: set[asyncio.Protocol]) -> None:
        self._open = open_

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)


@contextlib.asynccontextmanager
async def a_door() -> AsyncIterator[tuple[int, set[asyncio.Protocol]]]:
    listener = listen_tcp("0.0.0.0:0")
    port: int = listener.getsockname()[1]
    guests: set[asyncio.Protocol] = set()
    loop = asyncio.get_running_loop()
    door = LivenessDoor(listener, loop, lambda: _Guest(guests), stuck_for=lambda: 0.0, most=MOST)
    door.open()
    try:
        yield port, guests
    finally:
        door.close()


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    found = socket.create_connection((host, port), timeout=5.0, source_address=(host, 0))
    found.sendall(HALF)
    return found


async def arrived(port: int, guests: set[asyncio.Protocol]) -> socket.socket:
    before = set(guests)
    found = connect(port)
    await until(lambda: bool(guests - before))
    return found


async def is_closed(client: socket.socket) -> bool:
    """Whether the other side has gone; False while nothing is heard of it."""
    client.settimeout(0.2)
    try:
        return await asyncio.to_thread(client.recv, 1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


async def test_the_oldest_connection_goes_when_there_are_too_many() -> None:
    async with a_door() as (port, guests):
        clients = [await arrived(port, guests) for _ in range(3 * MOST)]

        assert [await is_closed(each) for each in clients] == [True] * 2 * MOST + [False] * MOST
        for each in clients:
            each.close()


async def test_who_has_most_connections_loses_one_and_not_who_came_first() -> None:
    async with a_door() as (port, guests):
        first = connect(port, "127.0.0.2")
        await until(lambda: len(guests) == 1)
        crowd = [connect(port) for _ in range(2 * MOST)]
        await until(lambda: len(guests) == MOST)

        assert not await is_closed(first)
        for each in [first, *crowd]:
            each.close()


async def test_places_of_those_that_went_are_free() -> None:
    async with a_door() as (port, guests):
        for _ in range(3):
            clients = [connect(port) for _ in range(MOST)]
            await until(lambda: len(guests) == MOST)
            for each in clients:
                each.close()
            await until(lambda: not guests)


@pytest.mark.parametrize("action", ["plan", "catch-up"])
async def test_a_body_that_no_parser_should_meet_is_refused_without_a_word_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], action: str
) -> None:
    headers = {"Content-Type": "application/json"}
    async with a_daemon(tmp_path) as running:
        for body in ("[" * 200_000, '{"objects": ' + "9" * 10_000 + "}"):
            async with running.unix.post(f"/api/v1/{action}", data=body, headers=headers) as answer:
                assert answer.status == 400
                assert (await answer.json())["error"]["code"] == "BadJson"
    assert "Traceback" not in "".join(capfd.readouterr())
