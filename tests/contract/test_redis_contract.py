"""What we rely on in Redis, against the fake and the real one; and our tables against the real one."""

from collections.abc import Iterator
from typing import Protocol

import pytest

from lab.redis import LabRedis
from reconcilers.redis.answers import read_account, read_info
from reconcilers.redis.client import Command, Refused, Reply
from reconcilers.redis.model import Account, Info
from reconcilers.redis.normal import IMMUTABLE, is_same
from reconcilers.redis.rights import NEEDED, allowed, fingerprint, patterns
from tests.fakes.redis import FakeRedis
from tests.real_redis import NamedSecrets, Site, a_site, transport


class Rig(Protocol):
    """A server without a password."""

    async def ask(self, *commands: Command) -> tuple[Reply, ...]: ...

    def restart(self) -> None: ...


class RealRig:
    def __init__(self, server: LabRedis) -> None:
        self._server = server

    async def ask(self, *commands: Command) -> tuple[Reply, ...]:
        # A connection of its own each time: a password set meanwhile is tested as a client meets it.
        return await transport(self._server, None).ask(*commands)

    def restart(self) -> None:
        self._server.kill()
        self._server.start()


@pytest.fixture(params=["fake", "real"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "fake":
        yield FakeRedis()
        return
    with a_site() as site:
        yield RealRig(site.start(password=None))


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


async def one(rig: Rig, *words: str) -> Reply:
    (reply,) = await rig.ask(words)
    return reply


async def info(rig: Rig) -> Info:
    text = await one(rig, "INFO")
    assert isinstance(text, str)
    return read_info(text)


async def account(rig: Rig, name: str) -> Account | None:
    found = await one(rig, "ACL", "GETUSER", name)
    assert not isinstance(found, Refused)
    return read_account(found)


async def test_a_new_server_is_an_empty_primary(rig: Rig) -> None:
    found = await info(rig)

    assert (found.role, found.keys, found.is_loading, found.has_config_file) == ("primary", 0, False, True)
    assert (found.memory.limit_bytes, found.memory.evicts) == (0, False)
    assert found.settings["appendonly"] == "no"


async def test_several_settings_are_set_in_one_command_in_the_servers_spelling(rig: Rig) -> None:
    assert await one(rig, "CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "AllKeys-LRU") == "OK"
    found = await one(rig, "CONFIG", "GET", "maxmemory", "maxmemory-policy")
    assert isinstance(found, list)
    assert set(zip(found[::2], found[1::2], strict=True)) == {
        ("maxmemory", "1073741824"),
        ("maxmemory-policy", "allkeys-lru"),
    }


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (("maxmemory", "1tb"), "CONFIG SET failed"),
        (("databases", "4"), "can't set immutable config"),
        (("nosuch", "1"), "Unknown option or number of arguments"),
    ],
)
async def test_with_one_bad_setting_none_is_set(rig: Rig, bad: tuple[str, str], words: str) -> None:
    refused = await one(rig, "CONFIG", "SET", "timeout", "60", *bad)
    assert isinstance(refused, Refused)
    assert words in refused.text
    assert await one(rig, "CONFIG", "GET", "timeout") == ["timeout", "0"]


async def test_a_setting_that_is_unknown_is_simply_not_told(rig: Rig) -> None:
    assert await one(rig, "CONFIG", "GET", "timeout", "nosuch") == ["timeout", "0"]


async def test_a_restart_has_another_run_and_keeps_only_what_was_rewritten(rig: Rig) -> None:
    before = (await info(rig)).run_id
    await one(rig, "CONFIG", "SET", "timeout", "60")
    await one(rig, "ACL", "SETUSER", "kept", "on", "+get")
    await one(rig, "CONFIG", "REWRITE")
    await one(rig, "CONFIG", "SET", "timeout", "90")
    await one(rig, "ACL", "SETUSER", "lost", "on", "+get")
    rig.restart()

    assert (await info(rig)).run_id != before
    assert await one(rig, "CONFIG", "GET", "timeout") == ["timeout", "60"]
    assert await account(rig, "kept") is not None
    assert await account(rig, "lost") is None


async def test_a_user_is_made_from_nothing_in_one_command(rig: Rig) -> None:
    secret = NamedSecrets(one="pass word").read("one")
    rules = ("reset", "on", "~app:*", "&app.*", "+@read", "-keys", f"#{fingerprint(secret)}")
    for _ in range(2):
        assert await one(rig, "ACL", "SETUSER", "app", *rules) == "OK"
        found = await account(rig, "app")
        assert found is not None
        assert (found.is_enabled, found.needs_no_password, found.has_selectors) == (True, False, False)
        assert found.hashes == {fingerprint(secret)}
        assert (found.keys, found.channels) == (("~app:*",), ("&app.*",))
        await one(rig, "ACL", "SETUSER", "app", "+@all", "nopass", "~*")


async def test_a_user_with_one_unknown_rule_is_not_changed(rig: Rig) -> None:
    refused = await one(rig, "ACL", "SETUSER", "app", "on", "+nosuch")
    assert isinstance(refused, Refused)
    assert await account(rig, "app") is None


async def test_the_password_of_config_is_the_default_users_only_one(rig: Rig) -> None:
    found = await account(rig, "default")
    assert found is not None
    assert found.needs_no_password
    secret = NamedSecrets(one="later gone").read("one")
    replies = await rig.ask(
        ("CONFIG", "SET", "requirepass", secret.value),
        ("ACL", "GETUSER", "default"),
        # The same again is nothing to CONFIG SET, whatever became of the user since.
        ("ACL", "SETUSER", "default", "nopass"),
        ("CONFIG", "SET", "requirepass", secret.value),
        ("ACL", "GETUSER", "default"),
    )
    changed, open_again = replies[1], replies[4]
    assert not isinstance(changed, Refused)
    assert not isinstance(open_again, Refused)
    first, second = read_account(changed), read_account(open_again)
    assert first is not None
    assert second is not None
    assert first.hashes == {fingerprint(secret)}
    assert not first.needs_no_password
    assert second.needs_no_password


async def test_following_somebody_is_seen_at_once(rig: Rig) -> None:
    assert await one(rig, "REPLICAOF", "127.0.0.1", "1") == "OK"
    assert (await info(rig)).role == "replica of 127.0.0.1:1"


async def test_a_command_that_is_there_is_told_and_one_that_is_not_is_nothing(rig: Rig) -> None:
    found = await one(rig, "COMMAND", "INFO", "GET", "NOSUCH")
    assert isinstance(found, list)
    assert [bool(each) for each in found] == [True, False]


async def test_the_table_of_immutable_settings_is_the_servers(site: Site) -> None:
    wire = transport(site.start())
    (found,) = await wire.ask(("CONFIG", "GET", "*"))
    assert isinstance(found, list)
    names = [str(name) for name in found[::2]]
    replies = await wire.ask(
        *[("CONFIG", "SET", name, str(value)) for name, value in zip(names, found[1::2], strict=True)]
    )
    immutable = {
        name
        for name, reply in zip(names, replies, strict=True)
        if isinstance(reply, Refused) and "immutable" in reply.text
    }

    assert immutable - {"replicaof", "slaveof"} == IMMUTABLE


#: Settings as people write them; the server's own spelling of each must be no difference.
SPELLINGS = [
    ("maxmemory", "1gb"),
    ("maxmemory", "1000k"),
    ("maxmemory", "512MB"),
    ("maxmemory-clients", "5%"),
    ("proto-max-bulk-len", "1g"),
    ("repl-backlog-size", "2mb"),
    ("auto-aof-rewrite-min-size", "64mb"),
    ("appendonly", "YES"),
    ("appendfsync", "EverySec"),
    ("maxmemory-policy", "ALLKEYS-lru"),
    ("save", ""),
    ("save", "300 10 900 1"),
    ("notify-keyspace-events", "KEA"),
    ("notify-keyspace-events", "Ex"),
    ("notify-keyspace-events", "xKg$lshzetd"),
    ("notify-keyspace-events", ""),
    ("client-output-buffer-limit", "replica 256mb 64mb 60"),
    ("client-output-buffer-limit", "slave 1gb 64mb 60 pubsub 32mb 8mb 60"),
    ("client-output-buffer-limit", "normal 0 0 0"),
    ("slave-priority", "50"),
    ("replica-read-only", "yes"),
    ("min-slaves-to-write", "0"),
    ("hash-max-ziplist-entries", "256"),
    ("list-max-ziplist-size", "-2"),
    ("shutdown-on-sigterm", "now save"),
    ("latency-tracking-info-percentiles", "50 99 99.90"),
    ("oom-score-adj-values", "0 200 800"),
    ("oom-score-adj", "relative"),
    ("oom-score-adj", "YES"),
    ("oom-score-adj", "absolute"),
    ("hz", "1000"),
    ("hz", "1"),
    ("repl-backlog-size", "1kb"),
    ("save", "0900 01"),
    ("replica-announce-ip", "Redis-A.example"),
    ("proc-title-template", "{title} {listen-addr} Cache"),
    ("active-defrag-ignore-bytes", "100mb"),
    ("slowlog-log-slower-than", "10000"),
    ("lua-time-limit", "5000"),
]


@pytest.mark.parametrize(("name", "value"), SPELLINGS, ids=[f"{name} {value}" for name, value in SPELLINGS])
async def test_what_the_server_makes_of_a_value_is_no_difference(site: Site, name: str, value: str) -> None:
    wire = transport(site.start())
    done, found = await wire.ask(("CONFIG", "SET", name, value), ("CONFIG", "GET", name))
    assert done == "OK", done
    assert isinstance(found, list)
    assert is_same(name, value, str(found[1])), found


RULES = [
    "+@all",
    "+@read +@write -keys",
    "+@all -@dangerous +info +config|get",
    "+@read -get +get",
    "-@all +config -config|set",
    "+@admin -acl -acl|setuser +acl|getuser",
    "+@all -@admin -@dangerous +@read",
    "+get +set +GET",
    "+@fast -@write +select|0",
    "+@all -config +config|get -debug",
]


@pytest.mark.parametrize("rules", RULES)
async def test_rules_and_what_the_server_shows_of_them_allow_the_same(site: Site, rules: str) -> None:
    wire = transport(site.start())
    (names,) = await wire.ask(("ACL", "CAT"))
    assert isinstance(names, list)
    lists = await wire.ask(*[("ACL", "CAT", str(name)) for name in names])
    catalog = {
        str(name): frozenset(map(str, each))
        for name, each in zip(names, lists, strict=True)
        if isinstance(each, list)
    }
    done, shown = await wire.ask(
        ("ACL", "SETUSER", "x", "reset", "on", "~a*", "%R~b*", "%W~b*", *rules.split()),
        ("ACL", "GETUSER", "x"),
    )
    assert done == "OK", done
    assert not isinstance(shown, Refused)
    found = read_account(shown)
    assert found is not None
    assert allowed(found.commands.split(), catalog) == allowed(rules.split(), catalog)
    assert patterns(found.keys) == patterns(["a*", "b*"])
    runs = {
        name: name.split("|")
        for name in allowed(rules.split(), catalog) & {"info", "config|rewrite", "acl|whoami"}
    }
    for words in runs.values():
        assert (await wire.ask(("ACL", "DRYRUN", "x", *words)))[0] == "OK"
    assert set(NEEDED) <= frozenset().union(*catalog.values())
