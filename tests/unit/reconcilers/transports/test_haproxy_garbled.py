"""Answers of HAProxy that were damaged on their way, or are none: an error of the contract, never another."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.contract import PermanentError, TransientError
from reconcilers.servers import NodeDown
from reconcilers.transports.haproxy import HaproxyTransport
from reconcilers.transports.haproxy_answers import read_backends, read_process, read_weight
from reconcilers.transports.haproxy_counts import read_counted
from tests.hostile_server import hostile_server

INFO = "Name: HAProxy\nVersion: 2.6.12\nPid: 7\nUptime_sec: 3\n\n"
NUMBERS = (
    "req_tot,hrsp_5xx,econ,eresp,wretr,wredis,scur,qcur,stot,cli_abrt,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,"
    "check_rise,check_fall,check_health"
)
ROW = ",".join("1" for _ in NUMBERS.split(","))
STAT = f"# pxname,svname,status,{NUMBERS},algo\nb,s1,UP,{ROW},\nb,BACKEND,UP,{ROW},roundrobin\n\n"
STATES = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state"
    " srv_uweight srv_iweight srv_port\n"
    "4 b 1 s1 127.0.0.1 2 0 10 10 80\n\n"
)
DAMAGE = st.lists(
    st.tuples(
        st.integers(0, 500),
        st.integers(0, 40),
        st.sampled_from(
            ['"', '""', ",", "\n", "\r", " ", "\x00", "-", "9" * 5000, "x" * 140_000, "\ufffd", ""]
        ),
    ),
    min_size=1,
    max_size=4,
)


def damaged(text: str, damage: list[tuple[int, int, str]]) -> str:
    """Put other text in the place of some."""
    for place, length, instead in damage:
        at = place % (len(text) + 1)
        text = text[:at] + instead + text[at + length :]
    return text


@given(damage=DAMAGE)
def test_whatever_becomes_of_an_answer_it_is_read_or_not_understood(
    damage: list[tuple[int, int, str]],
) -> None:
    with contextlib.suppress(TransientError, PermanentError):
        read_counted(damaged(INFO + STAT, damage), "b")
    with contextlib.suppress(TransientError, PermanentError):
        read_process(damaged(INFO, damage))
    with contextlib.suppress(TransientError, PermanentError):
        read_backends(STATES, damaged(STAT, damage))
    with contextlib.suppress(TransientError, PermanentError):
        read_backends(damaged(STATES, damage), STAT)
    with contextlib.suppress(TransientError, PermanentError):
        read_weight(damaged("10 (initial 10)\n", damage))


@pytest.mark.parametrize("bad", ["x" * 200_000, "a\rb"], ids=["a huge field", "half a line end"])
def test_what_the_reader_of_columns_refuses_is_not_understood(bad: str) -> None:
    with pytest.raises(TransientError, match="not an answer of HAProxy"):
        read_counted(INFO + STAT.replace("roundrobin", bad), "b")
    with pytest.raises(TransientError, match="not an answer of HAProxy"):
        read_backends(STATES, STAT.replace("roundrobin", bad))


@contextlib.asynccontextmanager
async def answering(path: Path, answer: str) -> AsyncIterator[str]:
    """Answer every command alike; yield the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer.encode())
        await writer.drain()

    async with hostile_server(serve, path) as address:
        yield f"unix://{address}"


async def test_one_node_that_answers_garbage_hides_no_other(tmp_path: Path) -> None:
    garbage = INFO + STAT.replace("roundrobin", "x" * 200_000)
    async with (
        answering(tmp_path / "good", INFO + STAT) as good,
        answering(tmp_path / "bad", garbage) as bad,
    ):
        well, ill = await HaproxyTransport("edge", [good, bad]).count("b")

    assert not isinstance(well, NodeDown)
    assert isinstance(ill, NodeDown)


async def test_an_answer_of_more_lines_than_any_haproxy_has_servers_is_not_read(tmp_path: Path) -> None:
    async with answering(tmp_path / "many", INFO + STAT[:-1] + "b,s,UP\n" * 60_000 + "\n") as address:
        with pytest.raises(TransientError, match="more than 50000 lines"):
            await HaproxyTransport("edge", [address]).count("b")
