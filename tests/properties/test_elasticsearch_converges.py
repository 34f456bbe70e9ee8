"""In whatever state a cluster is, passes make it as asked, and a crash after any step changes nothing."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crds.meta import Verb
from lab.es.answers import Asked
from tests.builders_elasticsearch import KEY, Driven, a_policy, an_elasticsearch, drive, drive_core
from tests.fakes.elasticsearch import NOON, CoreWire

ALLOWED = [each.value for each in Verb if each.value.startswith(("delete", "ilm", "replicas", "swap"))]
SPEC: dict[str, Any] = {
    "health": "yellow",
    "allow": ALLOWED,
    "clusterSettings": {"action.auto_create_index": "logs-*", "indices.recovery.max_bytes_per_sec": "40mb"},
    "lifecyclePolicies": {"logs": a_policy(hot="0ms", delete="30d")},
    "componentTemplates": {"base": {"mappings": {"properties": {"a": {"type": "keyword"}}}}},
    "indexTemplates": {
        "logs": {"patterns": ["logs-*"], "composedOf": ["base"], "settings": {"lifecycle.name": "logs"}}
    },
    "indices": {
        "v1": {"settings": {"number_of_replicas": 0, "refresh_interval": "5s"}},
        "v2": {"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"a": {"type": "long"}}}},
    },
    "aliases": {"a": {"indices": ["v1", "v2"], "writeIndex": "v2"}, "b": {"indices": ["v1"]}},
    "absent": {"indices": ["old"], "indexTemplates": ["old"], "lifecyclePolicies": ["old"]},
}

#: What somebody may have done by hand; each is one request to the core.
HANDS: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/v1", {"aliases": {"a": {"is_write_index": True}}}),
    ("PUT", "/v2", {"settings": {"number_of_replicas": 2}}),
    ("PUT", "/v3", {"aliases": {"a": {}, "b": {}}}),
    ("PUT", "/old", {}),
    ("PUT", "/_index_template/old", {"index_patterns": ["x-*"]}),
    ("PUT", "/_ilm/policy/old", {"policy": {"phases": {}}}),
    (
        "PUT",
        "/_ilm/policy/logs",
        {"policy": {"phases": {"delete": {"min_age": "90d", "actions": {"delete": {}}}}}},
    ),
    ("PUT", "/_component_template/base", {"template": {"settings": {"number_of_shards": 4}}}),
    ("PUT", "/_index_template/logs", {"index_patterns": ["logs-*"], "priority": 7}),
    ("PUT", "/_cluster/settings", {"transient": {"action.auto_create_index": True}}),
    ("PUT", "/_cluster/settings", {"persistent": {"indices.recovery.max_bytes_per_sec": "1mb"}}),
    ("PUT", "/v1/_settings", {"index": {"refresh_interval": "1s"}}),
    ("POST", "/logs-1/_doc", {}),
]


def a_world(hands: list[int]) -> tuple[Driven, CoreWire]:
    driven, core = drive_core(**SPEC)
    for number in hands:
        method, path, body = HANDS[number]
        core.cluster.answer(Asked(method, path, {}, body), NOON)
    return driven, core


def contents(core: CoreWire) -> Any:
    """What counts of a cluster."""
    world = core.cluster.world
    return (
        world.persistent,
        world.transient,
        {name: each["policy"] for name, each in world.policies.items()},
        world.components,
        world.templates,
        {
            name: ({key: value for key, value in each.settings.items() if "uuid" not in key}, each.mappings)
            for name, each in world.indices.items()
            if name in {"v1", "v2"}
        },
        world.holders("a"),
        world.holders("b"),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(HANDS) - 1), max_size=8), st.lists(st.integers(0, 12), max_size=3))
def test_a_crash_after_any_step_in_any_world_ends_as_without_it(hands: list[int], crashes: list[int]) -> None:
    async def play(crashed: list[int]) -> Any:
        driven, core = a_world(hands)
        for after in crashed:
            await driven.desk.one_pass(KEY, crash_after=after)
        plan = await driven.quiet()
        assert plan.blocked is None
        core.sent.clear()
        assert (await driven.desk.one_pass(KEY)).steps == ()
        assert core.changes == []
        return contents(core)

    assert asyncio.run(play(crashes)) == asyncio.run(play([]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(HANDS) - 1), max_size=8))
def test_after_every_step_at_most_one_index_takes_what_is_written(hands: list[int]) -> None:
    async def play() -> None:
        driven, core = a_world(hands)
        was_written_to = False
        for step in (await driven.look()).steps:
            await driven.desk.reconcilers[KEY.kind].apply(step)
            holders = core.cluster.world.holders("a")
            writers = [name for name, each in holders.items() if each.get("is_write_index")]
            assert len(writers) <= 1
            assert writers or not was_written_to
            was_written_to = bool(writers)

    asyncio.run(play())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(HANDS) - 1), max_size=8))
def test_without_a_verb_nothing_is_deleted(hands: list[int]) -> None:
    async def play() -> None:
        _, core = a_world(hands)
        driven = drive(core, an_elasticsearch(**{**SPEC, "allow": []}))
        before = {*core.cluster.world.indices}
        for step in (await driven.look()).steps:
            if step.needs is None:
                await driven.desk.reconcilers[KEY.kind].apply(step)
        assert before <= {*core.cluster.world.indices}
        assert all(each.method != "DELETE" for each in core.changes)

    asyncio.run(play())
