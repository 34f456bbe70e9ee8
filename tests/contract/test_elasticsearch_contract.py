"""One body for the lab's stand-in and for noida-db: indices, templates, aliases and settings.

Lifecycle policies are in the stand-in alone, and no real Elasticsearch was asked; the how-to says so, too.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from reconcilers.contract import PermanentError, TransientError
from reconcilers.elasticsearch.client import ElasticsearchClusters
from reconcilers.elasticsearch.mappings import mapping_difference
from reconcilers.elasticsearch.model import Questions, SeenCluster, Thing
from reconcilers.elasticsearch.normal import canonical, index_settings
from reconcilers.transports.elasticsearch import ElasticsearchTransport
from tests.builders_elasticsearch import an_elasticsearch, by_hand, drive, example_spec
from tests.real_elasticsearch import a_noida, a_stand_in

BOTH = ["stand-in", "noida-db"]


@pytest.fixture(scope="module", params=BOTH)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "noida-db":
        with a_noida() as address:
            yield address
    else:
        with a_stand_in(cluster_name="docker-cluster") as server:
            yield server.url


@pytest.fixture
async def wire(url: str) -> AsyncIterator[ElasticsearchTransport]:
    wire = ElasticsearchTransport("es", [url])
    yield wire
    await wire.close()


@pytest.fixture
def clusters(wire: ElasticsearchTransport) -> ElasticsearchClusters:
    return ElasticsearchClusters({"es": wire})


async def look(clusters: ElasticsearchClusters, **names: tuple[str, ...]) -> SeenCluster:
    return await clusters.look("es", Questions(**names))


async def refusal(clusters: ElasticsearchClusters, thing: Thing, name: str, body: object) -> str:
    """Return the reason that a change is refused for good with."""
    with pytest.raises(PermanentError) as caught:
        await clusters.put("es", thing, name, canonical(body))  # type: ignore[arg-type]  # JSON
    return caught.value.reason


async def test_it_says_who_it_is_and_how_it_is(clusters: ElasticsearchClusters) -> None:
    seen = await look(clusters)
    assert seen.about.version == "8.15.3"
    assert seen.about.distribution == ""
    assert seen.health.status in {"green", "yellow"}
    assert seen.health.nodes == 1
    assert seen.disks


async def test_what_does_not_exist_is_absent_and_no_error(clusters: ElasticsearchClusters) -> None:
    seen = await look(
        clusters,
        components=("no-c",),
        templates=("no-t",),
        indices=("no-i",),
        aliases=("no-a",),
        patterns=("no-*",),
    )
    assert seen.components == {"no-c": None}
    assert seen.templates == {"no-t": None}
    assert seen.indices == {}
    assert seen.aliases == {"no-a": {}}
    assert seen.matched == {}


async def test_the_settings_of_an_index_come_back_as_texts_by_their_full_names(
    clusters: ElasticsearchClusters,
) -> None:
    asked = {
        "settings": {"number_of_shards": 1, "index": {"number_of_replicas": 0}, "refresh_interval": "30s"}
    }
    await clusters.put("es", Thing.INDEX, "c-settings", canonical(asked))  # type: ignore[arg-type]
    found = (await look(clusters, indices=("c-settings",))).indices["c-settings"]
    assert found.settings["index.number_of_shards"] == "1"
    assert index_settings(asked["settings"]).items() <= index_settings(found.settings).items()  # type: ignore[arg-type]


async def test_a_dynamic_setting_changes_and_a_static_one_is_refused(clusters: ElasticsearchClusters) -> None:
    await clusters.put("es", Thing.INDEX, "c-dynamic", "{}")
    await clusters.put("es", Thing.INDEX_SETTINGS, "c-dynamic", '{"index.refresh_interval":"7s"}')
    found = (await look(clusters, indices=("c-dynamic",))).indices["c-dynamic"]
    assert found.settings["index.refresh_interval"] == "7s"
    refused = await refusal(clusters, Thing.INDEX_SETTINGS, "c-dynamic", {"index.number_of_shards": 2})
    assert refused == "StaticSetting"
    assert (
        await refusal(clusters, Thing.INDEX_SETTINGS, "c-dynamic", {"index.nonsense": 2}) == "UnknownSetting"
    )


async def test_a_dot_in_the_name_of_a_field_is_an_object(clusters: ElasticsearchClusters) -> None:
    """Documented with ``subobjects``; where that is false the name is kept."""
    fields = {
        "user.name": {"type": "keyword"},
        "user.id.short": {"type": "long"},
        "user": {"dynamic": "false"},
    }
    await clusters.put("es", Thing.INDEX, "c-dots", canonical({"mappings": {"properties": fields}}))  # type: ignore[dict-item]
    found = (await look(clusters, indices=("c-dots",))).indices["c-dots"].mappings
    short = {"properties": {"short": {"type": "long"}}}
    user = {"dynamic": "false", "properties": {"id": short, "name": {"type": "keyword"}}}
    assert found["properties"] == {"user": user}
    assert mapping_difference({"properties": fields}, found) == mapping_difference({}, {})  # type: ignore[dict-item]


async def test_a_field_is_added_and_its_type_never_changed(clusters: ElasticsearchClusters) -> None:
    body = {"mappings": {"properties": {"a": {"type": "keyword"}}}}
    await clusters.put("es", Thing.INDEX, "c-mapping", canonical(body))  # type: ignore[arg-type]
    await clusters.put("es", Thing.MAPPING, "c-mapping", '{"properties":{"b":{"type":"long"}}}')
    found = (await look(clusters, indices=("c-mapping",))).indices["c-mapping"]
    assert found.mappings["properties"] == {"a": {"type": "keyword"}, "b": {"type": "long"}}
    changed = {"properties": {"a": {"type": "text"}}}
    assert await refusal(clusters, Thing.MAPPING, "c-mapping", changed) == "MappingConflict"


async def test_an_index_that_is_there_already_is_for_the_next_look(clusters: ElasticsearchClusters) -> None:
    await clusters.put("es", Thing.INDEX, "c-twice", "{}")
    with pytest.raises(TransientError, match="already exists"):
        await clusters.put("es", Thing.INDEX, "c-twice", "{}")


async def test_a_new_index_is_composed_of_its_templates(
    clusters: ElasticsearchClusters, wire: ElasticsearchTransport
) -> None:
    component = {"template": {"mappings": {"properties": {"a": {"type": "keyword"}}}}}
    template = {
        "index_patterns": ["c-t-*"],
        "composed_of": ["c-part"],
        "priority": 300,
        "template": {"settings": {"number_of_replicas": 0}},
    }
    await clusters.put("es", Thing.COMPONENT, "c-part", canonical(component))  # type: ignore[arg-type]
    await clusters.put("es", Thing.TEMPLATE, "c-whole", canonical(template))  # type: ignore[arg-type]
    await by_hand(wire, "PUT", "c-t-1", {})
    found = (await look(clusters, indices=("c-t-1",))).indices["c-t-1"]
    assert found.settings["index.number_of_replicas"] == "0"
    assert found.mappings["properties"] == {"a": {"type": "keyword"}}


async def test_aliases_move_in_one_piece_or_not_at_all(clusters: ElasticsearchClusters) -> None:
    async def move(*actions: str) -> None:
        await clusters.change_aliases("es", f'{{"actions": [{", ".join(actions)}]}}')

    for name in ("c-a1", "c-a2"):
        await clusters.put("es", Thing.INDEX, name, "{}")
    await move('{"add": {"index": "c-a1", "alias": "c-alias", "is_write_index": true}}')
    take = '{"remove": {"index": "c-a1", "alias": "c-alias"}}'
    with pytest.raises((PermanentError, TransientError)):
        await move(take, '{"add": {"index": "c-nowhere", "alias": "c-alias"}}')
    assert (await look(clusters, aliases=("c-alias",))).aliases == {
        "c-alias": {"c-a1": {"is_write_index": True}}
    }
    await move(take, '{"add": {"index": "c-a2", "alias": "c-alias", "is_write_index": true}}')
    assert (await look(clusters, aliases=("c-alias", "c-none"))).aliases == {
        "c-alias": {"c-a2": {"is_write_index": True}},
        "c-none": {},
    }


async def test_settings_of_the_cluster_are_kept_and_taken_back(clusters: ElasticsearchClusters) -> None:
    name = "indices.recovery.max_bytes_per_sec"
    await clusters.put("es", Thing.CLUSTER_SETTINGS, "cluster", canonical({"persistent": {name: "40mb"}}))
    assert (await look(clusters)).settings.persistent[name] == "40mb"
    await clusters.put("es", Thing.CLUSTER_SETTINGS, "cluster", canonical({"persistent": {name: None}}))
    assert name not in (await look(clusters)).settings.persistent


async def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_error(
    clusters: ElasticsearchClusters,
) -> None:
    await clusters.put("es", Thing.INDEX, "c-gone", "{}")
    for _ in range(2):
        await clusters.delete("es", Thing.INDEX, "c-gone")
    assert (await look(clusters, indices=("c-gone",))).indices == {}


async def test_blocks_of_matching_indices_are_seen(
    clusters: ElasticsearchClusters, wire: ElasticsearchTransport
) -> None:
    await by_hand(wire, "PUT", "c-block-1", {})
    await by_hand(wire, "PUT", "c-block-1/_settings", {"index.blocks.read_only_allow_delete": True})
    seen = await look(clusters, patterns=("c-block-*",))
    assert seen.matched == {"c-block-1": {"index.blocks.read_only_allow_delete": "true"}}


async def test_the_example_converges_without_what_the_second_opinion_does_not_know(
    wire: ElasticsearchTransport,
) -> None:
    spec = {**example_spec(), "clusterName": "docker-cluster", "lifecyclePolicies": {}, "health": "yellow"}
    driven = drive(wire, an_elasticsearch(**spec))
    plan = await driven.quiet()
    assert plan.blocked is None
    driven.sent.clear()
    await driven.quiet()
    assert driven.changes == []
