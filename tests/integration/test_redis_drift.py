"""What somebody changes on a real Redis by hand is found, planned in one sentence, put right and kept."""

from collections.abc import Iterator, Sequence

import pytest

from crds.meta import ConditionType, Truth
from lab.redis import LabRedis, RedisConfig
from reconcilers.contract import AnyResource
from tests.builders_haproxy import said, verdict
from tests.real_haproxy import free_address
from tests.real_redis import KEY, Site, a_redis, a_site, ask, drive, settings, transport

SPEC: dict[str, object] = {
    "config": {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "900 1 300 10 60 10000",
        "maxmemory": "4gb",
        "maxmemory-policy": "allkeys-lru",
        "timeout": 300,
        "tcp-keepalive": 300,
        "client-output-buffer-limit": "replica 256mb 64mb 60",
        "notify-keyspace-events": "KEA",
    },
    "password": "redis-password",
    "users": {
        "psa-app": {
            "passwords": ["app-password"],
            "keys": ["psa:*", "%R~shared:*"],
            "channels": ["psa.*"],
            "commands": ["+@read", "+@write", "-keys", "+config|get"],
        }
    },
}
SECRETS = {"app_password": "app secret"}
HASH = b"the SHA-256 of no password of ours".hex().ljust(64, "0")[:64]

#: Name, what the hand does, and the sentence that people read.
DRIFTS: Sequence[tuple[str, tuple[str, ...], str]] = (
    (
        "memory limit lowered",
        ("CONFIG", "SET", "maxmemory", "1gb"),
        "set maxmemory 1073741824 → 4gb, live, no restart",
    ),
    (
        "eviction switched off",
        ("CONFIG", "SET", "maxmemory-policy", "noeviction"),
        "set maxmemory-policy noeviction → allkeys-lru, live, no restart",
    ),
    (
        "append-only file switched off",
        ("CONFIG", "SET", "appendonly", "no"),
        "set appendonly no → yes, live, no restart",
    ),
    (
        "snapshots emptied",
        ("CONFIG", "SET", "save", ""),
        'set save "" → 900 1 300 10 60 10000, live, no restart',
    ),
    (
        "two settings at once",
        ("CONFIG", "SET", "timeout", "0", "tcp-keepalive", "60"),
        "set timeout 0 → 300, tcp-keepalive 60 → 300, live, no restart",
    ),
    (
        "a user's rights widened",
        ("ACL", "SETUSER", "psa-app", "+@admin", "~*"),
        "put the ACL user psa-app right: keys ~* → ~psa:* %R~shared:*, commands ",
    ),
    (
        "a user given another password",
        ("ACL", "SETUSER", "psa-app", f"#{HASH}"),
        "put the ACL user psa-app right: passwords others → as the secrets say",
    ),
    ("a user deleted", ("ACL", "DELUSER", "psa-app"), "make the ACL user psa-app"),
    (
        "the default user's password taken away",
        ("ACL", "SETUSER", "default", "nopass"),
        "set the default user's password: none needed → as its secret says",
    ),
)


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


def the_redis(**more: object) -> AnyResource:
    return a_redis(**{**SPEC, **more})


@pytest.mark.parametrize(("hand", "sentence"), [drift[1:] for drift in DRIFTS], ids=[d[0] for d in DRIFTS])
async def test_a_hand_made_drift_is_found_said_in_one_sentence_and_put_right(
    site: Site, hand: tuple[str, ...], sentence: str
) -> None:
    server = site.start()
    driven = drive(the_redis(), secrets=SECRETS, redis=transport(server))
    await driven.quiet()
    await ask(server, *hand)

    (found,) = said(await driven.desk.look(KEY))
    assert found.startswith(sentence)
    plan = await driven.desk.until_quiet(KEY)
    assert (plan.steps, plan.blocked) == ((), None)
    driven.sent.clear()
    await driven.desk.one_pass(KEY)
    assert driven.changes == []


async def test_what_was_put_right_outlives_a_crash_of_the_server(site: Site) -> None:
    server = site.start()
    driven = drive(the_redis(), secrets=SECRETS, redis=transport(server))
    await driven.quiet()
    for _, hand, _ in DRIFTS[:4]:
        await ask(server, *hand)
    await driven.quiet()
    server.kill()
    server.start()

    driven.sent.clear()
    plan = await driven.desk.one_pass(KEY)
    assert plan.steps == ()
    assert driven.changes == []


async def test_68_a_config_set_by_hand_is_healed_and_rewritten_and_1gb_is_1073741824(site: Site) -> None:
    server = site.start()
    driven = drive(a_redis(config={"maxmemory": "1gb"}), redis=transport(server))
    await driven.quiet()
    await ask(server, "CONFIG", "SET", "maxmemory", "2gb")
    await driven.quiet()
    assert driven.changes[-2:] == [("CONFIG", "SET", "maxmemory", "1gb"), ("CONFIG", "REWRITE")]
    assert "maxmemory 1gb" in server.config_file.read_text().splitlines()

    await ask(server, "CONFIG", "SET", "maxmemory", "1073741824")
    assert (await driven.desk.look(KEY)).steps == ()


