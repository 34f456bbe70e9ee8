"""What moves at each look changes no condition while the state is the same."""

from dataclasses import replace

import pytest

from reconcilers.elasticsearch.health import degraded, not_ready
from reconcilers.elasticsearch.model import Disk, SeenCluster
from tests.builders_elasticsearch import drive_core


async def a_look() -> SeenCluster:
    driven, _core = drive_core(indices={"v1": {}})
    await driven.quiet()
    (resource,) = driven.desk.state.objects.values()
    seen = await driven.desk.reconcilers["Elasticsearch"].observe(resource, driven.desk.state)
    assert isinstance(seen, SeenCluster)
    return seen


@pytest.mark.parametrize("color", ["yellow", "red"])
async def test_shards_that_come_back_one_by_one_and_disks_that_fill_are_no_news(color: str) -> None:
    driven, _core = drive_core(indices={"v1": {}})
    spec = next(iter(driven.desk.state.objects.values())).spec
    seen = await a_look()
    words = []
    for shards, used in ((340, 80), (339, 81), (120, 89)):
        health = replace(seen.health, status=color, unassigned_shards=shards)
        moved = replace(seen, health=health, disks={"node-1": Disk(used, 100)})
        words.append([*not_ready(spec, moved), *degraded(spec, moved)])  # type: ignore[arg-type]
    assert words[0] == words[1] == words[2] != []
