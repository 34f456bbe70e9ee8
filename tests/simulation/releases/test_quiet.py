"""What a release writes: nothing once it is at rest, one row a second while it is watched, and no noise."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest

from crds.release import Phase
from crds.service import Color
from daemon.store.operations import Event
from daemon.store.store import Changed
from reconcilers.hook_runs import HookState
from tests.simulation.release_world import RELEASE, release_spec
from tests.simulation.stage import NEW, NEWER, OLD, Stage, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)


class Recorder:
    """What was committed since it began to listen."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.commits = stage.store.commits
        self.proxmox = len(stage.world.world.proxmox.writes)
        self.haproxy = len(stage.haproxy.commands)
        self.events: list[Event] = []
        self.changed: Counter[str] = Counter()
        self.statuses = 0
        stage.store.listen(self._heard)

    def _heard(self, changes: Sequence[Changed], events: Sequence[Event]) -> None:
        self.events += events
        for change in changes:
            self.changed[str(change.key)] += 1
            before, after = change.before, change.after
            if change.key == RELEASE and before is not None and after is not None:
                self.statuses += before.status != after.status

    @property
    def writes(self) -> tuple[int, int, int]:
        """Commits, writes to Proxmox, commands to HAProxy."""
        return (
            self.stage.store.commits - self.commits,
            len(self.stage.world.world.proxmox.writes) - self.proxmox,
            len(self.stage.haproxy.commands) - self.haproxy,
        )


async def completed(stage: Stage) -> None:
    await stage.begin(NEW)
    assert await stage.ended() == (Phase.COMPLETED, None)


async def rolled_back(stage: Stage) -> None:
    stage.version(NEW, error_rate=0.3)
    await stage.begin(NEW)
    assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")


async def failed(stage: Stage) -> None:
    stage.world.hooks.outcomes["smoke"] = HookState.FAILED
    await stage.begin(NEW, smoke=["smoke"])
    assert await stage.ended() == (Phase.FAILED, "HookFailed")


async def superseded(stage: Stage) -> None:
    await stage.begin(NEW)
    await stage.phase(Phase.WATCH)
    await stage.declare(release_spec(OLD))
    assert await stage.ended() == (Phase.ROLLED_BACK, "Superseded")


async def not_begun(stage: Stage) -> None:
    await stage.declare(release_spec(NEW, 2))
    await stage.after(10)
    assert stage.status.attempt is None


ENDS = {each.__name__: each for each in (completed, rolled_back, failed, superseded, not_begun)}


@COLORS
@pytest.mark.parametrize("end", list(ENDS))
async def test_a_release_at_rest_writes_nothing_for_five_minutes(live: Color, end: str) -> None:
    async with a_stage(live) as stage:
        await ENDS[end](stage)
        await stage.after(100)
        recorder = Recorder(stage)
        await stage.after(300)
        assert recorder.writes == (0, 0, 0)
        assert recorder.events == []


@COLORS
@pytest.mark.parametrize("services", [1, 3])
async def test_a_watch_writes_one_row_a_second_and_says_nothing(live: Color, services: int) -> None:
    async with a_stage(live, services=services) as stage:
        await stage.begin(NEW, services, watch="10m")
        await stage.phase(Phase.WATCH)
        await stage.after(5)
        recorder = Recorder(stage)
        await stage.after(120)
        assert set(recorder.changed) == {str(RELEASE)}
        assert 100 <= recorder.writes[0] <= 122
        assert recorder.writes[1:] == (0, 0)
        assert recorder.events == []
        assert recorder.statuses == 0


@COLORS
async def test_a_hold_writes_one_row_a_second_and_says_it_once(live: Color) -> None:
    async with a_stage(live, rate=0) as stage:
        await stage.begin(NEW, watch="30s")
        await stage.hold("NotEnoughTraffic")
        recorder = Recorder(stage)
        await stage.after(120)
        assert set(recorder.changed) == {str(RELEASE)}
        assert recorder.writes[0] <= 122
        assert recorder.events == []


@COLORS
async def test_a_soak_of_a_day_writes_one_row_each_ten_seconds(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW, soak="24h")
        await stage.phase(Phase.SOAK)
        await stage.after(11 * 60)
        recorder = Recorder(stage)
        await stage.after(600)
        assert recorder.writes[0] <= 62
        assert recorder.events == []
        assert recorder.statuses == 0


@COLORS
async def test_checks_that_wait_say_it_once(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.world.cluster.remove_template(f"local:vztmpl/psa-api-gateway_{NEW}_amd64.tar.zst")
        await stage.begin(NEW)
        await stage.after(5)
        recorder = Recorder(stage)
        await stage.after(120)
        assert recorder.writes[0] <= 122
        assert recorder.events == []
        assert recorder.statuses == 0


@COLORS
async def test_a_rollback_that_is_stuck_says_it_once_and_again_after_half_an_hour(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW, watch="10m")
        await stage.phase(Phase.WATCH)
        await stage.after(20)
        stage.version(OLD, is_ill=True)
        await stage.after(3)
        await stage.ask("rollback")
        await stage.hold("RollbackStuck")
        recorder = Recorder(stage)
        await stage.after(100)
        assert [each for each in recorder.events if each.key == RELEASE] == []
        assert recorder.changed[str(RELEASE)] <= 102
        assert recorder.writes[1:] == (0, 0)


@COLORS
async def test_each_event_of_a_release_is_told_once(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW, checks=["unit"], smoke=["smoke"])
        assert await stage.ended() == (Phase.COMPLETED, None)
        told = Counter((each.reason, each.message) for each in stage.events if each.key == RELEASE)
        assert {key: count for key, count in told.items() if count > 1} == {}
        assert [reason for reason in stage.reasons() if reason in {phase.value for phase in Phase}] == [
            each.value for each in stage.phases[1:]
        ]


@COLORS
async def test_two_releases_leave_each_others_history(live: Color) -> None:
    async with a_stage(live) as stage:
        await completed(stage)
        stage.version(NEWER, error_rate=0.3)
        await stage.begin(NEWER)
        await stage.phase(Phase.ROLLED_BACK, within=timedelta(minutes=5))
        assert [each.version for each in stage.status.history] == [NEW]
        assert [each.version for each in stage.status.quarantine] == [NEWER]
