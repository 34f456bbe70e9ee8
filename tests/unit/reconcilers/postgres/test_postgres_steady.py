"""What is said of a cluster that is ill stays the same for as long as it is, however its figures move."""

from dataclasses import replace
from typing import cast

from crds.meta import ConditionType
from crds.postgres import PostgresClusterSpec
from reconcilers.contract import Resource, Secret
from reconcilers.postgres.model import Archiver, Pool, SeenCluster, SeenDatabase, SeenPooler
from reconcilers.postgres.plan import plan_postgres
from tests.builders import START
from tests.builders_postgres import REPLICATION, SLOT, STREAM, a_member, a_standby, reason
from tests.real_postgres import a_cluster

MIB = 1 << 20
CLUSTER = cast(
    "Resource[PostgresClusterSpec]",
    a_cluster(
        replication=REPLICATION,
        archived=True,
        pooler={"waitLimitS": 1},
        absent={"databases": ["old"], "slots": ["read"]},
    ),
)


def at(moment: int, *, sick: bool = True) -> SeenCluster:
    """Return a look at a cluster that is beyond each of its limits, further with each *moment*."""
    far = moment if sick else 0
    pool = Pool("shop", "app", 9 + far, far, 10 + far, 2.5 * far, 20)
    primary = a_member(
        position=(1 << 40) + moment * MIB,
        connections=90 + far if sick else 40 + moment,
        slots={
            "replica1": SLOT,
            "gone": replace(SLOT, active=not sick, retained_bytes=(2000 + moment) * MIB),
            "read": SLOT,
        },
        downstream=(STREAM, replace(STREAM, application_name="r0", slot="read", sent=moment)),
        archiver=Archiver(10 + moment, far, "000000010000000000000007" if sick else None),
        databases={"old": SeenDatabase("app", connections=1 + far)},
    )
    standby = a_standby(
        position=(1 << 40) - far * 200 * MIB + (0 if sick else moment * MIB),
        received=(1 << 40) + moment * MIB,
        quiet_s=7.0 * moment,
    )
    return SeenCluster(
        (primary, standby), {"replicator": Secret("secret")}, pooler=SeenPooler("1.18", pools=(pool,))
    )


def test_two_looks_at_the_same_trouble_with_other_figures_come_to_the_same_verdicts() -> None:
    one, two = (plan_postgres(CLUSTER, at(moment), START) for moment in (1, 7))
    assert one.verdicts == two.verdicts
    assert (one.blocked, one.status, one.writes) == (two.blocked, two.status, two.writes)
    assert reason(one, ConditionType.READY) == "ReplicationLag"
    said = "; ".join(each.message for each in one.verdicts)
    for words in ("90 % or more of 100", "slot gone", "cannot archive", "clients wait"):
        assert words in said
    assert one.blocked == ("SlotInUse", "slot read must be absent, and r0 reads it")


def test_two_looks_at_a_cluster_that_is_well_come_to_the_same_verdicts() -> None:
    one, two = (plan_postgres(CLUSTER, at(moment, sick=False), START) for moment in (1, 7))
    assert (one.verdicts, one.status) == (two.verdicts, two.status)
    assert reason(one) == "Whole"
