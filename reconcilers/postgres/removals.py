"""Slots and databases that must be absent, and what must be so before one is dropped: pure."""

from collections.abc import Iterable

from crds.meta import Verb
from crds.postgres import PgDatabase, PostgresClusterSpec
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.postgres.actions import DropDatabase, DropSlot, Target
from reconcilers.postgres.configuration import PostgresStep
from reconcilers.postgres.model import SeenCluster, SeenDatabase, SeenMember

NOTHING_ASKED = PgDatabase()
"""What is looked at of a database that must be absent: whether it is there, and who is in it."""


def removal_steps(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[PostgresStep]:
    """Yield a step a slot and database that is there, must be absent, and that nobody uses."""
    primary, absent = seen.primary, cluster.spec.absent
    if primary is None:
        return
    target = Target(cluster.spec.endpoint, primary.name)
    for name in absent.slots:
        if name in primary.slots and not primary.slots[name].active:
            yield Step(
                DropSlot(target, name),
                StepClass.ABSOLUTE,
                target=f"slot {name}",
                summary=f"drop slot {name} on {primary.name}",
                changes=(Change(f"absent.slots.{name}", "there", "absent"),),
                needs=Verb.DROP_SLOT,
                origin=cluster.where("spec.absent.slots"),
            )
    for name, found in _unwanted(cluster, primary):
        if not found.connections and not _slots_of(primary, name):
            yield Step(
                DropDatabase(target, name),
                StepClass.ABSOLUTE,
                target=f"database {name}",
                summary=f"drop database {name}, which is {found.owner}'s, with all that is in it",
                changes=(Change(f"absent.databases.{name}", "there", "absent"),),
                needs=Verb.DROP_DATABASE,
                origin=cluster.where("spec.absent.databases"),
            )


def removal_problems(
    cluster: Resource[PostgresClusterSpec], primary: SeenMember
) -> Iterable[tuple[str, str]]:
    """Yield reason and message of what must be absent, and is in use."""
    for name in cluster.spec.absent.slots:
        if name in primary.slots and primary.slots[name].active:
            readers = sorted({each.application_name for each in primary.downstream if each.slot == name})
            yield "SlotInUse", f"slot {name} must be absent, and {', '.join(readers) or 'somebody'} reads it"
    for name, found in _unwanted(cluster, primary):
        if found.connections:
            yield "DatabaseInUse", f"database {name} must be absent, and somebody is connected to it"
        # PostgreSQL would drop a slot that nobody reads with its database, without a word.
        left = [each for each in _slots_of(primary, name) if each not in cluster.spec.absent.slots]
        if left:
            text = f"database {name} must be absent, and slot {', '.join(left)} decodes it"
            yield "DatabaseInUse", f"{text}: name that in absent, too"


def _unwanted(cluster: Resource[PostgresClusterSpec], primary: SeenMember) -> list[tuple[str, SeenDatabase]]:
    there = primary.deep.databases or {}
    return [(name, there[name]) for name in cluster.spec.absent.databases if name in there]


def _slots_of(primary: SeenMember, database: str) -> list[str]:
    return sorted(name for name, slot in primary.slots.items() if slot.database == database)
