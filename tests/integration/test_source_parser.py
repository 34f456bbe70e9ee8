"""The real parser child: limits, death and replacement."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.sources.listing import UnreadableError
from daemon.sources.nodes import LARGEST_FILE
from daemon.sources.parser import ChildParser
from daemon.sources.tree import parse_here
from lab.processes import identify
from tests.builders_source import container_yaml

GOOD = container_yaml().encode()


@pytest.fixture
async def parser() -> AsyncIterator[ChildParser]:
    parser = ChildParser()
    yield parser
    await parser.close()


async def child_of(parser: ChildParser) -> int:
    """Return the pid of the child, which is started by the first file."""
    await parser.parse(b"a: 1\n")
    assert parser.pid is not None
    return parser.pid


def ends(pid: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if identify(pid) is None:
            return True
        time.sleep(0.01)
    return False


async def test_the_child_says_what_parsing_here_says(parser: ChildParser) -> None:
    for data in (GOOD, b"a: [\n", b"\xff", b"", "é: ü\n".encode(), b"a: 1\na: 2\n"):
        assert await parser.parse(data) == parse_here(data)


async def test_one_child_serves_many_files(parser: ChildParser) -> None:
    pid = await child_of(parser)
    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(parser.parse(b"a: %d\n" % n)) for n in range(50)]
    assert [answer.result().documents[0].plain() for answer in answers] == [{"a": n} for n in range(50)]
    assert parser.pid == pid


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"{"], ids=repr)
async def test_200_kb_of_brackets_are_a_fault_of_the_file(parser: ChildParser, opening: bytes) -> None:
    pid = await child_of(parser)
    (fault,) = (await parser.parse(opening * (200_000 // len(opening)))).faults
    assert fault.message == "more than 32 levels inside each other"
    assert parser.pid == pid


@pytest.mark.parametrize("unit", [b"- a\n", b"a,", b"k: {}\n", b"? a\n", b"- &a [1]\n", b"- 'x'\n"], ids=repr)
async def test_the_largest_flat_files_are_read_in_time(parser: ChildParser, unit: bytes) -> None:
    lead = b"[" if unit == b"a," else b""
    parsed = await parser.parse(lead + unit * ((LARGEST_FILE - 2) // len(unit)) + (b"]" if lead else b""))
    assert "did not finish" not in repr(parsed.faults)


async def test_a_file_of_10_mb_never_reaches_the_child(parser: ChildParser) -> None:
    (fault,) = (await parser.parse(b"x" * 10_000_000)).faults
    assert fault.message == "the file has 10000000 bytes: at most 262144 (256 KiB) are read"
    assert parser.pid is None


async def test_a_killed_child_is_replaced_without_a_word_to_the_user(parser: ChildParser) -> None:
    pid = await child_of(parser)
    os.kill(pid, signal.SIGKILL)
    assert (await parser.parse(GOOD)).faults == ()
    assert parser.pid not in {pid, None}


async def test_a_child_that_does_not_answer_is_killed_and_the_file_is_at_fault() -> None:
    parser = ChildParser(deadline_s=0.3)
    pid = await child_of(parser)
    os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    (fault,) = (await parser.parse(GOOD)).faults
    assert fault.message == "the parser did not finish this file within 0.3 s"
    assert time.monotonic() - begun < 2
    assert ends(pid)
    assert (await parser.parse(GOOD)).faults == ()
    await parser.close()


async def test_a_file_that_ends_the_child_twice_is_at_fault(parser: ChildParser) -> None:
    async def kill_whatever_reads() -> None:
        last = None
        while True:
            if parser.pid != last and parser.pid is not None:
                last = parser.pid
                os.kill(last, signal.SIGKILL)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        killing = tasks.create_task(kill_whatever_reads())
        (fault,) = (await parser.parse(GOOD)).faults
        killing.cancel()
    assert fault.message == "the parser ended (signal 9) when it read this file"


async def test_a_cancelled_question_does_not_spoil_the_next_answer(parser: ChildParser) -> None:
    os.kill(await child_of(parser), signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await parser.parse(b"first: 1\n")
    assert [document.plain() for document in (await parser.parse(b"second: 2\n")).documents] == [
        {"second": 2}
    ]


async def test_the_child_has_limits_and_none_of_our_secrets(
    parser: ChildParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSA_SECRET", "hidden")
    process = Path(f"/proc/{await child_of(parser)}")
    limits = process.joinpath("limits").read_text().splitlines()
    assert any(line.split()[:5] == ["Max", "address", "space", "268435456", "268435456"] for line in limits)
    assert any(line.startswith("Max cpu time") and "unlimited" not in line.split()[3] for line in limits)
    assert b"hidden" not in process.joinpath("environ").read_bytes()
    assert "NoNewPrivs:\t1" in process.joinpath("status").read_text()
    resident_kib = next(
        int(line.split()[1])
        for line in process.joinpath("status").read_text().splitlines()
        if "VmRSS" in line
    )
    assert resident_kib < 32 * 1024


async def test_the_child_imports_nothing_heavy(parser: ChildParser) -> None:
    process = Path(f"/proc/{await child_of(parser)}")
    maps = process.joinpath("maps").read_text()
    for library in ("pydantic", "aiohttp", "_sqlite3", "_ssl", "watchfiles"):
        assert library not in maps


async def test_the_child_ends_when_its_parent_is_killed() -> None:
    program = (
        "import asyncio\nfrom daemon.sources.parser import ChildParser\n"
        "async def main():\n    parser = ChildParser()\n    await parser.parse(b'a: 1')\n"
        "    print(parser.pid, flush=True)\n    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    os.kill(pid, signal.SIGSTOP)  # not even reading the end of its input may be needed
    parent.kill()
    await parent.wait()
    assert ends(pid)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=2000), st.text(alphabet="[]{}:,-&*!|>'\"#\n \ta1", max_size=400)))
async def test_no_bytes_crash_the_daemons_side(parser: ChildParser, data: bytes | str) -> None:
    raw = data.encode() if isinstance(data, str) else data
    assert await parser.parse(raw) == parse_here(raw)


async def test_a_parser_that_cannot_be_started_is_no_fault_of_the_file(
    parser: ChildParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nonexistent")
        with pytest.raises(UnreadableError, match="the parser cannot be started: No such file"):
            await parser.parse(GOOD)
    assert (await parser.parse(GOOD)).faults == ()
