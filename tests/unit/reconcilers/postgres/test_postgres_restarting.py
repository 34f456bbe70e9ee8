"""Restarts through the members' own containers: who is asked, when, once, and what is said otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from crds.meta import Verb
from crds.postgres import PgRestart, PostgresClusterSpec
from daemon.store.state import State
from reconcilers.contract import AnyResource, Ask, Plan, Request, Resource
from reconcilers.postgres.actions import PostgresAction
from reconcilers.postgres.model import LostMember, SeenCluster, SeenMember, Setting
from reconcilers.postgres.observe import with_hosts
from reconcilers.postgres.plan import plan_postgres
from tests.builders import START, a_container_spec, a_resource
from tests.builders_postgres import a_member, a_standby, reason, settings
from tests.fakes.postgres import SETTINGS
from tests.real_postgres import a_cluster

NAMES = {"one": "db-master", "two": "db-replica"}
THROUGH: Mapping[str, object] = {"restart": {"containers": NAMES}, "allow": ["restart"]}
RISES: Mapping[str, object] = {"settings": {"max_connections": 200}, **THROUGH}
FALLS: Mapping[str, object] = {"settings": {"max_connections": 50}, **THROUGH}
ADDRESSES = {"db-master": "10.0.30.10/24", "db-replica": "10.0.30.11/24"}


def the_cluster(spec: Mapping[str, object], **fields: Any) -> Resource[PostgresClusterSpec]:
    return replace(cast("Resource[PostgresClusterSpec]", a_cluster(**spec)), **fields)


def member(name: str, value: str, in_force: str = "100", **fields: Any) -> SeenMember:
    """Return the primary, one, or a standby, with max_connections written and in force."""
    found = Setting(
        in_force, None, "integer", "postmaster", pending_restart=value != in_force, file_value=value
    )
    of = settings(max_connections=replace(SETTINGS["max_connections"], **_shared(found)))
    return a_member(name, settings=of, **fields) if name == "one" else a_standby(name, settings=of, **fields)


def _shared(found: Setting) -> Mapping[str, Any]:
    return {
        "value": found.value,
        "pending_restart": found.pending_restart,
        "file_value": found.file_value,
    }


def a_host(name: str, *requests: Request, address: str | None = None) -> AnyResource:
    network = {"bridge": "vmbr1", "address": address or ADDRESSES[name]}
    ctid = 100 + len(name)
    return a_resource(a_container_spec(ctid=ctid, network=network), name, requests=requests)


def decide(
    *members: SeenMember | LostMember,
    spec: Mapping[str, object] = RISES,
    hosts: tuple[AnyResource, ...] | None = None,
    **fields: Any,
) -> Plan[PostgresAction]:
    cluster = the_cluster(spec, **fields)
    found = (a_host("db-master"), a_host("db-replica")) if hosts is None else hosts
    view = State(objects={each.key: each for each in found})
    seen = SeenCluster(members or (member("one", "200"), member("two", "200")))
    return plan_postgres(cluster, with_hosts(cluster, seen, view), START)


def asks(plan: Plan[PostgresAction]) -> list[Ask]:
    return [write for write in plan.writes if isinstance(write, Ask)]


def whom(plan: Plan[PostgresAction]) -> list[str]:
    return [ask.key.name for ask in asks(plan)]


def asked(ask: Ask, answer: str | None = None, *, accepted: bool = False) -> Request:
    actor = "PostgresCluster/psa-db"
    return Request(1, ask.verb, actor, START, ask.reason, {"name": ask.name}, accepted, answer)


def blocked(plan: Plan[PostgresAction]) -> str | None:
    return plan.blocked[0] if plan.blocked is not None else None


def test_what_rises_asks_the_standbys_container_first_and_the_primarys_last() -> None:
    plan = decide()
    (ask,) = asks(plan)
    assert (str(ask.key), ask.verb) == ("Container/db-replica", "restart")
    assert ask.reason == "PostgreSQL two: max_connections would take effect"
    assert plan.steps == ()
    assert plan.waiting == "restart of two through Container/db-replica"
    assert whom(decide(member("one", "200"), member("two", "200", "200"))) == ["db-master"]
    assert whom(decide(member("one", "200", "200"), member("two", "200", "200"))) == []


def test_what_falls_asks_the_primarys_container_first() -> None:
    assert whom(decide(member("one", "50"), member("two", "50"), spec=FALLS)) == ["db-master"]
    assert whom(decide(member("one", "50", "50"), member("two", "50"), spec=FALLS)) == ["db-replica"]


def test_while_any_of_the_containers_has_not_answered_nobody_else_is_asked() -> None:
    (ask,) = asks(decide())
    hosts = a_host("db-master"), a_host("db-replica", asked(ask))
    for members in (
        (member("one", "200"), member("two", "200")),
        (member("one", "200"), member("two", "200", "200", started_at="later")),
        (member("one", "200"), LostMember("two", "connection refused")),
    ):
        plan = decide(*members, hosts=hosts)
        assert (asks(plan), blocked(plan)) == ([], None)
        assert plan.waiting == "restart of two through Container/db-replica"


def test_the_next_one_is_asked_only_when_the_former_is_back_and_streams() -> None:
    (ask,) = asks(decide())
    done = a_host("db-master"), a_host("db-replica", asked(ask, "restarted", accepted=True))
    spec = {**RISES, "replication": {"standbys": {"two": {}}}}
    back = member("two", "200", "200", started_at="later")
    assert asks(decide(member("one", "200"), replace(back, receiver=None), spec=spec, hosts=done)) == []
    assert asks(decide(member("one", "200"), LostMember("two", "starting up"), spec=spec, hosts=done)) == []
    assert whom(decide(member("one", "200"), back, spec=spec, hosts=done)) == ["db-master"]


@pytest.mark.parametrize(
    ("accepted", "answer", "said"),
    [
        (False, "refused: CT 110 on pve is locked (backup)", "refused: CT 110 on pve is locked (backup)"),
        (True, "restarted", "it passed, and the server runs as before"),
    ],
)
def test_a_restart_that_failed_is_said_and_asked_for_once_a_start_and_spec(
    *, accepted: bool, answer: str, said: str
) -> None:
    (ask,) = asks(decide())
    hosts = a_host("db-master"), a_host("db-replica", asked(ask, answer, accepted=accepted))
    plan = decide(hosts=hosts)
    assert asks(plan) == []
    assert plan.blocked == ("RestartFailed", f"restart of two through Container/db-replica: {said}")
    assert whom(decide(hosts=hosts, generation=2)) == ["db-replica"]
    later = member("one", "200"), member("two", "200", started_at="later")
    assert whom(decide(*later, hosts=hosts)) == ["db-replica"]


def test_without_its_verb_it_is_said_and_nobody_is_asked() -> None:
    plan = decide(spec={**RISES, "allow": []})
    assert asks(plan) == []
    how = "restart of two through Container/db-replica: max_connections would take effect"
    assert plan.blocked == ("NotAllowed", f"{how}: needs allow: [restart]")


@pytest.mark.parametrize(
    "fields",
    [{"held": ("ObserveMode", "mode Observe: nothing is changed")}, {"orphaned_since": START}],
    ids=["held", "orphaned"],
)
def test_where_the_cluster_may_not_be_changed_nobody_is_asked(fields: Mapping[str, Any]) -> None:
    plan = decide(**fields)
    assert (asks(plan), reason(plan)) == ([], "PendingRestart")


def test_nobody_is_asked_before_all_is_written_or_while_other_steps_are_to_be_done() -> None:
    unwritten = decide(member("one", "200"), member("two", "100"))
    assert (asks(unwritten), len(unwritten.steps)) == ([], 1)
    busy = decide(spec={**RISES, "databases": {"app": {}}})
    assert (asks(busy), len(busy.steps)) == ([], 1)


def test_a_step_that_may_not_be_done_holds_no_restart_up() -> None:
    plan = decide(
        member("one", "200", databases={"old": None}),
        member("two", "200"),
        spec={**RISES, "absent": {"slots": ["replica1"]}},
    )
    assert [step.needs for step in plan.steps] in ([Verb.DROP_SLOT], [])
    assert whom(plan) == ["db-replica"]


def test_where_patroni_runs_nobody_is_asked() -> None:
    plan = decide(member("one", "200", has_patroni=True), member("two", "200"))
    assert (asks(plan), blocked(plan)) == ([], "ManagedByPatroni")


@pytest.mark.parametrize(
    ("names", "hosts", "why"),
    [
        (
            NAMES,
            (a_host("db-master"),),
            ("UnknownContainer", "restart.containers.two: there is no Container/db-replica"),
        ),
        (
            {"one": "db-master"},
            (a_host("db-master"),),
            ("UnknownContainer", "restart.containers: the one of two is missing"),
        ),
        (
            {**NAMES, "three": "db-third"},
            (*map(a_host, ADDRESSES), a_host("db-third", address="10.0.30.12/24")),
            ("UnknownMember", "restart.containers: the endpoint has no member three; it has: one, two"),
        ),
        (
            {"one": "db-replica", "two": "db-master"},
            None,
            (
                "WrongContainer",
                "restart.containers.one: Container/db-replica has 10.0.30.11, and one is at 10.0.30.10:5432",
            ),
        ),
    ],
    ids=["no-object", "not-named", "no-member", "swapped"],
)
def test_a_member_whose_container_is_not_sure_stops_all_restarts_with_a_sentence(
    names: Mapping[str, str], hosts: tuple[AnyResource, ...] | None, why: tuple[str, str]
) -> None:
    plan = decide(spec={**RISES, "restart": {"containers": names}}, hosts=hosts)
    assert (asks(plan), plan.blocked) == ([], why)


def test_a_member_that_is_reached_by_a_name_is_not_compared() -> None:
    named = member("two", "200", address="db-replica.internal:5432")
    assert whom(decide(member("one", "200"), named)) == ["db-replica"]


def test_a_name_alone_is_a_hooks() -> None:
    spec = the_cluster({"restart": "pg-restart"}).spec
    assert spec.restart == PgRestart(hook="pg-restart")
    assert spec == PostgresClusterSpec.model_validate(spec.model_dump(mode="json", by_alias=True))


@pytest.mark.parametrize(
    "restart",
    [
        {},
        {"hook": "pg-restart", "containers": NAMES},
        {"containers": {"one": "same", "two": "same"}},
        {"containers": {"one": "Not A Name"}},
        "Bad Hook",
        5,
    ],
    ids=["neither", "both", "twice", "bad-name", "bad-hook", "number"],
)
def test_a_way_that_is_none_is_refused(restart: object) -> None:
    with pytest.raises(ValidationError):
        the_cluster({"restart": restart})
