"""What is decided about a cluster; the lab's stand-in without HTTP is the cluster."""

from typing import Any

import pytest
from pydantic import ValidationError

from crds.elasticsearch import ElasticsearchSpec
from crds.meta import ConditionType, Truth, Verb
from reconcilers.contract import PermanentError, TransientError
from tests.builders_elasticsearch import KEY, a_policy, by_hand, drive_core, example_spec
from tests.builders_haproxy import said, verdict
from tests.fakes.elasticsearch import DAY, NOON, CoreWire

LOGS: dict[str, Any] = {
    "lifecyclePolicies": {"logs": a_policy(delete="30d")},
    "indexTemplates": {
        "logs": {
            "patterns": ["logs-*"],
            "priority": 200,
            "settings": {"lifecycle.name": "logs", "number_of_replicas": 0},
        }
    },
}


async def write_days(core: CoreWire, *ages_d: int) -> None:
    """Let there be an index of each age, as a shipper would have made it."""
    for age in sorted(ages_d, reverse=True):
        core.now = NOON - age * DAY
        await by_hand(core, "POST", f"logs-{age}/_doc", {})
    core.now = NOON


async def test_all_is_made_in_an_order_in_which_each_thing_finds_what_it_names() -> None:
    driven, core = drive_core()
    plan = await driven.look()
    assert [step.target for step in plan.steps] == [
        "cluster settings",
        "lifecycle policy psa-logs",
        "component template psa-log-fields",
        "index template psa-logs",
        "index psa-tickets-v1",
    ]
    await driven.quiet()
    core.sent.clear()
    assert (await driven.desk.one_pass(KEY)).steps == ()
    assert core.changes == []


async def test_a_new_daily_index_is_as_the_templates_say_and_under_the_policy() -> None:
    driven, core = drive_core()
    await driven.quiet()
    await by_hand(core, "POST", "psa-logs-2026.11.24/_doc", {})
    found = (await by_hand(core, "GET", "psa-logs-2026.11.24", flat_settings="true"))["psa-logs-2026.11.24"]
    assert found["settings"]["index.lifecycle.name"] == "psa-logs"
    assert found["settings"]["index.refresh_interval"] == "5s"
    assert found["mappings"]["properties"]["level"] == {"type": "keyword"}
    core.now += 31 * DAY
    assert await by_hand(core, "GET", "psa-logs-2026.11.24") is None


async def test_74_a_number_of_shards_that_changes_stalls_with_what_to_do() -> None:
    driven, _core = drive_core(indices={"v1": {"settings": {"number_of_shards": 1}}})
    await driven.quiet()
    driven.ask_for(indices={"v1": {"settings": {"number_of_shards": 3, "refresh_interval": "9s"}}})
    plan = await driven.look()
    assert plan.blocked is not None
    assert plan.blocked[0] == "StaticSetting"
    assert "index.number_of_shards of v1 is 1, 3 is asked: only a new index takes it" in plan.blocked[1]
    assert said(plan) == ["set index.refresh_interval not set → 9s of the index v1"]
    await driven.desk.one_pass(KEY)
    assert (await driven.look()).steps == ()


async def test_74_a_number_of_shards_in_a_template_applies_to_the_next_index() -> None:
    driven, core = drive_core(**LOGS)
    await driven.quiet()
    await write_days(core, 1)
    template = {**LOGS["indexTemplates"]["logs"], "settings": {"number_of_shards": 3}}
    driven.ask_for(**{**LOGS, "indexTemplates": {"logs": template}})
    plan = await driven.look()
    assert plan.blocked is None
    assert "indices that exist keep what they have" in said(plan)[0]
    await driven.quiet()
    await by_hand(core, "POST", "logs-0/_doc", {})
    shards = await by_hand(core, "GET", "logs-*", flat_settings="true")
    assert {name: each["settings"]["index.number_of_shards"] for name, each in shards.items()} == {
        "logs-0": "3",
        "logs-1": "1",
    }


async def test_75_the_plan_lists_what_a_shorter_life_would_delete_now_and_needs_its_verb() -> None:
    driven, core = drive_core(**LOGS)
    await driven.quiet()
    await write_days(core, 0, 2, 5, 20)
    shorter = {**LOGS, "lifecyclePolicies": {"logs": a_policy(delete="3d")}}
    driven.ask_for(**shorter)
    (step,) = (await driven.look()).steps
    assert step.needs is Verb.ILM_DELETES_NOW
    assert step.summary == (
        "change the lifecycle policy logs: delete.minAge 30d → 3d;"
        " it would delete 2 indices now: logs-20, logs-5"
    )
    driven.ask_for(**shorter, allow=["ilm-deletes-now"])
    await driven.quiet()
    assert sorted(core.cluster.world.indices) == ["logs-0", "logs-2"]


