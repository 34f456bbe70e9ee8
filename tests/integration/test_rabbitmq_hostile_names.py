"""Names that others chose, in a virtual host of ours on a real broker: foreign, and left alone."""

from collections.abc import AsyncIterator, Iterator

import pytest

from lab.rabbitmq import LabRabbit
from reconcilers.contract import TransientError
from tests.builders_haproxy import said
from tests.real_rabbitmq import KEY, Site, a_rabbit, a_running_broker, a_site, a_topology, control, drive

pytestmark = pytest.mark.slow

NAMES = ("a b", "..x", "~", "a/b", "%2F", "é☃", "q?columns=x", "x" * 255)
ROUTING_KEYS = ("a~b", "a b", "é☃", "a/b%2F", "\x00\n", "..")
TRAP = {"routing_key": "x~y", "arguments": {"n": 1}}


@pytest.fixture(scope="module")
def broker() -> Iterator[LabRabbit]:
    with a_running_broker() as broker:
        yield broker


@pytest.fixture
async def site(broker: LabRabbit) -> AsyncIterator[Site]:
    async with a_site(broker) as site:
        yield site


async def trap(site: Site, *ends: str) -> None:
    """Make the binding that RabbitMQ 3.10 takes, and cannot list: not even to say that it has made it."""
    with pytest.raises(TransientError, match="500"):
        await site.by_hand("POST", "bindings", "{v}", "e", *ends, **TRAP)
    with pytest.raises(TransientError, match="500"):
        await site.by_hand("GET", "bindings")


async def test_names_of_others_are_left_alone_and_nothing_of_ours_waits_for_them(site: Site) -> None:
    driven = drive(site.wire, a_rabbit(vhosts={site.vhost: a_topology()}))
    await driven.quiet()
    for name in NAMES:
        await site.by_hand("PUT", "queues", "{v}", name, durable=True)
        await site.by_hand("PUT", "exchanges", "{v}", name, type="topic", durable=True)
        await site.by_hand("PUT", "policies", "{v}", name, pattern="(?<x>é)", definition={"max-length": 5})
    for key in ROUTING_KEYS:
        for ends in (("psa.events", "q", "email"), ("psa.events", "q", "a/b"), ("~", "e", "é☃")):
            await site.by_hand("POST", "bindings", "{v}", "e", *ends, routing_key=key, arguments={})
    ends = ("psa.events", "q", "email")
    await site.by_hand("POST", "bindings", "{v}", "e", *ends, routing_key="", arguments={"ä ~/": "☃"})
    there = (await site.names("queues"), await site.bound())
    make_no_text(site)

    before = len(driven.changes)
    assert said(await driven.desk.one_pass(KEY)) == []
    await site.by_hand("DELETE", "queues", "{v}", "email")
    await driven.quiet()
    assert [call.method for call in driven.changes[before:]] == ["PUT", "POST"]
    queues, bound = await site.names("queues"), await site.bound()
    assert set(there[0]) < set(queues)
    assert {each for each in there[1] if not each.endswith(" email")} < set(bound)
    assert "ticket.* email" in bound


def make_no_text(site: Site) -> None:
    """Make a queue and a binding whose names are bytes that are no text, which the API does not take."""
    vhost = f'<<"{site.vhost}">>'
    queue = f"{{resource, {vhost}, queue, <<255, 254>>}}"
    source = f'{{resource, {vhost}, exchange, <<"psa.events">>}}'
    made = f'rabbit_amqqueue:declare({queue}, true, false, [], none, <<"x">>)'
    bound = f'rabbit_binding:add({{binding, {source}, <<255>>, {queue}, []}}, <<"x">>)'
    control(site.broker, "eval", f"{made}, {bound}.")


async def test_a_binding_that_breaks_the_brokers_list_hides_only_what_it_connects(site: Site) -> None:
    driven = drive(site.wire, a_rabbit(vhosts={site.vhost: a_topology()}))
    await driven.quiet()
    await site.by_hand("PUT", "queues", "{v}", "foreign", durable=True)
    await trap(site, "psa.events", "q", "foreign")
    before = len(driven.changes)
    plan = await driven.quiet()
    assert (plan.blocked, driven.changes[before:]) == (None, [])
    await site.by_hand("DELETE", "bindings", "{v}", "e", "psa.events", "q", "teams", "ticket.created")
    plan = await driven.desk.one_pass(KEY)
    assert said(plan) == [f"bind in {site.vhost}: psa.events → ticket.created → queue teams"]
    assert said(await driven.desk.one_pass(KEY)) == []

    await trap(site, "psa.events", "q", "email")
    before = len(driven.changes)
    plan = await driven.quiet()
    assert driven.changes[before:] == []
    assert plan.blocked is not None
    assert plan.blocked[0] == "BindingsUnlisted"
    text = (
        f"the bindings from psa.events to queue email in {site.vhost} are unknown: the broker fails to list"
    )
    assert plan.blocked[1].startswith(text)

    for queue in ("foreign", "email"):
        await site.by_hand("DELETE", "queues", "{v}", queue)
    plan = await driven.quiet()
    assert plan.blocked is None
    assert await site.bound() == ["ticket.* email", "ticket.created teams"]


async def test_an_exchange_whose_bindings_are_unknown_is_in_use(site: Site) -> None:
    await site.by_hand("PUT", "exchanges", "{v}", "old", type="topic", durable=True)
    await site.by_hand("PUT", "queues", "{v}", "foreign", durable=True)
    await trap(site, "old", "q", "foreign")
    wish = {"absent": {"exchanges": ["old"]}}
    driven = drive(site.wire, a_rabbit(vhosts={site.vhost: wish}, allow=["delete-exchange"]))
    plan = await driven.desk.one_pass(KEY)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert "it has bindings that the broker fails to list" in plan.blocked[1]
    await site.by_hand("DELETE", "queues", "{v}", "foreign")
    await driven.quiet()
    assert "old" not in await site.names("exchanges")
