"""The watched directory with everything real: inotify, files, and the parser child."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crds.meta import Key
from daemon.ports import SystemClock
from daemon.sources.directory import Directory
from daemon.sources.hints import DirectoryHints, Hint
from daemon.sources.ownership import Ownership
from daemon.sources.parser import ChildParser
from daemon.sources.snapshot import Snapshot
from daemon.sources.watch import DirectorySource
from tests.builders_source import container_yaml, put

REDIS = Key("Container", "psa-redis")
CRM = Key("Container", "psa-crm")


class ArmedHints(DirectoryHints):
    """Real hints; the first one means that the watch is set."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.armed = asyncio.Event()

    def begin(self, hint: Hint) -> None:
        def arm() -> None:
            self.armed.set()
            hint()

        super().begin(arm)


class Watched:
    """A source on a real directory. Every wait has a deadline far below the minute of the rescan."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.parser = ChildParser()
        self.hints = ArmedHints(root)
        files = Directory(root, SystemClock(), Ownership.of([], []))
        self.source = DirectorySource(str(root), files, self.hints, self.parser, SystemClock())

    async def next(self) -> Snapshot:
        async with asyncio.timeout(10):
            return await self.source.next_snapshot()

    async def settle(self) -> Snapshot:
        """Return the first snapshot when the watch is set."""
        snapshot = await self.next()
        async with asyncio.timeout(10):
            await self.hints.armed.wait()
        return snapshot

    async def until(self, wanted: set[Key]) -> Snapshot:
        """Return the first snapshot that declares exactly these objects."""
        while keys(snapshot := await self.next()) != wanted:
            pass
        return snapshot


def keys(snapshot: Snapshot) -> set[Key]:
    return {declared.key for declared in snapshot.objects}


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    root = tmp_path / "desired.d"
    root.mkdir(mode=0o755)
    put(root / "a.yaml", container_yaml())
    watched = Watched(root)
    yield watched
    await watched.source.close()


async def test_a_file_renamed_into_place_is_delivered_right_after_the_debounce(watched: Watched) -> None:
    await watched.settle()
    beyond_ms = []
    for turn in range(9):
        begun = time.monotonic()
        put(watched.root / "b.yaml", container_yaml("psa-crm", 300 + turn))
        snapshot = await watched.until({REDIS, CRM})
        assert f"ctid={300 + turn}" in repr(snapshot.objects)
        beyond_ms.append((time.monotonic() - begun) * 1000 - 100)
    # Around 5 ms on an idle machine; a busy one must not make the test fail.
    assert sorted(beyond_ms)[4] < 60


async def test_a_new_folder_is_watched_too(watched: Watched) -> None:
    await watched.settle()
    put(watched.root / "team" / "b.yaml", container_yaml("psa-crm", 101))
    await watched.until({REDIS, CRM})
    (watched.root / "team" / "b.yaml").unlink()
    await watched.until({REDIS})


async def test_a_file_written_in_two_halves_is_never_taken_for_its_first_half(watched: Watched) -> None:
    await watched.settle()
    text = container_yaml("psa-crm", 101, cores=16)
    with (watched.root / "b.yaml").open("w") as file:
        file.write(text[:-2])  # ends with "cores: 1"
        file.flush()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await watched.source.next_snapshot()
        file.write(text[-2:])
    snapshot = await watched.until({REDIS, CRM})
    assert snapshot.problems == ()
    assert "cores=16" in repr(snapshot.objects)


async def test_a_broken_file_is_told_with_its_line_and_put_right_again(watched: Watched) -> None:
    await watched.settle()
    put(watched.root / "a.yaml", container_yaml() + "  memory: [\n")
    snapshot = await watched.next()
    assert snapshot.broken_files == {"a.yaml"}
    assert snapshot.objects == ()
    assert snapshot.problems[0].rendered.startswith("a.yaml:10:1: error: ")
    put(watched.root / "a.yaml", container_yaml())
    assert (await watched.next()).problems == ()


async def test_hostile_files_are_problems_and_the_others_are_taken(watched: Watched) -> None:
    await watched.settle()
    put(watched.root / "deep.yaml", "[" * 200_000 + "\n")
    put(watched.root / "bomb.yaml", "a: &a [x, x]\n" + "".join(f"b{n}: *a\n" for n in range(60)))
    put(watched.root / "bytes.yaml", b"a: \xff\n")
    put(watched.root / "b.yaml", container_yaml("psa-crm", 101))
    snapshot = await watched.until({REDIS, CRM})
    assert snapshot.broken_files == {"deep.yaml", "bomb.yaml", "bytes.yaml"}


async def test_a_renamed_file_keeps_its_object(watched: Watched) -> None:
    await watched.settle()
    (watched.root / "a.yaml").rename(watched.root / "z.yaml")
    snapshot = await watched.next()
    assert [(found.key, found.origin.file) for found in snapshot.objects] == [(REDIS, "z.yaml")]


async def test_a_removed_file_takes_its_object_with_it(watched: Watched) -> None:
    put(watched.root / "b.yaml", container_yaml("psa-crm", 101))
    await watched.settle()
    (watched.root / "b.yaml").unlink()
    await watched.until({REDIS})


async def test_a_directory_that_does_not_exist_yet_is_taken_when_it_comes(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "later.d")
    assert (await watched.next()).unreadable == f"{tmp_path}/later.d does not exist"
    (tmp_path / "new").mkdir(mode=0o755)
    put(tmp_path / "new" / "a.yaml", container_yaml())
    (tmp_path / "new").rename(watched.root)
    await watched.until({REDIS})
    put(watched.root / "b.yaml", container_yaml("psa-crm", 101))
    await watched.until({REDIS, CRM})
    await watched.source.close()


async def test_a_removed_directory_is_unreadable_and_watched_again_when_it_is_back(watched: Watched) -> None:
    await watched.settle()
    shutil.rmtree(watched.root)
    assert (await watched.next()).unreadable is not None
    watched.root.mkdir(mode=0o755)
    put(watched.root / "a.yaml", container_yaml())
    await watched.until({REDIS})
    put(watched.root / "b.yaml", container_yaml("psa-crm", 101))
    await watched.until({REDIS, CRM})


async def test_an_emptied_directory_is_unreadable(watched: Watched) -> None:
    await watched.settle()
    (watched.root / "a.yaml").unlink()
    assert "holds no *.yaml or *.yml file" in str((await watched.next()).unreadable)


async def test_a_replaced_directory_that_lacks_objects_waits_for_a_person(watched: Watched) -> None:
    await watched.settle()
    new = watched.root.with_name("new")
    new.mkdir(mode=0o755)
    put(new / "b.yaml", container_yaml("psa-crm", 101))
    watched.root.rename(watched.root.with_name("old"))
    new.rename(watched.root)
    snapshot = await watched.next()
    while "does not exist" in str(snapshot.unreadable):
        snapshot = await watched.next()
    assert "is another directory than before" in str(snapshot.unreadable)
    watched.source.request_scan()
    assert keys(await watched.next()) == {CRM}
    put(watched.root / "c.yaml", container_yaml())  # and it is the new one that is watched
    await watched.until({REDIS, CRM})


async def test_a_mode_that_lets_others_write_stops_everything_until_it_is_put_right(watched: Watched) -> None:
    await watched.settle()
    watched.root.chmod(0o777)
    assert f"chmod go-w {watched.root}" in str((await watched.next()).unreadable)
    watched.root.chmod(0o755)
    await watched.until({REDIS})


async def test_a_file_that_others_can_write_is_broken(watched: Watched) -> None:
    await watched.settle()
    (watched.root / "a.yaml").chmod(0o666)
    snapshot = await watched.next()
    assert snapshot.broken_files == {"a.yaml"}
    assert "chmod go-w" in snapshot.problems[0].rendered


async def test_a_swapped_link_changes_all_files_in_one_snapshot(watched: Watched) -> None:
    for version, ctid in (("..v1", 100), ("..v2", 200)):
        put(watched.root / version / "b.yaml", container_yaml("psa-crm", ctid))
        put(watched.root / version / "c.yaml", container_yaml("psa-auth", ctid + 1))
    (watched.root / "..data").symlink_to("..v1")
    for name in ("b.yaml", "c.yaml"):
        (watched.root / name).symlink_to(f"..data/{name}")
    await watched.settle()
    (watched.root / "..new").symlink_to("..v2")
    (watched.root / "..new").rename(watched.root / "..data")
    snapshot = await watched.next()
    assert "ctid=200" in repr(snapshot.objects)
    assert "ctid=201" in repr(snapshot.objects)


async def test_a_killed_parser_is_replaced(watched: Watched) -> None:
    await watched.settle()
    assert watched.parser.pid is not None
    os.kill(watched.parser.pid, signal.SIGKILL)
    put(watched.root / "b.yaml", container_yaml("psa-crm", 101))
    assert (await watched.until({REDIS, CRM})).problems == ()


async def test_two_files_with_one_object_are_refused_and_one_of_them_is_enough(watched: Watched) -> None:
    await watched.settle()
    put(watched.root / "b.yaml", container_yaml())
    snapshot = await watched.next()
    assert (keys(snapshot), set(snapshot.refused)) == (set(), {REDIS})
    (watched.root / "b.yaml").unlink()
    assert keys(await watched.next()) == {REDIS}


async def test_two_objects_with_one_container_id_are_refused(watched: Watched) -> None:
    await watched.settle()
    put(watched.root / "b.yaml", container_yaml("psa-crm", 210))
    assert set((await watched.next()).refused) == {REDIS, CRM}


async def test_closing_takes_no_time_and_leaves_no_process(watched: Watched) -> None:
    await watched.settle()
    process = Path(f"/proc/{watched.parser.pid}")
    begun = time.monotonic()
    await watched.source.close()
    assert time.monotonic() - begun < 1
    assert not process.exists()  # noqa: ASYNC240 - /proc does not block
