"""Passwords are compared beside the event loop, a few at a time, and once."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from crds.postgres import PostgresClusterSpec
from reconcilers.contract import Resource, Secret
from reconcilers.postgres.model import SeenCluster, SeenRole
from reconcilers.postgres.passwords import AT_A_TIME, Answers, Passwords, questions
from reconcilers.postgres.plan import plan_postgres
from reconcilers.postgres.scram import is_password, verifier
from tests.builders import START
from tests.builders_haproxy import said
from tests.builders_postgres import a_member
from tests.fakes.postgres import NEW_ROLE, at_once
from tests.real_postgres import a_cluster

ROLES = 200
CLUSTER = cast(
    "Resource[PostgresClusterSpec]",
    a_cluster(roles={f"role_{number:03}": {"password": "app"} for number in range(ROLES)}),
)
STORED = replace(NEW_ROLE, verifier=Secret(verifier("the app's", b"salt", iterations=2)))
OTHER = replace(NEW_ROLE, verifier=Secret(verifier("another", b"salt", iterations=2)))


def seen_with(**roles: SeenRole) -> SeenCluster:
    """Return a look at a primary where each role has the secret's password, unless said otherwise."""
    there = dict.fromkeys(CLUSTER.spec.roles, STORED) | roles
    return SeenCluster((a_member(roles=there),), {"app": Secret("the app's")})


@dataclass
class Turns:
    """A worker whose thread goes on only once the event loop has given another task its turn."""

    given: int = 0
    threads: set[int] = field(default_factory=set)

    async def __call__(self, work: Callable[[], Answers]) -> Answers:
        loop = asyncio.get_running_loop()

        async def turn() -> None:
            await asyncio.sleep(0)
            self.given += 1

        def inside() -> Answers:
            asyncio.run_coroutine_threadsafe(turn(), loop).result(timeout=10)
            self.threads.add(threading.get_ident())
            return work()

        return await asyncio.to_thread(inside)


async def test_others_get_their_turn_while_the_passwords_of_200_roles_are_compared() -> None:
    turns = Turns()
    assert await Passwords(turns).new_verifiers(CLUSTER, seen_with()) == {}
    assert turns.given == ROLES / AT_A_TIME
    assert threading.get_ident() not in turns.threads


async def test_what_was_compared_is_remembered_until_it_or_the_secret_changes() -> None:
    turns = Turns()
    passwords = Passwords(turns)
    await passwords.new_verifiers(CLUSTER, seen_with())
    turns.given = 0
    assert await passwords.new_verifiers(CLUSTER, seen_with()) == {}
    assert turns.given == 0
    changed = await passwords.new_verifiers(CLUSTER, seen_with(role_007=OTHER))
    assert turns.given == 1
    assert [*changed] == ["role_007"]
    assert is_password("the app's", changed["role_007"].value)
    rotated = replace(seen_with(), secrets={"app": Secret("rotated")})
    assert len(await passwords.new_verifiers(CLUSTER, rotated)) == ROLES


async def test_a_cluster_that_is_gone_is_forgotten() -> None:
    turns = Turns()
    passwords = Passwords(turns)
    await passwords.new_verifiers(CLUSTER, seen_with())
    passwords.forget(CLUSTER.key)
    turns.given = 0
    await passwords.new_verifiers(CLUSTER, seen_with())
    assert turns.given == ROLES / AT_A_TIME


def test_a_plan_compares_nothing_itself() -> None:
    assert said(plan_postgres(CLUSTER, seen_with(role_007=OTHER), START)) == []
    told = replace(seen_with(role_007=OTHER), new_verifiers={"role_007": Secret("SCRAM-SHA-256$…")})
    assert said(plan_postgres(CLUSTER, told, START)) == [
        "change role role_007: password another one → the secret's"
    ]


async def test_nothing_is_asked_of_a_verifier_that_nobody_may_see_or_without_a_primary() -> None:
    hidden = seen_with(role_007=replace(STORED, verifier=Secret("")))
    assert "role_007" not in {each.role for each in questions(CLUSTER, hidden)}
    nobody = replace(hidden, members=())
    assert await Passwords(at_once).new_verifiers(CLUSTER, nobody) == {}


def test_a_question_prints_no_password() -> None:
    (first, *_) = questions(CLUSTER, seen_with())
    assert "the app's" not in repr(first)
    assert "SCRAM" not in repr(first)
