"""A receiver that hangs is told from one that has nothing to receive."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from crds.meta import ConditionType
from crds.postgres import PostgresClusterSpec
from daemon.store.state import State
from metrics.postgres import PostgresMetrics
from reconcilers.contract import Resource, Secret
from reconcilers.gauges import Gauges
from reconcilers.postgres.actions import Target
from reconcilers.postgres.model import Receiver, SeenCluster, SeenMember
from reconcilers.postgres.plan import plan_postgres
from reconcilers.postgres.reconciler import PostgresReconciler
from tests.builders import START
from tests.builders_postgres import REPLICATION, STREAM, a_member, a_standby, message, reason
from tests.fakes.postgres import FakeMember, FakePostgres, at_once
from tests.real_postgres import KEY, NamedSecrets, a_cluster

READY = ConditionType.READY
CLUSTER = cast("Resource[PostgresClusterSpec]", a_cluster(replication=REPLICATION))
HERE = 1 << 30
SECOND = timedelta(seconds=1)


def hearing(silent_s: float | None, received: int | None = HERE) -> SeenMember:
    receiver = Receiver("streaming", "replica1", "10.0.30.10:5432", silent_s)
    return a_standby(receiver=receiver, received=received)


def why(standby: SeenMember, sent_before: int | None) -> str:
    """Return the reason of Ready; *sent_before* is how far WAL had been sent at an earlier look."""
    sent = {} if sent_before is None else {"two": sent_before}
    seen = SeenCluster((a_member(), standby), {"replicator": Secret("secret")}, sent_before=sent)
    return reason(plan_postgres(CLUSTER, seen, START), READY)


def test_a_receiver_that_hears_nothing_of_what_was_sent_is_said_with_the_time() -> None:
    seen = SeenCluster(
        (a_member(), hearing(16.0)), {"replicator": Secret("secret")}, sent_before={"two": HERE + 1}
    )
    plan = plan_postgres(CLUSTER, seen, START)
    assert reason(plan, READY) == "ReceiverSilent"
    assert message(plan, READY) == (
        "two was sent WAL by one and has heard nothing for more than 15 s:"
        " its receiver says that it streams, and hangs"
    )


@pytest.mark.parametrize(
    ("standby", "sent_before"),
    [
        (hearing(3600.0), HERE),  # nothing was sent that is not there
        (hearing(15.0), HERE + 1),
        (hearing(None), HERE + 1),
        (hearing(3600.0), None),
        (hearing(3600.0, received=None), HERE + 1),
    ],
)
def test_what_is_not_surely_a_hang_is_none(standby: SeenMember, sent_before: int | None) -> None:
    assert why(standby, sent_before) == ""


class Streams(FakePostgres):
    """A pair whose primary says up to where it has sent WAL."""

    sent = HERE

    async def look(self, target: Target) -> SeenMember:
        found = await super().look(target)
        return a_standby() if found.is_standby else a_member(downstream=(replace(STREAM, sent=self.sent),))


async def test_what_was_sent_is_that_of_a_look_at_least_a_second_ago() -> None:
    world = Streams({"one": FakeMember("one", ""), "two": FakeMember("two", "", is_standby=True)})
    now = [START]
    metrics = PostgresMetrics(CollectorRegistry())
    reconciler = PostgresReconciler(
        world, NamedSecrets({}), metrics, Gauges(), lambda: now[0], worker=at_once
    )

    async def sent_before(after: timedelta, sent: int) -> Mapping[str, int]:
        now[0] += after
        world.sent = sent
        return (await reconciler.observe(CLUSTER, State())).sent_before

    assert await sent_before(SECOND, 1) == {}
    assert await sent_before(SECOND / 10, 2) == {}
    assert await sent_before(SECOND, 3) == {"two": 1}
    # Another look at once sees the same: what was sent a moment ago may be on its way.
    assert await sent_before(SECOND / 10, 4) == {"two": 1}
    assert await sent_before(2 * SECOND, 5) == {"two": 3}
    reconciler.gone(KEY)
    assert await sent_before(SECOND, 6) == {}
