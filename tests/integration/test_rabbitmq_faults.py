"""What happens to a real RabbitMQ while it is looked after: crashes, loss of all, alarms, limits."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from crds.meta import ConditionType
from crds.rabbitmq import RabbitMQStatus
from lab.rabbitmq import LabRabbit
from reconcilers.contract import AnyResource, Note, PermanentError, Plan, TransientError
from tests.builders_haproxy import said, verdict
from tests.real_haproxy import until
from tests.real_rabbitmq import (
    KEY,
    PASSWORD,
    Driven,
    Site,
    a_rabbit,
    a_running_broker,
    a_site,
    a_topology,
    control,
    drive,
    transport,
)

pytestmark = pytest.mark.slow

QUEUES = {f"queue-{number}": {"durable": True, "arguments": {"x-max-length": 100}} for number in range(40)}
BINDINGS = [{"source": "psa.events", "queue": name, "routingKey": f"{name}.#"} for name in QUEUES]


@pytest.fixture(scope="module")
def broker() -> Iterator[LabRabbit]:
    with a_running_broker() as broker:
        yield broker


@pytest.fixture
async def site(broker: LabRabbit) -> AsyncIterator[Site]:
    async with a_site(broker) as site:
        yield site


def the_rabbit(site: Site, **more: object) -> AnyResource:
    user = site.user()
    wish = {**a_topology(), "permissions": {user: {"configure": "", "write": ".*", "read": ".*"}}}
    wish |= {"queues": QUEUES, "bindings": BINDINGS}
    return a_rabbit(**{"users": {user: {"password": "app"}}, "vhosts": {site.vhost: wish}, **more})


async def carried_out(driven: Driven, plan: Plan[Any]) -> int:
    """Carry out a plan as the engine does: up to the first step that fails; return how many were done."""
    for done, step in enumerate(plan.steps):
        try:
            await driven.reconciler.apply(step)
        except TransientError:
            return done
    return len(plan.steps)


async def test_f50_killed_in_the_middle_of_an_apply_it_is_whole_after_the_next_pass(site: Site) -> None:
    driven = drive(site.wire, the_rabbit(site))
    plan = await driven.desk.look(KEY)
    applying = asyncio.create_task(carried_out(driven, plan))
    await until(lambda: asyncio.sleep(0, len(driven.changes)), lambda count: count >= 20)
    await asyncio.to_thread(site.broker.kill)
    assert 0 < await applying < len(plan.steps)
    with pytest.raises(TransientError):
        await driven.desk.look(KEY)

    await asyncio.to_thread(site.broker.start)
    await driven.quiet()
    assert await site.names("queues") == sorted(QUEUES)
    assert len(await site.bound()) == len(BINDINGS)


async def test_57_a_broker_that_lost_all_is_noticed_and_filled_again_in_order(site: Site) -> None:
    driven = drive(site.wire, the_rabbit(site))
    await driven.quiet()

    # Its process is known only when the node has counted for the first time.
    await until(lambda: driven.desk.one_pass(KEY), knows_its_process)
    site.broker.kill()
    site.broker.wipe()
    await asyncio.to_thread(site.broker.start)

    plan = await until(lambda: looked(driven), lambda plan: plan is not None)
    assert plan is not None
    assert ("BrokerEmptied", True) in noted(plan)
    kinds = [type(step.action).__name__ for step in plan.steps]
    order = ["MakeVhost", "SetUser", "SetPermission", "DeclareExchange", "DeclareQueue", "Bind"]
    assert list(dict.fromkeys(kinds)) == order
    told: list[tuple[str, bool]] = []

    async def passed() -> list[tuple[str, bool]]:
        told.extend(noted(await driven.desk.one_pass(KEY)))
        return told

    await until(passed, lambda told: ("BrokerRestarted", False) in told)
    await driven.quiet()
    assert await site.names("queues") == sorted(QUEUES)
    assert len(await site.bound()) == len(BINDINGS)
    assert sorted(told) == [("BrokerEmptied", True), ("BrokerRestarted", False)]


def knows_its_process(plan: Plan[Any]) -> bool:
    status = plan.status
    return isinstance(status, RabbitMQStatus) and all(each.pid is not None for each in status.nodes.values())


def noted(plan: Plan[Any]) -> list[tuple[str, bool]]:
    return [(write.reason, write.warning) for write in plan.writes if isinstance(write, Note)]


async def looked(driven: Driven) -> Plan[Any] | None:
    try:
        return await driven.desk.look(KEY)
    except (TransientError, PermanentError):
        await asyncio.sleep(0.1)
        return None


async def test_56_under_a_memory_alarm_only_what_takes_nothing_away_is_done(site: Site) -> None:
    driven = drive(site.wire, a_rabbit(vhosts={site.vhost: a_topology()}))
    await driven.quiet()
    try:
        await asyncio.to_thread(control, site.broker, "set_vm_memory_high_watermark", "absolute", "10MB")
        asked = {"queues": {"new": {}}, "absent": {"queues": ["email"]}}
        driven.desk.put(a_rabbit(vhosts={site.vhost: asked}, allow=["delete-queue"]))
        await until(lambda: driven.desk.look(KEY), lambda plan: plan.waiting is not None, seconds=15)
        plan = await driven.desk.one_pass(KEY)
        assert said(plan) == [f"make queue new in {site.vhost}: durable"]
        assert plan.waiting == "1 changes that take something away wait for the end of the alarm"
        degraded, ready = verdict(plan, ConditionType.DEGRADED), verdict(plan, ConditionType.READY)
        assert degraded is not None
        assert ready == type(degraded)(
            ConditionType.READY, ready.status if ready else degraded.status, "MemoryAlarm", degraded.message
        )
        assert degraded.message == (
            "psa@localhost uses more memory than its limit of 10000000 bytes: all publishers are blocked"
        )
        assert await site.names("queues") == ["email", "new", "teams"]
    finally:
        await asyncio.to_thread(control, site.broker, "set_vm_memory_high_watermark", "absolute", "1GB")
    await until(
        lambda: driven.desk.one_pass(KEY), lambda plan: not plan.steps and plan.waiting is None, seconds=15
    )
    assert await site.names("queues") == ["new", "teams"]


@pytest.mark.slow
async def test_f47_a_disk_alarm_is_said_with_its_limit_and_ends(site: Site) -> None:
    driven = drive(site.wire, a_rabbit(vhosts={site.vhost: a_topology()}))
    await driven.quiet()

    async def reason() -> str:
        plan = await driven.desk.one_pass(KEY)
        found = verdict(plan, ConditionType.DEGRADED)
        return "" if found is None else f"{found.reason}: {found.message}"

    try:
        await asyncio.to_thread(control, site.broker, "set_disk_free_limit", "900GB")
        text = await until(reason, lambda text: text.startswith("DiskAlarm"), seconds=30)
        assert "has less free disk than its limit of 900000000000 bytes: all publishers are blocked" in text
    finally:
        await asyncio.to_thread(control, site.broker, "set_disk_free_limit", "50MB")
    await until(reason, lambda text: text.startswith("Whole"), seconds=30)


@pytest.mark.slow
async def test_f48_a_limit_that_was_set_at_run_time_only_is_gone_with_a_restart_and_said(site: Site) -> None:
    driven = drive(site.wire, a_rabbit(nodes={"memoryLimit": "1Gi", "running": 1}))
    await asyncio.to_thread(control, site.broker, "set_vm_memory_high_watermark", "absolute", "1GiB")

    async def ready() -> str:
        found = verdict(await driven.desk.one_pass(KEY), ConditionType.READY)
        return "" if found is None else found.message

    await until(ready, lambda text: not text, seconds=15)
    await asyncio.to_thread(site.broker.stop)
    await asyncio.to_thread(site.broker.start)
    text = await until(ready, bool, seconds=15)
    assert text == (
        "memoryLimit of psa@localhost is 1000000000 bytes, 1024MiB is asked:"
        " vm_memory_high_watermark.absolute = 1024MiB in its rabbitmq.conf"
    )


async def test_a_password_that_was_changed_elsewhere_is_wrong_credentials_and_nothing_else(
    site: Site,
) -> None:
    user = site.user()
    await site.by_hand("PUT", "users", user, password="first", tags="administrator")
    wire = transport(site.broker, user, "first")
    driven = drive(wire, a_rabbit())
    await driven.quiet()
    await site.by_hand("PUT", "users", user, password=PASSWORD, tags="administrator")
    with pytest.raises(PermanentError) as refused:
        await driven.desk.look(KEY)
    assert refused.value.reason == "WrongCredentials"
    assert "first" not in str(refused.value)
    await wire.close()
