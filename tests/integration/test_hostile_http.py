"""What a hostile RabbitMQ or Elasticsearch answers costs no memory and no loop, and has one sentence."""

import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import pytest

from reconcilers.contract import Secret, TransientError
from reconcilers.elasticsearch.client import Request
from reconcilers.rabbitmq.client import Call
from reconcilers.transports.elasticsearch import ElasticsearchTransport
from reconcilers.transports.http_body import LARGEST, MOST_VALUES, json_of
from reconcilers.transports.rabbitmq import RabbitTransport
from tests.hostile_server import Answering, answering

Ask = Callable[[str], Awaitable[object]]
_HEAD: Final = b"HTTP/1.1 200 OK\r\n"
_PIECE: Final = b" " * 65536


async def _ask_rabbitmq(url: str) -> object:
    wire = RabbitTransport("mq", [url], user="u", read_password=lambda: Secret("a-password"))
    try:
        return (await wire.send(Call("GET", ("overview",)))).body
    finally:
        await wire.close()


async def _ask_elasticsearch(url: str) -> object:
    wire = ElasticsearchTransport("es", [url])
    try:
        return (await wire.ask(Request("GET", ()))).body
    finally:
        await wire.close()


@pytest.fixture(params=[_ask_rabbitmq, _ask_elasticsearch], ids=["rabbitmq", "elasticsearch"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


@contextlib.asynccontextmanager
async def hostile(first: bytes, endless: bytes = b"") -> AsyncIterator[tuple[str, Answering]]:
    async with answering(first, endless, ends=b"\r\n\r\n") as (address, found):
        yield f"http://{address}", found


def with_body(body: bytes, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return _HEAD + f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


_ENDLESS: Final[Mapping[str, tuple[bytes, bytes]]] = {
    "a length of terabytes": (_HEAD + b"Content-Length: 9999999999999\r\n\r\n", _PIECE),
    "no length": (_HEAD + b"\r\n", _PIECE),
    "chunks": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + _PIECE + b"\r\n"),
}


@pytest.mark.parametrize("answer", _ENDLESS.values(), ids=_ENDLESS.keys())
async def test_an_answer_without_end_is_broken_off_at_its_largest_size(
    ask: Ask, answer: tuple[bytes, bytes]
) -> None:
    async with hostile(*answer) as (url, server):
        with pytest.raises(TransientError, match="an answer of more than 32 MiB"):
            await ask(url)
        assert server.sent < 2 * LARGEST


async def test_what_becomes_large_only_when_it_is_unpacked_is_no_exception(ask: Ask) -> None:
    packed = gzip.compress(b" " * (2 * LARGEST))
    async with hostile(with_body(packed, Content_Encoding="gzip")) as (url, _):
        with pytest.raises(TransientError, match="an answer of more than 32 MiB"):
            await ask(url)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b"[" * 50_000 + b"]" * 50_000, "nested too deeply"),
        (b"[" + b"[]," * MOST_VALUES + b"1]", f"more than {MOST_VALUES} values"),
        (b"9" * 10_000, "no JSON"),
        (b'{"uptime": 1e999}', "no JSON"),
        (b'{"uptime": NaN}', "no JSON"),
        (b'{"uptime": "\xff"}', "no JSON"),
        (b"\x1b[31m<html>", "no JSON"),
    ],
    ids=["open", "deep", "many", "huge number", "infinite", "no number", "no text", "no JSON"],
)
async def test_a_body_that_no_parser_should_meet_has_a_sentence(ask: Ask, body: bytes, words: str) -> None:
    async with hostile(with_body(body)) as (url, _):
        with pytest.raises(TransientError, match=words) as caught:
            await ask(url)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        b"\x16\x03\x01\x00\xff\x00 no HTTP\n\x1b[31m\r\n\r\n",
        _HEAD + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 4000) for i in range(500)) + b"\r\n",
        _HEAD + b"X: " + b"a" * 500_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 \x1b[31mOK\r\nContent-Length: x\r\n\r\n",
    ],
    ids=["no HTTP", "many headers", "a huge header", "no length"],
)
async def test_what_is_no_http_has_one_line_that_stays_the_same(ask: Ask, answer: bytes) -> None:
    async with hostile(answer) as (url, _):
        with pytest.raises(TransientError, match="speaks no HTTP that can be understood") as caught:
            await ask(url)
        assert str(caught.value).isprintable()


async def test_a_redirect_is_not_followed(ask: Ask) -> None:
    async with (
        hostile(with_body(b"{}")) as (elsewhere, _),
        hostile(
            b"HTTP/1.1 307 No\r\nLocation: " + elsewhere.encode() + b"/\r\nContent-Length: 0\r\n\r\n"
        ) as (
            url,
            _,
        ),
    ):
        with pytest.raises(Exception, match="307"):
            await ask(url)


async def test_no_cookie_is_kept() -> None:
    async with hostile(with_body(b"{}", Set_Cookie="a=b", Connection="close")) as (url, server):
        named = url.replace("127.0.0.1", "localhost")
        rabbitmq = RabbitTransport("mq", [named], user="u", read_password=lambda: Secret("a-password"))
        elasticsearch = ElasticsearchTransport("es", [named])
        for _ in range(2):
            await rabbitmq.send(Call("GET", ("overview",)))
            await elasticsearch.ask(Request("GET", ()))
        await rabbitmq.close()
        await elasticsearch.close()

    assert len(server.heads) == 4
    assert not any(b"Cookie" in head for head in server.heads)


def test_halves_of_surrogate_pairs_become_text_that_can_be_written() -> None:
    found = json_of(b'{"\\ud800": "a\\udfff", "whole": "\\ud83d\\ude00", "e": "\\u00e9"}')

    assert found == {"?": "a?", "whole": "\U0001f600", "e": "é"}
