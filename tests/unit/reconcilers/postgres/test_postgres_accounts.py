"""Roles: what is made and changed, what is left alone, and what stands in the way."""

from dataclasses import replace

import pytest

from reconcilers.contract import Secret
from reconcilers.postgres.actions import PutRole
from reconcilers.postgres.scram import is_password, verifier
from tests.builders_haproxy import said
from tests.builders_postgres import a_member, decide
from tests.fakes.postgres import NEW_ROLE

STORED = Secret(verifier("the app's", b"salt of theirs!!"))
APP = replace(NEW_ROLE, login=True, verifier=STORED)
GROUP = replace(NEW_ROLE, login=False)


def test_a_role_is_made_with_what_is_asked_and_its_password_as_a_verifier_that_nothing_prints() -> None:
    asked = {"login": True, "connectionLimit": 50, "memberOf": ["pg_monitor"], "password": "app"}
    (step,) = decide(a_member(roles={"pg_monitor": GROUP}), spec={"roles": {"psa_app": asked}}).steps
    action = step.action
    assert isinstance(action, PutRole)
    assert (action.is_new, action.options, action.groups) == (True, ("LOGIN",), ("pg_monitor",))
    assert action.verifier is not None
    assert is_password("the app's", action.verifier.value)
    assert step.summary == (
        "make role psa_app: login true, connectionLimit 50, memberOf pg_monitor, password the secret's"
    )
    assert "SCRAM" not in repr(step)


def test_the_same_step_again_is_the_same_statement() -> None:
    spec = {"roles": {"psa_app": {"password": "app"}}}
    assert decide(spec=spec).steps[0].action == decide(spec=spec).steps[0].action


def test_two_roles_with_one_password_have_two_salts() -> None:
    one, two = decide(spec={"roles": {"one": {"password": "app"}, "two": {"password": "app"}}}).steps
    assert isinstance(one.action, PutRole)
    assert isinstance(two.action, PutRole)
    assert one.action.verifier != two.action.verifier


def test_a_stored_verifier_of_the_secret_is_left_whatever_its_salt() -> None:
    spec = {"roles": {"psa_app": {"login": True, "password": "app"}}}
    assert decide(a_member(roles={"psa_app": APP}), spec=spec).steps == ()


@pytest.mark.parametrize(
    "stored", [None, Secret("md5a3556571e93b0d20722ba62be61e8c2d"), Secret(verifier("old", b"salt"))]
)
def test_another_password_none_and_an_md5_one_are_replaced(stored: Secret | None) -> None:
    spec = {"roles": {"psa_app": {"password": "app"}}}
    plan = decide(a_member(roles={"psa_app": replace(APP, verifier=stored)}), spec=spec)
    assert said(plan) == ["change role psa_app: password another one → the secret's"]


def test_a_password_that_nobody_may_compare_is_said_and_not_written_for_ever() -> None:
    spec = {"roles": {"psa_app": {"password": "app"}}}
    plan = decide(a_member(roles={"psa_app": replace(APP, verifier=Secret(""))}), spec=spec)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "PasswordUnseen"


def test_a_role_is_not_made_without_the_password_that_it_shall_have() -> None:
    spec = {"roles": {"psa_app": {"password": "lost"}, "reader": {}}}
    plan = decide(spec=spec, missing={"lost": "secret lost: no such file"})
    assert said(plan) == ["make role reader"]
    assert plan.blocked == ("SecretUnavailable", "secret lost: no such file")


def test_what_is_left_out_is_not_managed() -> None:
    found = replace(APP, createdb=True, connection_limit=7, member_of=frozenset({"x"}))
    assert decide(a_member(roles={"psa_app": found}), spec={"roles": {"psa_app": {}}}).steps == ()


def test_a_difference_is_told_with_both_values() -> None:
    found = replace(APP, createdb=True, connection_limit=7)
    spec = {"roles": {"psa_app": {"createdb": False, "connectionLimit": 100}}}
    plan = decide(a_member(roles={"psa_app": found}), spec=spec)
    assert said(plan) == ["change role psa_app: createdb true → false, connectionLimit 7 → 100"]


def test_a_superuser_is_neither_changed_nor_made_less() -> None:
    found = replace(APP, superuser=True)
    spec = {"roles": {"psa_app": {"login": False, "createdb": False}}}
    plan = decide(a_member(roles={"psa_app": found}), spec=spec)
    assert plan.steps == ()
    assert plan.blocked == (
        "RoleIsSuperuser",
        "psa_app is a superuser: it is not managed from here, nor made less",
    )


def test_roles_are_made_after_the_roles_that_they_are_members_of() -> None:
    spec = {"roles": {"a": {"memberOf": ["b"]}, "b": {"memberOf": ["c"]}, "c": {}}}
    assert [step.target for step in decide(spec=spec).steps] == ["role c", "role b", "role a"]


def test_a_group_that_nobody_asked_for_and_that_is_not_there_is_said_and_holds_up_nobody_else() -> None:
    spec = {"roles": {"a": {"memberOf": ["gone"]}, "b": {"memberOf": ["a"]}, "c": {}}}
    plan = decide(spec=spec)
    assert said(plan) == ["make role c"]
    assert plan.blocked == ("UnknownRole", "role a: there is no role gone, and none is asked for")


def test_roles_that_were_not_looked_at_are_not_absent() -> None:
    assert decide(a_member(roles=None), spec={"roles": {"psa_app": {}}}).steps == ()
