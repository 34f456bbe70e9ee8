"""One test body against the fake and against a real broker: a fake that differs is a bug."""

from collections.abc import AsyncIterator

import pytest

from reconcilers.contract import PermanentError, Secret, TransientError
from reconcilers.rabbitmq.client import RabbitBrokers, Wire
from reconcilers.rabbitmq.model import Look, Topic
from reconcilers.rabbitmq.passwords import is_password
from tests.fakes.rabbitmq import FakeRabbit
from tests.real_rabbitmq import a_site

ALL = frozenset(Topic)
DURABLE = {"durable": True, "auto_delete": False}


class Bench:
    """The calls of the slice on one broker, and a virtual host for the test."""

    def __init__(self, wire: Wire, vhost: str) -> None:
        self._client = RabbitBrokers({"rabbit": wire})
        self.vhost = vhost

    async def look(self) -> Look:
        return await self._client.look("rabbit", ALL)

    async def put(self, *path: str, **body: object) -> None:
        await self._client.put(
            "rabbit", *path, body={name.replace("_to", "-to"): v for name, v in body.items()}
        )

    async def queue(self, name: str, **arguments: object) -> None:
        await self._client.put(
            "rabbit", "queues", self.vhost, name, body={**DURABLE, "arguments": arguments_of(arguments)}
        )

    async def exchange(self, name: str) -> None:
        body = {**DURABLE, "type": "topic", "internal": False, "arguments": {}}
        await self._client.put("rabbit", "exchanges", self.vhost, name, body=body)

    async def bind(self, source: str, queue: str, key: str, **arguments: object) -> None:
        body = {"routing_key": key, "arguments": arguments}
        await self._client.post("rabbit", "bindings", self.vhost, "e", source, "q", queue, body=body)

    async def unbind(self, source: str, queue: str, key: str) -> None:
        await self._client.delete("rabbit", "bindings", self.vhost, "e", source, "q", queue, key)

    async def delete(self, *path: str, query: str = "") -> None:
        await self._client.delete("rabbit", *path, query=query)


def arguments_of(named: dict[str, object]) -> dict[str, object]:
    return {f"x-{name.replace('_', '-')}": value for name, value in named.items()}


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        fake = FakeRabbit()
        fake.vhosts.add("test")
        yield Bench(fake, "test")
        return
    async with a_site() as site:
        yield Bench(site.wire, site.vhost)


async def test_what_is_declared_is_seen_at_once_and_the_same_again_is_nothing(bench: Bench) -> None:
    for _ in range(2):
        await bench.exchange("events")
        await bench.queue("mail", max_length=10, message_ttl=1000)
        await bench.bind("events", "mail", "ticket.*")
    seen = await bench.look()
    queue = seen.queues[bench.vhost, "mail"]
    assert (queue.type, queue.is_durable, queue.is_auto_delete) == ("classic", True, False)
    assert queue.arguments == {"x-max-length": 10, "x-message-ttl": 1000}
    assert queue.messages == 0
    exchange = seen.exchanges[bench.vhost, "events"]
    assert (exchange.type, exchange.is_durable, exchange.is_internal) == ("topic", True, False)
    links = [str(link) for link in seen.links if link.vhost == bench.vhost]
    assert links == ["events → ticket.* → queue mail"]
    assert (bench.vhost, "") in seen.exchanges


async def test_f51_another_argument_is_refused_for_good_and_changes_nothing(bench: Bench) -> None:
    await bench.queue("mail", max_length=10)
    with pytest.raises(PermanentError, match="inequivalent arg") as refused:
        await bench.queue("mail", max_length=20)
    assert refused.value.reason == "InequivalentArguments"
    assert (await bench.look()).queues[bench.vhost, "mail"].arguments == {"x-max-length": 10}


async def test_a_user_is_salted_anew_each_time_and_recognised_by_its_password(bench: Bench) -> None:
    found = []
    for _ in range(2):
        await bench.put("users", f"u-{bench.vhost}", password="hunter2", tags="monitoring,policymaker")
        found.append((await bench.look()).users[f"u-{bench.vhost}"])
    for user in found:
        assert is_password(user, Secret("hunter2"))
        assert not is_password(user, Secret("hunter3"))
        assert user.tags == {"monitoring", "policymaker"}
    assert found[0].hash != found[1].hash
    again = {"password_hash": found[0].hash, "hashing_algorithm": found[0].algorithm, "tags": ""}
    await bench.put("users", f"u-{bench.vhost}", **again)
    user = (await bench.look()).users[f"u-{bench.vhost}"]
    assert (is_password(user, Secret("hunter2")), user.tags) == (True, frozenset())
    await bench.delete("users", f"u-{bench.vhost}")
    assert f"u-{bench.vhost}" not in (await bench.look()).users


