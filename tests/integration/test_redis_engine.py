"""RedisInstance in the real engine, made as the daemon makes it, before real servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from crds.meta import ConditionType, Key, Mode
from crds.redis import RedisInstanceSpec
from daemon.data_kinds import DataParts, build_redis
from daemon.engine.controller import Controller
from daemon.kinds import build_hooks
from daemon.ports import SystemClock, SystemRandom
from daemon.secrets import SecretFiles
from daemon.settings import Settings
from daemon.store.database import Database
from daemon.store.operations import Apply
from daemon.store.store import Store
from lab.redis import LabRedis
from metrics.engine import EngineMetrics
from reconcilers.contract import PermanentError
from reconcilers.gauges import Gauges
from tests.builders import START
from tests.real_haproxy import refusing_address, until
from tests.real_redis import KEY, PASSWORD, Site, a_site, ask, transport
from tests.simulation.ports import InlineExecutor

EXAMPLE = Path(__file__).parents[2] / "examples/psa-platform/data-services/psa-redis.yaml"
CONFIG = "renamed-config"
DEAD = Key("RedisInstance", "dead")


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


@dataclass
class Daemon:
    """The engine with the kind, its store and its figures."""

    store: Store
    registry: CollectorRegistry
    gauges: Gauges

    async def declare(self, key: Key, **changes: object) -> None:
        """Declare the example's Redis, with *changes*."""
        spec = yaml.safe_load(EXAMPLE.read_text())["spec"]
        spec = {**spec, "dependsOn": [], "pollInterval": "200ms", **changes}
        model = RedisInstanceSpec.model_validate(spec)
        await self.store.commit([Apply(key, f"{len(self.store.state.objects):032x}", model, START)])

    async def wait(self, key: Key, kind: ConditionType, reason: str) -> str:
        async def look() -> tuple[str, str]:
            await asyncio.sleep(0)
            said = self.store.state.objects[key].condition(kind)
            return ("", "") if said is None else (said.reason, said.message)

        return (await until(look, lambda said: said[0] == reason))[1]

    async def wait_ready(self, key: Key) -> None:
        async def look() -> bool:
            await asyncio.sleep(0)
            return self.store.state.objects[key].is_ready()

        await until(look, bool)

    def figure(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"psa_redis_{name}", {"instance": KEY.name})


def the_settings(folder: Path, **addresses: str) -> Settings:
    files = {"password": PASSWORD, "config": CONFIG}
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
        (folder / name).chmod(0o600)
    endpoint = {
        "type": "redis",
        "passwordFile": f"{folder}/password",
        "configCommandFile": f"{folder}/config",
    }
    return Settings.model_validate(
        {
            "state": str(folder),
            "endpoints": {name: {**endpoint, "address": address} for name, address in addresses.items()},
            "secrets": {"redis-password": f"{folder}/password"},
        }
    )


@contextlib.asynccontextmanager
async def a_daemon(folder: Path, **addresses: str) -> AsyncIterator[Daemon]:
    settings = the_settings(folder, **{name.replace("_", "-"): each for name, each in addresses.items()})
    registry, clock, random = CollectorRegistry(), SystemClock(), SystemRandom()
    hooks = build_hooks(settings, registry)
    parts = DataParts(settings, registry, clock, random, hooks, SecretFiles(settings.secrets))
    reconcilers = {"RedisInstance": build_redis(parts)}
    store = Store(Database(":memory:"), InlineExecutor())
    systems = dict.fromkeys(settings.endpoints, "redis")
    metrics = EngineMetrics(registry, version="test", kinds=reconcilers, systems=systems)
    controller = Controller(store, reconcilers, clock, random, metrics, mode=Mode.ENFORCE)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(controller.run())
        try:
            yield Daemon(store, registry, parts.gauges)
        finally:
            controller.drain()
    assert running.done()
    store.close()
    await hooks.close()


def start(site: Site) -> LabRedis:
    return site.start(config_command=CONFIG, disabled=("FLUSHDB", "FLUSHALL"))


async def test_the_example_converges_and_then_there_is_not_one_write(site: Site, tmp_path: Path) -> None:
    server = start(site)
    async with a_daemon(tmp_path, psa_redis=server.config.address) as daemon:
        await daemon.declare(KEY)
        await daemon.wait_ready(KEY)
        looked = daemon.gauges.of(KEY)
        commits, text = daemon.store.commits, server.config_file.read_text()
        await asyncio.sleep(1)
        assert (daemon.store.commits, server.config_file.read_text()) == (commits, text)
        assert daemon.gauges.of(KEY) != looked, "it was not even looked at"
        assert daemon.figure("memory_limit_bytes") == 4 * 1024**3


async def test_a_restart_without_what_was_rewritten_is_put_right_within_the_poll_interval(
    site: Site, tmp_path: Path
) -> None:
    server = start(site)
    async with a_daemon(tmp_path, psa_redis=server.config.address) as daemon:
        await daemon.declare(KEY, pollInterval="1s")
        await daemon.wait_ready(KEY)
        await asyncio.to_thread(server.restart, with_first_file=True)
        began = asyncio.get_running_loop().time()

        async def limit() -> str:
            return str(await ask(server, CONFIG, "GET", "maxmemory"))

        await until(limit, lambda text: str(4 * 1024**3) in text)
        assert asyncio.get_running_loop().time() - began <= 1.2
        await daemon.wait_ready(KEY)
        assert "RedisRestarted" in [event.reason for event in daemon.store.events(KEY)]


async def test_a_rotated_secret_file_is_followed_within_two_seconds(site: Site, tmp_path: Path) -> None:
    server = start(site)
    async with a_daemon(tmp_path, psa_redis=server.config.address) as daemon:
        await daemon.declare(KEY)
        await daemon.wait_ready(KEY)
        (tmp_path / "password").write_text("the next one\n")

        async def is_taken() -> bool:
            try:
                return (await transport(server, "the next one").ask(("PING",)))[0] == "PONG"
            except PermanentError:
                return False

        await until(is_taken, bool, seconds=2)
        await daemon.wait_ready(KEY)
        told = repr(daemon.store.state.objects[KEY]) + repr(list(daemon.store.events(KEY)))
        assert "the next one" not in told
        assert PASSWORD not in told


async def test_a_dead_server_is_said_and_another_one_goes_on(site: Site, tmp_path: Path) -> None:
    server = start(site)
    with refusing_address() as nobody:
        async with a_daemon(tmp_path, psa_redis=server.config.address, other=nobody) as daemon:
            await daemon.declare(DEAD, endpoint="other")
            await daemon.declare(KEY)
            await daemon.wait_ready(KEY)
            assert "nobody listens there" in await daemon.wait(DEAD, ConditionType.SYNCED, "ObserveFailed")
            assert daemon.figure("keys") == 0
            await asyncio.to_thread(server.kill)
            await daemon.wait(KEY, ConditionType.SYNCED, "ObserveFailed")
            assert daemon.figure("keys") is None
            assert daemon.gauges.of(KEY) is None
