"""What somebody changes by hand is found, planned in one sentence, put right, and stays so. Over HTTP."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import pytest

from lab.elasticsearch import LabElasticsearch
from reconcilers.transports.elasticsearch import ElasticsearchTransport
from tests.builders_elasticsearch import KEY, an_elasticsearch, by_hand, drive, example_spec
from tests.builders_haproxy import said
from tests.real_elasticsearch import a_stand_in, transport

Hand = tuple[str, str, Mapping[str, Any] | None]
_SHARDS = {"template": {"settings": {"number_of_shards": 5}}}
_POLICY = {"policy": {"phases": {"delete": {"min_age": "90d", "actions": {"delete": {}}}}}}
_STEAL = [
    {"remove": {"index": "psa-tickets-v1", "alias": "psa-tickets"}},
    {"add": {"index": "psa-stray", "alias": "psa-tickets", "is_write_index": True}},
]

#: Name, what the hands do, and how the sentence begins that people read.
DRIFTS: Sequence[tuple[str, Sequence[Hand], str]] = (
    (
        "a lifecycle policy changed",
        [("PUT", "_ilm/policy/psa-logs", _POLICY)],
        "change the lifecycle policy psa-logs: delete.minAge 90d → 30d, hot.minAge not set → 0d,",
    ),
    (
        "a component template emptied",
        [("PUT", "_component_template/psa-log-fields", {"template": {}})],
        "change the component template psa-log-fields: mappings.dynamic not set → false,",
    ),
    (
        "an index template overwritten",
        [("PUT", "_index_template/psa-logs", {"index_patterns": ["psa-logs-*"], "priority": 200, **_SHARDS})],
        "change the index template psa-logs: composedOf not set → psa-log-fields,",
    ),
    (
        "an index template deleted",
        [("DELETE", "_index_template/psa-logs", None)],
        "make the index template psa-logs",
    ),
    (
        "copies added to an index",
        [("PUT", "psa-tickets-v1/_settings", {"index": {"number_of_replicas": 2}})],
        "set index.number_of_replicas 2 → 0 of the index psa-tickets-v1",
    ),
    (
        "an index deleted",
        [("DELETE", "psa-tickets-v1", None)],
        "make the index psa-tickets-v1 with the alias psa-tickets",
    ),
    (
        "an alias taken by another index",
        [("PUT", "psa-stray", {}), ("POST", "_aliases", {"actions": _STEAL})],
        "take the alias psa-tickets from psa-stray and give the alias psa-tickets to psa-tickets-v1, in one",
    ),
    (
        "a cluster setting changed",
        [("PUT", "_cluster/settings", {"persistent": {"action.auto_create_index": True}})],
        "set action.auto_create_index true → psa-logs-*,.* of the cluster",
    ),
    (
        "a cluster setting hidden",
        [("PUT", "_cluster/settings", {"transient": {"action": {"auto_create_index": False}}})],
        "set action.auto_create_index false → psa-logs-*,.* of the cluster; take away the transient value",
    ),
)


@pytest.fixture(scope="module")
def server() -> Iterator[LabElasticsearch]:
    with a_stand_in() as server:
        yield server


@pytest.fixture
async def wire(server: LabElasticsearch) -> AsyncIterator[ElasticsearchTransport]:
    server.control("reset")
    wire = transport(server)
    yield wire
    await wire.close()


@pytest.mark.parametrize(("hands", "sentence"), [drift[1:] for drift in DRIFTS], ids=[d[0] for d in DRIFTS])
async def test_a_hand_made_drift_is_found_said_in_one_sentence_and_put_right(
    wire: ElasticsearchTransport, hands: Sequence[Hand], sentence: str
) -> None:
    allow = ["replicas-zero", "swap-write-index", "ilm-deletes-now"]
    driven = drive(wire, an_elasticsearch(**{**example_spec(), "allow": allow}))
    await driven.quiet()
    for method, path, body in hands:
        await by_hand(wire, method, path, body)

    (found,) = said(await driven.look())
    assert found.startswith(sentence)
    plan = await driven.quiet()
    assert (plan.steps, plan.blocked) == ((), None)
    driven.sent.clear()
    await driven.desk.one_pass(KEY)
    assert driven.changes == []


async def test_73_other_words_for_the_same_are_no_drift(wire: ElasticsearchTransport) -> None:
    spec: dict[str, Any] = {
        "lifecyclePolicies": {"p": {"phases": {"delete": {"minAge": "30d", "actions": {"delete": {}}}}}},
        "indices": {"v1": {"settings": {"number_of_replicas": "0", "index": {"refresh_interval": "60s"}}}},
        "clusterSettings": {"indices.recovery.max_bytes_per_sec": "1024kb"},
    }
    driven = drive(wire, an_elasticsearch(**spec))
    await driven.quiet()
    await by_hand(wire, "PUT", "v1/_settings", {"number_of_replicas": 0, "index.refresh_interval": "1m"})
    month = {"delete": {"min_age": "720h", "actions": {"delete": {"delete_searchable_snapshot": True}}}}
    await by_hand(wire, "PUT", "_ilm/policy/p", {"policy": {"phases": month}})
    persistent = {"indices": {"recovery": {"max_bytes_per_sec": "1mb"}}}
    await by_hand(wire, "PUT", "_cluster/settings", {"persistent": persistent})

    driven.sent.clear()
    assert (await driven.desk.one_pass(KEY)).steps == ()
    assert driven.changes == []


async def test_what_the_file_does_not_name_is_left_alone(wire: ElasticsearchTransport) -> None:
    driven = drive(wire)
    await driven.quiet()
    await by_hand(wire, "PUT", "others", {"aliases": {"their-alias": {}}})
    await by_hand(wire, "PUT", "_ilm/policy/theirs", _POLICY)
    await by_hand(wire, "PUT", "psa-tickets-v1/_settings", {"index.max_result_window": 20000})
    await by_hand(wire, "PUT", "psa-tickets-v1/_mapping", {"properties": {"more": {"type": "long"}}})
    await by_hand(wire, "POST", "_aliases", {"actions": [{"add": {"index": "psa-tickets-v1", "alias": "x"}}]})
    assert (await driven.look()).steps == ()