async def test_only_what_differs_is_set_and_all_of_it_in_one_command(site: Site) -> None:
    server = site.start(more=("timeout 300",))
    driven = drive(a_redis(config=SPEC["config"]), redis=transport(server))
    await driven.quiet()

    (change,) = [each for each in driven.changes if each[:2] == ("CONFIG", "SET")]
    assert change[2::2] == (
        "appendonly",
        "save",
        "maxmemory",
        "maxmemory-policy",
        "notify-keyspace-events",
    )


async def test_old_names_of_settings_are_no_difference(site: Site) -> None:
    server = site.start()
    config = {
        "slave-priority": 50,
        "hash-max-ziplist-entries": 256,
        "client-output-buffer-limit": "slave 128mb 64mb 30",
    }
    driven = drive(a_redis(config=config), redis=transport(server))
    plan = await driven.quiet()

    assert plan.blocked is None
    found = await settings(server, "replica-priority", "hash-max-listpack-entries")
    assert found == {"replica-priority": "50", "hash-max-listpack-entries": "256"}


async def test_71_an_immutable_setting_that_differs_is_named_with_both_values_and_the_rest_is_set(
    site: Site,
) -> None:
    server = site.start()
    driven = drive(a_redis(config={"databases": 32, "timeout": 60}), redis=transport(server))
    plan = await driven.quiet()

    assert plan.blocked is not None
    assert plan.blocked[0] == "ImmutableConfig"
    assert plan.blocked[1] == (
        "databases is 16, 32 is asked: Redis reads this only as it starts; change its file, and restart it"
    )
    assert await settings(server, "timeout") == {"timeout": "60"}


async def test_a_setting_that_this_redis_does_not_have_is_named_and_the_rest_is_set(site: Site) -> None:
    server = site.start()
    driven = drive(a_redis(config={"maxmemroy": "1gb", "timeout": 60}), redis=transport(server))
    plan = await driven.quiet()

    assert plan.blocked == ("UnknownSetting", "Redis 7.0.15 has no setting maxmemroy")
    assert await settings(server, "timeout") == {"timeout": "60"}


async def test_what_is_destructive_comes_last_each_behind_its_own_verb(site: Site) -> None:
    server = site.start(more=("appendonly yes",))
    await ask(server, "SET", "key", "x" * 4_000_000)
    config = {"appendonly": "no", "save": "", "maxmemory": "1mb", "timeout": 60}
    plan = await drive(a_redis(config=config, allow=["evict"]), redis=transport(server)).desk.look(KEY)

    assert [(step.summary.split(",")[0], step.needs and step.needs.value) for step in plan.steps] == [
        ("set timeout 0 → 60", None),
        ("set maxmemory 0 → 1mb", "evict"),
        ("set appendonly yes → no", "lower-durability"),
    ]


@pytest.mark.parametrize("name", ["requirepass", "port", "bind", "dir", "rename-command", "tls-port"])
def test_a_setting_that_would_cut_us_off_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=r"secret|file|data"):
        a_redis(config={name: "1"})


@pytest.mark.parametrize(
    "spec",
    [
        {"users": {"a b": {}}},
        {"users": {"app\nCONFIG": {}}},
        {"users": {"..": {}}},
        {"users": {"a%2Fb": {}}},
        {"users": {"a/b": {}}},
        {"users": {"app": {"keys": ["a b"]}}},
        {"users": {"app": {"commands": ["+get >password"]}}},
        {"users": {"app": {"commands": ["nopass"]}}},
        {"config": {"maxmemory\r\nFLUSHALL": "1"}},
        {"config": {"maxmemory": "1\r\nFLUSHALL"}},
        {"replication": {"replicaOf": "NO ONE"}},
    ],
)
def test_hostile_names_are_refused_before_anything_is_sent(spec: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        a_redis(**spec)


async def test_hostile_passwords_are_only_passwords(site: Site) -> None:
    server = site.start()
    hostile = 'x" on nopass ~* +@all\\ > # ä'
    driven = drive(the_redis(), secrets={"app_password": hostile}, redis=transport(server))
    await driven.quiet()

    mine = transport(server, hostile, user="psa-app")
    assert (await mine.ask(("GET", "psa:1")))[0] is None
    assert hostile not in repr(driven.desk)


async def test_a_missing_secret_is_said_and_nothing_is_sent(site: Site) -> None:
    driven = drive(the_redis(), redis=transport(site.start()))
    with pytest.raises(Exception, match="have no secret app-password"):
        await driven.desk.look(KEY)
    assert driven.sent == []


async def test_a_rotated_password_is_followed_although_the_server_still_has_the_old_one(site: Site) -> None:
    server = site.start()
    wire = transport(server)
    driven = drive(a_redis(password="redis-password"), redis=wire)
    await driven.quiet()
    driven.secrets.values["redis-password"] = "the next one"
    wire._read_password = lambda: driven.secrets.read("redis-password")

    assert said(await driven.desk.look(KEY)) == [
        "set the default user's password: another → as its secret says"
    ]
    await driven.quiet()
    assert (await transport(server, "the next one").ask(("PING",)))[0] == "PONG"


async def test_a_password_that_is_not_the_endpoints_own_would_cut_us_off_and_is_not_set(site: Site) -> None:
    server = site.start()
    driven = drive(
        a_redis(password="redis-password"), secrets={"redis_password": "other"}, redis=transport(server)
    )
    plan = await driven.quiet()

    assert plan.blocked is not None
    assert plan.blocked[0] == "CutsOff"
    assert (await transport(server).ask(("PING",)))[0] == "PONG"


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ({"enabled": False, "passwords": ["own"], "commands": ["+@all"]}, "could not come again"),
        ({"commands": ["+@all"]}, "passwordFile would not be among the passwords"),
        ({"passwords": ["own"], "commands": ["+@all", "-config|set"]}, "could not run config|set any more"),
    ],
    ids=["disabled", "without its password", "without a right"],
)
async def test_the_user_that_we_come_as_cannot_lock_itself_out(
    site: Site, account: dict[str, object], words: str
) -> None:
    server = site.start()
    await ask(server, "ACL", "SETUSER", "psa", "on", ">own password", "~*", "+@all")
    mine = transport(server, "own password", user="psa")
    driven = drive(a_redis(users={"psa": account}), secrets={"own": "own password"}, redis=mine)
    plan = await driven.quiet()

    assert plan.blocked is not None
    assert plan.blocked[0] == "CutsOff"
    assert words in plan.blocked[1]
    assert driven.changes == []


