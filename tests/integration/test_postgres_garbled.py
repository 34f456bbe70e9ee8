"""What answers where PostgreSQL should, and is none: one error of the contract that names the member."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import pytest

from reconcilers.contract import NotSentError, Secret
from reconcilers.transports.postgres_session import Door, Member
from tests.hostile_server import hostile_server

ADMITTED = b"R\x00\x00\x00\x08\x00\x00\x00\x00"
READY = b"Z\x00\x00\x00\x05I"
GARBLED = {
    "nothing of itself": ADMITTED + READY,
    "a version that is none": ADMITTED + b"S\x00\x00\x00\x1bserver_version\x00no\xff\x00yes\x00" + READY,
    "no length": b"R\x00\x00\x00\x00",
    "a negative length": b"R\x80\x00\x00\x01\x00\x00\x00\x00",
    "another protocol": b"HTTP/1.1 400 Bad request\r\n\r\n",
    "lists in an unknown way in": b"R\x00\x00\x00\x0c\x00\x00\x00\x63abcd",
}


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()
        await reader.read()

    async with hostile_server(serve) as address:
        yield address


# asyncpg leaves a connection that it cannot understand to the collector, which closes it with a warning.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("answer", GARBLED.values(), ids=GARBLED.keys())
async def test_what_is_no_answer_of_postgresql_is_a_member_that_cannot_be_reached(answer: bytes) -> None:
    async with answering(answer) as address:
        door = Door("psa", "postgres", lambda: Secret("a-password"), deadline_s=1.0, connect_s=0.5)
        member = Member("db1", address, door)
        with pytest.raises(NotSentError, match="cannot connect to db1"):
            await member.fetch("SELECT 1", (), None)
        await member.close()
        gc.collect()
