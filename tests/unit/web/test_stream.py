"""What one reader of the stream gets, and in which order."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.meta import Key
from daemon.store.database import Database
from daemon.store.operations import Event, Record
from daemon.store.store import Changed, Store
from daemon.web.answers import Object
from daemon.web.stream import Mailbox, SlowReaderError
from tests.builders import START
from tests.simulation.ports import InlineExecutor

KEY = Key("Container", "one")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(Database(tmp_path / "state.db"), InlineExecutor())
    yield made
    made.close()


def shown(key: Key) -> Object | None:
    return None if key.name == "gone" else {"name": key.name}


def change(name: str) -> Changed:
    return Changed(Key("Container", name), None, None)


async def happen(store: Store, *reasons: str) -> tuple[Event, ...]:
    for reason in reasons:
        await store.commit([Record(KEY, START, reason, "…")])
    return store.events(KEY)


def ids(frames: bytes | None) -> list[int]:
    lines = (frames or b"").decode().splitlines()
    return [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]


def objects(frames: bytes | None) -> list[str]:
    blocks = (frames or b"").decode().split("\n\n")
    return [json.loads(b.partition("data: ")[2])["name"] for b in blocks if b.startswith("event: object")]


async def test_what_is_replayed_and_then_heard_of_is_told_once(store: Store) -> None:
    events = await happen(store, "A", "B")
    mailbox = Mailbox(store, shown)
    mailbox.replay(0)
    mailbox.hear([], events[1:])
    assert ids(await mailbox.frames()) == [1, 2]


async def test_an_event_that_happens_again_is_told_again(store: Store) -> None:
    await happen(store, "A")
    mailbox = Mailbox(store, shown)
    mailbox.replay(0)
    mailbox.hear([], await happen(store, "A"))
    frames = await mailbox.frames()
    assert b'"count": 1' in (frames or b"")
    assert b'"count": 2' in (frames or b"")


async def test_a_reader_that_comes_back_gets_only_what_is_newer(store: Store) -> None:
    await happen(store, "A", "B", "C")
    mailbox = Mailbox(store, shown)
    mailbox.replay(2)
    assert ids(await mailbox.frames()) == [3]


async def test_an_object_that_changed_often_is_told_once_and_one_that_is_gone_not_at_all(
    store: Store,
) -> None:
    mailbox = Mailbox(store, shown)
    mailbox.hear([change("a"), change("b"), change("gone")], [])
    mailbox.hear([change("a")], [])
    assert objects(await mailbox.frames()) == ["a", "b"]


async def test_objects_come_before_the_events_of_their_commit(store: Store) -> None:
    mailbox = Mailbox(store, shown)
    mailbox.hear([change("a")], await happen(store, "A"))
    frames = await mailbox.frames() or b""
    assert frames.index(b"event: object") < frames.index(b"event: event")


async def test_thousands_of_changes_go_out_in_pieces(store: Store) -> None:
    mailbox = Mailbox(store, shown)
    mailbox.hear([change(f"c{number}") for number in range(250)], [])
    async with asyncio.timeout(5):  # no piece waits for more news
        pieces = [objects(await mailbox.frames()) for _ in range(3)]
    assert [len(piece) for piece in pieces] == [100, 100, 50]
    assert len({name for piece in pieces for name in piece}) == 250


@pytest.mark.looptime
async def test_without_news_there_is_a_sign_of_life(store: Store) -> None:
    assert await Mailbox(store, shown).frames() == b": still here\n\n"


async def test_a_closed_mailbox_ends_its_stream(store: Store) -> None:
    mailbox = Mailbox(store, shown)
    mailbox.hear([change("a")], [])
    mailbox.close()
    assert await mailbox.frames() is None


async def test_a_reader_that_is_far_behind_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.web.stream._MOST_BEHIND", 2)
    mailbox = Mailbox(store, shown)
    mailbox.hear([], await happen(store, "A", "B", "C"))
    with pytest.raises(SlowReaderError):
        await mailbox.frames()
