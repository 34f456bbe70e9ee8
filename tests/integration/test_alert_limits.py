"""What is too large, too slow, too deep or of the wrong sort is refused before it costs anything."""

import asyncio
import gzip
import json
import random
import time
from pathlib import Path

import pytest

from daemon.web import alert_route
from daemon.web.alert_route import LARGEST_BODY, PATH
from tests.builders_alerts import ASKS, RELEASE, alert_json, message_json
from tests.integration.test_api import until
from tests.real_alerts import TOKEN, TRUSTED, Site, a_site
from tests.real_memory import resident_mib

MESSAGE = json.dumps(message_json(alert_json({**ASKS, "release": RELEASE}))).encode()
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
LET_IN = f"{HEAD}Authorization: Bearer {TOKEN}\r\n"


async def said(site: Site, *parts: bytes, seconds: float = 10) -> bytes:
    """Send raw bytes, and return the head of what was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(seconds):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


def status(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.mark.parametrize(
    ("headers", "body", "expected", "code"),
    [
        ({"Content-Type": "text/plain"}, MESSAGE, 415, "BadType"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, MESSAGE, 415, "BadType"),
        ({"Content-Encoding": "gzip"}, gzip.compress(MESSAGE), 415, "BadType"),
        ({"Content-Encoding": "gzip"}, gzip.compress(b"[" * 30_000_000), 415, "BadType"),
        ({}, b" " * (LARGEST_BODY + 1), 413, "TooLarge"),
        ({}, b"", 400, "BadMessage"),
        ({}, b"{", 400, "BadMessage"),
        ({}, b"[" * LARGEST_BODY, 400, "BadMessage"),
        ({}, b'{"a":' * 40_000, 400, "BadMessage"),
        ({}, json.dumps(message_json(version="5")).encode(), 400, "BadMessage"),
        ({}, json.dumps(message_json() | {"alerts": {}}).encode(), 400, "BadMessage"),
        ({}, b"\xff\xfe" * 100, 400, "BadMessage"),
    ],
)
async def test_what_is_no_message_is_refused_with_a_word_why(
    tmp_path: Path, headers: dict[str, str], body: bytes, expected: int, code: str
) -> None:
    async with a_site(tmp_path) as site:
        found, told = await site.post(body, {**TRUSTED, **headers})
        assert (found, told["error"]["code"]) == (expected, code)
        assert site.counted("malformed") == 1
        assert site.store.state.next_event == 1
        assert (await site.post(MESSAGE))[0] == 200


async def test_a_message_that_was_damaged_on_its_way_is_taken_or_refused(tmp_path: Path) -> None:
    chance = random.Random(1)  # noqa: S311 - no secret
    async with a_site(tmp_path) as site:
        for _ in range(300):
            body = bytearray(MESSAGE)
            for _ in range(chance.randint(1, 4)):
                place, end = sorted(chance.choices(range(len(body) + 1), k=2))
                new = chance.choice([b"", b"[", b'"', b"null", b"9", bytes([chance.randrange(256)])])
                body[place : chance.choice([place, place + 1, end])] = new
            assert (await site.post(bytes(body)))[0] in {200, 400}


async def test_a_type_with_a_charset_is_json_all_the_same(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        headers = {**TRUSTED, "Content-Type": "application/json; charset=utf-8"}
        assert (await site.post(MESSAGE, headers))[0] == 200


async def test_the_largest_body_is_taken(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        assert (await site.post(MESSAGE.ljust(LARGEST_BODY)))[0] == 200
        assert len(site.requests()) == 1


async def test_a_gigabyte_is_refused_by_its_head(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        began = time.monotonic()
        answer = await said(site, f"{LET_IN}Content-Length: 1073741824\r\n\r\n".encode(), b"[" * 65536)
        assert status(answer) == 413
        assert time.monotonic() - began < 1


async def test_what_a_stranger_sends_is_neither_kept_nor_heard_out(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        before, began = resident_mib(), time.monotonic()
        _, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
        writer.write(f"{HEAD}Content-Length: 1073741824\r\n\r\n".encode())

        async def send_on() -> None:
            while time.monotonic() - began < 10:
                writer.write(b"[" * 65536)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await send_on()
        writer.close()
        assert time.monotonic() - began < 3
        assert resident_mib() - before < 20


async def test_without_a_length_nothing_is_read(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        answer = await said(site, f"{LET_IN}Transfer-Encoding: chunked\r\n\r\n".encode(), b"2\r\n{}\r\n")
        assert status(answer) == 411
        both = f"{LET_IN}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n".encode()
        assert status(await said(site, both, b"0\r\n\r\n")) == 400
        for length in ("-1", "1e3", "0x10", "9" * 30):
            answer = await said(site, f"{LET_IN}Content-Length: {length}\r\n\r\n".encode())
            assert status(answer) in {400, 413}, length


async def test_a_slow_body_has_its_time_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_route, "BODY_S", 0.3)
    async with a_site(tmp_path) as site:
        began = time.monotonic()
        head = f"{LET_IN}Content-Length: {len(MESSAGE)}\r\n\r\n".encode()
        answer = await said(site, head, MESSAGE[:-1])
        assert status(answer) == 408
        assert b"Connection: close" in answer
        assert 0.25 < time.monotonic() - began < 2
        assert site.requests() == ()
        assert (await site.post(MESSAGE))[0] == 200


async def test_a_body_that_breaks_off_harms_nobody(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
        writer.write(f"{LET_IN}Content-Length: {len(MESSAGE)}\r\n\r\n".encode() + MESSAGE[:-1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
        assert (await site.post(MESSAGE))[0] == 200
        assert len(site.requests()) == 1


async def test_who_asks_before_sending_is_answered_before(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        expect = f"Expect: 100-continue\r\nContent-Length: {len(MESSAGE)}\r\n\r\n"
        assert status(await said(site, f"{HEAD}{expect}".encode())) == 401
        too_large = expect.replace(f"{len(MESSAGE)}", f"{LARGEST_BODY + 1}")
        assert status(await said(site, f"{LET_IN}{too_large}".encode())) == 413
        assert status(await said(site, f"{LET_IN}{expect}".encode())) == 100


async def test_only_so_many_messages_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_route, "MOST_READ", 2)
    async with a_site(tmp_path) as site:
        port = int(site.url.rpartition(":")[2])
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in slow:
            writer.write(f"{LET_IN}Content-Length: 9\r\n\r\n".encode())
        await asyncio.sleep(0.1)
        async with site.tcp.post(PATH, data=MESSAGE, headers=TRUSTED) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        for _, writer in slow:
            writer.close()
            await writer.wait_closed()

        async def is_taken() -> bool:
            return (await site.post(MESSAGE))[0] == 200

        async with asyncio.timeout(5):
            while not await is_taken():
                await asyncio.sleep(0.02)


async def test_strangers_with_open_bodies_keep_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_route, "MOST_READ", 2)
    async with a_site(tmp_path) as site:
        port = int(site.url.rpartition(":")[2])
        strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _, writer in strangers:
            writer.write(f"{HEAD}Content-Length: 9\r\n\r\n".encode())
        await until(lambda: site.counted("unauthorized") == 20)
        assert (await site.post(MESSAGE))[0] == 200
        for _, writer in strangers:
            writer.close()
