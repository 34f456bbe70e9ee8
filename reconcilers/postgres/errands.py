"""What hooks do for a cluster, and the backups that they make again and again: pure.

A run's name says what it is for (this backup when it was due, this start of this member), and the runner
never begins a name twice: so such a step is harmless to repeat, and needs no row of the journal.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from crds.meta import Verb
from crds.postgres import PgBackup, PostgresClusterSpec, PostgresClusterStatus
from crds.quantity import duration_text
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.hook_runs import HookResult, HookRun, HookState
from reconcilers.postgres.actions import RunHook, Target
from reconcilers.postgres.configuration import PostgresStep
from reconcilers.postgres.model import SeenCluster, SeenMember

_MIDNIGHT: Final = datetime(1970, 1, 1, tzinfo=UTC)


def due(backup: PgBackup, now: datetime) -> datetime:
    """Return when a backup was due last."""
    begun = _MIDNIGHT + backup.at
    return begun + (now - begun) // backup.every * backup.every


def backup_runs(cluster: Resource[PostgresClusterSpec], now: datetime) -> tuple[str, ...]:
    """Return the names of the runs that a plan must know about: what was due last, and before that."""
    backups = cluster.spec.backups
    this = [_backup_name(cluster, name, due(each, now)) for name, each in backups.items()]
    last = [_backup_name(cluster, name, due(each, now) - each.every) for name, each in backups.items()]
    return (*this, *last)


def _backup_name(cluster: Resource[PostgresClusterSpec], name: str, at: datetime) -> str:
    return f"{cluster.key.name}.backup.{name}.{int(at.timestamp())}"


def backup_steps(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster, now: datetime
) -> Iterable[PostgresStep]:
    """Yield a step a backup that is due, unless the last run of it still runs."""
    primary = seen.primary
    if primary is None or seen.unseen_runs is not None:
        return
    for name, backup in cluster.spec.backups.items():
        at = due(backup, now)
        run, before = _backup_name(cluster, name, at), _backup_name(cluster, name, at - backup.every)
        if run in seen.runs or backup.hook not in seen.hooks or _is_running(seen, before):
            continue
        yield hook_step(
            cluster,
            primary,
            run,
            backup.hook,
            path=f"backups.{name}",
            text=f"make backup {name}, due {_text(at)}, by hook {backup.hook}",
        )


def _is_running(seen: SeenCluster, run: str) -> bool:
    found = seen.runs.get(run)
    return found is not None and not found.is_over


def hook_step(
    cluster: Resource[PostgresClusterSpec],
    member: SeenMember,
    run: str,
    hook: str,
    *,
    path: str,
    text: str,
    needs: Verb | None = None,
) -> PostgresStep:
    """Return what begins a hook's run, and tells it a member."""
    host, _, port = member.address.rpartition(":")
    told = HookRun(
        run,
        hook,
        cluster.key.name,
        member.version,
        attempt=cluster.generation,
        service=member.name,
        address=host.strip("[]"),
        port=int(port),
    )
    return Step(
        RunHook(Target(cluster.spec.endpoint, member.name), told),
        StepClass.ABSOLUTE,
        target=f"hook {run}",
        summary=text,
        changes=(Change(path, "not begun", f"hook {hook}"),),
        needs=needs,
        origin=cluster.where(f"spec.{path}"),
    )


def good_backups(
    cluster: Resource[PostgresClusterSpec], before: PostgresClusterStatus, seen: SeenCluster, now: datetime
) -> Mapping[str, datetime]:
    """Return when each backup that was good last was due."""
    good: dict[str, datetime] = {}
    for name, backup in cluster.spec.backups.items():
        at = due(backup, now)
        dates = [each for each in (at, at - backup.every) if _has_passed(cluster, seen, name, each)]
        known = before.backups.get(name)
        dates += [known] if known is not None else []
        if dates:
            good[name] = max(dates)
    return good


def _has_passed(cluster: Resource[PostgresClusterSpec], seen: SeenCluster, name: str, at: datetime) -> bool:
    found = seen.runs.get(_backup_name(cluster, name, at))
    return found is not None and found.state is HookState.PASSED


def errand_problems(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield reason and message of hooks that are not there."""
    asked = {each.hook for each in cluster.spec.backups.values()}
    if cluster.spec.restart is not None and cluster.spec.restart.hook is not None:
        asked.add(cluster.spec.restart.hook)
    for hook in sorted(each for each in asked if each not in seen.hooks):
        known = ", ".join(sorted(seen.hooks)) or "none"
        yield "UnknownHook", f"the settings have no hook {hook}; they have: {known}"


def errand_trouble(
    cluster: Resource[PostgresClusterSpec],
    good: Mapping[str, datetime],
    seen: SeenCluster,
    now: datetime,
) -> Iterable[tuple[str, str]]:
    """Yield reason and message of backups that failed or are too old."""
    if seen.unseen_runs is not None:
        yield "HookUnseen", seen.unseen_runs
    for name, backup in cluster.spec.backups.items():
        result = seen.runs.get(_backup_name(cluster, name, due(backup, now)))
        if result is not None and result.is_over and result.state is not HookState.PASSED:
            yield "BackupFailed", f"backup {name} by hook {backup.hook}: {said_of(result)}"
        last, limit = good.get(name), duration_text(backup.max_age)
        if last is not None and now - last > backup.max_age:
            yield "BackupTooOld", f"backup {name}: the last good one is of {_text(last)}, limit {limit}"
        elif last is None and now - cluster.created_at > backup.max_age:
            yield "BackupTooOld", f"backup {name}: there has been no good one yet, limit {limit}"


def said_of(result: HookResult) -> str:
    """Return how a run ended, with the last line that it wrote."""
    return f"{result.says}: {result.tail.strip().splitlines()[-1]}" if result.tail.strip() else result.says


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
