"""How the daemon comes to a real Redis: its user, its passwords, TLS, a CONFIG that is renamed or gone."""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from crds.meta import ConditionType, Truth
from lab.redis import LabRedis, RedisConfig
from reconcilers.contract import NotSentError, PermanentError, Secret, TransientError
from reconcilers.transports.redis import RedisTransport
from tests.builders_haproxy import said, verdict
from tests.builders_tls import Authority, make_authority
from tests.real_haproxy import free_address, refusing_address
from tests.real_redis import KEY, PASSWORD, Site, a_redis, a_site, ask, drive, settings, transport

GUIDE = Path(__file__).parents[2] / "docs/how-to/put-redis-under-it.md"
SECRET_NAME = "kx7-config-under-another-name"
PLATFORM: dict[str, object] = {
    "config": {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "900 1 300 10 60 10000",
        "maxmemory": "4gb",
        "maxmemory-policy": "allkeys-lru",
        "timeout": 300,
        "tcp-keepalive": 300,
    },
    "disabledCommands": ["FLUSHDB", "FLUSHALL", "CONFIG"],
}


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


def documented_rules(password: str) -> list[str]:
    """Return the words of the guide's ACL SETUSER."""
    found = re.search(r"^ACL SETUSER psa (.+)$", GUIDE.read_text(), re.MULTILINE)
    assert found is not None
    return found[1].replace("PASSWORD", password).split()


async def permanent(look: Callable[[], object]) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        await look()  # type: ignore[misc]  # a look of a desk
    return caught.value


async def test_the_documented_user_can_do_all_that_the_kind_does(site: Site) -> None:
    server = site.start()
    await ask(server, "ACL", "SETUSER", "psa", *documented_rules("own"))
    spec = {
        **PLATFORM,
        "disabledCommands": ["NOSUCH"],
        "password": "redis-password",
        "users": {"psa-app": {"passwords": ["redis-password"], "commands": ["+@read"]}},
        "replication": {"replicaOf": site.start().config.address, "password": "redis-password"},
    }
    driven = drive(a_redis(**spec), redis=transport(server, "own", user="psa"))
    plan = await driven.quiet()

    assert plan.blocked is None
    assert {each[:2] for each in driven.changes} >= {
        ("CONFIG", "SET"),
        ("CONFIG", "REWRITE"),
        ("ACL", "SETUSER"),
    }
    assert any(each[0] == "REPLICAOF" for each in driven.changes)


async def test_each_missing_right_is_named_with_the_command_that_gives_it(site: Site) -> None:
    server = site.start()
    await ask(server, "ACL", "SETUSER", "psa", "on", ">own", "-@all", "+info", "+acl|whoami")
    driven = drive(a_redis(password="redis-password", **PLATFORM), redis=transport(server, "own", user="psa"))
    error = await permanent(lambda: driven.desk.look(KEY))

    assert error.reason == "MissingPrivilege"
    assert "ACL SETUSER psa +config|get +acl|getuser +command|info" in str(error)
    await ask(server, "ACL", "SETUSER", "psa", "+config|get", "+acl|getuser", "+command|info", "+acl|cat")
    await driven.desk.one_pass(KEY)
    plan = await driven.desk.look(KEY)
    assert plan.blocked is not None
    assert plan.blocked[0] == "MissingPrivilege"
    assert "+config|set +config|rewrite" in plan.blocked[1]


@pytest.mark.parametrize("password", ["wrong", None], ids=["wrong", "none at all"])
async def test_a_wrong_password_is_said_and_not_shown(site: Site, password: str | None) -> None:
    server = site.start()
    error = await permanent(lambda: transport(server, password).ask(("PING",)))

    assert error.reason == "WrongPassword"
    assert "wrong" not in str(error).replace("WrongPassword", "")
    assert PASSWORD not in str(error)


async def test_a_server_without_a_password_takes_us_and_gets_one(site: Site) -> None:
    server = site.start(password=None)
    driven = drive(a_redis(password="redis-password"), redis=transport(server))
    await driven.quiet()

    error = await permanent(lambda: transport(server, "another").ask(("PING",)))
    assert error.reason == "WrongPassword"
    assert (await transport(server).ask(("PING",)))[0] == "PONG"


async def test_a_sentinel_is_told_from_a_server(site: Site) -> None:
    sentinel = Sentinel(site.folder / "sentinel", RedisConfig(free_address()))
    site.servers.append(sentinel)
    sentinel.start()
    driven = drive(a_redis(), redis=transport(sentinel, None))
    error = await permanent(lambda: driven.desk.look(KEY))

    assert error.reason == "WrongServer"


class Sentinel(LabRedis):
    """The same program, as a Sentinel that watches nobody."""

    @property
    def argv(self) -> Sequence[str]:
        return *super().argv, "--sentinel"


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with refusing_address() as address, pytest.raises(NotSentError, match="nobody listens there"):
        await RedisTransport("redis", address).ask(("PING",))


async def test_who_speaks_something_else_is_no_redis() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        with pytest.raises(TransientError, match=rf"{host}:{port}"):
            await RedisTransport("redis", f"{host}:{port}", deadline_s=0.5).ask(("PING",))


