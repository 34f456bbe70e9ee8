"""What must be absent: dropped with its verb, and only where nobody uses it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from crds.meta import Verb
from reconcilers.postgres.actions import DropDatabase, DropSlot
from reconcilers.postgres.model import Downstream, SeenDatabase, SeenSlot
from tests.builders_haproxy import said
from tests.builders_postgres import SLOT, a_member, a_standby, decide
from tests.real_postgres import a_cluster

UNREAD = replace(SLOT, active=False)
DECODER = SeenSlot("pgoutput", "old", active=False, wal_status="reserved", retained_bytes=0)
OLD = SeenDatabase("app")
NO_SLOT: Mapping[str, object] = {"absent": {"slots": ["old1"]}}
NO_DATABASE: Mapping[str, object] = {"absent": {"databases": ["old"]}}


def test_a_slot_that_nobody_reads_is_dropped_with_its_verb() -> None:
    (step,) = decide(a_member(slots={"old1": UNREAD, "other": UNREAD}), spec=NO_SLOT).steps
    assert isinstance(step.action, DropSlot)
    assert (step.action.name, step.needs, step.summary) == (
        "old1",
        Verb.DROP_SLOT,
        "drop slot old1 on one",
    )


def test_a_slot_that_somebody_reads_stays_and_its_reader_is_named() -> None:
    reader = Downstream("replica9", "streaming", "old1", 1, 1)
    plan = decide(a_member(slots={"old1": SLOT}, downstream=(reader,)), spec=NO_SLOT)
    assert said(plan) == []
    assert plan.blocked == ("SlotInUse", "slot old1 must be absent, and replica9 reads it")


def test_a_database_is_dropped_with_its_verb_and_its_owner_is_named() -> None:
    (step,) = decide(a_member(databases={"old": OLD, "other": OLD}), spec=NO_DATABASE).steps
    assert isinstance(step.action, DropDatabase)
    assert (step.action.name, step.needs) == ("old", Verb.DROP_DATABASE)
    assert step.summary == "drop database old, which is app's, with all that is in it"


def test_a_database_with_connections_stays() -> None:
    plan = decide(a_member(databases={"old": replace(OLD, connections=3)}), spec=NO_DATABASE)
    assert said(plan) == []
    assert plan.blocked is not None
    assert plan.blocked[0] == "DatabaseInUse"
    assert plan.blocked[1] == "database old must be absent, and somebody is connected to it"


def test_a_database_that_a_slot_decodes_stays_because_the_slot_would_go_with_it() -> None:
    plan = decide(a_member(databases={"old": OLD}, slots={"feed": DECODER}), spec=NO_DATABASE)
    assert said(plan) == []
    assert plan.blocked is not None
    assert "slot feed decodes it" in plan.blocked[1]


def test_a_slot_that_must_be_absent_too_goes_before_its_database() -> None:
    both = {"absent": {"databases": ["old"], "slots": ["feed"]}}
    plan = decide(a_member(databases={"old": OLD}, slots={"feed": DECODER}), spec=both)
    assert (said(plan), plan.blocked) == (["drop slot feed on one"], None)


@pytest.mark.parametrize("member", [a_member(slots={}), a_standby(slots={"old1": UNREAD})])
def test_what_is_gone_or_on_a_standby_only_is_left(member: object) -> None:
    absent = {"absent": {"slots": ["old1"], "databases": ["old"]}}
    assert decide(member, spec=absent).steps == ()  # type: ignore[arg-type]  # a member


def test_nothing_is_dropped_while_two_members_take_writes() -> None:
    plan = decide(a_member(slots={"old1": UNREAD}), a_member("two"), spec=NO_SLOT)
    assert plan.steps == ()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"replication": {"slots": {"old1": {}}}, **NO_SLOT}, "old1 is among replication.slots, too"),
        ({"databases": {"old": {}}, **NO_DATABASE}, "old is asked for, too"),
        (
            {
                "replication": {"slots": {"feed": {"plugin": "pgoutput", "database": "old"}}},
                **NO_DATABASE,
            },
            "old is asked for, too",
        ),
    ],
)
def test_what_is_asked_for_cannot_be_absent(spec: Mapping[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        a_cluster(**spec)