async def test_75_what_is_due_for_deletion_anyway_is_not_listed() -> None:
    driven, core = drive_core(**LOGS)
    await driven.quiet()
    await by_hand(core, "POST", "_ilm/stop")
    await write_days(core, 5, 40)
    driven.ask_for(**{**LOGS, "lifecyclePolicies": {"logs": a_policy(delete="3d")}})
    (step,) = (await driven.look()).steps
    assert step.summary.endswith("it would delete 1 indices now: logs-5")


async def test_75_a_shorter_life_that_deletes_nothing_now_needs_no_verb() -> None:
    driven, core = drive_core(**LOGS)
    await driven.quiet()
    await write_days(core, 0, 2)
    driven.ask_for(**{**LOGS, "lifecyclePolicies": {"logs": a_policy(delete="3d")}})
    (step,) = (await driven.look()).steps
    assert step.needs is None
    assert step.summary.endswith("an index follows it from its next phase on")


async def test_a_policy_made_where_old_indices_wait_for_it_lists_them_too() -> None:
    driven, core = drive_core(**{**LOGS, "lifecyclePolicies": {}})
    await driven.quiet()
    await write_days(core, 1, 40)
    driven.ask_for(**LOGS)
    (step,) = (await driven.look()).steps
    assert step.needs is Verb.ILM_DELETES_NOW
    assert step.summary.endswith("it would delete 1 indices now: logs-40")


async def test_an_old_index_gets_a_policy_that_deletes_it_with_its_verb_only() -> None:
    driven, core = drive_core(indices={"v1": {}}, health="yellow")
    core.now = NOON - 40 * DAY
    await driven.quiet()
    core.now = NOON
    settings = {"lifecycle.name": "logs", "refresh_interval": "9s"}
    driven.ask_for(**LOGS, indices={"v1": {"settings": settings}}, health="yellow")
    kept, doomed = (await driven.look()).steps[-2:]
    assert kept.needs is None
    assert doomed.needs is Verb.ILM_DELETES_NOW
    assert doomed.summary == (
        "set index.lifecycle.name not set → logs of the index v1;"
        " that policy would delete it now, with all its documents"
    )


async def test_76_a_policy_in_use_is_not_deleted_and_says_by_whom() -> None:
    driven, core = drive_core(**LOGS)
    await driven.quiet()
    await write_days(core, 1)
    driven.ask_for(absent={"lifecyclePolicies": ["logs"]}, allow=["delete-definition"])
    plan = await driven.look()
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "PolicyInUse"
    assert "indices logs-1 and templates logs use it" in plan.blocked[1]


@pytest.mark.parametrize(
    ("absent", "verb"),
    [
        ({"indices": ["logs-1"]}, Verb.DELETE_INDEX),
        ({"indexTemplates": ["logs"]}, Verb.DELETE_DEFINITION),
        ({"lifecyclePolicies": ["unused"]}, Verb.DELETE_DEFINITION),
    ],
)
async def test_what_must_be_absent_is_deleted_with_its_verb_only(absent: Any, verb: Verb) -> None:
    driven, core = drive_core(**LOGS)
    await driven.quiet()
    await write_days(core, 1)
    await by_hand(core, "PUT", "_ilm/policy/unused", {"policy": {"phases": {}}})
    driven.ask_for(absent=absent, allow=[verb.value])
    (step,) = (await driven.look()).steps
    assert step.needs is verb
    plan = await driven.quiet()
    assert plan.blocked is None
    assert core.changes[-1].method == "DELETE"


async def test_78_a_swap_is_one_request_and_there_is_one_write_index_at_any_time() -> None:
    spec: dict[str, Any] = {
        "indices": {"v1": {}, "v2": {}},
        "aliases": {"a": {"indices": ["v1"], "writeIndex": "v1"}},
    }
    driven, core = drive_core(**spec)
    await driven.quiet()
    swapped = {"a": {"indices": ["v1", "v2"], "writeIndex": "v2"}}
    driven.ask_for(**{**spec, "aliases": swapped})
    (step,) = (await driven.look()).steps
    assert step.needs is Verb.SWAP_WRITE_INDEX
    assert step.summary.endswith("in one request; what is written to it goes to v2 instead of v1")
    core.sent.clear()
    await driven.desk.one_pass(KEY)
    assert [each.segments for each in core.changes] == [("_aliases",)]
    holders = core.cluster.world.holders("a")
    assert [name for name, each in holders.items() if each.get("is_write_index")] == ["v2"]
    driven.ask_for(**{**spec, "aliases": {"a": {"indices": ["v2"], "writeIndex": "v2"}}})
    assert said(await driven.look()) == ["take the alias a from v1, in one request"]
    await driven.quiet()
    assert list(core.cluster.world.holders("a")) == ["v2"]


