"""RedisInstance in the real engine, made as the daemon makes it, before real servers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.meta import ConditionType, Key
from reconcilers.contract import PermanentError
from tests.real_haproxy import refusing_address, until
from tests.real_redis import KEY, PASSWORD, Site, a_site, ask, transport
from tests.real_redis_daemon import CONFIG, a_daemon, start_as_asked_for

DEAD = Key("RedisInstance", "dead")


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


async def test_the_example_converges_and_then_there_is_not_one_write(site: Site, tmp_path: Path) -> None:
    server = start_as_asked_for(site)
    async with a_daemon(tmp_path, psa_redis=server.config.address) as daemon:
        await daemon.declare(KEY)
        await daemon.wait_ready(KEY)
        looked = daemon.gauges.of(KEY)
        commits, text = daemon.store.commits, server.config_file.read_text()
        await asyncio.sleep(1)
        assert (daemon.store.commits, server.config_file.read_text()) == (commits, text)
        assert daemon.gauges.of(KEY) != looked, "it was not even looked at"
        assert daemon.figure("memory_limit_bytes") == 4 * 1024**3


async def test_a_restart_without_what_was_rewritten_is_put_right_within_the_poll_interval(
    site: Site, tmp_path: Path
) -> None:
    server = start_as_asked_for(site)
    async with a_daemon(tmp_path, psa_redis=server.config.address) as daemon:
        await daemon.declare(KEY, pollInterval="1s")
        await daemon.wait_ready(KEY)
        await asyncio.to_thread(server.restart, with_first_file=True)
        began = asyncio.get_running_loop().time()

        async def limit() -> str:
            return str(await ask(server, CONFIG, "GET", "maxmemory"))

        await until(limit, lambda text: str(4 * 1024**3) in text)
        # The interval has 10 % of chance in it; the rest is for a busy machine.
        assert asyncio.get_running_loop().time() - began <= 2
        await daemon.wait_ready(KEY)
        assert "RedisRestarted" in [event.reason for event in daemon.store.events(KEY)]


async def test_a_rotated_secret_file_is_followed_within_two_seconds(site: Site, tmp_path: Path) -> None:
    server = start_as_asked_for(site)
    async with a_daemon(tmp_path, psa_redis=server.config.address) as daemon:
        await daemon.declare(KEY)
        await daemon.wait_ready(KEY)
        (tmp_path / "password").write_text("the next one\n")

        async def is_taken() -> bool:
            try:
                return (await transport(server, "the next one").ask(("PING",)))[0] == "PONG"
            except PermanentError:
                return False

        await until(is_taken, bool, seconds=2)
        await daemon.wait_ready(KEY)
        told = repr(daemon.store.state.objects[KEY]) + repr(list(daemon.store.events(KEY)))
        assert "the next one" not in told
        assert PASSWORD not in told


async def test_a_dead_server_is_said_and_another_one_goes_on(site: Site, tmp_path: Path) -> None:
    server = start_as_asked_for(site)
    with refusing_address() as nobody:
        async with a_daemon(tmp_path, psa_redis=server.config.address, other=nobody) as daemon:
            await daemon.declare(DEAD, endpoint="other")
            await daemon.declare(KEY)
            await daemon.wait_ready(KEY)
            assert "nobody listens there" in await daemon.wait(DEAD, ConditionType.SYNCED, "ObserveFailed")
            assert daemon.figure("keys") == 0
            await asyncio.to_thread(server.kill)
            await daemon.wait(KEY, ConditionType.SYNCED, "ObserveFailed")
            assert daemon.figure("keys") is None
            assert daemon.gauges.of(KEY) is None


async def test_a_refused_value_stalls_the_object_soon_and_the_others_are_in_force(
    site: Site, tmp_path: Path
) -> None:
    server = start_as_asked_for(site)
    async with a_daemon(tmp_path, psa_redis=server.config.address) as daemon:
        await daemon.declare(KEY, config={"timeout": 77, "maxmemory-policy": "no-such", "hz": 20})
        text = await daemon.wait(KEY, ConditionType.STALLED, "SettingRefused")
        assert "maxmemory-policy" in text
        found = await ask(server, CONFIG, "GET", "timeout", "hz")
        assert isinstance(found, list)
        assert set(zip(found[::2], found[1::2], strict=True)) == {("timeout", "77"), ("hz", "20")}
        commits, looked = daemon.store.commits, daemon.gauges.of(KEY)
        await asyncio.sleep(1)
        assert daemon.store.commits == commits
        assert daemon.gauges.of(KEY) != looked, "it was not even looked at"
