"""Who gets in through the API's two doors, and what silent, slow and foreign clients can do there."""

import asyncio
import contextlib
import grp
import json
import os
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from crds.meta import Key
from daemon.store.operations import Apply, Record
from daemon.web.liveness import LivenessDoor, listen_tcp
from daemon.web.unix_socket import listen_unix
from tests.builders import START, a_container_spec
from tests.integration.test_api import KEY, Running, a_daemon, answer_of, declare, until

OTHER = 65534


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:9633", 200),
        ("127.0.0.1:9633", 200),
        ("[::1]:9633", 200),
        ("10.0.0.5:9633", 200),
        ("localhost.evil.example", 403),
        ("127.evil.example:9633", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example:127", 403),
        ("", 403),
    ],
)
async def test_only_addresses_and_localhost_are_our_name(tmp_path: Path, host: str, status: int) -> None:
    async with (
        a_daemon(tmp_path) as running,
        running.tcp.get("/api/v1/status", headers={"Host": host}) as answer,
    ):
        assert answer.status == status


@pytest.mark.parametrize("action", ["plan", "catch-up"])
async def test_nobody_on_the_network_can_make_us_look_at_everything(tmp_path: Path, action: str) -> None:
    async with a_daemon(tmp_path) as running:
        async with running.tcp.post(f"/api/v1/{action}", json={}) as answer:
            assert answer.status == 403
        assert running.knobs.looks == []


async def test_text_that_calls_itself_json_only_inside_is_no_wish(tmp_path: Path) -> None:
    async with (
        a_daemon(tmp_path) as running,
        running.unix.post("/api/v1/plan", data="{}", headers={"Content-Type": "text/plain"}) as answer,
    ):
        assert answer.status == 400
        assert running.knobs.looks == []


WISHES = ["release/psa-suite/rollback", "container/one/restart", "traffic", "traffic/clear", "freeze", "thaw"]


@pytest.mark.parametrize("path", ["mode", "reconcile", "suspend", "resume", *WISHES])
async def test_no_change_comes_in_through_tcp(tmp_path: Path, path: str) -> None:
    async with (
        a_daemon(tmp_path) as running,
        running.tcp.post(f"/api/v1/{path}", json={"object": str(KEY), "mode": "Observe"}) as answer,
    ):
        assert answer.status == 403
        assert (await answer.json())["error"]["code"] == "ReadOnly"
        assert running.store.commits == 0