async def test_what_is_rolled_over_is_only_begun() -> None:
    spec: dict[str, Any] = {
        "lifecyclePolicies": {
            "r": {
                "phases": {
                    "hot": {"actions": {"rollover": {"max_age": "1d"}}},
                    "delete": {"minAge": "2d", "actions": {"delete": {}}},
                }
            }
        },
        "indexTemplates": {
            "r": {"patterns": ["r-*"], "settings": {"lifecycle.name": "r", "lifecycle.rollover_alias": "r"}}
        },
        "indices": {"r-000001": {}},
        "aliases": {"r": {"indices": ["r-000001"], "writeIndex": "r-000001", "rollover": True}},
    }
    driven, core = drive_core(**spec)
    await driven.quiet()
    assert core.cluster.world.holders("r") == {"r-000001": {"is_write_index": True}}
    core.now += DAY
    assert (await driven.quiet()).steps == ()
    assert core.cluster.world.writer("r") == "r-000002"
    core.now += 2 * DAY
    plan = await driven.quiet()
    assert (plan.steps, plan.blocked) == ((), None)
    assert "r-000001" not in core.cluster.world.indices


async def test_an_alias_of_an_index_that_does_not_exist_is_explained() -> None:
    driven, _ = drive_core(aliases={"a": {"indices": ["nowhere"]}})
    plan = await driven.look()
    assert plan.blocked == ("MissingIndex", "the alias a is for nowhere, which does not exist")


async def test_a_name_that_is_taken_by_the_other_sort_is_explained() -> None:
    driven, core = drive_core(indices={"b": {}}, aliases={"a": {"indices": ["b"]}})
    await by_hand(core, "PUT", "a", {})
    await by_hand(core, "PUT", "c", {"aliases": {"b": {}}})
    plan = await driven.look()
    assert plan.blocked is not None
    assert plan.blocked[0] == "NameTaken"
    assert "b is asked as an index, and is an alias of c" in plan.blocked[1]
    assert "a is asked as an alias, and an index has that name" in plan.blocked[1]


async def test_taking_the_last_copy_needs_its_verb() -> None:
    driven, _core = drive_core(indices={"v1": {"settings": {"number_of_replicas": 1}}}, health="yellow")
    await driven.quiet()
    driven.ask_for(indices={"v1": {"settings": {"number_of_replicas": 0}}})
    (step,) = (await driven.look()).steps
    assert step.needs is Verb.REPLICAS_ZERO


async def test_a_transient_setting_that_hides_ours_goes() -> None:
    driven, core = drive_core(clusterSettings={"indices.recovery.max_bytes_per_sec": "40mb"})
    await driven.quiet()
    await by_hand(
        core, "PUT", "_cluster/settings", {"transient": {"indices.recovery.max_bytes_per_sec": "1mb"}}
    )
    (sentence,) = said(await driven.look())
    assert "take away the transient value that hides" in sentence
    await driven.quiet()
    assert core.cluster.world.transient == {}


async def test_at_another_cluster_nothing_is_changed() -> None:
    driven, _core = drive_core(**{**example_spec(), "clusterName": "other"})
    plan = await driven.look()
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "WrongCluster"


@pytest.mark.parametrize(
    ("version", "reason", "blocked"), [("8.4.0", "VersionTooLow", False), ("7.17.9", "VersionTooLow", True)]
)
async def test_a_version_that_is_too_low_is_named_with_the_one_that_is_asked(
    version: str, reason: str, *, blocked: bool
) -> None:
    driven, core = drive_core(minimumVersion="8.5")
    core.cluster.world.version = version
    plan = await driven.look()
    ready = verdict(plan, ConditionType.READY)
    found = plan.blocked if blocked else (ready.reason, ready.message) if ready else None
    assert found is not None
    assert found[0] == reason
    assert version in found[1]
    assert ("8.0" if blocked else "8.5") in found[1]


