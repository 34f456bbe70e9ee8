"""The kind PostgresCluster in the real engine, made as the daemon makes it, for tests and measurements."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client import CollectorRegistry

from crds.meta import Key
from crds.postgres import PostgresClusterSpec
from daemon.data_kinds import build_postgres
from daemon.settings import Settings
from daemon.store.operations import Apply
from daemon.store.store import Store
from lab.pgbouncer import LabPgbouncer
from lab.postgres import SUPERUSER, LabPostgres
from reconcilers.gauges import Gauges
from tests.builders import START
from tests.real_data import engine_with
from tests.real_haproxy import until
from tests.real_postgres import KEY, PASSWORD, SECRETS

EXAMPLE: Final = Path(__file__).parents[1] / "examples/psa-platform/data-services/psa-db.yaml"
PRIMARY: Final = "primary"
REPLICA: Final = "replica-1"


@dataclass
class Daemon:
    """The engine with the kind, its store and its figures."""

    store: Store
    registry: CollectorRegistry
    gauges: Gauges

    async def declare(self, spec: Mapping[str, object], key: Key = KEY) -> None:
        """Declare a cluster; endpoint ``away`` is one that nobody answers of."""
        model = PostgresClusterSpec.model_validate(spec)
        await self.store.commit([Apply(key, f"{len(self.store.state.objects):032x}", model, START)])

    async def wait_ready(self, seconds: float = 20) -> None:
        """Wait until the object is Ready."""

        async def look() -> bool:
            await asyncio.sleep(0)
            return self.store.state.objects[KEY].is_ready()

        await until(look, bool, seconds=seconds)

    def events(self) -> list[str]:
        """Return the reasons of all events of the object."""
        return [event.reason for event in self.store.events(KEY)]


def the_example(**changes: object) -> dict[str, Any]:
    """Return the example's spec for a pair of a test: sizes of a test, without its containers and hooks."""
    spec = yaml.safe_load(EXAMPLE.read_text())["spec"]
    settings = {**spec["settings"], "shared_buffers": "16MB", "max_connections": 40}
    return {**spec, "dependsOn": [], "settings": settings, "backups": {}, "restart": None, **changes}


def the_settings(
    folder: Path,
    pair: Mapping[str, LabPostgres],
    pooler: LabPgbouncer | None,
    pooler_ca: Path | None = None,
) -> Settings:
    """Return settings with *pair* as the example's endpoint."""
    files = {"password": PASSWORD, **SECRETS}
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o600)
    endpoint: dict[str, object] = {
        "type": "postgres",
        "members": {name: each.config.address for name, each in pair.items()},
        "user": SUPERUSER,
        "passwordFile": f"{folder}/password",
    }
    if pooler is not None:
        console = {"address": pooler.config.address, "user": SUPERUSER, "passwordFile": f"{folder}/password"}
        endpoint["pooler"] = console if pooler_ca is None else {**console, "caFile": str(pooler_ca)}
    return Settings.model_validate(
        {
            "state": str(folder),
            "endpoints": {"psa-db": endpoint, "away": {**endpoint, "members": {PRIMARY: "127.0.0.1:1"}}},
            "secrets": {name: f"{folder}/{name}" for name in SECRETS},
        }
    )


@contextlib.asynccontextmanager
async def a_daemon(
    folder: Path,
    pair: Mapping[str, LabPostgres],
    pooler: LabPgbouncer | None = None,
    pooler_ca: Path | None = None,
) -> AsyncIterator[Daemon]:
    """Run the engine with the kind before *pair*."""
    settings = the_settings(folder, pair, pooler, pooler_ca)
    async with engine_with(settings, "PostgresCluster", build_postgres) as (store, registry, gauges):
        yield Daemon(store, registry, gauges)
