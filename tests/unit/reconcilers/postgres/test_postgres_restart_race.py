"""A restart that ends while the daemon looks: the member was seen before, its hook's result after."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from metrics.postgres import PostgresMetrics
from reconcilers.gauges import Gauges
from reconcilers.hook_runs import HookResult, HookRun, HookState
from reconcilers.postgres.reconciler import PostgresReconciler
from tests.builders import START
from tests.builders_haproxy import Desk
from tests.fakes.postgres import FakeMember, FakePostgres
from tests.real_postgres import KEY, NamedSecrets, a_cluster


@dataclass
class LateHooks:
    """A hook whose restart takes effect, or never does, in the moment in which its result is asked for."""

    server: FakeMember
    has_effect: bool
    runs: list[str] = field(default_factory=list)

    @property
    def known(self) -> Mapping[str, bool]:
        return {"pg-restart": False}

    async def start(self, run: HookRun) -> str:
        self.runs.append(run.run_id)
        return run.run_id

    async def look(self, run_id: str) -> HookResult | None:
        if run_id not in self.runs:
            return None
        if self.has_effect and self.server.runs == 1:
            self.server.restart()
        return HookResult("pg-restart", HookState.PASSED, "passed in 1.0 s")


@pytest.mark.parametrize(("has_effect", "reason"), [(True, None), (False, "RestartFailed")])
async def test_a_restart_without_effect_is_said_and_one_that_has_just_ended_is_not_taken_for_it(
    *, has_effect: bool, reason: str | None
) -> None:
    server = FakeMember("one", "10.0.30.10:5432")
    hooks = LateHooks(server, has_effect)
    metrics = PostgresMetrics(CollectorRegistry())
    reconciler = PostgresReconciler(
        FakePostgres({"one": server}), NamedSecrets({}), metrics, Gauges(), lambda: START, hooks=hooks
    )
    desk = Desk({KEY.kind: reconciler})
    desk.put(a_cluster(settings={"max_connections": 200}, restart="pg-restart", allow=["restart"]))
    await desk.one_pass(KEY)
    assert [step.target for step in (await desk.one_pass(KEY)).steps] == [f"hook {hooks.runs[0]}"]

    plan = await desk.look(KEY)

    assert (plan.blocked[0] if plan.blocked is not None else None) == reason
    assert plan.steps == ()
    assert len(hooks.runs) == 1
