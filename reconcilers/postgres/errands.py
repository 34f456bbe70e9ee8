"""What hooks do for a cluster: backups again and again, and restarts of members: pure.

A run's name says what it is for (this backup when it was due, this start of this member), and the runner
never begins a name twice: so such a step is harmless to repeat, and needs no row of the journal.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from crds.meta import Verb
from crds.postgres import PgBackup, PostgresClusterSpec, PostgresClusterStatus
from crds.quantity import duration_text
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.hook_runs import HookResult, HookRun, HookState
from reconcilers.postgres.actions import RunHook, Target
from reconcilers.postgres.configuration import PostgresStep, directions, setting_steps, waiting
from reconcilers.postgres.model import LostMember, SeenCluster, SeenMember

_MIDNIGHT: Final = datetime(1970, 1, 1, tzinfo=UTC)


def due(backup: PgBackup, now: datetime) -> datetime:
    """Return when a backup was due last."""
    begun = _MIDNIGHT + backup.at
    return begun + (now - begun) // backup.every * backup.every


def asked_runs(
    cluster: Resource[PostgresClusterSpec], members: Iterable[SeenMember | LostMember], now: datetime
) -> tuple[str, ...]:
    """Return the names of the runs that a plan must know about."""
    backups = cluster.spec.backups
    this = [_backup_name(cluster, name, due(each, now)) for name, each in backups.items()]
    last = [_backup_name(cluster, name, due(each, now) - each.every) for name, each in backups.items()]
    found = [each for each in members if isinstance(each, SeenMember)]
    restarts = [_restart_name(cluster, each) for each in found] if cluster.spec.restart is not None else []
    return (*this, *last, *restarts)


def _backup_name(cluster: Resource[PostgresClusterSpec], name: str, at: datetime) -> str:
    return f"{cluster.key.name}.backup.{name}.{int(at.timestamp())}"


def _restart_name(cluster: Resource[PostgresClusterSpec], member: SeenMember) -> str:
    """Name the restart of this start of a member, for this spec: it is tried once."""
    what = f"{cluster.uid}/{cluster.generation}/{member.started_at}".encode()
    return f"{cluster.key.name}.restart.{member.name}.{hashlib.sha256(what).hexdigest()[:12]}"


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


def restart_steps(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[PostgresStep]:
    """Yield the restart of the next member whose settings wait for one; the others come after it."""
    hook, member = cluster.spec.restart, next_to_restart(cluster, seen)
    if hook is None or hook not in seen.hooks or member is None or seen.unseen_runs is not None:
        return
    run = _restart_name(cluster, member)
    # Whose turn it is follows from what is written on all: not before it is.
    if run in seen.runs or _is_anybody_away(cluster, seen) or any(setting_steps(cluster, seen)):
        return
    names = [
        each.partition(": ")[2] for each in waiting(cluster, seen) if each.startswith(f"{member.name}: ")
    ]
    yield hook_step(
        cluster,
        member,
        run,
        hook,
        path="restart",
        text=f"restart {member.name} by hook {hook}: {', '.join(names)} would take effect",
        needs=Verb.RESTART,
    )


def next_to_restart(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> SeenMember | None:
    """Return whose turn it is: standbys first, but the primary where a setting shrinks; None for nobody."""
    waits = {each.partition(":")[0] for each in waiting(cluster, seen)}
    rises, falls = directions(cluster, seen)
    members = [each for each in seen.answering if each.name in waits]
    if not members or seen.primary is None or (rises and falls):
        return None
    return min(members, key=lambda each: (each.is_standby is falls, each.name))


def has_restarted(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> bool:
    """Whether the restart of a start of a member that was seen has passed: that start may be over by now."""
    found = [seen.runs.get(_restart_name(cluster, each)) for each in seen.answering]
    return any(each is not None and each.state is HookState.PASSED for each in found)


def _is_anybody_away(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> bool:
    """Whether a member does not answer, or a standby that must stream receives nothing."""
    standbys = [seen.member(name) for name in cluster.spec.replication.standbys]
    is_lost = any(isinstance(each, LostMember) for each in seen.members)
    return is_lost or any(each is not None and each.is_standby and each.receiver is None for each in standbys)


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
    """Yield reason and message of hooks that are not there, and of a restart that will not be tried again."""
    asked = {each.hook for each in cluster.spec.backups.values()} | ({cluster.spec.restart} - {None})
    for hook in sorted(str(each) for each in asked if each not in seen.hooks):
        known = ", ".join(sorted(seen.hooks)) or "none"
        yield "UnknownHook", f"the settings have no hook {hook}; they have: {known}"
    if cluster.spec.restart is None:
        return
    if directions(cluster, seen) == (True, True):
        yield (
            "RestartOrder",
            "some settings rise, others fall, and no order is safe for both: first the one",
        )
    member = next_to_restart(cluster, seen)
    result = seen.runs.get(_restart_name(cluster, member)) if member is not None else None
    if member is not None and result is not None and result.is_over:
        how = "it passed, and the server runs as before" if result.state is HookState.PASSED else result.says
        yield "RestartFailed", f"restart of {member.name} by hook {result.hook}: {how}"


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
