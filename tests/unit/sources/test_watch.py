"""When a snapshot is delivered: settled, once a difference, never of a directory that says nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime

import pytest

from crds.meta import Key
from daemon.sources.listing import RefusedFile, UnreadableError
from daemon.sources.parser import InlineParser
from daemon.sources.snapshot import Snapshot
from daemon.sources.tree import Parsed
from daemon.sources.watch import DirectorySource
from tests.builders_source import ManualHints, MemoryFiles, container_yaml

pytestmark = pytest.mark.looptime(end=3600)


class LoopClock:
    """Wall and monotonic time both follow the virtual loop."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.monotonic(), UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Parser(InlineParser):
    """A parser that may be gone."""

    is_gone = False

    async def parse(self, data: bytes) -> Parsed:
        if self.is_gone:
            raise UnreadableError("the parser cannot be started: no memory")
        return await super().parse(data)


class Desk:
    """A source with everything that a test turns."""

    def __init__(self) -> None:
        self.files = MemoryFiles({"a.yaml": container_yaml()})
        self.hints = ManualHints()
        self.clock = LoopClock()
        self.parser = Parser()
        self.source = DirectorySource("/d", self.files, self.hints, self.parser, self.clock)

    async def next(self) -> tuple[float, Snapshot]:
        """Return the next snapshot and the moment of its delivery."""
        snapshot = await self.source.next_snapshot()
        return round(self.clock.monotonic(), 3), snapshot

    def later(self, seconds: float, ctid: int | None = None) -> None:
        """Change a file at that moment, as the hint tells it; without a ctid only the hint comes."""

        def change() -> None:
            if ctid is not None:
                self.files.files["a.yaml"] = container_yaml(ctid=ctid)
            self.hints.give()

        asyncio.get_running_loop().call_at(seconds, change)

    async def is_silent(self, seconds: float) -> bool:
        """Whether nothing is delivered for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.source.next_snapshot()
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.source.close()
    assert desk.hints.ended


async def test_the_first_snapshot_comes_at_once(desk: Desk) -> None:
    at, snapshot = await desk.next()
    assert at == 0
    assert [declared.key for declared in snapshot.objects] == [Key("Container", "psa-redis")]
    assert snapshot.files == 1


async def test_a_change_is_delivered_when_it_has_been_quiet_for_100_ms(desk: Desk) -> None:
    await desk.next()
    desk.later(5.0, 300)
    desk.later(5.06)
    at, snapshot = await desk.next()
    assert at == 5.155  # the hint itself comes 5 ms after the last change
    assert "ctid=300" in repr(snapshot.objects[0].spec)


async def test_changes_that_never_stop_are_read_after_a_second(desk: Desk) -> None:
    await desk.next()
    for step in range(60):
        desk.later(5.0 + 0.05 * step, 300 + step)
    at, _ = await desk.next()
    assert at == 6.0


async def test_a_hint_without_a_difference_delivers_nothing(desk: Desk) -> None:
    await desk.next()
    desk.later(1.0)
    assert await desk.is_silent(30)
    assert desk.files.looks == 2


async def test_a_change_without_a_hint_is_found_within_a_minute(desk: Desk) -> None:
    await desk.next()
    desk.files.files["a.yaml"] = container_yaml(ctid=300)
    at, _ = await desk.next()
    assert at == 60.0


async def test_a_requested_scan_delivers_even_what_is_the_same_and_reads_all_again(desk: Desk) -> None:
    _, first = await desk.next()
    forgotten = desk.files.forgotten
    desk.source.request_scan()
    _, second = await desk.next()
    assert second == first
    assert desk.files.forgotten == forgotten + 1
    assert await desk.is_silent(30)


async def test_a_file_that_changes_while_it_is_read_is_read_again(desk: Desk) -> None:
    desk.files.unsettled = [frozenset({"a.yaml"})] * 3
    at, snapshot = await desk.next()
    assert at == 0.3
    assert snapshot.problems == ()


async def test_a_file_that_never_settles_is_a_problem_and_the_others_are_taken(desk: Desk) -> None:
    desk.files.files["b.yaml"] = container_yaml("psa-crm", 101)
    desk.files.unsettled = [frozenset({"a.yaml"})] * 11
    at, snapshot = await desk.next()
    assert at == 1.0
    assert [declared.key.name for declared in snapshot.objects] == ["psa-crm"]
    assert snapshot.broken_files == {"a.yaml"}
    assert snapshot.problems[0].message == "the file is still being written"
    at, snapshot = await desk.next()
    assert at == 2.0
    assert len(snapshot.objects) == 2


@pytest.mark.parametrize("text", ["# nothing yet\n", "---\n---\n", ""])
async def test_files_that_declare_nothing_say_nothing(desk: Desk, text: str) -> None:
    desk.files.files = {"a.yaml": text}
    _, snapshot = await desk.next()
    assert snapshot.unreadable == "no file in /d declares an object: that says nothing"


async def test_an_emptied_directory_is_unreadable_until_it_has_files_again(desk: Desk) -> None:
    _, first = await desk.next()
    kept, desk.files.files = desk.files.files, {}
    desk.later(1.0)
    _, empty = await desk.next()
    assert empty.unreadable == "it is empty"
    assert empty.objects == ()
    desk.files.files = kept
    desk.later(2.0)
    _, back = await desk.next()
    assert back == first


async def test_an_unreadable_directory_is_told_once(desk: Desk) -> None:
    await desk.next()
    desk.files.unreadable = "gone"
    desk.later(1.0)
    await desk.next()
    desk.later(2.0)
    assert await desk.is_silent(300)


async def test_another_directory_that_lacks_an_object_is_unreadable_until_somebody_confirms(
    desk: Desk,
) -> None:
    desk.files.files["b.yaml"] = container_yaml("psa-crm", 101)
    await desk.next()
    desk.files.identity = (2, 2)
    del desk.files.files["b.yaml"]
    desk.later(1.0)
    _, snapshot = await desk.next()
    assert snapshot.unreadable == (
        "/d is another directory than before (replaced, mounted or unmounted) and lacks Container/psa-crm; "
        "if that is meant: systemctl reload psa-reconciler"
    )
    assert await desk.is_silent(300)
    desk.source.request_scan()
    _, snapshot = await desk.next()
    assert [declared.key.name for declared in snapshot.objects] == ["psa-redis"]


async def test_another_directory_that_has_all_objects_is_accepted(desk: Desk) -> None:
    await desk.next()
    desk.files.identity = (2, 2)
    desk.files.files = {"moved.yaml": container_yaml(ctid=300)}
    desk.later(1.0)
    _, snapshot = await desk.next()
    assert snapshot.unreadable is None
    del desk.files.files["moved.yaml"]
    desk.files.files["other.yaml"] = container_yaml("psa-crm", 101)
    desk.later(2.0)
    _, snapshot = await desk.next()
    assert snapshot.unreadable is None  # the same directory again: a file that goes is a file that goes


async def test_a_file_that_goes_is_gone(desk: Desk) -> None:
    desk.files.files["b.yaml"] = container_yaml("psa-crm", 101)
    await desk.next()
    del desk.files.files["b.yaml"]
    desk.later(1.0)
    _, snapshot = await desk.next()
    assert [declared.key.name for declared in snapshot.objects] == ["psa-redis"]
    assert snapshot.refused == {}


async def test_a_renamed_file_declares_the_same_object_elsewhere(desk: Desk) -> None:
    await desk.next()
    desk.files.files = {"z.yaml": desk.files.files["a.yaml"]}
    desk.later(1.0)
    _, snapshot = await desk.next()
    assert str(snapshot.objects[0].origin) == "z.yaml:1"


async def test_a_refused_file_is_a_problem_and_broken(desk: Desk) -> None:
    desk.files.refused = (RefusedFile("b.yaml", "can be written by everybody"),)
    _, snapshot = await desk.next()
    assert snapshot.broken_files == {"b.yaml"}
    assert len(snapshot.objects) == 1


async def test_a_cancelled_wait_loses_nothing(desk: Desk) -> None:
    await desk.next()
    assert await desk.is_silent(1)
    desk.later(2.0, 300)
    at, _ = await desk.next()
    assert at == 2.095


async def caught_up(desk: Desk) -> float:
    """Catch up, and return when that was done."""
    await desk.source.catch_up()
    return round(desk.clock.monotonic(), 3)


async def impatient(call: Awaitable[None]) -> None:
    async with asyncio.timeout(0.01):
        await call


class Taker:
    """Takes snapshots in, one after the other, for some time each."""

    def __init__(self, desk: Desk, takes_s: float = 0.0) -> None:
        self.taken: list[str] = []
        self._desk = desk
        self._takes_s = takes_s

    async def run(self) -> None:
        while True:
            _, snapshot = await self._desk.next()
            await asyncio.sleep(self._takes_s)
            self.taken.append(repr(snapshot.objects[0].spec))


@contextlib.asynccontextmanager
async def taking(desk: Desk, takes_s: float = 0.0) -> AsyncIterator[Taker]:
    taker = Taker(desk, takes_s)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(taker.run())
        await asyncio.sleep(5)
        yield taker
        running.cancel()


async def test_who_catches_up_with_files_that_say_nothing_new_goes_on_at_once(desk: Desk) -> None:
    async with taking(desk) as taker:
        looks = desk.files.looks
        assert await caught_up(desk) == 5.0
        assert desk.files.looks == looks + 1
        assert len(taker.taken) == 1


async def test_who_catches_up_waits_until_the_change_is_quiet_and_taken_in(desk: Desk) -> None:
    async with taking(desk, takes_s=0.5) as taker:
        desk.files.files["a.yaml"] = container_yaml(ctid=300)
        desk.hints.give()
        assert await caught_up(desk) == 5.595
        assert "ctid=300" in taker.taken[-1]


async def test_a_change_whose_hint_is_late_or_lost_has_its_quiet_time_too(desk: Desk) -> None:
    async with taking(desk) as taker:
        desk.files.files["a.yaml"] = container_yaml(ctid=300)
        desk.later(5.05, 301)
        assert await caught_up(desk) == 5.145
        assert ["ctid=301" in spec for spec in taker.taken] == [False, True]


async def test_a_look_that_began_before_is_not_enough(desk: Desk) -> None:
    async with taking(desk, takes_s=1.0) as taker:
        desk.later(6.0, 300)
        await asyncio.sleep(2)  # ctid 300 is being taken in
        desk.files.files["a.yaml"] = container_yaml(ctid=301)
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(caught_up(desk)) for _ in range(2)]
        assert "ctid=301" in taker.taken[-1]
        assert [each.result() for each in both] == [8.19, 8.19]


async def test_who_gives_up_stops_nobody(desk: Desk) -> None:
    async with taking(desk) as taker:
        desk.hints.give()
        with pytest.raises(TimeoutError):
            await impatient(desk.source.catch_up())
        desk.later(9.0, 300)
        await asyncio.sleep(20)
        assert "ctid=300" in taker.taken[-1]
        assert await caught_up(desk) == 25.01


async def test_where_no_parser_can_be_started_nothing_is_concluded_and_it_is_tried_again(desk: Desk) -> None:
    await desk.next()
    desk.parser.is_gone = True
    desk.later(5.0, 300)
    at, snapshot = await desk.next()
    assert (at, snapshot.unreadable) == (5.095, "the parser cannot be started: no memory")
    desk.parser.is_gone = False
    at, snapshot = await desk.next()
    assert at == 6.095
    assert "ctid=300" in repr(snapshot.objects[0].spec)