async def test_77_a_red_cluster_gets_only_what_adds() -> None:
    driven, core = drive_core(**LOGS, indices={"v1": {"settings": {"refresh_interval": "5s"}}})
    await driven.quiet()
    core.cluster.world.faults.color = "red"
    await by_hand(core, "PUT", "v1/_settings", {"index.refresh_interval": "1s"})
    driven.ask_for(
        **LOGS,
        indices={"v1": {"settings": {"refresh_interval": "5s"}}, "v2": {}},
        absent={"indices": ["logs-1"]},
    )
    plan = await driven.look()
    assert said(plan) == ["make the index v2"]
    assert plan.waiting is not None
    assert "the cluster is red: only what adds is done" in plan.waiting
    ready = verdict(plan, ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == (Truth.FALSE, "ClusterRed")


async def test_yellow_is_said_unless_it_is_accepted() -> None:
    driven, _core = drive_core(indices={"v1": {}})
    await driven.quiet()
    found = verdict(await driven.look(), ConditionType.DEGRADED)
    assert found is not None
    assert found.reason == "ClusterYellow"
    assert "1 to 9 copies of shards are on no node" in found.message
    driven.ask_for(indices={"v1": {}}, health="yellow")
    found = verdict(await driven.look(), ConditionType.DEGRADED)
    assert found is not None
    assert found.reason == "Whole"


async def test_a_stopped_lifecycle_and_one_that_is_stuck_are_said() -> None:
    driven, core = drive_core(**LOGS)
    await driven.quiet()
    await by_hand(core, "POST", "_ilm/stop")
    await by_hand(core, "PUT", "logs-x", {"settings": {"lifecycle.name": "nowhere"}})
    found = verdict(await driven.look(), ConditionType.DEGRADED)
    assert found is not None
    assert "ILM is STOPPED" in found.message
    assert "logs-x (ERROR: policy [nowhere] does not exist)" in found.message


async def test_a_cluster_that_was_made_anew_is_noticed_and_filled_again() -> None:
    driven, core = drive_core()
    await driven.quiet()
    wiped = drive_core()[1].cluster
    wiped.world.uuid = "another"
    core.cluster = wiped
    plan = await driven.desk.one_pass(KEY)
    assert any("the cluster was made anew" in str(write) for write in plan.writes)
    assert (await driven.quiet()).steps == ()


async def test_what_file_based_settings_hold_is_told() -> None:
    driven, core = drive_core(**LOGS)
    core.cluster.world.faults.reserved = ["logs"]
    plan = await driven.quiet()
    assert plan.blocked is not None
    assert plan.blocked[0] == "ManagedByFileSettings"


async def test_a_parameter_that_elasticsearch_does_not_know_is_refused_here_too() -> None:
    core = CoreWire()
    with pytest.raises(PermanentError, match=r"contains unrecognized parameter: \[timeout\]"):
        await by_hand(core, "PUT", "_component_template/x", {"template": {}}, timeout="4s")


async def test_an_index_that_somebody_else_made_meanwhile_is_no_failure_for_good() -> None:
    driven, core = drive_core(indices={"v1": {}})
    plan = await driven.look()
    await by_hand(core, "PUT", "v1", {})
    with pytest.raises(TransientError, match="somebody else made it"):
        await driven.desk.reconcilers[KEY.kind].apply(plan.steps[0])


@pytest.mark.parametrize(
    "spec",
    [
        {"indices": {"..": {}}},
        {"indices": {"a/b": {}}},
        {"indices": {"a%2Fb": {}}},
        {"indices": {"_all": {}}},
        {"indices": {"A": {}}},
        {"indices": {"a,b": {}}},
        {"absent": {"indices": ["*"]}},
        {"absent": {"indices": ["logs-*"]}},
        {"indexTemplates": {"../x": {"patterns": ["a"]}}},
        {"indexTemplates": {"x": {"patterns": ["*"]}}},
        {"lifecyclePolicies": {"a?b": a_policy(hot="0ms")}},
        {"lifecyclePolicies": {"a": {"phases": {"hot": {"minAge": "1 day"}}}}},
        {"aliases": {"a b": {"indices": ["x"]}}},
        {"aliases": {"a": {"indices": ["x"], "writeIndex": "y"}}},
        {"indices": {"v1": {"settings": {"blocks": {"write": True}}}}},
        {"indices": {"v1": {"settings": {"index.blocks.read_only": False}}}},
        {"indices": {"v1": {"mappings": {"properties": {"a": None}}}}},
        {"indices": {"a": {}}, "aliases": {"a": {"indices": ["b"]}}},
        {"indices": {"a": {}}, "absent": {"indices": ["a"]}},
        {"clusterSettings": {"nodots": 1}},
    ],
)
def test_hostile_and_contradicting_files_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ElasticsearchSpec.model_validate({"endpoint": "es", **spec})


def test_a_body_that_is_too_deep_is_refused() -> None:
    body: dict[str, Any] = {}
    for _ in range(30):
        body = {"properties": body}
    with pytest.raises(ValidationError, match="levels are too many"):
        ElasticsearchSpec.model_validate({"endpoint": "es", "indices": {"v1": {"mappings": body}}})
