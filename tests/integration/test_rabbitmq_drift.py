"""What somebody changes on a real RabbitMQ by hand is found, planned in one sentence, put right and kept."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from crds.meta import ConditionType, Verb
from reconcilers.contract import AnyResource, Plan
from tests.builders_haproxy import said, verdict
from tests.real_haproxy import until
from tests.real_rabbitmq import KEY, Driven, Site, a_rabbit, a_site, a_topology, drive, told

Hand = tuple[str, tuple[str, ...], Mapping[str, object]]

#: Name, what the hand does, and the sentences that people read; {v} is the virtual host, {u} the user.
DRIFTS: Sequence[tuple[str, Hand, tuple[str, ...]]] = (
    (
        "a queue deleted, with its bindings",
        ("DELETE", ("queues", "{v}", "email"), {}),
        (
            "make queue email in {v}: durable, x-max-length 10000, x-message-ttl 86400000",
            "bind in {v}: psa.events → ticket.* → queue email",
        ),
    ),
    (
        "an exchange deleted, with all of its bindings",
        ("DELETE", ("exchanges", "{v}", "psa.events"), {}),
        (
            "make exchange psa.events in {v}: topic, durable",
            "bind in {v}: psa.events → ticket.* → queue email",
            "bind in {v}: psa.events → ticket.created → queue teams",
        ),
    ),
    (
        "a binding deleted",
        ("DELETE", ("bindings", "{v}", "e", "psa.events", "q", "teams", "ticket.created"), {}),
        ("bind in {v}: psa.events → ticket.created → queue teams",),
    ),
    (
        "a user's password changed",
        ("PUT", ("users", "{u}"), {"password": "guessed", "tags": "monitoring"}),
        ("user {u}: password another one → as its secret says",),
    ),
    (
        "a user made an administrator",
        ("PUT", ("users", "{u}"), {"password": "app-secret", "tags": "administrator"}),
        ("user {u}: tags [administrator] → [monitoring]",),
    ),
    (
        "a user deleted, with its permissions",
        ("DELETE", ("users", "{u}"), {}),
        (
            "make user {u}",
            'permissions of {u} in {v}: configure absent → "", write absent → ^psa, read absent → .*',
            "topic permissions of {u} at psa.events in {v}: write absent → ^ticket, read absent → .*",
        ),
    ),
    (
        "permissions widened",
        ("PUT", ("permissions", "{v}", "{u}"), {"configure": ".*", "write": ".*", "read": ".*"}),
        ('permissions of {u} in {v}: configure .* → "", write .* → ^psa',),
    ),
    (
        "a policy loosened",
        (
            "PUT",
            ("policies", "{v}", "dlx"),
            {"pattern": "^e", "apply-to": "queues", "definition": {"dead-letter-exchange": "elsewhere"}},
        ),
        ("policy dlx in {v}: dead-letter-exchange elsewhere → psa.events; it touches email (0 messages)",),
    ),
    (
        "a policy deleted",
        ("DELETE", ("policies", "{v}", "dlx"), {}),
        ("make policy dlx in {v}: dead-letter-exchange psa.events for ^e; it touches email (0 messages)",),
    ),
    (
        "a limit taken away",
        ("DELETE", ("vhost-limits", "{v}", "max-queues"), {}),
        ("virtual host {v}: max-queues absent → 50",),
    ),
)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with a_site() as site:
        yield site


def the_rabbit(site: Site) -> AnyResource:
    user = site.user()
    return a_rabbit(
        users={user: {"password": "app", "tags": ["monitoring"]}},
        vhosts={
            site.vhost: a_topology(
                limits={"maxQueues": 50},
                permissions={user: {"configure": "", "write": "^psa", "read": ".*"}},
                topicPermissions={user: {"psa.events": {"write": "^ticket", "read": ".*"}}},
                policies={
                    "dlx": {
                        "pattern": "^e",
                        "applyTo": "queues",
                        "definition": {"dead-letter-exchange": "psa.events"},
                    }
                },
            )
        },
    )


async def converged(site: Site) -> Driven:
    driven = drive(site.wire, the_rabbit(site))
    await driven.quiet()
    driven.wire.sent.clear()
    return driven


@pytest.mark.parametrize(
    ("hand", "sentences"), [each[1:] for each in DRIFTS], ids=[each[0] for each in DRIFTS]
)
async def test_a_hand_made_drift_is_found_said_in_a_sentence_each_and_put_right(
    site: Site, hand: Hand, sentences: tuple[str, ...]
) -> None:
    driven = await converged(site)
    method, path, body = hand
    user = site.users[0]
    await site.by_hand(method, *(part.replace("{u}", user) for part in path), **body)

    found = said(await driven.desk.look(KEY))
    assert found == [each.format(v=site.vhost, u=user) for each in sentences]
    plan = await driven.quiet()
    assert (plan.steps, plan.blocked) == ((), None)
    driven.wire.sent.clear()
    await driven.desk.one_pass(KEY)
    assert driven.changes == []


async def test_51_a_queue_deleted_by_hand_is_made_again_with_its_bindings(site: Site) -> None:
    driven = await converged(site)
    await site.by_hand("DELETE", "queues", "{v}", "email")
    await driven.quiet()
    assert await site.names("queues") == ["email", "teams"]
    assert await site.bound() == ["ticket.* email", "ticket.created teams"]


async def test_52_another_durability_is_no_change_but_a_choice(site: Site) -> None:
    driven = await converged(site)
    asked = {**a_topology(), "queues": {"email": {"durable": False}, "teams": {"type": "classic"}}}
    driven.desk.put(a_rabbit(vhosts={site.vhost: asked}))
    plan = await driven.desk.one_pass(KEY)
    assert (plan.steps, driven.changes) == ((), [])
    assert plan.blocked is not None
    reason, message = plan.blocked
    assert reason == "ImmutableDiffers"
    assert (
        f"queue email in {site.vhost} is made once for all, and differs: durable is true, false is" in message
    )
    assert "type is quorum, classic is asked" in message
    assert (
        "write into the file what it is, or name it in absent.queues, with allow: [delete-queue]" in message
    )


async def test_53_a_queue_that_holds_messages_is_not_deleted_and_the_count_is_said(site: Site) -> None:
    driven = await converged(site)
    await site.publish("email", 3)
    left = {**a_topology(), "queues": {}, "bindings": [], "absent": {"queues": ["email"]}}
    driven.desk.put(a_rabbit(vhosts={site.vhost: left}, allow=["delete-queue"]))

    plan = await settled(driven, "1 to 9 messages")
    assert plan.steps == ()
    assert plan.blocked == (
        "QueueNotEmpty",
        f"queue email in {site.vhost} is deleted only when it is empty and unused: it has 1 to 9 messages",
    )
    assert await site.names("queues") == ["email", "teams"]


@pytest.mark.parametrize("queue", ["email", "teams"])
async def test_an_empty_queue_that_must_be_absent_goes_and_others_stay(site: Site, queue: str) -> None:
    driven = await converged(site)
    left = {**a_topology(), "queues": {}, "bindings": [], "absent": {"queues": [queue]}}
    driven.desk.put(a_rabbit(vhosts={site.vhost: left}, allow=["delete-queue"]))
    await settled(driven, None)
    assert await site.names("queues") == [each for each in ("email", "teams") if each != queue]
    assert await site.names("exchanges") == ["psa.events"]


async def test_what_must_be_absent_goes_in_order_with_a_verb_each(site: Site) -> None:
    driven = await converged(site)
    bindings = a_topology()["bindings"]
    absent = {
        "queues": ["email"],
        "exchanges": ["psa.events"],
        "bindings": bindings,
        "policies": ["dlx"],
    }
    verbs = ["delete-queue", "delete-exchange", "delete-user", "unbind"]
    user = site.users[0]
    driven.desk.put(a_rabbit(vhosts={site.vhost: {"absent": absent}}, absent={"users": [user]}, allow=verbs))
    await settled(driven, None)
    assert await site.names("exchanges") == []
    assert await site.names("queues") == ["teams"]
    assert await site.names("policies") == []
    assert user not in {row["name"] for row in await rows(site, "users")}


async def rows(site: Site, kind: str) -> list[dict[str, object]]:
    found = await site.by_hand("GET", kind)
    assert isinstance(found, list)
    return found


async def settled(driven: Driven, blocked: str | None) -> Plan[Any]:
    """Make passes until the broker's figures have come so far that the plan is blocked by *blocked*."""

    def is_so(plan: Plan[Any]) -> bool:
        if blocked is None:
            return plan.blocked is None and not plan.steps
        return plan.blocked is not None and blocked in plan.blocked[1]

    return await until(lambda: driven.desk.one_pass(KEY), is_so, seconds=15)


