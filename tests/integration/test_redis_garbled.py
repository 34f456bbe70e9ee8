"""What answers where Redis should, and is no Redis: one error of the contract, little memory, soon."""

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from reconcilers.contract import Secret, TransientError
from reconcilers.redis.answers import read_info
from reconcilers.transports.redis import RedisTransport
from tests.hostile_server import answering

PIECE = b"x" * 65536


GARBLED = {
    "lists in lists": b"*1\r\n" * 100_000,
    "a length that is none": b"$abc\r\n",
    "a negative length": b"$-5\r\n",
    "a list of many": b"*x\r\n",
    "a number of many digits": b":" + b"9" * 5000 + b"\r\n",
    "a line without end": b"+" + b"x" * 200_000,
    "another protocol": b"HTTP/1.1 400 Bad request\r\n\r\n",
    "no text": b"\x00\xff\r\n",
}


@pytest.mark.parametrize("answer", GARBLED.values(), ids=GARBLED.keys())
@pytest.mark.parametrize("password", [None, "a-password"], ids=["asked", "at the door"])
async def test_what_is_no_answer_of_redis_is_said_so(answer: bytes, password: str | None) -> None:
    async with answering(answer, b"", ends=b"\r\n") as (address, _):
        read = None if password is None else lambda: Secret("a-password")
        with pytest.raises(TransientError) as caught:
            await RedisTransport("psa-redis", address, read_password=read).ask(("INFO",))
        assert "psa-redis" in str(caught.value)


async def test_an_answer_that_announces_gigabytes_is_not_waited_for() -> None:
    async with answering(b"$9999999999\r\n", PIECE, ends=b"\r\n") as (address, server):
        with pytest.raises(TransientError, match="an answer of more than 16 MiB"):
            await RedisTransport("psa-redis", address).ask(("INFO",))
        assert server.sent < 64 * len(PIECE)


async def test_lists_without_end_are_broken_off() -> None:
    item = b"$60000\r\n" + b"x" * 60_000 + b"\r\n"
    async with answering(b"*1000000\r\n", item, ends=b"\r\n") as (address, server):
        with pytest.raises(TransientError, match="an answer of more than 16 MiB"):
            await RedisTransport("psa-redis", address).ask(("INFO",))
        assert server.sent < 32 << 20


def test_a_replica_that_announces_bytes_as_its_address_does_not_end_all_metrics() -> None:
    lines = (
        "redis_version:7.0.15 run_id:a redis_mode:standalone loading:0 config_file: used_memory:1 maxmemory:0"
        " maxmemory_policy:noeviction aof_enabled:0 aof_last_bgrewrite_status:ok aof_last_write_status:ok"
        " rdb_last_bgsave_status:ok rdb_last_save_time:1 rdb_changes_since_last_save:0 connected_clients:1"
        " total_commands_processed:1 evicted_keys:0 rejected_connections:0 master_repl_offset:0 role:master"
        " slave0:ip=\udcff\udcfe,port=1,state=online,offset=1,lag=0"
    )
    (replica,) = read_info("\n".join(lines.split(" "))).replicas

    assert replica.address == r"\udcff\udcfe:1"
    registry = CollectorRegistry()
    Gauge("lag", "of a replica", ["replica"], registry=registry).labels(replica.address).set(1)
    assert b"udcff" in generate_latest(registry)
