"""What a PostgreSQL cluster needs, and what is verified of it: pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crds.meta import ConditionType, Truth
from crds.postgres import PostgresClusterSpec, PostgresClusterStatus
from reconcilers.contract import Note, Plan, Resource, Verdict
from reconcilers.postgres.accounts import role_problems, role_steps
from reconcilers.postgres.actions import (
    DropDatabase,
    DropSlot,
    MakeExtension,
    MakeSlot,
    PostgresAction,
    PutRole,
    RunHook,
)
from reconcilers.postgres.configuration import (
    PostgresStep,
    restart_order,
    setting_problems,
    setting_steps,
    waiting,
)
from reconcilers.postgres.contents import database_problems, database_steps, missing_objects
from reconcilers.postgres.errands import (
    backup_steps,
    errand_problems,
    errand_trouble,
    good_backups,
)
from reconcilers.postgres.health import PRIMARY_UNSEEN, Trouble, degraded, not_ready, too_old
from reconcilers.postgres.model import SeenCluster, SeenMember
from reconcilers.postgres.pooler import pooler_down, pooler_problems, pooler_steps, pooler_trouble
from reconcilers.postgres.rebuilding import rebuild_problems, rebuild_steps
from reconcilers.postgres.removals import removal_problems, removal_steps
from reconcilers.postgres.replication import (
    frozen,
    slot_line,
    slot_problems,
    slot_steps,
    standby_steps,
)
from reconcilers.postgres.restarting import restart_asks, restart_problems, restart_steps, restart_waiting

PostgresPlan = Plan[PostgresAction]
_SOON: Final = timedelta(milliseconds=300)
"""A reload is asynchronous: what was set is in force a moment later."""


def plan_postgres(cluster: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime) -> PostgresPlan:
    """Set what may be set, verify the rest, and say what differs. Nobody is ever promoted or fenced."""
    before = cluster.status if isinstance(cluster.status, PostgresClusterStatus) else PostgresClusterStatus()
    stop = frozen(cluster.spec, before, seen) or too_old(cluster.spec, seen)
    if stop is not None:
        status = before if stop[0] == "WrongSystem" else _status(cluster, before, seen, now)
        return Plan(
            status=status,
            writes=_alarm(cluster, stop),
            blocked=stop,
            verdicts=(Verdict(ConditionType.READY, Truth.FALSE, *stop), _degraded([stop])),
        )
    status = _status(cluster, before, seen, now)
    # The gate lets nothing through behind a step that may not be done.
    allowed = {None, *cluster.spec.allow}
    steps = tuple(
        sorted(
            _steps(cluster, seen, now), key=lambda step: (step.needs not in allowed, _may_fail(step.action))
        )
    )
    left_to = _left_to_patroni(seen, steps)
    if left_to is not None:
        steps = tuple(step for step in steps if _is_backup(step))
    steps = tuple(
        replace(step, independent=_may_fail(step.action), errand=_is_backup(step)) for step in steps
    )
    asks = restart_asks(cluster, seen, steps) if left_to is None else ()
    primary = seen.primary
    lacking = tuple(missing_objects(cluster, primary)) if primary is not None else ()
    restarts = status.pending_restart
    order = (f"{', '.join(restarts)}; {restart_order(cluster, seen)}",) if restarts else ()
    backups = errand_trouble(cluster, status.backups, seen, now)
    troubles = [*degraded(cluster, seen, lacking, order), *pooler_trouble(cluster, seen), *backups]
    return Plan(
        steps=steps,
        writes=(*_notes(before, status), *asks),
        verdicts=(*_ready(cluster, seen), _degraded(troubles)),
        status=status,
        recheck_after=_SOON if steps else None,
        waiting=restart_waiting(seen, asks),
        blocked=left_to or next(iter(_problems(cluster, seen, now)), None),
    )


def _alarm(cluster: Resource[PostgresClusterSpec], stop: Trouble) -> tuple[Note, ...]:
    """Tell once of what freezes everything."""
    stalled = cluster.condition(ConditionType.STALLED)
    is_known = stalled is not None and stalled.status is Truth.TRUE and stalled.reason == stop[0]
    return () if is_known else (Note(*stop, warning=True),)


def _steps(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime
) -> Iterable[PostgresStep]:
    """Yield all steps in an order that works: slots before their readers, roles before what they own."""
    primary = seen.primary
    roles: set[str] = set()
    if primary is not None:
        roles |= {*(primary.deep.roles or ())}
        for step in role_steps(cluster, seen, primary):
            roles |= {step.action.name} if isinstance(step.action, PutRole) else set()
            yield step
        yield from slot_steps(cluster, primary)
    yield from standby_steps(cluster, seen, primary)
    if primary is not None:
        yield from database_steps(cluster, primary, roles)
    yield from setting_steps(cluster, seen)
    yield from removal_steps(cluster, seen)
    yield from pooler_steps(cluster, seen)
    yield from backup_steps(cluster, seen, now)
    yield from restart_steps(cluster, seen)
    yield from rebuild_steps(cluster, seen, now)


def _left_to_patroni(seen: SeenCluster, steps: Sequence[PostgresStep]) -> Trouble | None:
    """Say what differs where Patroni decides: it would set its own again."""
    differs = "; ".join(step.summary for step in steps if not _is_backup(step))
    if not differs or not any(each.has_patroni for each in seen.answering):
        return None
    return (
        "ManagedByPatroni",
        f"Patroni runs this cluster: nothing is changed from here. It differs: {differs}",
    )


def _is_backup(step: PostgresStep) -> bool:
    """Whether a step runs a hook, and restarts nobody."""
    return isinstance(step.action, RunHook) and step.needs is None


def _may_fail(action: PostgresAction) -> bool:
    """Whether only the server knows if this can be done: it shall hold up nothing that surely can."""
    is_logical = isinstance(action, MakeSlot) and action.plugin is not None
    return is_logical or isinstance(action, MakeExtension | DropDatabase | DropSlot | RunHook)


def _problems(cluster: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime) -> Iterable[Trouble]:
    primary = seen.primary
    if primary is not None:
        yield from role_problems(cluster, seen, primary)
        yield from slot_problems(cluster, primary)
        yield from database_problems(cluster, primary)
        yield from removal_problems(cluster, primary)
    yield from setting_problems(cluster, seen)
    yield from pooler_problems(cluster, seen)
    yield from errand_problems(cluster, seen)
    yield from restart_problems(cluster, seen)
    yield from rebuild_problems(cluster, seen, now)


def _status(
    cluster: Resource[PostgresClusterSpec], before: PostgresClusterStatus, seen: SeenCluster, now: datetime
) -> PostgresClusterStatus:
    """Describe what answered; of a member that did not, what was known stays."""
    members = {name: line for name, line in before.members.items() if seen.member(name) is None}
    known = {each.name for each in seen.members}
    primary = seen.primary
    databases = (primary.deep.databases if primary is not None else None) or {}
    migrations = {
        name: found.last_migration
        for name, found in databases.items()
        if name in cluster.spec.databases and found.last_migration is not None
    }
    numbers = [each.system_identifier for each in seen.answering]
    return PostgresClusterStatus(
        system_identifier=before.system_identifier or next(iter(numbers), None),
        primary=primary.name if primary is not None else None,
        members={name: line for name, line in members.items() if name in known}
        | {each.name: _line(each) for each in seen.answering},
        slots={name: slot_line(slot) for name, slot in sorted(primary.slots.items())}
        if primary is not None
        else before.slots,
        pending_restart=waiting(cluster, seen),
        backups=dict(good_backups(cluster, before, seen, now)),
        migrations=migrations if primary is not None else before.migrations,
    )


def _line(member: SeenMember) -> str:
    where = f"{member.version}, timeline {member.timeline}"
    if not member.is_standby:
        return f"primary, {where}"
    source = f" from {member.receiver.sender}" if member.receiver is not None else ", receives nothing"
    return f"standby{source}, {where}{', replay paused' if member.is_paused else ''}"


def _notes(before: PostgresClusterStatus, now: PostgresClusterStatus) -> Iterable[Note]:
    if before.primary is not None and now.primary is not None and before.primary != now.primary:
        yield Note("PrimaryChanged", f"{now.primary} takes writes now, {before.primary} did", warning=True)


def _ready(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[Verdict]:
    """Say Ready only where "no steps left" is not the whole truth."""
    wrong = [*not_ready(cluster, seen), *pooler_down(cluster, seen)]
    if wrong:
        truth = Truth.UNKNOWN if wrong[0][0] == PRIMARY_UNSEEN else Truth.FALSE
        yield Verdict(ConditionType.READY, truth, wrong[0][0], "; ".join(text for _, text in wrong))


def _degraded(wrong: list[Trouble]) -> Verdict:
    if not wrong:
        return Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole", "")
    return Verdict(ConditionType.DEGRADED, Truth.TRUE, wrong[0][0], "; ".join(text for _, text in wrong))
