"""Whatever can be seen of a cluster, there is a plan, and the same one for the same look."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from crds.meta import ConditionType, Truth
from crds.postgres import PostgresClusterSpec, PostgresClusterStatus
from reconcilers.contract import Resource, Secret
from reconcilers.hook_runs import HookResult
from reconcilers.postgres.figures import figures, reading
from reconcilers.postgres.model import (
    Deep,
    LostMember,
    SeenCluster,
    SeenDatabase,
    SeenMember,
    SeenRole,
    SeenSlot,
    Setting,
)
from reconcilers.postgres.plan import plan_postgres
from tests.builders import START
from tests.properties.test_postgres_converges import SPECS, VALUES
from tests.real_postgres import a_cluster

NAMES = ["primary", "replica", "other"]
VARTYPES = st.sampled_from(["bool", "enum", "integer", "real", "string", "something new"])
UNITS = st.sampled_from([None, "kB", "8kB", "MB", "s", "ms", "min", "B", "furlong"])
FOUND_SETTINGS = st.builds(
    Setting, vartype=VARTYPES, unit=UNITS, lowest=st.sampled_from([None, "-1"]), highest=st.just("1e+308")
)
DEEP = st.builds(
    Deep,
    settings=st.dictionaries(st.sampled_from([*VALUES]), FOUND_SETTINGS),
    roles=st.none() | st.dictionaries(st.sampled_from(["psa_app", "reader", "boss"]), st.builds(SeenRole)),
    databases=st.none() | st.dictionaries(st.just("psa_platform"), st.builds(SeenDatabase)),
)
MEMBERS = st.builds(
    SeenMember,
    name=st.sampled_from(NAMES),
    address=st.just("10.0.0.1:5432"),
    system_identifier=st.sampled_from(["7300000000000000001", "7300000000000000001", "1"]),
    slots=st.dictionaries(st.sampled_from(["replica1", "feed"]), st.builds(SeenSlot)),
    deep=DEEP,
)
CLUSTERS = st.builds(
    SeenCluster,
    members=st.lists(
        MEMBERS | st.builds(LostMember, name=st.sampled_from(NAMES)),
        max_size=3,
        unique_by=lambda each: each.name,
    ).map(tuple),
    secrets=st.dictionaries(st.sampled_from(["one", "two"]), st.builds(Secret)),
    missing=st.dictionaries(st.just("no-such-secret"), st.text()),
    new_verifiers=st.dictionaries(st.sampled_from(["psa_app", "reader"]), st.builds(Secret)),
    runs=st.dictionaries(st.text(), st.builds(HookResult)),
)
STATUSES = st.none() | st.builds(
    PostgresClusterStatus, system_identifier=st.sampled_from([None, "7300000000000000001"])
)


@given(seen=CLUSTERS, spec=SPECS, status=STATUSES)
def test_there_is_one_plan_for_each_look_and_frozen_means_that_nothing_is_done(
    seen: SeenCluster, spec: Mapping[str, Any], status: PostgresClusterStatus | None
) -> None:
    cluster = replace(cast("Resource[PostgresClusterSpec]", a_cluster(**spec)), status=status)
    plan = plan_postgres(cluster, seen, START)

    assert plan == plan_postgres(cluster, seen, START)
    if len(seen.writable) > 1 or len({each.system_identifier for each in seen.answering}) > 1:
        assert plan.blocked is not None
        assert plan.steps == ()
    for step in plan.steps:
        assert step.action.target.member in {each.name for each in seen.answering}
    for found in plan.verdicts:
        assert found.type in {ConditionType.READY, ConditionType.DEGRADED}
        assert found.status is Truth.FALSE or found.message


@given(seen=CLUSTERS, spec=SPECS)
def test_there_are_figures_of_each_look_and_a_lag_is_never_below_nothing(
    seen: SeenCluster, spec: Mapping[str, Any]
) -> None:
    reading(PostgresClusterSpec.model_validate({"endpoint": "psa-db", **spec}), seen, {})
    values, _ = figures(seen) or ({}, "")
    assert not [name for name, value in values.items() if name.startswith("lag_bytes") and value < 0]
