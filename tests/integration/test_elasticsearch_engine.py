"""Elasticsearch in the real engine, made as the daemon makes it, before the lab's stand-in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from crds.elasticsearch import ElasticsearchSpec, ElasticsearchStatus
from crds.meta import ConditionType, Key
from daemon.data_kinds import build_elasticsearch
from daemon.ports import SystemClock
from daemon.settings import Settings
from daemon.store.operations import Apply
from daemon.store.store import Store
from lab.elasticsearch import LabElasticsearch
from reconcilers.gauges import Gauges
from tests.builders import START
from tests.builders_elasticsearch import KEY, by_hand, example_spec
from tests.real_data import engine_with
from tests.real_elasticsearch import PASSWORD, USER, a_stand_in, as_user, transport
from tests.real_haproxy import refusing_address, until

DEAD = Key("Elasticsearch", "dead")


@pytest.fixture
def server() -> Iterator[LabElasticsearch]:
    with a_stand_in(accounts={USER: PASSWORD}) as server:
        yield server


@dataclass
class Daemon:
    """The engine with the kind, its store and its figures."""

    store: Store
    registry: CollectorRegistry
    gauges: Gauges

    async def declare(self, key: Key = KEY, **changes: object) -> None:
        """Declare the example's cluster, with *changes*."""
        spec = {**example_spec(), "endpoint": "psa-elasticsearch", "pollInterval": "200ms", **changes}
        model = ElasticsearchSpec.model_validate(spec)
        await self.store.commit([Apply(key, f"{len(self.store.state.objects):032x}", model, START)])

    async def wait(self, told: Callable[["Daemon"], bool]) -> None:
        async def look() -> bool:
            await asyncio.sleep(0)
            return told(self)

        await until(look, bool)

    def says(self, kind: ConditionType, key: Key = KEY) -> str:
        """Return the reason of a condition, empty before anything was said."""
        found = self.store.state.objects[key].condition(kind)
        return "" if found is None else found.reason

    def is_ready(self) -> bool:
        return self.store.state.objects[KEY].is_ready()

    def figure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"psa_elasticsearch_{name}", {"cluster": KEY.name, **labels})


@contextlib.asynccontextmanager
async def a_daemon(folder: Path, **urls: str) -> AsyncIterator[Daemon]:
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "password").chmod(0o600)
    endpoint = {"type": "elasticsearch", "user": USER, "passwordFile": f"{folder}/password"}
    endpoints = {name.replace("_", "-"): {**endpoint, "urls": [url]} for name, url in urls.items()}
    settings = Settings.model_validate({"state": str(folder), "endpoints": endpoints})
    async with engine_with(settings, "Elasticsearch", build_elasticsearch) as (store, registry, gauges):
        yield Daemon(store, registry, gauges)


def written(server: LabElasticsearch) -> int:
    """Return when the cluster was changed last: it keeps each change in its file."""
    return server.state.stat().st_mtime_ns


async def test_the_example_becomes_ready_and_then_nothing_is_written(
    server: LabElasticsearch, tmp_path: Path
) -> None:
    async with a_daemon(tmp_path, psa_elasticsearch=server.url) as daemon:
        await daemon.declare()
        await daemon.wait(Daemon.is_ready)
        outside, inside = written(server), daemon.store.state
        await asyncio.sleep(0.7)
        assert written(server) == outside
        assert daemon.store.state is inside

        status = daemon.store.state.objects[KEY].status
        assert isinstance(status, ElasticsearchStatus)
        assert (status.cluster_name, status.health, status.lifecycle) == ("psa-platform", "green", "RUNNING")
        assert daemon.figure("health", color="green") == 1
        assert daemon.figure("disk_high_ratio") == 0.9
        gauge = daemon.gauges.of(KEY)
        assert gauge is not None
        assert gauge.values["unassigned_shards"] == 0


