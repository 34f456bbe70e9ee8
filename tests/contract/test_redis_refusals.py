"""What a refusal of Redis reads like, of the fake and of the real one: each word once, and no password."""

import re
from collections.abc import Iterator

import pytest

from reconcilers.contract import PermanentError, Secret, TransientError
from reconcilers.redis.client import RedisServers
from tests.fakes.redis import DEFAULTS, FakeRedis
from tests.real_redis import a_site, transport

SERVER = "psa-redis"


@pytest.fixture(params=["fake", "real"])
def servers(request: pytest.FixtureRequest) -> Iterator[RedisServers]:
    if request.param == "fake":
        yield RedisServers({SERVER: FakeRedis()})
        return
    with a_site() as site:
        yield RedisServers({SERVER: transport(site.start(password=None), None)})


@pytest.mark.parametrize(
    ("name", "value", "reason", "words"),
    [
        ("maxmemory", "1tb", "SettingRefused", "maxmemory 1tb: argument [^:-]+"),
        ("maxmemory-policy", "no-such", "SettingRefused", "maxmemory-policy no-such: argument.+"),
        ("nosuch", "", "SettingRefused", "nosuch \"\": Unknown option .+ for CONFIG SET - 'nosuch'"),
        (
            "databases",
            "4",
            "ImmutableConfig",
            "databases 4: can't set immutable config; it needs a changed file and a restart",
        ),
    ],
)
async def test_one_setting_is_named_with_its_value_and_what_the_server_says(
    servers: RedisServers, name: str, value: str, reason: str, words: str
) -> None:
    with pytest.raises(PermanentError) as refused:
        await servers.set_config(SERVER, [(name, value)], ())
    assert refused.value.reason == reason
    assert re.fullmatch(words, str(refused.value)), str(refused.value)


async def test_of_several_those_are_named_that_are_refused(servers: RedisServers) -> None:
    asked = [("timeout", "60"), ("maxmemory", "1tb"), ("maxmemory-policy", "no-such")]
    with pytest.raises(TransientError, match=r"^maxmemory 1tb: arg[^;]+; maxmemory-policy no-such: arg"):
        await servers.set_config(SERVER, asked, ())


async def test_a_password_that_is_refused_is_not_told() -> None:
    settings = {name: value for name, value in DEFAULTS.items() if name not in {"masterauth", "requirepass"}}
    servers = RedisServers({SERVER: FakeRedis(settings=settings)})
    with pytest.raises(PermanentError, match=r"^masterauth: Unknown option") as of_primary:
        await servers.set_config(SERVER, [("masterauth", "a-word-of-mine")], ())
    with pytest.raises(PermanentError, match=r"^requirepass: Unknown option") as of_clients:
        await servers.set_password(SERVER, Secret("a-word-of-mine"), "0" * 64, has_config=True, saves=())
    assert "a-word-of-mine" not in f"{of_primary.value} {of_clients.value}"