def ask_as(uid: int, path: Path, action: str, body: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Post as another user, from a process of its own."""
    code = (
        "import http.client, os, socket, sys\n"
        "link = socket.socket(socket.AF_UNIX); link.connect(sys.argv[1])\n"
        f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})\n"
        "again = socket.socket(socket.AF_UNIX); again.connect(sys.argv[1])\n"
        "c = http.client.HTTPConnection('localhost'); c.sock = again\n"
        "c.request('POST', '/api/v1/' + sys.argv[2], sys.argv[3], {'Content-Type': 'application/json'})\n"
        "r = c.getresponse(); print(r.status, r.read().decode())\n"
    )
    argv = [sys.executable, "-c", code, str(path), action, body]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    status, _, text = done.stdout.partition(" ")
    return int(status), json.loads(text)


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that other users can reach; pytest's own belong to root alone."""
    parents = [tmp_path, *tmp_path.parents]
    mine = [each for each in parents if each.stat().st_uid == os.geteuid() and len(each.parts) > 2]
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in mine}
    for each in mine:
        each.chmod(modes[each] | 0o011)
    yield tmp_path
    for each, mode in modes.items():
        each.chmod(mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_who_may_open_the_socket_operates_but_only_root_and_we_set_the_mode(open_folder: Path) -> None:
    async with a_daemon(open_folder) as running:
        await declare(running, cores=3)
        await asyncio.to_thread(os.chown, running.socket, OTHER, OTHER)
        await asyncio.to_thread(running.socket.parent.chmod, 0o755)
        body = json.dumps({"object": str(KEY), "mode": "Observe", "reason": "work"})
        status, told = await asyncio.to_thread(ask_as, OTHER, running.socket, "mode", body)
        assert (status, told["error"]["code"]) == (403, "NotAdmin")
        status, _ = await asyncio.to_thread(ask_as, OTHER, running.socket, "suspend", body)
        assert status == 200
        frozen = json.dumps({"until": "2099-01-01T00:00:00Z", "reason": "work"})
        status, _ = await asyncio.to_thread(ask_as, OTHER, running.socket, "freeze", frozen)
        assert status == 200
        audited = [(event.reason, event.actor) for event in running.store.events(None) if event.actor]
        assert audited == [("Suspended", f"uid {OTHER}"), ("Frozen", f"uid {OTHER}")]


@pytest.mark.parametrize(
    ("query", "status"),
    [("after=0&limit=1", 200), ("after=99999999999999999999", 400), ("after=-1", 400), ("limit=x", 400)],
)
async def test_a_number_is_a_number(tmp_path: Path, query: str, status: int) -> None:
    async with a_daemon(tmp_path) as running, running.unix.get(f"/api/v1/events?{query}") as answer:
        assert answer.status == status


@pytest.mark.parametrize("instant", ["soon", "2026-11-25T10:00:00", "0001-01-01T00:00:00+14:00", 5])
async def test_an_end_without_a_clear_meaning_is_refused(tmp_path: Path, instant: object) -> None:
    async with a_daemon(tmp_path) as running:
        await declare(running, cores=3)
        body = {"object": str(KEY), "until": instant}
        async with running.unix.post("/api/v1/suspend", json=body) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == "BadTime"


def test_something_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("a file of somebody")
    with pytest.raises(OSError, match="no socket is in the way"):
        listen_unix(path, "no-such-group")
    assert path.read_text() == "a file of somebody"


def test_the_socket_of_a_daemon_that_is_too_busy_to_answer_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as other, contextlib.ExitStack() as waiting:
        other.bind(str(path))
        other.listen(0)
        for _ in range(3):  # fills the backlog
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(0.0)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(path))
        before = path.stat().st_ino
        with pytest.raises(OSError, match="another daemon may answer there"):
            listen_unix(path, "no-such-group")
        assert path.stat().st_ino == before


def test_a_second_daemon_does_not_take_the_socket_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with listen_unix(path, "no-such-group") as first:
        first.listen()
        with pytest.raises(OSError, match="another daemon answers there"):
            listen_unix(path, "no-such-group")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to any group")
def test_the_socket_belongs_to_the_group_that_the_machine_has(tmp_path: Path) -> None:
    group = grp.getgrgid(OTHER)
    with listen_unix(tmp_path / "api.sock", group.gr_name):
        found = (tmp_path / "api.sock").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (OTHER, 0o660)


def test_a_group_that_the_machine_lacks_is_said(tmp_path: Path) -> None:
    with capture_logs() as logs, listen_unix(tmp_path / "api.sock", "no-such-group"):
        pass
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("socket.private", "this machine has no group no-such-group")
    ]