async def test_an_unknown_command_in_a_users_rules_is_named_and_other_users_are_made(site: Site) -> None:
    server = site.start()
    users = {"one": {"commands": ["+nosuch"]}, "two": {"commands": ["+get"]}}
    driven = drive(a_redis(users=users), redis=transport(server))
    plan = await driven.quiet()

    assert plan.blocked == ("UnknownCommand", "users.one: Redis 7.0.15 knows no command +nosuch")
    assert await ask(server, "ACL", "USERS") == ["default", "two"]


async def test_a_user_has_only_its_own_channels_where_new_ones_begin_with_all(site: Site) -> None:
    server = site.start()
    users = {"none": {"commands": ["+get"]}, "some": {"channels": ["psa.*"], "commands": ["+get"]}}
    driven = drive(
        a_redis(config={"acl-pubsub-default": "allchannels"}, users=users), redis=transport(server)
    )
    plan = await driven.quiet()

    assert (plan.steps, plan.blocked) == ((), None)
    for name, channels in (("none", ""), ("some", "&psa.*")):
        found = await ask(server, "ACL", "GETUSER", name)
        assert isinstance(found, list)
        assert found[found.index("channels") + 1] == channels


async def test_a_file_that_cannot_be_written_is_said_and_tried_again_until_it_can(site: Site) -> None:
    server = site.start()
    driven = drive(a_redis(config={"timeout": 60}), redis=transport(server))
    await driven.quiet()
    server.folder.chmod(0o555)  # CONFIG REWRITE makes a new file there
    server.config_file.chmod(0o444)
    await ask(server, "CONFIG", "SET", "timeout", "0")
    await driven.desk.one_pass(KEY)
    plan = await driven.desk.look(KEY)

    server.folder.chmod(0o755)
    degraded, ready = verdict(plan, ConditionType.DEGRADED), verdict(plan, ConditionType.READY)
    assert degraded is not None
    assert (degraded.status, degraded.reason) == (Truth.TRUE, "NotPersisted")
    assert "CONFIG REWRITE" in degraded.message
    assert ready is not None
    assert ready.status is Truth.TRUE
    assert said(plan) == ["write what was set into the server's own file: the last try failed"]
    degraded = verdict(await driven.quiet(), ConditionType.DEGRADED)
    assert degraded is not None
    assert degraded.status is Truth.FALSE
    assert "timeout 60" in server.config_file.read_text().splitlines()


class WithoutFile(LabRedis):
    """Started with arguments alone."""

    @property
    def argv(self) -> Sequence[str]:
        *before, _ = super().argv
        host, _, port = self.config.address.rpartition(":")
        return *before, "--bind", host, "--port", port, "--dir", str(self.folder)


async def test_without_a_configuration_file_it_works_and_says_that_nothing_outlives_a_restart(
    site: Site,
) -> None:
    server = WithoutFile(site.folder / "bare", RedisConfig(free_address()))
    site.servers.append(server)
    server.start()
    driven = drive(a_redis(config={"timeout": 60}), redis=transport(server, None))
    plan = await driven.quiet()

    degraded = verdict(plan, ConditionType.DEGRADED)
    assert degraded is not None
    assert (degraded.status, degraded.reason) == (Truth.TRUE, "NotPersisted")
    assert "without a configuration file" in degraded.message
    assert ("CONFIG", "REWRITE") not in driven.sent
    assert await settings(server, "timeout") == {"timeout": "60"}
