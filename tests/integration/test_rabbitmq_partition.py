"""Two real nodes of one RabbitMQ that lose each other, come together again, and are healed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from crds.meta import ConditionType
from lab.rabbitmq import LabRabbit
from reconcilers.contract import AnyResource, Plan
from reconcilers.rabbitmq.client import Call
from tests.builders_haproxy import said, verdict
from tests.real_haproxy import until
from tests.real_rabbitmq import (
    KEY,
    Driven,
    Site,
    a_rabbit,
    a_running_pair,
    a_site,
    control,
    drive,
    told,
    transport,
)

pytestmark = pytest.mark.slow

A, B = "psa-a@localhost", "psa-b@localhost"
DURABLE = {"durable": True}


@pytest.fixture
def pair() -> Iterator[tuple[LabRabbit, LabRabbit]]:
    with a_running_pair() as pair:
        yield pair


@pytest.fixture
async def site(pair: tuple[LabRabbit, LabRabbit]) -> AsyncIterator[Site]:
    async with a_site(pair[0]) as site:
        yield site


async def part(node: LabRabbit) -> None:
    """Let *node* refuse the other one, and close what is open."""
    cut = f"erlang:set_cookie('{B}', another), erlang:disconnect_node('{B}')."
    await asyncio.to_thread(control, node, "eval", cut)


async def join(node: LabRabbit) -> None:
    """Let *node* know the other one again: only now do both find out that they were parted."""
    again = f"erlang:set_cookie('{B}', erlang:get_cookie()), net_kernel:connect_node('{B}')."
    await asyncio.to_thread(control, node, "eval", again)


async def heal(node: LabRabbit) -> None:
    """Decide against *node*, as an operator would: it begins anew with what the other one has."""
    await asyncio.to_thread(control, node, "stop_app")
    await asyncio.to_thread(control, node, "start_app")


def trouble(plan: Plan[Any], kind: ConditionType) -> str:
    """Return reason and message of a condition that is not well."""
    found = verdict(plan, kind)
    is_well = found is None or found.reason == "Whole"
    return "" if found is None or is_well else f"{found.reason}: {found.message}"


async def until_degraded(driven: Driven, reason: str) -> Plan[Any]:
    """Make passes until an object is degraded for *reason*; ``""`` until it is whole."""

    def is_it(plan: Plan[Any]) -> bool:
        return trouble(plan, ConditionType.DEGRADED).partition(":")[0] == reason

    return await until(lambda: driven.desk.one_pass(KEY), is_it, seconds=40)


def the_rabbit(site: Site, *more: str) -> AnyResource:
    """Return the object of which ``far`` must be absent, and *more* queues must be there."""
    wish = {"queues": dict.fromkeys(("near", *more), DURABLE), "absent": {"queues": ["far"]}}
    return a_rabbit(vhosts={site.vhost: wish}, nodes={"running": 2}, allow=["delete-queue"])


async def test_f49_a_partition_is_seen_and_told_nothing_is_changed_in_it_and_healed_it_is_over(
    pair: tuple[LabRabbit, LabRabbit], site: Site
) -> None:
    far = transport(pair[1])
    await far.send(Call("PUT", ("queues", site.vhost, "far"), body=DURABLE))
    await far.close()
    have = {site.vhost: {"queues": {"near": DURABLE}}}
    driven = drive(site.wire, a_rabbit(vhosts=have, nodes={"running": 2}))
    await driven.quiet()
    await until_degraded(driven, "")
    assert told(driven.registry, "node_partitioned", node=A) == 0

    await part(pair[0])
    await each_sees_the_other_one_down(driven, site)
    await join(pair[0])
    await both_know_that_they_were_parted(driven, site)
    await heal(pair[1])
    await until_degraded(driven, "")
    await until(lambda: after_a_pass(driven, site), lambda names: names == ["near", "new", "newer"])
    assert told(driven.registry, "node_partitioned", node=A) == 0


async def each_sees_the_other_one_down(driven: Driven, site: Site) -> None:
    """While they are parted, nobody can know it: something may be made, nothing is taken away."""
    await until_degraded(driven, "NodesMissing")
    driven.desk.put(the_rabbit(site, "new"))
    plan = await driven.desk.one_pass(KEY)
    assert said(plan) == [f"make queue new in {site.vhost}: durable"]
    assert trouble(plan, ConditionType.DEGRADED) == (
        f"NodesMissing: 1 nodes run, 2 are asked: {A}; {B} is down"
    )
    assert plan.blocked is not None
    assert plan.blocked[1].endswith("it has an unknown number of messages")
    assert told(driven.registry, "node_running", node=B) == 0


async def both_know_that_they_were_parted(driven: Driven, site: Site) -> None:
    """Together again they agree on nothing until a person decides, and nothing at all is changed."""
    await until_degraded(driven, "Partitioned")
    await until(lambda: driven.desk.one_pass(KEY), both_tell_it, seconds=40)
    driven.desk.put(the_rabbit(site, "new", "newer"))
    before = len(driven.changes)
    plan = await driven.desk.one_pass(KEY)
    assert (plan.steps, driven.changes[before:]) == ((), [])
    assert plan.waiting == "1 changes wait until the partition is healed"
    assert trouble(plan, ConditionType.DEGRADED).startswith("Partitioned: ")
    assert told(driven.registry, "node_partitioned", node=A) == 1
    assert await site.names("queues") == ["far", "near", "new"]


async def after_a_pass(driven: Driven, site: Site) -> list[str]:
    await driven.desk.one_pass(KEY)
    return await site.names("queues")


def both_tell_it(plan: Plan[Any]) -> bool:
    """Whether each node is said not to see the other; their statistics come one by one."""
    said = trouble(plan, ConditionType.READY)
    return all(f"{one} does not see {other}" in said for one, other in ((A, B), (B, A)))