async def test_54_a_password_that_is_the_same_is_never_sent(site: Site) -> None:
    driven = await converged(site)
    for _ in range(20):
        plan = await driven.desk.one_pass(KEY)
        assert plan.steps == ()
    assert driven.changes == []


async def test_a_rotated_secret_is_one_step_and_the_new_password_works(site: Site) -> None:
    driven = await converged(site)
    driven.secrets.values["app"] = "the-next-one"
    plan = await driven.desk.look(KEY)
    assert said(plan) == [f"user {site.users[0]}: password another one → as its secret says"]
    assert "the-next-one" not in repr(plan)
    await driven.quiet()


async def test_it_shares_a_virtual_host_with_what_others_made(site: Site) -> None:
    await site.by_hand("PUT", "queues", "{v}", "theirs", durable=True)
    await site.by_hand("PUT", "exchanges", "{v}", "theirs", type="fanout")
    await site.by_hand("POST", "bindings", "{v}", "e", "theirs", "q", "theirs", routing_key="x")
    await converged(site)
    assert await site.names("queues") == ["email", "teams", "theirs"]
    assert "x theirs" in await site.bound()


async def test_what_stands_there_already_as_it_is_asked_is_in_sync(site: Site) -> None:
    driven = await converged(site)
    again = drive(site.wire, driven.desk.state.objects[KEY])
    assert said(await again.desk.one_pass(KEY)) == []
    assert verdict(await again.desk.look(KEY), ConditionType.DEGRADED) is not None