def tls_lines(authority: Authority, folder: Path) -> tuple[str, ...]:
    """Give the server its certificate where its user can read it."""
    lines = []
    for option, source in (
        ("tls-cert-file", authority.certificate),
        ("tls-key-file", authority.key),
        ("tls-ca-cert-file", authority.ca),
    ):
        copy = folder / source.name
        copy.write_bytes(source.read_bytes())
        copy.chmod(0o644)
        lines.append(f"{option} {copy}")
    return ("tls-auth-clients no", *lines)


async def test_tls_is_spoken_and_the_server_verified(site: Site, authority: Authority) -> None:
    plain = site.start()
    server = site.start(more=tls_lines(authority, site.folder))
    with refusing_address() as free:
        port = free.rpartition(":")[2]
    await ask(server, "CONFIG", "SET", "tls-port", port)
    address = f"127.0.0.1:{port}"
    good = RedisTransport("redis", address, read_password=lambda: Secret(PASSWORD), ca_file=authority.ca)
    assert (await good.ask(("PING",)))[0] == "PONG"
    stranger = RedisTransport("redis", address, ca_file=authority.stranger_certificate)
    error = await permanent(lambda: stranger.ask(("PING",)))
    assert error.reason == "TlsFailed"
    with pytest.raises(NotSentError, match="is this its tls-port"):
        await transport(plain, ca_file=authority.ca, deadline_s=0.4).ask(("PING",))


async def test_a_renamed_config_works_and_its_name_is_nowhere(site: Site) -> None:
    server = site.start(config_command=SECRET_NAME, disabled=("FLUSHDB", "FLUSHALL"))
    wire = transport(server, read_config_command=lambda: Secret(SECRET_NAME))
    driven = drive(a_redis(**PLATFORM), redis=wire)
    plan = await driven.quiet()

    assert (plan.blocked, verdict(plan, ConditionType.READY)) == (None, None)
    assert await settings(server, "timeout", read_config_command=lambda: Secret(SECRET_NAME)) == {
        "timeout": "300"
    }
    assert f'rename-command CONFIG "{SECRET_NAME}"' in server.config_file.read_text()
    assert SECRET_NAME not in repr(driven.desk) + repr(driven.sent)


@pytest.mark.parametrize("name", ["", SECRET_NAME], ids=["gone", "renamed and we do not know it"])
async def test_without_config_info_verifies_what_it_can_and_the_rest_is_to_be_signed(
    site: Site, name: str
) -> None:
    more = ("maxmemory 4gb", "maxmemory-policy allkeys-lru", "appendonly yes")
    server = site.start(config_command=name, disabled=("FLUSHDB", "FLUSHALL"), more=more)
    wire = transport(server, read_config_command=lambda: Secret("not-its-name"))
    driven = drive(a_redis(**PLATFORM), redis=wire)
    ready = verdict(await driven.quiet(), ConditionType.READY)

    assert ready is not None
    assert (ready.status, ready.reason) == (Truth.UNKNOWN, "ConfigUnavailable")
    assert "INFO confirms appendonly, maxmemory, maxmemory-policy" in ready.message
    assert "must read appendfsync, save, timeout, tcp-keepalive in its file" in ready.message
    assert "not-its-name" not in ready.message
    assert driven.changes == []

    signed = drive(
        a_redis(**PLATFORM, signed=["appendfsync", "save", "timeout", "tcp-keepalive"]), redis=wire
    )
    assert verdict(await signed.quiet(), ConditionType.READY) is None


async def test_without_config_what_info_contradicts_stops_and_names_both_values(site: Site) -> None:
    server = site.start(config_command="", more=("maxmemory 1gb",))
    plan = await drive(a_redis(config={"maxmemory": "4gb"}), redis=transport(server)).quiet()

    assert plan.blocked is not None
    assert plan.blocked[0] == "ConfigUnavailable"
    assert plan.blocked[1].startswith("maxmemory 1073741824 → 4gb cannot be set")


async def test_without_config_users_are_kept_in_the_acl_file(site: Site) -> None:
    users = site.folder / "0" / "users.acl"
    users.parent.mkdir()
    users.write_text(f"user default on >{PASSWORD.replace(' ', '-')} ~* &* +@all\n")
    server = site.start(PASSWORD.replace(" ", "-"), config_command="", more=(f"aclfile {users}",))
    users.chmod(0o666)
    driven = drive(
        a_redis(users={"psa-app": {"commands": ["+get"]}}), redis=transport(server, server.config.password)
    )
    plan = await driven.quiet()

    assert said(plan) == []
    assert users.read_text().count("user psa-app") == 1


async def test_commands_that_can_still_be_run_are_named(site: Site) -> None:
    server = site.start(disabled=("FLUSHDB",))
    plan = await drive(a_redis(**PLATFORM), redis=transport(server)).quiet()
    ready = verdict(plan, ConditionType.READY)

    assert ready is not None
    assert (ready.status, ready.reason) == (Truth.FALSE, "CommandEnabled")
    assert ready.message.startswith("CONFIG, FLUSHALL can be run")
