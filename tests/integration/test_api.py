"""The API through real sockets, over a real store and a controller that has nothing to drive."""

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from crds.container import ContainerSpec
from crds.meta import Key, Mode
from daemon.engine.controller import Controller
from daemon.engine.feed import Feed
from daemon.engine.passes import AnyReconciler
from daemon.ports import SystemClock, SystemRandom
from daemon.sources.snapshot import Snapshot
from daemon.store.database import Database
from daemon.store.operations import Apply
from daemon.store.store import Store, WriterThread
from daemon.web.console import Console
from daemon.web.liveness import LivenessDoor, listen_tcp
from daemon.web.server import Api, serving
from daemon.web.wishes import Wishes
from metrics.engine import EngineMetrics
from tests.builders import START, a_container_spec
from tests.fakes.knobs import Knobs

KEY = Key("Container", "one")
ME = f"uid {os.geteuid()}"


class OneSnapshot:
    """A source that was read once; it can hang, and call back when somebody catches up."""

    def __init__(self) -> None:
        self._asked = False
        self.hangs = False
        self.then: Callable[[], Awaitable[None]] | None = None

    async def next_snapshot(self) -> Snapshot:
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return Snapshot(unreadable="there is no such directory")

    async def catch_up(self) -> None:
        await asyncio.sleep(1000 if self.hangs else 0)
        if self.then is not None:
            await self.then()


@dataclass
class Running:
    store: Store
    knobs: Knobs
    unix: aiohttp.ClientSession
    tcp: aiohttp.ClientSession
    socket: Path
    url: str
    source: OneSnapshot


@contextlib.asynccontextmanager
async def a_daemon(folder: Path, **kinds: AnyReconciler) -> AsyncIterator[Running]:
    store, clock, registry = (
        Store(Database(folder / "state.db"), WriterThread()),
        SystemClock(),
        CollectorRegistry(),
    )
    metrics = EngineMetrics(registry, version="test", kinds=["Container"], systems={"pve": "proxmox"})
    knobs = Knobs()
    reconcilers = {"Container": knobs, **kinds}
    controller = Controller(store, reconcilers, clock, SystemRandom(), metrics, mode=Mode.ENFORCE)
    source = OneSnapshot()
    feed = Feed(source, store, clock, SystemRandom(), metrics)
    paths = {"state": folder, "settings": folder / "config.yaml"}
    console = Console(store, controller, feed, clock, version="1", systems={"pve": "proxmox"}, paths=paths)
    wishes = Wishes(store, controller, clock)
    api = Api(
        console, wishes, store, metrics.exposition, lambda: None if console.is_ready else "not read yet"
    )
    listener = listen_tcp("127.0.0.1:0")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    path = folder / "run" / "api.sock"
    async with serving(api, path, "no-such-group", listener, lambda: 0.0), asyncio.TaskGroup() as group:
        tasks = [group.create_task(feed.run()), group.create_task(controller.run())]
        await feed.wait_first()
        async with (
            aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as unix,
            aiohttp.ClientSession(url) as tcp,
        ):
            yield Running(store, knobs, unix, tcp, path, url, source)
        tasks[0].cancel()
        controller.drain()
    store.close()


async def declare(running: Running, **fields: object) -> None:
    spec: ContainerSpec = a_container_spec(**fields)
    await running.store.commit([Apply(KEY, "u" * 32, spec, START)])


