"""Versions of Redis, and its relatives, as their answers differ from those of 7.0."""

import pytest

from crds.meta import ConditionType, Truth
from reconcilers.contract import PermanentError
from tests.builders_haproxy import verdict
from tests.fakes.redis import FakeRedis
from tests.real_redis import a_redis, drive


@pytest.mark.parametrize("version", ["5.0.14", "6.0.16", "6.2.7"])
async def test_a_server_that_takes_no_several_settings_at_once_is_called_too_old(version: str) -> None:
    """Before 7.0 CONFIG GET takes one name, and what is asked then is an error of its own."""
    server = FakeRedis(version=version)
    plan = await drive(a_redis(config={"timeout": 60}, users={"app": {}}), redis=server).quiet()

    assert plan.blocked == ("VersionTooLow", f"it runs Redis {version}, this program needs at least 7.0")
    assert plan.steps == ()
    assert server.settings["timeout"] == "0"


async def test_a_valkey_is_a_redis_although_it_names_its_mode_otherwise() -> None:
    server = FakeRedis(version="7.2.4", named="server")
    plan = await drive(a_redis(config={"timeout": 60}), redis=server).quiet()

    found = verdict(plan, ConditionType.DEGRADED)
    assert found is not None
    assert found.status is Truth.FALSE
    assert server.settings["timeout"] == "60"


async def test_a_sentinel_of_valkey_is_told_from_a_server() -> None:
    driven = drive(a_redis(), redis=FakeRedis(named="server", mode="sentinel"))
    with pytest.raises(PermanentError, match="a Sentinel answers there"):
        await driven.quiet()