async def test_the_socket_goes_with_the_daemon(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        assert running.socket.exists()
    assert not running.socket.exists()


@contextlib.asynccontextmanager
async def a_door(late: list[float]) -> AsyncIterator[int]:
    listener = listen_tcp("127.0.0.1:0")
    port: int = listener.getsockname()[1]
    door = LivenessDoor(listener, asyncio.get_running_loop(), asyncio.Protocol, stuck_for=lambda: late[0])
    door.open()
    try:
        yield port
    finally:
        door.close()


async def test_silent_clients_do_not_keep_livez_waiting_and_are_sent_away() -> None:
    async with a_door([0.0]) as port:
        with contextlib.ExitStack() as clients:
            silent = [clients.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(9)]
            began = time.monotonic()
            assert await asyncio.to_thread(answer_of, f"http://127.0.0.1:{port}/livez") == (200, "alive\n")
            assert time.monotonic() - began < 0.8
            for each in silent:
                each.settimeout(5.0)
                assert await asyncio.to_thread(each.recv, 1) == b""


async def test_livez_answers_while_the_whole_loop_hangs(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        answers: list[tuple[float, tuple[int, str]]] = []

        def ask() -> None:
            began = time.monotonic()
            found = answer_of(f"{running.url}/livez")
            answers.append((time.monotonic() - began, found))

        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(timeout=5)  # the loop does nothing else meanwhile
        assert not asking.is_alive()
    assert answers[0][1] == (200, "alive\n")
    assert answers[0][0] < 1.0


async def test_only_livez_itself_is_answered_by_the_thread(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running, running.tcp.get("/livezzz") as answer:
        assert answer.status == 404


async def test_a_request_that_comes_in_pieces_is_understood(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        port = int(running.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in (b"GE", b"T /li", b"vez HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"Connection: close\r\n\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")


async def happen(running: Running, count: int, key: Key = KEY) -> None:
    """Let *count* different events happen."""
    for number in range(count):
        await running.store.commit([Record(key, START, f"Reason{number}", "x" * 500)])


async def heard(stream: aiohttp.ClientResponse, name: str, count: int) -> list[dict[str, object]]:
    """Return the data of the next *count* frames of that name."""
    found: list[dict[str, object]] = []
    current = ""
    async with asyncio.timeout(10):
        while len(found) < count:
            line = (await stream.content.readline()).decode().rstrip("\n")
            current = line.removeprefix("event: ") if line.startswith("event: ") else current
            if line.startswith("data: ") and current == name:
                found.append(json.loads(line.removeprefix("data: ")))
    return found


async def test_a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        await happen(running, 3)
        async with asyncio.TaskGroup() as group:
            more = group.create_task(happen(running, 40, Key("Container", "two")))
            async with running.unix.get("/api/v1/stream", headers={"Last-Event-ID": "1"}) as stream:
                frames = await heard(stream, "event", 42)
            await more
        assert [frame["id"] for frame in frames] == list(range(2, 44))


async def test_many_changes_of_one_object_reach_a_late_reader_as_its_newest_state(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running, running.unix.get("/api/v1/stream") as stream:
        for cores in range(1, 30):
            await declare(running, cores=cores)
        seen = 0
        while seen != 29:
            (frame,) = await heard(stream, "object", 1)
            spec = frame["spec"]
            assert isinstance(spec, dict)
            assert spec["cores"] >= seen
            seen = spec["cores"]


async def test_a_commit_of_many_objects_is_told_object_by_object(tmp_path: Path) -> None:
    keys = [Key("Container", f"c{number}") for number in range(250)]
    async with a_daemon(tmp_path) as running, running.unix.get("/api/v1/stream") as stream:
        spec = a_container_spec()
        await running.store.commit([Apply(key, f"{n:032x}", spec, START) for n, key in enumerate(keys)])
        missing = {key.name for key in keys}
        while missing:
            (frame,) = await heard(stream, "object", 1)
            metadata = frame["metadata"]
            assert isinstance(metadata, dict)
            missing.discard(metadata["name"])


async def test_a_reader_that_takes_nothing_loses_the_connection_and_holds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.web.stream._WRITE_S", 0.3)
    async with a_daemon(tmp_path) as running:
        reader, writer = await asyncio.open_unix_connection(str(running.socket), limit=1024)
        writer.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readline()
        assert _readers(running) == 1
        await happen(running, 3000)
        await until(lambda: _readers(running) == 0, 10)
        # Without reading what is left: a polite end would wait for that.
        link = writer.get_extra_info("socket")
        await until(lambda: is_hung_up(link.fileno()), 5)
        writer.close()


def is_hung_up(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))


def _readers(running: Running) -> int:
    return sum("Mailbox" in repr(each) for each in running.store._listeners)


async def test_the_end_of_the_daemon_does_not_wait_for_readers(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as clients:
        async with a_daemon(tmp_path) as running:
            connector = aiohttp.UnixConnector(str(running.socket))
            client = await clients.enter_async_context(
                aiohttp.ClientSession("http://localhost", connector=connector)
            )
            stream = await clients.enter_async_context(client.get("/api/v1/stream"))
            began = time.monotonic()
        assert time.monotonic() - began < 0.8
        assert b"data:" not in await stream.content.read()
