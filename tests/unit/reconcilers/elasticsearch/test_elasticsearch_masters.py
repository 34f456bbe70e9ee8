"""A setting that two want to set is left to the other one, and said."""

from typing import Any

import pytest

from crds.meta import ConditionType
from tests.builders_elasticsearch import KEY, by_hand, drive_core
from tests.builders_haproxy import said


def policy(phase: str, **actions: object) -> dict[str, Any]:
    return {"logs": {"phases": {phase: {"minAge": "7d", "actions": actions}}}}


@pytest.mark.parametrize(
    ("setting", "asked", "actions", "set_by_it"),
    [
        ("number_of_replicas", 1, {"allocate": {"number_of_replicas": 0}}, 0),
        ("priority", 100, {"set_priority": {"priority": 50}}, 50),
    ],
    ids=["copies", "priority"],
)
async def test_what_the_policy_sets_otherwise_is_left_to_it_and_stalls(
    setting: str, asked: object, actions: dict[str, object], set_by_it: object
) -> None:
    index = {"settings": {"lifecycle.name": "logs", setting: asked, "refresh_interval": "5s"}}
    driven, core = drive_core(
        lifecyclePolicies=policy("warm", **actions), indices={"v1": index}, health="yellow"
    )
    await driven.quiet()
    await by_hand(
        core, "PUT", "v1/_settings", {f"index.{setting}": set_by_it, "index.refresh_interval": "9s"}
    )
    plan = await driven.desk.one_pass(KEY)
    assert said(plan) == ["set index.refresh_interval 9s → 5s of the index v1"]
    before = len(driven.changes)
    plan = await driven.quiet()
    assert driven.changes[before:] == []
    assert plan.blocked is not None
    assert plan.blocked[0] == "TwoMasters"
    assert (
        f"index.{setting} of v1 is asked as {asked}, and the lifecycle policy logs sets" in (plan.blocked[1])
    )
    assert "in its phase warm" in plan.blocked[1]
    assert all(each.type is not ConditionType.READY for each in plan.verdicts)


async def test_a_policy_that_sets_the_same_is_no_other_master() -> None:
    index = {"settings": {"lifecycle.name": "logs", "number_of_replicas": 1}}
    actions = {"allocate": {"number_of_replicas": 1}}
    driven, core = drive_core(
        lifecyclePolicies=policy("warm", **actions), indices={"v1": index}, health="yellow"
    )
    assert (await driven.quiet()).blocked is None
    await by_hand(core, "PUT", "v1/_settings", {"index.number_of_replicas": 2})
    assert said(await driven.look()) == ["set index.number_of_replicas 2 → 1 of the index v1"]


@pytest.mark.parametrize("is_in_the_file", [True, False], ids=["in the file", "by hand"])
async def test_copies_that_the_cluster_counts_are_left_to_it(*, is_in_the_file: bool) -> None:
    own = {"auto_expand_replicas": "0-1"} if is_in_the_file else {}
    driven, core = drive_core(indices={"v1": {"settings": {"number_of_replicas": 1, **own}}}, health="yellow")
    await driven.quiet()
    body = {"index.auto_expand_replicas": "0-1", "index.number_of_replicas": 0}
    await by_hand(core, "PUT", "v1/_settings", body)
    before = len(driven.changes)
    plan = await driven.quiet()
    assert driven.changes[before:] == []
    assert plan.blocked is not None
    assert plan.blocked[0] == "TwoMasters"
    assert "index.auto_expand_replicas is 0-1: the cluster sets it by its nodes" in plan.blocked[1]

    asked = {"number_of_replicas": 1, "auto_expand_replicas": False}
    driven.ask_for(indices={"v1": {"settings": asked}}, health="yellow")
    assert (await driven.quiet()).blocked is None
    assert core.cluster.world.indices["v1"].settings["index.number_of_replicas"] == "1"
