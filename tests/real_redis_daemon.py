"""The kind of Redis in the real engine, made as the daemon makes it, for tests and measurements."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from prometheus_client import CollectorRegistry

from crds.meta import ConditionType, Key
from crds.redis import RedisInstanceSpec
from daemon.data_kinds import build_redis
from daemon.settings import Settings
from daemon.store.operations import Apply
from daemon.store.store import Store
from lab.redis import LabRedis
from reconcilers.gauges import Gauges
from tests.builders import START
from tests.real_data import engine_with
from tests.real_haproxy import until
from tests.real_redis import KEY, PASSWORD, Site

EXAMPLE: Final = Path(__file__).parents[1] / "examples/psa-platform/data-services/psa-redis.yaml"
CONFIG: Final = "renamed-config"


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
        return self.registry.get_sample_value(f"psa_redis_{name}", {"redis": KEY.name})


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
    async with engine_with(settings, "RedisInstance", build_redis) as (store, registry, gauges):
        yield Daemon(store, registry, gauges)


def start_as_asked_for(site: Site) -> LabRedis:
    """Start a server whose file has what the example's object verifies and cannot set."""
    return site.start(config_command=CONFIG, disabled=("FLUSHDB", "FLUSHALL"))
