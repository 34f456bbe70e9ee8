"""A store that takes nothing while a release runs: users are brought to stable, and everything else waits."""

from datetime import timedelta

import pytest

from crds.release import Phase
from crds.service import Color
from tests.simulation.stage import NEW, OLD, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)


@COLORS
async def test_while_nothing_can_be_written_down_the_candidate_has_no_users(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        stage.database.is_full = True
        await stage.until(lambda: stage.share() == (100, 0), timedelta(seconds=8))
        stage.version(NEW, error_rate=1.0)
        await stage.after(300)
        assert stage.share() == (100, 0)
        assert stage.users.failed.total() == 0
        assert stage.attempt.phase is Phase.WATCH
        stage.no_user_is_lost()


@COLORS
async def test_when_it_can_be_written_down_again_the_watch_goes_on(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        stage.database.is_full = True
        await stage.after(120)
        stage.database.is_full = False
        await stage.until(lambda: stage.share() == (50, 50), timedelta(seconds=8))
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.memo.entries["psa-api-gateway"].watched_s >= 60
        stage.no_user_is_lost()


@COLORS
async def test_a_short_trouble_moves_nobody(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        commands = len(stage.haproxy.commands)
        stage.database.is_full = True
        await stage.after(2)
        stage.database.is_full = False
        await stage.after(10)
        assert len(stage.haproxy.commands) == commands


@COLORS
async def test_a_promoted_version_stays_where_it_is(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(soak="10m")
        await stage.phase(Phase.SOAK)
        await stage.after(5)
        stage.database.is_full = True
        await stage.after(120)
        assert stage.share() == (0, 100)
        stage.database.is_full = False
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_a_stable_that_is_down_gets_nobody_all_the_same(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="10m")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        stage.version(OLD, is_ill=True)
        await stage.after(2)
        stage.database.is_full = True
        await stage.after(60)
        assert stage.share()[1] > 0, "who still answers keeps its traffic"
        assert stage.haproxy.blackouts == []
