"""Ways into a real RabbitMQ: rights, passwords, nodes that are away, a missing plugin, names that mislead."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from crds.meta import ConditionType, Truth
from crds.rabbitmq import RabbitMQSpec
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.rabbitmq.client import Call
from tests.builders_haproxy import said
from tests.real_haproxy import free_address, refusing_address, until
from tests.real_rabbitmq import (
    KEY,
    Driven,
    Site,
    a_rabbit,
    a_running_broker,
    a_site,
    a_topology,
    drive,
    the_broker,
    transport,
)

OVERVIEW = Call("GET", ("overview",))
CAP = {"pattern": "^e", "definition": {"max-length": 5}}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with a_site() as site:
        yield site


async def a_user(site: Site, tags: str, **permission: str) -> str:
    """Make a user whose password is its name."""
    user = site.user()
    await site.by_hand("PUT", "users", user, password=user, tags=tags)
    if permission:
        await site.by_hand("PUT", "permissions", "{v}", user, **permission)
    return user


async def test_a_wrong_password_is_told_from_missing_rights(site: Site) -> None:
    wrong = transport(site.broker, password="guessed")
    with pytest.raises(PermanentError, match="does not take the password of user") as refused:
        await wrong.send(OVERVIEW)
    assert refused.value.reason == "WrongCredentials"
    await wrong.close()


@pytest.mark.parametrize(
    ("tags", "path", "hint"),
    [
        ("", ("overview",), "set_user_tags {u} management"),
        ("monitoring", ("users",), "set_user_tags {u} administrator"),
        ("policymaker", ("permissions",), "set_user_tags {u} administrator"),
    ],
    ids=["no tag", "may not see users", "may not see permissions"],
)
async def test_f52_a_missing_tag_is_401_too_and_the_command_that_gives_it_is_said(
    site: Site, tags: str, path: tuple[str, ...], hint: str
) -> None:
    user = await a_user(site, tags)
    wire = transport(site.broker, user, user)
    with pytest.raises(PermanentError, match="may not GET") as refused:
        await wire.send(Call("GET", path))
    assert refused.value.reason == "MissingPrivilege"
    assert str(refused.value).endswith(f"rabbitmqctl {hint.format(u=user)}")
    await wire.close()


async def test_f52_all_rights_that_a_look_is_missing_are_said_at_once(site: Site) -> None:
    user = await a_user(site, "monitoring", configure=".*", write=".*", read=".*")
    wire = transport(site.broker, user, user)
    spec = a_topology(permissions={"someone": {"configure": "", "write": "", "read": ""}})
    driven = drive(wire, a_rabbit(users={"someone": {"password": "app"}}, vhosts={site.vhost: spec}))
    with pytest.raises(PermanentError) as refused:
        await driven.desk.look(KEY)
    assert refused.value.reason == "MissingPrivilege"
    assert "/api/users" in str(refused.value)
    assert "/api/permissions" in str(refused.value)
    await wire.close()


@pytest.mark.parametrize(
    ("tags", "has_permissions", "spec"),
    [
        ("monitoring", False, {}),
        ("monitoring", True, a_topology()),
        ("monitoring,policymaker", True, a_topology(policies={"cap": CAP})),
    ],
    ids=["nodes alone", "exchanges, queues, bindings", "policies, too"],
)
async def test_the_rights_that_the_guide_names_are_enough_and_fewer_are_not(
    site: Site, tags: str, *, has_permissions: bool, spec: dict[str, object]
) -> None:
    rights = {"configure": ".*", "write": ".*", "read": ".*"} if has_permissions else {}
    fewer = tags.rpartition(",")[0] or "management"
    for given in (tags, fewer):
        user = await a_user(site, given, **rights)
        wire = transport(site.broker, user, user)
        vhosts = {site.vhost: spec} if spec else {}
        driven = drive(wire, a_rabbit(nodes={"running": 1}, vhosts=vhosts))
        if given == tags:
            assert (await driven.quiet()).blocked is None
            await site.wire.send(Call("DELETE", ("policies", site.vhost, "cap"), accepts=(404,)))
        else:
            assert await reason(driven) == "MissingPrivilege"
        await wire.close()


async def reason(driven: Driven) -> str | None:
    """Return why an object cannot be seen, or not be made as asked."""
    try:
        plan = await driven.quiet()
    except PermanentError as exc:
        return exc.reason
    return None if plan.blocked is None else plan.blocked[0]


async def test_lists_that_are_empty_for_want_of_rights_are_not_taken_for_absence(site: Site) -> None:
    await drive(site.wire, a_rabbit(vhosts={site.vhost: a_topology()})).quiet()
    user = await a_user(site, "monitoring")
    wire = transport(site.broker, user, user)
    driven = drive(wire, a_rabbit(vhosts={site.vhost: a_topology()}))
    plan = await driven.desk.one_pass(KEY)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "MissingPrivilege"
    assert f"rabbitmqctl set_permissions -p {site.vhost} {user} '.*' '.*' '.*'" in plan.blocked[1]
    await wire.close()


async def test_a_queue_that_we_may_not_make_is_no_matter_of_the_password(site: Site) -> None:
    user = await a_user(site, "monitoring", configure="^mine", write=".*", read=".*")
    wire = transport(site.broker, user, user)
    driven = drive(wire, a_rabbit(vhosts={site.vhost: {"queues": {"theirs": {}, "mine": {}}}}))
    plan = await driven.quiet()
    assert plan.blocked is not None
    assert plan.blocked[0] == "MissingPrivilege"
    assert "Access refused" in plan.blocked[1]
    assert await site.names("queues") == ["mine"]
    await wire.close()


async def test_the_next_node_is_asked_where_one_is_not_reached_and_kept(site: Site) -> None:
    with refusing_address() as dead:
        urls = [f"http://{dead}", f"http://{site.broker.config.management}"]
        wire = transport(site.broker, urls=urls)
        for _ in range(2):
            assert (await wire.send(OVERVIEW)).status == 200
        await wire.close()


async def test_no_node_at_all_is_surely_not_sent() -> None:
    with refusing_address() as dead:
        wire = transport(the_broker(), urls=[f"http://{dead}"])
        with pytest.raises(NotSentError, match=r"^cannot connect to rabbit at .*: nobody listens there$"):
            await wire.send(OVERVIEW)
        await wire.close()


async def test_a_node_that_takes_the_request_and_says_nothing_ends_in_time() -> None:
    gone = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        wire = transport(the_broker(), urls=[f"http://{host}:{port}"], deadline_s=0.3)
        began = asyncio.get_running_loop().time()
        with pytest.raises(TransientError, match=r"no answer within 0\.3 s"):
            await wire.send(OVERVIEW)
        assert asyncio.get_running_loop().time() - began < 1
        await wire.close()
        await gone.wait()


async def test_something_else_that_listens_there_is_no_broker() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        wire = transport(the_broker(), urls=[f"http://{host}:{port}"])
        with pytest.raises(TransientError, match="GET /api/overview"):
            await wire.send(OVERVIEW)
        await wire.close()


async def test_a_user_of_ours_is_never_changed(site: Site) -> None:
    driven = drive(site.wire, a_rabbit(users={site.wire.user: {"password": "app", "tags": []}}))
    plan = await driven.desk.one_pass(KEY)
    assert plan.steps == ()
    assert plan.blocked is not None
    assert plan.blocked[0] == "OwnUser"


async def test_47_a_missing_secret_ends_the_look_before_anything_is_sent(site: Site) -> None:
    driven = drive(site.wire, a_rabbit(users={"someone": {"password": "unknown"}}))
    with pytest.raises(PermanentError) as refused:
        await driven.desk.look(KEY)
    assert (refused.value.reason, driven.wire.sent) == ("SecretUnavailable", [])


@pytest.mark.parametrize(
    "name",
    ["..", ".", "../admin", "a/b", "a%2Fb", "%2F", "a b", "a\nb", "", "amq.mine", "q?x", "é", "a" * 200],
)
@pytest.mark.parametrize("kind", ["queues", "exchanges"])
def test_a_name_that_could_mislead_is_refused_where_it_is_written(name: str, kind: str) -> None:
    wish = {"type": "topic"} if kind == "exchanges" else {}
    with pytest.raises(ValueError, match=r"string_pattern_mismatch|broker's own"):
        RabbitMQSpec.model_validate({"endpoint": "rabbit", "vhosts": {"psa": {kind: {name: wish}}}})


@pytest.mark.parametrize("name", ["..", "//", "/..", "a/b", "%2F", "", "a b"])
def test_a_virtual_host_that_could_mislead_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="string_pattern_mismatch"):
        RabbitMQSpec.model_validate({"endpoint": "rabbit", "vhosts": {name: {}}})


async def test_the_virtual_host_called_slash_is_reached(site: Site) -> None:
    driven = drive(site.wire, a_rabbit(vhosts={"/": {"queues": {"in-the-root": {}}}}))
    await driven.quiet()
    absent = a_rabbit(vhosts={"/": {"absent": {"queues": ["in-the-root"]}}}, allow=["delete-queue"])
    driven.desk.put(absent)
    await until(lambda: driven.desk.one_pass(KEY), lambda plan: not plan.steps and plan.blocked is None)


@pytest.mark.slow
async def test_a_broker_without_the_plugin_is_told_what_to_enable() -> None:
    # A port that the system gives away is above 32767: ten thousand below it there is one, too.
    management = free_address()
    host, _, port = management.rpartition(":")
    listeners = (("listeners.tcp.1", f"{host}:{int(port) - 10000}"),)
    with a_running_broker(has_management=False, more=listeners) as broker:
        wire = transport(broker, urls=[f"http://{management}"])
        driven = drive(wire, a_rabbit())
        with pytest.raises(NotSentError, match="its management API is not, or not yet"):
            await driven.desk.look(KEY)

        async def reason() -> str:
            try:
                await driven.desk.look(KEY)
            except NotSentError:
                await asyncio.sleep(0.5)
                return ""
            except PermanentError as exc:
                return f"{exc.reason}: {exc}"
            return "none"

        found = await until(reason, bool, seconds=20)
        assert found.startswith("ManagementPluginMissing: ")
        assert found.endswith("rabbitmq-plugins enable rabbitmq_management")
        await wire.close()


async def test_a_version_below_the_minimum_names_both(site: Site) -> None:
    plan = await drive(site.wire, a_rabbit(minimumVersion="3.99")).desk.one_pass(KEY)
    found = {each.type: each for each in plan.verdicts}[ConditionType.READY]
    version = (await site.by_hand("GET", "overview"))["rabbitmq_version"]  # type: ignore[index]  # JSON
    assert (found.status, found.reason) == (Truth.FALSE, "VersionTooLow")
    assert found.message == f"it runs RabbitMQ {version}, at least 3.99 is asked"
    assert said(plan) == []
