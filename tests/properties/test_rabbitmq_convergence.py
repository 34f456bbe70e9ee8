"""Whatever is asked of a broker and whatever is there, after any crash and failure it converges and rests."""

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcilers.contract import AnyResource, PermanentError, Plan, TransientError
from tests.fakes.rabbitmq import FakeRabbit
from tests.real_rabbitmq import KEY, Driven, a_rabbit, drive

NAMES = ("a", "b", "c")
QUEUES = st.dictionaries(
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["classic", "quorum"]),
            "durable": st.sampled_from([True]),
            "arguments": st.fixed_dictionaries({}, optional={"x-max-length": st.integers(1, 3)}),
        },
    ),
)
EXCHANGES = st.dictionaries(
    st.sampled_from(NAMES), st.fixed_dictionaries({"type": st.sampled_from(["topic", "fanout"])})
)
BINDINGS = st.lists(
    st.fixed_dictionaries(
        {"source": st.sampled_from(["a", "b", "amq.topic"]), "queue": st.sampled_from(NAMES)},
        optional={"routingKey": st.sampled_from(["", "x.*"]), "arguments": st.just({"n": 1})},
    ),
    max_size=3,
)
POLICIES = st.dictionaries(
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {
            "pattern": st.sampled_from(["^a", "b"]),
            "definition": st.sampled_from([{"max-length": 2}, {"overflow": "drop-head"}]),
        },
        optional={"priority": st.integers(0, 2)},
    ),
)
VHOSTS = st.fixed_dictionaries(
    {},
    optional={
        "queues": QUEUES,
        "exchanges": EXCHANGES,
        "bindings": BINDINGS,
        "policies": POLICIES,
        "limits": st.just({"maxQueues": 9}),
        "permissions": st.just({"app": {"configure": "", "write": "", "read": ".*"}}),
    },
)
USERS = {"app": {"password": "app", "tags": ["monitoring"]}}


@st.composite
def brokers(draw: st.DrawFn) -> FakeRabbit:
    """Give a broker that somebody else has filled; queues may hold messages."""
    fake = FakeRabbit()
    if draw(st.booleans()):
        fake.vhosts.add("psa")
        for name in draw(st.sets(st.sampled_from(NAMES))):
            kind = draw(st.sampled_from(["classic", "quorum"]))
            fake.queues["psa", name] = {
                "durable": True,
                "auto_delete": False,
                "type": kind,
                "arguments": {"x-queue-type": kind} if kind == "quorum" else {},
                "messages": draw(st.sampled_from([0, 4])),
                "consumers": 0,
            }
    return fake


def asked(vhost: dict[str, Any], **more: object) -> AnyResource:
    return a_rabbit(users=USERS, vhosts={"psa": vhost}, **more)


async def a_pass(driven: Driven, crash_after: int | None = None) -> Plan[Any] | None:
    """Make a pass as the engine does: the first step that fails ends it, and what must not be is left."""
    try:
        plan = await driven.desk.look(KEY)
    except TransientError:
        return None
    allowed = [step for step in plan.steps if step.needs is None]
    with contextlib.suppress(TransientError, PermanentError):
        for step in allowed[:crash_after]:
            await driven.reconciler.apply(step)
    if crash_after is None:
        driven.desk.keep(KEY, plan)
    return plan


@settings(max_examples=150, deadline=None)
@given(
    fake=brokers(),
    vhost=VHOSTS,
    crashes=st.lists(st.integers(0, 8), max_size=3),
    failures=st.integers(0, 4),
    is_late=st.booleans(),
)
async def test_it_converges_after_a_crash_between_any_two_steps_and_then_only_reads(
    fake: FakeRabbit, vhost: dict[str, Any], crashes: list[int], failures: int, *, is_late: bool
) -> None:
    held = {place: dict(row) for place, row in fake.queues.items()}
    driven = drive(fake, asked(vhost))
    for crash in crashes:
        await a_pass(driven, crash_after=crash)
    fake.fail_next, fake.is_late = failures, is_late
    for _ in range(12):
        plan = await a_pass(driven)
        if plan is not None and all(step.needs is not None for step in plan.steps):
            break
    fake.calls.clear()
    plan = await a_pass(driven)
    assert plan is not None
    assert [step.summary for step in plan.steps if step.needs is None] == []
    assert fake.changes == []
    assert all(fake.queues[place] == row for place, row in held.items()), (
        "a queue that was there is not as it was"
    )
    assert {("psa", name) for name in vhost.get("queues", {})} <= set(fake.queues)
    assert fake.users["app"]["password_hash"] != ""


@settings(max_examples=50, deadline=None)
@given(vhost=VHOSTS, crashes=st.lists(st.integers(0, 8), max_size=2))
async def test_a_broker_that_was_wiped_at_any_moment_is_filled_again(
    vhost: dict[str, Any], crashes: list[int]
) -> None:
    fake = FakeRabbit()
    driven = drive(fake, asked(vhost, allow=["lossy-policy"]))
    for crash in crashes:
        await a_pass(driven, crash_after=crash)
        fake.wipe()
    for _ in range(2):
        await a_pass(driven)
    plan = await a_pass(driven)
    assert plan is not None
    assert plan.steps == ()
    assert {("psa", name) for name in vhost.get("queues", {})} == set(fake.queues)
    assert {("psa", name) for name in vhost.get("exchanges", {})} == set(fake.exchanges)