async def test_a_user_that_is_put_without_a_password_is_made_all_the_same(bench: Bench) -> None:
    await bench.put("users", f"u-{bench.vhost}", tags="")
    user = (await bench.look()).users[f"u-{bench.vhost}"]
    await bench.delete("users", f"u-{bench.vhost}")
    assert not is_password(user, Secret("hunter2"))


async def test_rights_limits_and_policies_are_seen_as_they_were_set(bench: Bench) -> None:
    user, vhost = f"u-{bench.vhost}", bench.vhost
    await bench.exchange("events")
    await bench.put("users", user, password="x", tags="")
    await bench.put("permissions", vhost, user, configure="^$", write="^e", read=".*")
    await bench.put("topic-permissions", vhost, user, exchange="events", write="^a", read="^b")
    await bench.put("vhost-limits", vhost, "max-queues", value=7)
    policy = {"pattern": "^m", "apply-to": "queues", "priority": 3, "definition": {"max-length": 5}}
    await bench.put("policies", vhost, "cap", **policy)
    seen = await bench.look()
    grant, topics = seen.grants[vhost, user], seen.topic_grants[vhost, user, "events"]
    assert (grant.configure, grant.write, grant.read) == ("^$", "^e", ".*")
    assert (topics.write, topics.read) == ("^a", "^b")
    assert seen.limits[vhost] == {"max-queues": 7}
    found = seen.policies[vhost, "cap"]
    assert (found.pattern, found.target, found.priority) == ("^m", "queues", 3)
    assert found.definition == {"max-length": 5}
    await bench.delete("users", user)


async def test_a_binding_goes_by_its_key_and_with_its_queue(bench: Bench) -> None:
    await bench.exchange("events")
    await bench.queue("mail")
    for key, arguments in (("a/b:c@d.#", {}), ("", {}), ("x.*", {"x-match": "all", "n": 1})):
        await bench.bind("events", "mail", key, **arguments)
    links = {link: key for link, key in (await bench.look()).links.items() if link.vhost == bench.vhost}
    assert sorted(link.routing_key for link in links) == ["", "a/b:c@d.#", "x.*"]
    first = next(link for link in links if link.routing_key.startswith("a/b"))
    await bench.unbind("events", "mail", links[first])
    left = [link for link in (await bench.look()).links if link.vhost == bench.vhost]
    assert first not in left
    assert len(left) == 2
    await bench.delete("queues", bench.vhost, "mail", query="if-empty=true&if-unused=true")
    assert [link for link in (await bench.look()).links if link.vhost == bench.vhost] == []


async def test_deleting_what_is_not_there_is_done(bench: Bench) -> None:
    await bench.delete("queues", bench.vhost, "nobody", query="if-empty=true&if-unused=true")
    await bench.delete("policies", bench.vhost, "nobody")
    await bench.delete("users", "nobody-at-all")


async def test_an_exchange_that_is_in_use_is_not_deleted(bench: Bench) -> None:
    await bench.exchange("events")
    await bench.queue("mail")
    await bench.bind("events", "mail", "#")
    with pytest.raises(PermanentError, match="in use"):
        await bench.delete("exchanges", bench.vhost, "events", query="if-unused=true")


async def test_a_quorum_queue_does_not_know_the_flags(bench: Bench) -> None:
    await bench.queue("log", queue_type="quorum")
    with pytest.raises(PermanentError, match="not supported"):
        await bench.delete("queues", bench.vhost, "log", query="if-empty=true&if-unused=true")
    await bench.delete("queues", bench.vhost, "log")
    assert (bench.vhost, "log") not in (await bench.look()).queues


async def test_a_virtual_host_or_an_end_that_is_missing_is_no_failure_for_good(bench: Bench) -> None:
    with pytest.raises(TransientError, match="no queue 'nobody'"):
        await bench.bind("amq.topic", "nobody", "#")
    with pytest.raises(TransientError, match="vhost_not_found"):
        await bench.put("queues", "no-such-vhost", "q", **DURABLE, arguments={})


@pytest.mark.parametrize("name", ["..", ".", "", "a\nb", "x" * 600])
async def test_a_name_that_could_lead_elsewhere_never_becomes_a_path(bench: Bench, name: str) -> None:
    with pytest.raises(PermanentError, match="no name that can stand in a path") as refused:
        await bench.delete("queues", bench.vhost, name)
    assert refused.value.reason == "UnsafeName"


@pytest.mark.parametrize("name", ["a/b", "%2F", "a%2Fb", "q?columns=x", "a b", "é"])
async def test_a_name_with_marks_of_a_path_is_one_part_of_it(bench: Bench, name: str) -> None:
    await bench.queue(name)
    assert (bench.vhost, name) in (await bench.look()).queues
    await bench.delete("queues", bench.vhost, name)
    assert (bench.vhost, name) not in (await bench.look()).queues
