"""Which messages a change of policies would cut off: decided before anything is sent."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from crds.meta import Verb
from reconcilers.contract import Step
from reconcilers.rabbitmq.model import Broker, Look, Policy, Queue, SeenBroker
from tests.builders import START
from tests.fakes.rabbitmq import FakeRabbit
from tests.real_rabbitmq import a_rabbit, drive

BROKER = Broker("3.12.1", "psa", ())


def a_queue(messages: int | None, kind: str = "classic", **arguments: object) -> Queue:
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return Queue(kind, is_durable=True, is_auto_delete=False, arguments=named, messages=messages, consumers=0)


def a_policy(pattern: str, priority: int = 0, target: str = "queues", **definition: object) -> Policy:
    return Policy(pattern, target, priority, {name.replace("_", "-"): v for name, v in definition.items()})


def planned(
    asked: Mapping[str, object],
    queues: dict[str, Queue],
    policies: dict[str, Policy] | None = None,
    **more: object,
) -> tuple[Step[Any], ...]:
    """Return the steps for one virtual host with these queues and policies."""
    look = Look(
        me="me",
        broker=BROKER,
        vhosts=frozenset({"psa"}),
        exchanges={("psa", ""): None},  # type: ignore[dict-item]  # only that it is there counts
        queues={("psa", name): queue for name, queue in queues.items()},
        policies={("psa", name): policy for name, policy in (policies or {}).items()},
    )
    reconciler = drive(FakeRabbit()).reconciler
    rabbit: Any = a_rabbit(vhosts={"psa": asked}, **more)
    return reconciler.plan(rabbit, SeenBroker(look, {}), START).steps


def cap(**definition: object) -> dict[str, object]:
    wish = {"pattern": "^mail", "applyTo": "queues", "definition": definition or {"max-length": 10}}
    return {"policies": {"cap": wish}}


@pytest.mark.parametrize(
    ("definition", "queue", "verb"),
    [
        ({"max-length": 10}, a_queue(5), Verb.LOSSY_POLICY),
        ({"message-ttl": 1000}, a_queue(5), Verb.LOSSY_POLICY),
        ({"expires": 1000}, a_queue(5), Verb.LOSSY_POLICY),
        ({"max-length-bytes": 1000}, a_queue(5), Verb.LOSSY_POLICY),
        ({"max-length": 10}, a_queue(None), Verb.LOSSY_POLICY),
        ({"max-length": 10}, a_queue(0), None),
        ({"dead-letter-exchange": "x"}, a_queue(5), None),
        ({"max-length": 10}, a_queue(5, max_length=10), None),
        ({"max-length": 10}, a_queue(5, max_length=11), Verb.LOSSY_POLICY),
    ],
    ids=[
        "a length limit",
        "a time to live",
        "an expiry of the queue",
        "a limit of bytes",
        "a depth that is unknown",
        "a queue that is empty",
        "what takes nothing away",
        "a limit that the queue has already",
        "a limit tighter than the queue's own",
    ],
)
def test_what_may_take_messages_away_needs_its_verb(
    definition: dict[str, object], queue: Queue, verb: Verb | None
) -> None:
    (step,) = planned(cap(**definition), {"mail": queue})
    assert step.needs is verb


def test_only_queues_that_match_are_touched_and_all_of_them_are_told() -> None:
    queues = {f"mail-{number}": a_queue(number) for number in range(1, 8)} | {"other": a_queue(9)}
    (step,) = planned(cap(), queues)
    assert step.summary == (
        "make policy cap in psa: max-length 10 for ^mail; it touches mail-1 (1 to 9 messages), mail-2 (1 to 9"
        " messages), mail-3 (1 to 9 messages), mail-4 (1 to 9 messages), mail-5 (1 to 9 messages) and 2 more,"
        " whose messages max-length may take away"
    )


def test_of_two_policies_the_one_of_higher_priority_counts() -> None:
    strict = a_policy("^mail", priority=9, max_length=3)
    (step,) = planned(cap(), {"mail": a_queue(5)}, {"strict": strict})
    assert step.needs is None
    assert step.summary.endswith("it touches no queue that is there")


def test_deleting_a_policy_may_uncover_a_tighter_one() -> None:
    policies = {"wide": a_policy("", priority=9, max_length=1000), "narrow": a_policy("", max_length=3)}
    (step,) = planned({"absent": {"policies": ["wide"]}}, {"mail": a_queue(5)}, policies)
    assert step.needs is Verb.LOSSY_POLICY
    assert step.summary == (
        "delete policy wide in psa; it touches mail (1 to 9 messages), whose messages max-length"
        " may take away"
    )


def test_deleting_a_limit_takes_nothing_away() -> None:
    policies = {"cap": a_policy("^mail", max_length=3)}
    (step,) = planned({"absent": {"policies": ["cap"]}}, {"mail": a_queue(5)}, policies)
    assert step.needs is None


def test_a_policy_for_quorum_queues_leaves_classic_ones_alone() -> None:
    asked = {
        "policies": {"cap": {"pattern": "", "applyTo": "quorum_queues", "definition": {"max-length": 1}}}
    }
    (step,) = planned(asked, {"a": a_queue(5), "b": a_queue(6, "quorum")})
    assert "it touches b (1 to 9 messages)," in step.summary


@pytest.mark.parametrize("pattern", ["(?<x", "^(m+)+$", "[[:nosuch:]]"])
def test_a_pattern_of_somebody_else_that_we_cannot_read_may_match_or_not(pattern: str) -> None:
    theirs = {"theirs": a_policy(pattern, priority=9, max_length=1)}
    (step,) = planned(cap(), {"mail": a_queue(5)}, theirs)
    assert step.needs is Verb.LOSSY_POLICY

    below = {"theirs": a_policy(pattern, priority=-1, max_length=1), "wide": a_policy("", dead_letter="x")}
    (step,) = planned({"absent": {"policies": ["wide"]}}, {"mail": a_queue(5)}, below)
    assert step.needs is Verb.LOSSY_POLICY


def test_of_equal_priority_the_broker_takes_any() -> None:
    theirs = {"theirs": a_policy("^mail", dead_letter_exchange="x")}
    (step,) = planned(cap(), {"mail": a_queue(5)}, theirs)
    assert step.needs is Verb.LOSSY_POLICY


def test_a_class_by_its_name_matches_what_it_does_at_the_broker() -> None:
    wish = {"pattern": "^[[:alpha:]]+$", "applyTo": "queues", "definition": {"max-length": 10}}
    queues = {"mail": a_queue(5), "mail2": a_queue(5)}
    (step,) = planned({"policies": {"cap": wish}}, queues)
    assert step.needs is Verb.LOSSY_POLICY
    assert "it touches mail (1 to 9 messages)," in step.summary


def test_no_pattern_keeps_the_plan_busy() -> None:
    """It is decided in the loop: what tries all ways would stop everything else, too."""
    queues = {"a" * 200 + "!": a_queue(5), "mail": a_queue(5)}
    slow = ("^(a+)+$", "^(a|a)*$", "a*a*a*a*b", "(a?){30}a{30}b", "a?" * 30 + "a" * 30 + "b", "(a*)\\1b")
    theirs = {str(number): a_policy(each, priority=9) for number, each in enumerate(slow)}
    begun = time.monotonic()
    planned(cap(), queues, theirs)
    assert time.monotonic() - begun < 0.5


@pytest.mark.parametrize("pattern", ["^(a+)+$", "a*b*c*", "^(a|b){2,9}$", "[[:nosuch:]]", "("])
def test_a_pattern_that_cannot_be_weighed_is_refused(pattern: str) -> None:
    wish = {"pattern": pattern, "definition": {"max-length": 10}}
    with pytest.raises(ValidationError, match=r"it cannot be told soon|no regular expression"):
        a_rabbit(vhosts={"psa": {"policies": {"cap": wish}}})


@pytest.mark.parametrize(
    "pattern", ["", ".*", "^psa\\..*", "^(mail|push)-.*\\.in$", "^(?!amq\\.).*", "^[*+{]x?(y)?$", "^a{3}$"]
)
def test_usual_patterns_are_taken(pattern: str) -> None:
    wish = {"pattern": pattern, "definition": {"max-length": 10}}
    a_rabbit(vhosts={"psa": {"policies": {"cap": wish}}})


@pytest.mark.parametrize(
    ("depth", "said"),
    [(0, "0 messages"), (7, "1 to 9 messages"), (99, "10 to 99 messages"), (1234, "1000 to 9999 messages")],
)
def test_depths_are_told_so_that_a_sentence_does_not_change_at_each_look(depth: int, said: str) -> None:
    (step,) = planned(cap(), {"mail": a_queue(depth)})
    assert f"mail ({said})" in step.summary


def test_the_definition_is_compared_whole_and_the_broker_may_write_numbers_as_it_likes() -> None:
    same = {"cap": a_policy("^mail", max_length=10.0)}
    assert planned(cap(), {}, same) == ()
    (step,) = planned(cap(), {}, {"cap": a_policy("^mail", max_length=10, expires=5)})
    assert step.summary.startswith("policy cap in psa: expires 5 → absent;")


def test_what_is_not_allowed_stands_behind_what_is() -> None:
    asked = {**cap(), "queues": {"new": {}}}
    steps = planned(asked, {"mail": a_queue(5)})
    assert [type(step.action).__name__ for step in steps] == ["DeclareQueue", "SetPolicy"]
    steps = planned(asked, {"mail": a_queue(5)}, allow=["lossy-policy"])
    assert [type(step.action).__name__ for step in steps] == ["SetPolicy", "DeclareQueue"]


def test_a_queue_that_fills_changes_no_plan_that_waits_for_a_person() -> None:
    assert planned(cap(), {"mail": a_queue(1200)}) == planned(cap(), {"mail": a_queue(3400)})