def is_ready(running: Running) -> bool:
    return running.store.state.objects[KEY].is_ready()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_object_is_shown_with_its_conditions_and_status(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        await declare(running, cores=3)
        await until(lambda: is_ready(running))
        async with running.tcp.get("/api/v1/objects/Container/one") as answer:
            found = await answer.json()
        assert found["spec"]["memory"] == "4Gi"
        assert {"Ready": "True", "Synced": "True"}.items() <= {
            c["type"]: c["status"] for c in found["status"]["conditions"]
        }.items()


async def test_what_is_not_there_is_404_with_words(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running, running.tcp.get("/api/v1/objects/Container/none") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["message"] == "there is no Container/none"


async def test_tcp_only_reads_and_the_unix_socket_changes_with_the_callers_name(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        async with running.tcp.post("/api/v1/mode", json={"mode": "Observe"}) as answer:
            assert answer.status == 403
        async with running.unix.post("/api/v1/mode", json={"mode": "Observe"}) as answer:
            assert answer.status == 200
            assert (await answer.json())["effectiveModeText"] == "Observe, by an operator: nothing is changed"
        async with running.unix.get("/api/v1/events") as answer:
            events = await answer.json()
        assert [(e["object"], e["reason"], e["actor"]) for e in events] == [
            ("Daemon/psa-reconciler", "ModeSet", ME)
        ]
        await declare(running, cores=9)
        await until(lambda: bool(running.store.state.objects[KEY].conditions))
        assert running.knobs.turns == []


async def test_a_plan_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        async with running.unix.post("/api/v1/mode", json={"mode": "Observe"}) as answer:
            assert answer.status == 200
        await declare(running, cores=5)
        async with running.unix.post("/api/v1/plan", json={"objects": ["Container/one"]}) as answer:
            plans = (await answer.json())["plans"]
        assert plans[0]["steps"][0]["summary"] == "turn one to 5"
        assert plans[0]["steps"][0]["allowed"] is False
        assert running.knobs.turns == []


async def test_who_catches_up_sees_what_the_change_led_to(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        running.source.then = lambda: declare(running, cores=3)
        async with running.unix.post("/api/v1/catch-up", json={}) as answer:
            assert await answer.json() == {
                "isCurrent": True,
                "source": {
                    "healthy": False,
                    "message": "there is no such directory",
                    "files": 0,
                    "problems": [],
                },
            }
        assert running.store.state.objects[KEY].observed_generation == 1


@pytest.mark.parametrize("slow", ["directory", "object"])
async def test_what_is_slow_holds_up_nobody_who_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    monkeypatch.setattr("daemon.web.console.CATCH_UP_S", 0.1)
    monkeypatch.setattr("daemon.web.console.FIRST_LOOK_S", 0.1)
    async with a_daemon(tmp_path) as running:
        running.source.hangs = slow == "directory"
        running.knobs.hang.add("one")
        running.knobs.pass_deadline = timedelta(seconds=0.5)
        await declare(running, cores=3)
        async with running.unix.post("/api/v1/catch-up", json={}) as answer:
            assert (await answer.json())["isCurrent"] is (slow == "object")


async def test_suspended_objects_are_left_alone_until_resumed(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        await declare(running, cores=3)
        await until(lambda: running.knobs.stand == {"one": 3})
        body = {"object": "Container/one", "reason": "work"}
        async with running.unix.post("/api/v1/suspend", json=body) as answer:
            assert answer.status == 200
        await declare(running, cores=4)
        await until(lambda: running.store.state.objects[KEY].observed_generation == 2)
        assert running.knobs.stand == {"one": 3}
        async with running.unix.post("/api/v1/resume", json=body) as answer:
            assert answer.status == 200
        await until(lambda: running.knobs.stand == {"one": 4})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/mode", {"mode": "Off"}),
        ("/api/v1/reconcile", {"object": "../etc"}),
        ("/api/v1/suspend", {"object": "Container/one", "until": "soon"}),
        ("/api/v1/plan", ["a list"]),
    ],
)
async def test_a_bad_request_is_400(tmp_path: Path, path: str, body: object) -> None:
    async with a_daemon(tmp_path) as running, running.unix.post(path, json=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"].startswith("Bad")


async def test_the_stream_tells_changes_and_can_be_taken_up_again(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        async with running.tcp.get("/api/v1/stream") as stream:
            await declare(running, cores=3)
            text = ""
            while "event: event" not in text:
                text += (await stream.content.readline()).decode()
        assert "event: object" in text
        async with running.tcp.get("/api/v1/stream", headers={"Last-Event-ID": "0"}) as stream:
            assert stream.status == 200
        last = running.store.state.next_event - 1
        async with running.tcp.get("/api/v1/stream", headers={"Last-Event-ID": str(last - 1)}) as stream:
            first = (await stream.content.readline()).decode()
        assert first == f"id: {last}\n"


async def test_metrics_and_readiness_are_served(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        async with running.tcp.get("/metrics") as answer:
            text = await answer.text()
        assert 'psa_build_info{python="3.' in text
        assert 'psa_reconcile_total{kind="Container",result="applied"} 0.0' in text
        async with running.tcp.get("/readyz") as answer:
            assert answer.status == 200


async def test_a_page_of_another_host_may_not_read_us(tmp_path: Path) -> None:
    async with (
        a_daemon(tmp_path) as running,
        running.tcp.get("/api/v1/status", headers={"Host": "evil.example"}) as answer,
    ):
        assert answer.status == 403


async def test_the_socket_is_for_owner_and_group_only_and_a_stale_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run" / "api.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with a_daemon(tmp_path) as running:
        assert running.socket.stat().st_mode & 0o777 == 0o660


def answer_of(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


async def test_livez_answers_while_the_loop_hangs_and_says_so_beyond_the_limit() -> None:
    await asyncio.sleep(0)
    listener = listen_tcp("127.0.0.1:0")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/livez"
    late = [3.0]
    door = LivenessDoor(listener, asyncio.get_running_loop(), asyncio.Protocol, stuck_for=lambda: late[0])
    door.open()
    answers: list[tuple[int, str]] = []

    def ask() -> None:
        answers.append(answer_of(url))
        late[0] = 11.0
        answers.append(answer_of(url))

    asking = threading.Thread(target=ask)
    asking.start()
    began = time.monotonic()
    asking.join(timeout=5)  # the loop is blocked meanwhile
    assert time.monotonic() - began < 2
    door.close()
    assert answers == [(200, "alive\n"), (503, "the loop has not turned for 11 s\n")]


async def test_events_are_json_that_a_terminal_can_read(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as running:
        await declare(running, cores=3)
        await until(lambda: is_ready(running))
        async with running.unix.get("/api/v1/events", params={"object": "Container/one"}) as answer:
            text = await answer.text()
        assert json.loads(text)[0]["message"] == "turn one to 3"
