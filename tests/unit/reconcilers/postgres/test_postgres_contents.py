"""Databases and what is in them: made where they are missing, given away only when asked, verified."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from crds.meta import Verb
from reconcilers.contract import Plan
from reconcilers.postgres.actions import PostgresAction
from reconcilers.postgres.model import SeenDatabase
from tests.builders_haproxy import said
from tests.builders_postgres import a_member, decide, message, reason
from tests.fakes.postgres import NEW_ROLE

SHOP = SeenDatabase(
    "app",
    extensions=frozenset({"plpgsql"}),
    schemas={"public": "psa"},
    objects={
        "tables": frozenset({"public.tickets", "crm.clients"}),
        "indexes": frozenset({"public.tickets_idx"}),
    },
    last_migration="2026-11-01",
)
ROLES = {"app": NEW_ROLE, "other": NEW_ROLE}


def look_at(found: SeenDatabase | None, asked: Mapping[str, object], **spec: object) -> Plan[PostgresAction]:
    databases = {} if found is None else {"shop": found}
    return decide(a_member(databases=databases, roles=ROLES), spec={"databases": {"shop": asked}, **spec})


def test_a_database_that_is_missing_is_made_and_looked_into_next_time() -> None:
    assert said(look_at(None, {"owner": "app", "extensions": ["pgcrypto"]})) == [
        "make database shop, owner app"
    ]


def test_what_is_missing_in_it_is_made() -> None:
    asked = {"extensions": ["pgcrypto"], "schemas": {"crm": {"owner": "app"}, "log": {}, "public": {}}}
    assert said(look_at(SHOP, asked)) == [
        "make schema crm in shop, owner app",
        "make schema log in shop",
        "make extension pgcrypto in shop",
    ]


def test_another_owner_stays_until_the_verb_is_there() -> None:
    plan = look_at(SHOP, {"owner": "other", "schemas": {"public": {"owner": "app"}}})
    assert [(step.summary, step.needs) for step in plan.steps] == [
        ("give database shop to other: it is app's", Verb.CHANGE_OWNER),
        ("give schema public in shop to app: it is psa's", Verb.CHANGE_OWNER),
    ]


@pytest.mark.parametrize("found", [None, SHOP])
def test_nothing_is_given_to_a_role_that_is_not_there(found: SeenDatabase | None) -> None:
    plan = look_at(found, {"owner": "gone", "schemas": {"crm": {"owner": "gone"}}})
    assert plan.steps == ()
    assert plan.blocked == ("UnknownRole", "database shop: there is no role gone, and none is asked for")


def test_an_owner_that_cannot_be_made_yet_holds_up_only_what_is_its_own() -> None:
    roles = {"new": {"password": "lost"}}
    plan = look_at(SHOP, {"owner": "new", "schemas": {"log": {}}}, roles=roles)
    assert said(plan) == ["make schema log in shop"]


def test_an_extension_without_files_is_said_and_not_tried_for_ever() -> None:
    found = replace(SHOP, unavailable=frozenset({"postgis"}))
    plan = look_at(found, {"extensions": ["postgis", "pgcrypto"]})
    assert said(plan) == ["make extension pgcrypto in shop"]
    assert plan.blocked is not None
    assert plan.blocked[0] == "ExtensionUnavailable"
    assert "shop: the server has no files of extension postgis" in plan.blocked[1]


def test_a_database_that_could_not_be_looked_into_is_left_alone_and_said() -> None:
    found = SeenDatabase("app", trouble="permission denied")
    asked = {"schemas": {"crm": {}}, "extensions": ["pgcrypto"], "expect": {"tables": ["tickets"]}}
    plan = look_at(found, asked)
    assert (plan.steps, plan.blocked, reason(plan)) == (
        (),
        ("DatabaseUnseen", "shop: permission denied"),
        "Whole",
    )


def test_databases_that_were_not_looked_at_are_not_absent() -> None:
    assert decide(a_member(databases=None), spec={"databases": {"shop": {}}}).steps == ()


def test_a_schema_that_is_complete_is_whole() -> None:
    expect = {
        "tables": ["tickets", "crm.clients"],
        "indexes": ["tickets_idx"],
        "migration": {"table": "migrations", "atLeast": "2026-11-01"},
    }
    assert reason(look_at(SHOP, {"expect": expect})) == "Whole"


def test_what_is_missing_or_invalid_in_a_schema_is_named_and_never_made() -> None:
    expect = {
        "tables": ["tickets", "crm.invoices"],
        "views": ["open_tickets"],
        "indexes": ["tickets_idx"],
        "functions": ["touch"],
        "triggers": ["touched"],
    }
    plan = look_at(replace(SHOP, invalid_indexes=frozenset({"public.tickets_idx"})), {"expect": expect})
    assert plan.steps == ()
    assert reason(plan) == "SchemaIncomplete"
    assert message(plan) == (
        "shop: tables missing: crm.invoices; views missing: open_tickets; functions missing: touch; "
        "triggers missing: touched; indexes invalid: tickets_idx"
    )


@pytest.mark.parametrize(("last", "named"), [("2026-10-31", "2026-10-31"), (None, "none")])
def test_a_migration_that_is_too_old_is_named_with_what_is_needed(last: str | None, named: str) -> None:
    expect = {"migration": {"table": "migrations", "atLeast": "2026-11-01"}}
    plan = look_at(replace(SHOP, last_migration=last), {"expect": expect})
    assert message(plan) == f"shop: last migration {named}, 2026-11-01 is needed"
