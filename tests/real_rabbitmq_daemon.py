"""The kind of RabbitMQ in the real engine, made as the daemon makes it, for tests and measurements."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from prometheus_client import CollectorRegistry

from crds.meta import Key
from crds.rabbitmq import RabbitMQSpec
from daemon.data_kinds import build_rabbitmq
from daemon.settings import Settings
from daemon.store.operations import Apply
from daemon.store.store import Store
from lab.rabbitmq import LabRabbit
from reconcilers.gauges import Gauges
from tests.builders import START
from tests.real_data import engine_with
from tests.real_haproxy import until
from tests.real_rabbitmq import KEY, ME, PASSWORD

EXAMPLE: Final = Path(__file__).parents[1] / "examples/psa-platform/data-services/psa-rabbitmq.yaml"


@dataclass
class Daemon:
    """The engine with the kind, its store and its figures."""

    store: Store
    registry: CollectorRegistry
    gauges: Gauges

    async def declare(self, spec: dict[str, object], key: Key = KEY) -> None:
        """Declare a broker."""
        model = RabbitMQSpec.model_validate(spec)
        await self.store.commit([Apply(key, f"{len(self.store.state.objects):032x}", model, START)])

    async def wait_ready(self, key: Key = KEY, seconds: float = 10) -> None:
        """Wait until the object is Ready; fail with its conditions."""

        async def look() -> bool:
            await asyncio.sleep(0)
            return self.store.state.objects[key].is_ready()

        await until(look, bool, seconds=seconds)

    def events(self, key: Key = KEY) -> list[str]:
        """Return the reasons of all events of the object."""
        return [event.reason for event in self.store.events(key)]


def the_example(**changes: object) -> dict[str, object]:
    """Return the example's spec for a broker of a test: older than asked, and without its container."""
    spec = yaml.safe_load(EXAMPLE.read_text())["spec"]
    return {**spec, "dependsOn": [], "minimumVersion": "3.10", **changes}


def the_settings(folder: Path, broker: LabRabbit) -> Settings:
    """Return settings with *broker* as the example's endpoint."""
    files = {"password": PASSWORD, "app": "app-secret"}
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o600)
    endpoint = {
        "type": "rabbitmq",
        "urls": [f"http://{broker.config.management}"],
        "user": ME,
        "passwordFile": f"{folder}/password",
    }
    return Settings.model_validate(
        {
            "state": str(folder),
            "endpoints": {"psa-rabbitmq": endpoint},
            "secrets": {"rabbitmq-app": f"{folder}/app"},
        }
    )


@contextlib.asynccontextmanager
async def a_daemon(folder: Path, broker: LabRabbit) -> AsyncIterator[Daemon]:
    """Run the engine with the kind before *broker*."""
    settings = the_settings(folder, broker)
    async with engine_with(settings, "RabbitMQ", build_rabbitmq) as (store, registry, gauges):
        yield Daemon(store, registry, gauges)