async def test_a_deletion_by_policy_waits_for_its_verb(server: LabElasticsearch, tmp_path: Path) -> None:
    logs = {"phases": {"delete": {"minAge": "30d", "actions": {"delete": {}}}}}
    shorter = {"phases": {"delete": {"minAge": "1d", "actions": {"delete": {}}}}}
    async with a_daemon(tmp_path, psa_elasticsearch=server.url) as daemon:
        await daemon.declare(lifecyclePolicies={"psa-logs": logs})
        await daemon.wait(Daemon.is_ready)
        wire = transport(server, **as_user())
        await by_hand(wire, "POST", "psa-logs-2026.11.20/_doc", {})
        server.control("age", seconds=5 * 86400)
        await daemon.declare(lifecyclePolicies={"psa-logs": shorter})
        await daemon.wait(lambda here: here.says(ConditionType.STALLED) == "NotAllowed")
        found = daemon.store.state.objects[KEY].condition(ConditionType.STALLED)
        assert found is not None
        assert (
            "it would delete 1 indices now: psa-logs-2026.11.20: needs allow: [ilm-deletes-now]"
            in found.message
        )
        assert await by_hand(wire, "GET", "psa-logs-2026.11.20") is not None
        await daemon.declare(lifecyclePolicies={"psa-logs": shorter}, allow=["ilm-deletes-now"])
        await daemon.wait(Daemon.is_ready)
        assert await by_hand(wire, "GET", "psa-logs-2026.11.20") is None
        await wire.close()


async def test_f57_a_busy_cluster_is_left_alone_for_as_long_as_it_asks(
    server: LabElasticsearch, tmp_path: Path
) -> None:
    server.control("faults", busy=1, retry_after_s=2)
    clock = SystemClock()
    began = clock.monotonic()
    async with a_daemon(tmp_path, psa_elasticsearch=server.url) as daemon:
        await daemon.declare()
        await daemon.wait(lambda here: here.says(ConditionType.SYNCED) == "ApplyFailed")
        await daemon.wait(Daemon.is_ready)
        assert clock.monotonic() - began >= 2.0


async def test_a_server_that_is_killed_and_one_that_is_wiped_are_whole_again(
    server: LabElasticsearch, tmp_path: Path
) -> None:
    async with a_daemon(tmp_path, psa_elasticsearch=server.url) as daemon:
        await daemon.declare()
        await daemon.wait(Daemon.is_ready)
        await asyncio.to_thread(server.kill)
        await daemon.wait(lambda here: here.figure("up") == 0)
        server.wipe()
        await asyncio.to_thread(server.start)
        await daemon.wait(lambda here: here.figure("up") == 1 and server.state.exists())
        await daemon.wait(Daemon.is_ready)
        wire = transport(server, **as_user())
        assert await by_hand(wire, "GET", "_ilm/policy/psa-logs") is not None
        await wire.close()


async def test_a_dead_cluster_leaves_the_others_alone(server: LabElasticsearch, tmp_path: Path) -> None:
    with refusing_address() as gone:
        async with a_daemon(tmp_path, psa_elasticsearch=server.url, dead=f"http://{gone}") as daemon:
            await daemon.declare(DEAD, endpoint="dead")
            await daemon.declare()
            await daemon.wait(Daemon.is_ready)
            await daemon.wait(lambda here: here.says(ConditionType.READY, DEAD) == "ObserveFailed")


async def test_wrong_credentials_stall_with_their_name(server: LabElasticsearch, tmp_path: Path) -> None:
    async with a_daemon(tmp_path, psa_elasticsearch=server.url) as daemon:
        (tmp_path / "password").write_text("wrong\n")
        await daemon.declare()
        await daemon.wait(lambda here: here.says(ConditionType.STALLED) == "WrongCredentials")
        (tmp_path / "password").write_text(f"{PASSWORD}\n")
        await daemon.declare(health="yellow")
        await daemon.wait(Daemon.is_ready)
