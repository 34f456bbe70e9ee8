"""Each thing that can be seen of a Redis, and what follows: steps, blocks, verdicts and notes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from crds.meta import ConditionType, Truth
from crds.redis import RedisInstanceSpec, RedisInstanceStatus
from reconcilers.contract import AnyResource, Note, Plan, Resource, Secret
from reconcilers.redis.model import (
    Account,
    Cluster,
    Counts,
    Info,
    Look,
    Memory,
    Persistence,
    RedisAction,
    Replica,
    Saved,
    SeenRedis,
    Upstream,
)
from reconcilers.redis.plan import plan_redis
from reconcilers.redis.rights import fingerprint
from tests.builders import START
from tests.builders_haproxy import said, verdict
from tests.fakes.redis import CATALOG, DEFAULTS
from tests.real_redis import a_redis

GOOD = Persistence(has_aof=True, is_aof_well=True, is_rdb_well=True, saved_at=0, changes=0)
REPLICA = Replica("10.0.0.2:6379", is_online=True, offset_bytes=90, lag_s=1)
UNLINKED = Upstream("10.0.0.1:6379", is_linked=False, is_syncing=False, quiet_s=None)
INFO = Info(
    version="7.0.15",
    run_id="a" * 40,
    mode="standalone",
    is_loading=False,
    has_config_file=True,
    memory=Memory(1000, 0, "noeviction"),
    persistence=GOOD,
    counts=Counts(1, 1, 0, 0),
    upstream=None,
    replicas=(),
    offset_bytes=100,
    keys=5,
    settings={"maxmemory": "0", "maxmemory-policy": "noeviction", "appendonly": "no"},
)
CATEGORIES = {name: frozenset(each) for name, each in CATALOG.items()}


def a_look(**fields: Any) -> Look:
    """Return a look; fields of INFO may stand among those of the look."""
    of_info = {name: fields.pop(name) for name in list(fields) if hasattr(INFO, name) and name != "settings"}
    values: dict[str, Any] = {
        "settings": dict(DEFAULTS),
        "users": {},
        "me": "default",
        "own": None,
        "catalog": CATEGORIES,
        **fields,
    }
    return Look(info=replace(INFO, **of_info), **values)


def decide(
    spec: Mapping[str, Any] | None = None,
    status: RedisInstanceStatus | None = None,
    passwords: Mapping[str, str] | None = None,
    **fields: Any,
) -> Plan[RedisAction]:
    primary_emptied = fields.pop("primary_emptied", None)
    secrets = {name: Secret(text) for name, text in (passwords or {}).items()}
    seen = SeenRedis(a_look(**fields), secrets, primary_emptied)
    redis: AnyResource = replace(a_redis(**(spec or {})), status=status)
    return plan_redis(cast("Resource[RedisInstanceSpec]", redis), seen, START)


def degraded(plan: Plan[RedisAction]) -> str:
    found = verdict(plan, ConditionType.DEGRADED)
    assert found is not None
    return found.reason


def test_what_is_as_asked_needs_nothing_and_is_whole() -> None:
    plan = decide({"config": {"timeout": 0, "maxmemory": "0mb"}})
    assert (plan.steps, plan.blocked, plan.writes, degraded(plan)) == ((), None, (), "Whole")
    assert verdict(plan, ConditionType.READY) is None


def test_a_step_says_what_it_changes_and_where_it_is_kept() -> None:
    (step,) = decide({"config": {"timeout": 60, "save": ""}, "allow": ["lower-durability"]}).steps[:1]
    assert step.summary == "set timeout 0 → 60, live, no restart"
    assert [(each.path, each.old, each.new) for each in step.changes] == [("spec.config.timeout", "0", "60")]


@pytest.mark.parametrize(
    ("asked", "found", "verb"),
    [
        ({"appendonly": "no"}, {"appendonly": "yes"}, "lower-durability"),
        ({"appendonly": "yes"}, {"appendonly": "no"}, None),
        ({"save": ""}, {"save": "900 1"}, "lower-durability"),
        ({"save": "60 1"}, {"save": "900 1"}, None),
        ({"appendfsync": "everysec"}, {"appendfsync": "always"}, "lower-durability"),
        ({"appendfsync": "always"}, {"appendfsync": "everysec"}, None),
        ({"maxmemory": "500b"}, {}, "evict"),
        ({"maxmemory": "2000b"}, {}, None),
        ({"maxmemory": "0"}, {"maxmemory": "500"}, None),
    ],
)
def test_a_destructive_change_needs_its_verb(
    asked: dict[str, str], found: dict[str, str], verb: str | None
) -> None:
    (step,) = decide({"config": asked}, settings={**DEFAULTS, **found}).steps
    assert (step.needs.value if step.needs else None) == verb


def test_another_policy_over_the_limit_evicts_and_noeviction_does_not() -> None:
    full = Memory(1000, 900, "noeviction")
    (step,) = decide({"config": {"maxmemory-policy": "allkeys-lru"}}, memory=full).steps
    assert step.needs is not None
    back = {"maxmemory-policy": "allkeys-lru"}
    (step,) = decide(
        {"config": {"maxmemory-policy": "noeviction"}},
        memory=Memory(1000, 900, "allkeys-lru"),
        settings={**DEFAULTS, **back},
    ).steps
    assert step.needs is None


def test_while_it_loads_nothing_is_decided() -> None:
    before = RedisInstanceStatus(run_id="b" * 40, has_keys=True)
    plan = decide({"config": {"timeout": 60}}, status=before, is_loading=True, keys=0)
    assert plan.waiting is not None
    assert (plan.steps, plan.status, plan.writes) == ((), before, ())
    assert plan.recheck_after == timedelta(seconds=1)


def test_a_version_that_this_program_cannot_work_with_is_left_alone() -> None:
    plan = decide({"config": {"timeout": 60}}, version="6.2.7")
    assert plan.steps == ()
    assert plan.blocked == ("VersionTooLow", "it runs Redis 6.2.7, this program needs at least 7.0")


@pytest.mark.parametrize(
    ("fields", "spec", "reason"),
    [
        ({"persistence": replace(GOOD, is_rdb_well=False)}, {}, "PersistenceFailing"),
        ({"persistence": replace(GOOD, is_aof_well=False)}, {}, "PersistenceFailing"),
        ({"persistence": replace(GOOD, is_aof_well=False, has_aof=False)}, {}, "Whole"),
        ({"persistence": replace(GOOD, changes=1)}, {"maxUnsaved": "1h"}, "SnapshotTooOld"),
        ({"persistence": GOOD}, {"maxUnsaved": "1h"}, "Whole"),
        ({"memory": Memory(950, 1000, "noeviction")}, {}, "MemoryNearLimit"),
        ({"memory": Memory(1000, 1000, "noeviction")}, {}, "OutOfMemory"),
        ({"memory": Memory(1000, 1000, "allkeys-lru")}, {}, "Whole"),
        ({"memory": Memory(1000, 0, "noeviction")}, {}, "Whole"),
        ({"replicas": (REPLICA,)}, {"replication": {"replicas": 1}}, "Whole"),
        (
            {"replicas": (replace(REPLICA, is_online=False),)},
            {"replication": {"replicas": 1}},
            "ReplicasMissing",
        ),
        (
            {"replicas": (replace(REPLICA, lag_s=11),)},
            {"replication": {"maxLag": "10s"}},
            "ReplicationLag",
        ),
        ({"upstream": UNLINKED}, {}, "LinkDown"),
        ({"upstream": replace(UNLINKED, is_syncing=True)}, {}, "Syncing"),
        (
            {"upstream": replace(UNLINKED, is_linked=True, quiet_s=11)},
            {"replication": {"maxLag": "10s"}},
            "ReplicationLag",
        ),
        ({"cluster": Cluster("ok", 6, 0), "mode": "cluster"}, {}, "Whole"),
        ({"cluster": Cluster("ok", 6, 3), "mode": "cluster"}, {}, "ClusterNotOk"),
        ({"has_config_file": False}, {"config": {"timeout": 0}}, "NotPersisted"),
        ({"has_config_file": False}, {}, "Whole"),
    ],
)  # fmt: skip
def test_what_it_lacks_is_said_with_a_reason(
    fields: dict[str, Any], spec: dict[str, Any], reason: str
) -> None:
    assert degraded(decide(spec, **fields)) == reason


def test_a_failed_save_is_said_over_a_restart_of_ours_until_the_server_restarts() -> None:
    spec = {"config": {"timeout": 0}}
    failed = decide(spec, saved=Saved.NO, unsaved="CONFIG REWRITE: Permission denied")
    status = failed.status
    assert isinstance(status, RedisInstanceStatus)
    assert status.unsaved == "CONFIG REWRITE: Permission denied"
    assert said(failed) == ["write what was set into the server's own file: the last try failed"]

    assert degraded(decide(spec, status=status)) == "NotPersisted"
    assert degraded(decide(spec, status=status, saved=Saved.YES)) == "Whole"
    assert degraded(decide(spec, status=status, run_id="b" * 40)) == "Whole"


def test_keys_that_a_restart_took_are_missed_until_there_are_keys_again() -> None:
    before = RedisInstanceStatus(run_id="b" * 40, has_keys=True, replicas=("10.0.0.2:6379",))
    plan = decide(status=before, keys=0)
    status = plan.status
    assert isinstance(status, RedisInstanceStatus)
    assert status.emptied == "restarted as aaaaaaaa without any of its keys; its replicas were 10.0.0.2:6379"
    reasons = [(write.reason, write.warning) for write in plan.writes if isinstance(write, Note)]
    assert reasons == [("RedisRestarted", False), ("EmptyPrimary", True)]
    ready = verdict(plan, ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == (Truth.FALSE, "EmptyPrimary")

    again = decide(status=status, keys=0)
    assert (again.writes, degraded(again)) == ((), "EmptyPrimary")
    assert degraded(decide(status=status, keys=1)) == "Whole"


def test_keys_that_were_deleted_without_a_restart_are_the_users_business() -> None:
    before = RedisInstanceStatus(run_id="a" * 40, has_keys=True)
    assert degraded(decide(status=before, keys=0)) == "Whole"


def test_a_replica_is_not_pointed_at_an_emptied_primary_even_with_the_verb() -> None:
    spec = {"replication": {"replicaOf": "10.0.0.1:6379"}, "allow": ["replace-data"]}
    plan = decide(spec, primary_emptied="restarted as x without any of its keys")
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "EmptyPrimary"
    assert said(decide(spec)) == [
        "make redis a replica of 10.0.0.1:6379: its 1 to 9 keys go, and it copies those of 10.0.0.1:6379"
    ]


def test_no_step_of_a_password_shows_it() -> None:
    spec = {
        "password": "one",
        "users": {"app": {"passwords": ["two"], "commands": ["+get"]}},
        "replication": {"password": "two"},
    }
    plan = decide(
        spec,
        passwords={"one": "first secret", "two": "second secret"},
        users={"app": None, "default": None},
        me="psa",
        settings={**DEFAULTS, "masterauth": "an old secret"},
    )
    assert len(plan.steps) == 3
    shown = repr(plan) + " ".join(each.new + each.old for step in plan.steps for each in step.changes)
    for word in ("first secret", "second secret", "an old secret", fingerprint(Secret("second secret"))):
        assert word not in shown


def test_a_user_with_the_rights_that_are_asked_is_no_difference_in_another_spelling() -> None:
    found = Account(
        is_enabled=True,
        needs_no_password=False,
        skips_checks=False,
        hashes=frozenset({fingerprint(Secret("x"))}),
        commands="-@all +get +keys +set",
        keys=("~b", "%RW~a"),
        channels=("&c",),
    )
    wanted = {"passwords": ["x"], "keys": ["a", "b"], "channels": ["c"], "commands": ["+@read", "+@write"]}
    one = {"users": {"app": wanted}}
    assert decide(one, passwords={"x": "x"}, users={"app": found}).steps == ()
    changes: tuple[dict[str, Any], ...] = (
        {"is_enabled": False},
        {"needs_no_password": True},
        {"skips_checks": True},
        {"has_selectors": True},
        {"commands": "-@all +get +set"},
        {"keys": ("~a", "%R~b")},
        {"channels": ()},
        {"hashes": frozenset({"0" * 64})},
    )
    for change in changes:
        other = replace(found, **change)
        assert len(decide(one, passwords={"x": "x"}, users={"app": other}).steps) == 1, change


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"memory": Memory(950, 1000, "noeviction")}, {"memory": Memory(960, 1000, "noeviction")}),
        ({"memory": Memory(1001, 1000, "noeviction")}, {"memory": Memory(1002, 1000, "noeviction")}),
        ({"replicas": (replace(REPLICA, lag_s=20),)}, {"replicas": (replace(REPLICA, lag_s=40),)}),
        ({"persistence": replace(GOOD, changes=5)}, {"persistence": replace(GOOD, changes=900)}),
        ({"keys": 120}, {"keys": 340}),
        ({"cluster": Cluster("fail", 6, 100)}, {"cluster": Cluster("fail", 6, 120)}),
    ],
    ids=["memory near its limit", "memory used up", "lag", "unsaved changes", "keys", "slots"],
)
def test_figures_that_move_change_nothing_that_is_kept(before: dict[str, Any], after: dict[str, Any]) -> None:
    spec = {
        "maxUnsaved": "5s",
        "replication": {"maxLag": "10s", "replicaOf": "10.0.0.1:6379"},
    }
    if "replicas" in before:
        spec["replication"] = {"maxLag": "10s"}
    first, second = decide(spec, **before), decide(spec, **after)
    assert degraded(first) != "Whole" or first.steps
    assert first == second