async def test_55_a_policy_that_would_cut_off_messages_lists_the_queues_and_waits(site: Site) -> None:
    driven = await converged(site)
    for name in ("cut-1", "cut-2", "cut-3"):
        await site.by_hand("PUT", "queues", "{v}", name, durable=True)
        await site.publish(name, 2)
    cap = {"pattern": "^cut-", "applyTo": "queues", "definition": {"max-length": 1}}
    driven.desk.put(a_rabbit(vhosts={site.vhost: {"policies": {"cap": cap}}}))

    def has_depths(plan: Plan[Any]) -> bool:
        return len(plan.steps) == 1 and plan.steps[0].summary.count("(1 to 9 messages)") == 3

    plan = await until(lambda: driven.desk.look(KEY), has_depths)
    (step,) = plan.steps
    assert step.needs is Verb.LOSSY_POLICY
    assert step.summary == (
        f"make policy cap in {site.vhost}: max-length 1 for ^cut-; it touches cut-1 (1 to 9 messages),"
        " cut-2 (1 to 9 messages), cut-3 (1 to 9 messages), whose messages max-length may take away"
    )


async def test_depths_and_consumers_are_told_to_gates_and_metrics_for_the_files_queues(site: Site) -> None:
    driven = await converged(site)
    await site.publish("email", 5)

    async def depth() -> float | None:
        await driven.desk.one_pass(KEY)
        told_last = driven.gauges.of(KEY)
        assert told_last is not None
        return told_last.values.get(f"depth:{site.vhost}/email")

    began = asyncio.get_running_loop().time()
    await until(depth, lambda found: found == 5)
    assert asyncio.get_running_loop().time() - began <= 5, "older than the broker's own interval allows"
    assert told(driven.registry, "queue_messages", vhost=site.vhost, queue="email") == 5
    assert told(driven.registry, "node_running", node="psa@localhost") == 1
