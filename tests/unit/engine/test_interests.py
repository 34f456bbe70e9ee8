"""Who hears of a change: owners and dependents, of what says something new."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crds.container import ContainerStatus
from crds.meta import Condition, ConditionType, Key, Truth
from crds.release import ReleaseMemo
from daemon.engine.interests import Interests, has_new_request, is_asked_anew
from reconcilers.contract import AnyResource, Request
from tests.builders import START, a_container_spec, a_resource

OWNER, DEPENDENT = Key("Service", "psa-crm"), Key("Container", "dependent")
THING = a_resource(a_container_spec(), "thing", owner=OWNER)
READY = Condition(ConditionType.READY, Truth.TRUE, "AsAsked", "", START)


def an_index() -> Interests:
    """Return interests in which DEPENDENT names THING."""
    interests = Interests()
    dependent = a_resource(a_container_spec(dependsOn=[str(THING.key)]), DEPENDENT.name)
    interests.index(DEPENDENT, None, dependent)
    return interests


def told(before: AnyResource | None, after: AnyResource) -> list[Key]:
    return list(an_index().of(before, after))


def test_what_is_new_is_told_to_its_owner_and_its_dependents() -> None:
    assert told(None, THING) == [OWNER, DEPENDENT]


@pytest.mark.parametrize(
    "change",
    [
        {"status": ContainerStatus(node="pve1")},
        {"annotations": {"psa.platform/live": "true"}},
        {"observed_generation": 1},
        {"conditions": (READY,)},
    ],
    ids=["status", "annotations", "it-was-looked-at", "a-condition"],
)
def test_what_says_something_new_is_told(change: dict[str, object]) -> None:
    assert told(THING, replace(THING, **change)) == [OWNER, DEPENDENT]  # type: ignore[arg-type]


REQUEST = Request(1, "pause", "uid 0", START)


@pytest.mark.parametrize(
    "change",
    [
        {"memo": ReleaseMemo(attempt=1)},
        {"requests": (REQUEST,)},
        {"conditions": (replace(READY, message="in other words", since=START + timedelta(hours=1)),)},
    ],
    ids=["memo", "requests", "other-words"],
)
def test_what_moves_by_itself_is_told_to_nobody(change: dict[str, object]) -> None:
    before = replace(THING, conditions=(READY,))
    assert told(before, replace(before, **change)) == []  # type: ignore[arg-type]


def test_who_depends_on_it_no_more_hears_of_it_no_more() -> None:
    interests = an_index()
    before = a_resource(a_container_spec(dependsOn=[str(THING.key)]), DEPENDENT.name)
    interests.index(DEPENDENT, before, a_resource(a_container_spec(), DEPENDENT.name))
    assert list(interests.of(None, THING)) == [OWNER]


def test_a_request_is_new_until_it_was_answered_and_an_answer_is_not() -> None:
    asked = replace(THING, requests=(REQUEST,))
    answered = replace(THING, requests=(replace(REQUEST, answer="yes"),))
    assert has_new_request(THING, asked)
    assert not has_new_request(asked, answered)
    assert has_new_request(answered, replace(THING, requests=(*answered.requests, replace(REQUEST, id=2))))
    assert not has_new_request(None, asked), "an object that is new is looked at anyway"


def test_another_spec_and_a_file_that_goes_or_comes_back_are_asked_anew() -> None:
    orphan = replace(THING, orphaned_since=START)
    assert is_asked_anew(None, THING)
    assert is_asked_anew(THING, replace(THING, generation=2))
    assert is_asked_anew(THING, orphan)
    assert is_asked_anew(orphan, THING)
    assert not is_asked_anew(THING, replace(THING, annotations={"a": "b"}))
