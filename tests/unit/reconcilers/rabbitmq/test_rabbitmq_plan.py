"""What a broker needs, what is blocked, and what is said of it: pure."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from crds.meta import ConditionType, Key, Verb
from crds.rabbitmq import RabbitMQSpec, RabbitMQStatus
from reconcilers.contract import Note, Plan, Secret
from reconcilers.rabbitmq.answers import read_queue
from reconcilers.rabbitmq.client import RabbitBrokers
from reconcilers.rabbitmq.model import Account, Topic
from reconcilers.rabbitmq.observe import topics
from reconcilers.rabbitmq.passwords import is_password
from tests.builders import START
from tests.builders_haproxy import said, verdict
from tests.fakes.rabbitmq import FakeRabbit
from tests.real_rabbitmq import KEY, Driven, a_rabbit, a_topology, drive


async def converged(fake: FakeRabbit, **spec: object) -> Driven:
    driven = drive(fake, a_rabbit(vhosts={"psa": a_topology()}, **spec))
    await driven.quiet()
    fake.calls.clear()
    return driven


def noted(plan: Plan[Any]) -> list[str]:
    return [write.reason for write in plan.writes if isinstance(write, Note)]


def test_the_brokers_own_example_of_a_hash_is_its_password() -> None:
    account = Account(frozenset(), "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
    assert is_password(account, Secret("test12"))
    assert not is_password(account, Secret("test13"))


@pytest.mark.parametrize("stored", ["", "AAAA", "not base64!", "kI3GCqW5"])
def test_a_hash_that_is_none_is_nobodys_password(stored: str) -> None:
    assert not is_password(Account(frozenset(), stored), Secret(""))


def test_an_algorithm_that_is_not_known_is_another_password() -> None:
    account = Account(frozenset(), "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "rabbit_md6")
    assert not is_password(account, Secret("test12"))


def test_a_hash_never_shows() -> None:
    assert "kI3GCqW5" not in repr(Account(frozenset(), "kI3GCqW5"))


async def test_all_of_it_is_made_in_order_one_sentence_each() -> None:
    fake = FakeRabbit()
    user = {"configure": "", "write": "^psa", "read": ".*"}
    asked = a_topology(limits={"maxQueues": 5}, permissions={"app": user})
    driven = drive(fake, a_rabbit(users={"app": {"password": "app"}}, vhosts={"psa": asked}))
    assert said(await driven.desk.look(KEY)) == [
        "make virtual host psa",
        "virtual host psa: max-queues absent → 5",
        "make user app",
        'permissions of app in psa: configure absent → "", write absent → ^psa, read absent → .*',
        "make exchange psa.events in psa: topic, durable",
        "make queue email in psa: durable, x-max-length 10000, x-message-ttl 86400000",
        "make queue teams in psa: quorum, durable",
        "bind in psa: psa.events → ticket.* → queue email",
        "bind in psa: psa.events → ticket.created → queue teams",
    ]


async def test_a_change_of_tags_sends_the_hash_that_is_there_and_no_password() -> None:
    fake = FakeRabbit()
    driven = drive(fake, a_rabbit(users={"app": {"password": "app"}}))
    await driven.quiet()
    before = dict(fake.users["app"])
    driven.desk.put(a_rabbit(users={"app": {"password": "app", "tags": ["monitoring"]}}))
    fake.calls.clear()
    await driven.quiet()
    assert [set(call.body or {}) for call in fake.changes] == [{"password_hash", "hashing_algorithm", "tags"}]
    assert fake.users["app"] == {**before, "tags": ["monitoring"]}


async def test_no_step_ever_makes_a_user_without_a_password() -> None:
    fake = FakeRabbit()
    fake.users["app"] = {"password_hash": "", "hashing_algorithm": "", "tags": []}
    driven = drive(fake, a_rabbit(users={"app": {"password": "app"}, "other": {"password": "app"}}))
    await driven.quiet()
    assert all({"password", "password_hash"} & set(call.body or {}) for call in fake.changes)


async def test_a_virtual_host_of_which_we_see_nothing_is_not_taken_for_empty() -> None:
    fake = FakeRabbit(may_see_all=False)
    fake.vhosts.add("psa")
    plan = await drive(fake, a_rabbit(vhosts={"psa": a_topology()})).desk.look(KEY)
    assert said(plan) == []
    assert plan.blocked is not None
    assert plan.blocked[0] == "MissingPrivilege"


async def test_f49_in_a_partition_nothing_is_changed() -> None:
    fake = FakeRabbit(node={"partitions": ["psa@other"]})
    plan = await drive(fake, a_rabbit(vhosts={"psa": a_topology()})).desk.one_pass(KEY)
    assert (plan.steps, fake.changes) == ((), [])
    assert plan.waiting == "6 changes wait until the partition is healed"
    for kind in (ConditionType.READY, ConditionType.DEGRADED):
        found = verdict(plan, kind)
        assert found is not None
        assert found.reason == "Partitioned"
        assert found.message.startswith("psa@rabbit does not see psa@other: nothing is changed until")


async def test_a_node_that_is_down_degrades_and_too_few_are_not_ready() -> None:
    fake = FakeRabbit(node={"running": False})
    plan = await drive(fake, a_rabbit(nodes={"running": 1})).desk.look(KEY)
    found = verdict(plan, ConditionType.READY)
    assert found is not None
    assert (found.reason, found.message) == ("NodesMissing", "0 nodes run, 1 are asked: ")
    degraded = verdict(plan, ConditionType.DEGRADED)
    assert degraded is not None
    assert "psa@rabbit is down" in degraded.message


async def test_while_a_node_is_down_it_may_be_a_partition_and_nothing_is_taken_away() -> None:
    driven = await converged(fake := FakeRabbit())
    fake.node = {"running": False}
    asked = {"queues": {"new": {}}, "absent": {"queues": ["email"]}}
    driven.desk.put(a_rabbit(vhosts={"psa": asked}, allow=["delete-queue"]))
    plan = await driven.desk.one_pass(KEY)
    assert said(plan) == ["make queue new in psa: durable"]
    assert plan.waiting == "1 changes that take something away wait until psa@rabbit runs"
    fake.node = {}
    await driven.quiet()
    assert ("psa", "email") not in fake.queues


def test_a_queue_whose_node_is_away_has_no_figures_of_now() -> None:
    row = {"type": "classic", "state": "down", "messages": 0, "consumers": 0}
    found = read_queue(row, row)
    assert (found.messages, found.consumers, found.delivered) == (None, None, None)
    there = {**row, "state": "running"}
    assert read_queue(there, there).messages == 0


@pytest.mark.parametrize(("version", "blocked"), [("3.9.29", True), ("3.10.0", False), ("4.1.0", False)])
async def test_a_version_that_this_program_does_not_know_is_left_alone(
    version: str, *, blocked: bool
) -> None:
    plan = await drive(FakeRabbit(version=version), a_rabbit(vhosts={"psa": {}})).desk.look(KEY)
    assert (plan.blocked is not None, plan.steps == ()) == (blocked, blocked)


async def test_a_restart_is_noted_once_and_the_start_does_not_wander() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    fake.uptime_s += 4.0  # five seconds later, and statistics that are a second older
    driven.desk.now = START + timedelta(seconds=5)
    before = driven.desk.state.objects[KEY].status
    plan = await driven.desk.one_pass(KEY)
    assert (noted(plan), plan.status) == ([], before)
    fake.pid, fake.uptime_s = fake.pid + 1, 1.0
    assert noted(await driven.desk.one_pass(KEY)) == ["BrokerRestarted"]
    assert noted(await driven.desk.one_pass(KEY)) == []


async def test_a_restart_with_the_same_pid_as_in_a_container_is_noted_too() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    fake.uptime_s = 2.0
    assert noted(await driven.desk.one_pass(KEY)) == ["BrokerRestarted"]


async def test_a_node_without_figures_yet_is_as_it_was() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    before = driven.desk.state.objects[KEY].status
    fake.node = {"os_pid": None, "uptime": None}
    plan = await driven.desk.one_pass(KEY)
    assert (noted(plan), plan.status) == ([], before)


async def test_57_a_wiped_broker_is_noted_and_filled_again() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    fake.wipe()
    assert noted(await driven.desk.one_pass(KEY)) == ["BrokerRestarted", "BrokerEmptied"]
    await driven.quiet()
    assert set(fake.queues) == {("psa", "email"), ("psa", "teams")}
    assert len(fake.bindings) == 2
    status = driven.desk.state.objects[KEY].status
    assert isinstance(status, RabbitMQStatus)
    assert status.filled


async def test_another_cluster_that_answers_there_is_noted() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    fake.cluster_name = "somebody@else"
    assert noted(await driven.desk.one_pass(KEY)) == ["ClusterChanged"]


async def test_in_steady_state_it_only_reads_and_says_the_same() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    first = await driven.desk.look(KEY)
    fake.queues["psa", "email"]["messages"] = 17
    fake.node = {"mem_used": 12345}
    fake.uptime_s += 5
    driven.desk.now += timedelta(seconds=5)
    assert replace(await driven.desk.look(KEY), memo=None) == replace(first, memo=None)
    assert fake.changes == []


async def test_a_binding_whose_end_is_nowhere_is_said_and_the_rest_is_done() -> None:
    fake = FakeRabbit()
    asked = a_topology(bindings=[{"source": "psa.events", "queue": "nobody", "routingKey": "#"}])
    driven = drive(fake, a_rabbit(vhosts={"psa": asked}))
    plan = await driven.quiet()
    message = "psa.events → # → queue nobody cannot be bound in psa: there is no queue nobody"
    assert plan.blocked == ("MissingEnd", message)
    assert len(fake.queues) == 2


async def test_what_a_file_leaves_out_is_not_compared() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    driven.desk.put(a_rabbit(vhosts={"psa": {"queues": {"email": {}, "teams": {}}}}))
    plan = await driven.desk.one_pass(KEY)
    assert (plan.steps, plan.blocked) == ((), None)


async def test_an_argument_that_differs_is_told_with_both_values_and_the_choices() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    asked = {"queues": {"email": {"arguments": {"x-max-length": 20000, "x-overflow": "reject-publish"}}}}
    driven.desk.put(a_rabbit(vhosts={"psa": asked}))
    plan = await driven.desk.one_pass(KEY)
    assert plan.steps == ()
    message = (
        "queue email in psa is made once for all, and differs: x-max-length is 10000, 20000 is asked;"
        " x-overflow is absent, reject-publish is asked; write into the file what it is, or name it in"
        " absent.queues, with allow: [delete-queue], and ask for it again once it is gone, or let a policy"
        " say max-length, which can change"
    )
    assert plan.blocked == ("ImmutableDiffers", message)


async def test_the_choices_are_said_once_however_many_differ() -> None:
    driven = await converged(FakeRabbit())
    asked = {"queues": {"email": {"durable": False}, "teams": {"durable": False}}}
    driven.desk.put(a_rabbit(vhosts={"psa": asked}))
    plan = await driven.desk.one_pass(KEY)
    assert plan.blocked is not None
    assert [plan.blocked[1].count(each) for each in ("durable is true", "write into the file")] == [2, 1]


@pytest.mark.parametrize(
    ("messages", "consumers", "reason"),
    [(3, 0, "QueueNotEmpty"), (0, 2, "QueueInUse"), (0, None, "QueueInUse"), (None, 0, "QueueNotEmpty")],
    ids=["holds messages", "has consumers", "consumers unknown", "depth unknown"],
)
async def test_a_queue_goes_only_when_it_is_surely_empty_and_unused(
    messages: int | None, consumers: int | None, reason: str
) -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    fake.queues["psa", "teams"] |= {"messages": messages, "consumers": consumers}
    absent = {"absent": {"queues": ["teams"]}}
    driven.desk.put(a_rabbit(vhosts={"psa": absent}, allow=["delete-queue"]))
    plan = await driven.desk.one_pass(KEY)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == reason


async def test_a_message_that_comes_before_a_quorum_queue_is_deleted_saves_it() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    driven.desk.put(a_rabbit(vhosts={"psa": {"absent": {"queues": ["teams"]}}}, allow=["delete-queue"]))
    (step,) = (await driven.desk.look(KEY)).steps
    assert step.needs is Verb.DELETE_QUEUE
    assert step.summary == (
        "delete queue teams in psa: it is empty and unused; for this type the broker does not check that:"
        " what comes meanwhile is lost"
    )
    fake.queues["psa", "teams"]["messages"] = 1
    with pytest.raises(Exception, match="not surely empty and unused any more"):
        await driven.reconciler.apply(step)
    assert ("psa", "teams") in fake.queues


async def test_an_exchange_that_others_use_is_not_deleted() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    absent = {"exchanges": ["psa.events"], "bindings": [{"source": "psa.events", "queue": "email"}]}
    driven.desk.put(a_rabbit(vhosts={"psa": {"absent": absent}}, allow=["delete-exchange", "unbind"]))
    plan = await driven.desk.look(KEY)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "ExchangeInUse"
    assert "it has 2 bindings, such as psa.events → ticket.* → queue email" in plan.blocked[1]


def test_nothing_is_asked_that_the_file_does_not_need() -> None:
    def of(**spec: object) -> frozenset[Topic]:
        return topics(RabbitMQSpec.model_validate({"endpoint": "rabbit", **spec}))

    assert of() == frozenset()
    assert of(users={"app": {"password": "app"}}) == {Topic.USERS}
    assert of(vhosts={"psa": {"queues": {"q": {}}}}) == {Topic.VHOSTS, Topic.QUEUES}
    assert Topic.USERS not in of(vhosts={"psa": a_topology()})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"queues": {"q": {}}, "absent": {"queues": ["q"]}}, "asked for, and absent, too"),
        ({"queues": {"q": {"type": "quorum", "durable": False}}}, "always durable"),
        ({"queues": {"q": {"arguments": {"x-queue-type": "quorum"}}}}, "x-queue-type is the field type"),
        ({"queues": {"q": {"arguments": {"x-max-length": 1.5}}}}, "arguments"),
        ({"bindings": [{"source": "x"}]}, "one destination is needed"),
        ({"bindings": [{"source": "x", "queue": "a", "routingKey": "a~b"}]}, "routingKey"),
        ({"policies": {"p": {"pattern": "(", "definition": {"max-length": 1}}}}, "no regular expression"),
        ({"policies": {"p": {"pattern": "a", "definition": {}}}}, "definition"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(spec: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RabbitMQSpec.model_validate({"endpoint": "rabbit", "vhosts": {"psa": spec}})


def test_two_objects_may_share_a_virtual_host_and_never_a_queue() -> None:
    spec = RabbitMQSpec.model_validate(
        {"endpoint": "rabbit", "users": {"app": {"password": "app"}}, "vhosts": {"psa": a_topology()}}
    )
    assert [claim.target for claim in spec.claims("one")] == [
        "user app on rabbit",
        "exchange psa.events in psa on rabbit",
        "queue email in psa on rabbit",
        "queue teams in psa on rabbit",
    ]


async def test_an_endpoint_that_is_not_there_is_said() -> None:
    with pytest.raises(Exception, match="no endpoint other of type rabbitmq"):
        await RabbitBrokers({}).look("other", frozenset())


async def test_its_figures_go_when_it_is_not_seen() -> None:
    fake = FakeRabbit()
    driven = await converged(fake)
    assert driven.gauges.of(Key("RabbitMQ", "psa-rabbitmq")) is not None
    fake.fail_next = 50
    with pytest.raises(Exception, match="no answer"):
        await driven.desk.look(KEY)
    assert driven.gauges.of(KEY) is None
