"""Settings of each member: what differs, what waits for a restart, what the server would refuse: pure."""

from collections.abc import Iterable

from crds.postgres import PostgresClusterSpec
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.postgres.actions import PostgresAction, SetSetting, Target
from reconcilers.postgres.model import SeenCluster, SeenMember, Setting
from reconcilers.postgres.settings import amount, refusal, same, shown

PostgresStep = Step[PostgresAction]
#: A standby refuses to replay with less than the primary has (PostgreSQL's documentation, 27.4.3).
_ON_STANDBYS_FIRST = frozenset(
    {
        "max_connections",
        "max_prepared_transactions",
        "max_locks_per_transaction",
        "max_wal_senders",
        "max_worker_processes",
    }
)


def setting_steps(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[PostgresStep]:
    """Yield a step a setting and member that is not as asked, and is not waiting for a restart either."""
    for member in seen.answering:
        for name, wanted in cluster.spec.settings.items():
            setting = member.deep.settings.get(name)
            if (
                setting is None
                or setting.is_overridden
                or refusal(setting, wanted) is not None
                or _is_written(cluster, setting, wanted)
            ):
                continue
            yield Step(
                SetSetting(Target(cluster.spec.endpoint, member.name), name, wanted),
                StepClass.ABSOLUTE,
                target=f"{name} on {member.name}",
                summary=_sentence(member, name, setting, wanted),
                changes=(Change(f"settings.{name}", _before(setting, wanted), wanted),),
                origin=cluster.where(f"spec.settings.{name}"),
            )


def _is_written(cluster: Resource[PostgresClusterSpec], setting: Setting, wanted: str) -> bool:
    """Whether nothing is to be written: it is in force, or in the file and waits."""
    if setting.file_value is not None:
        return same(setting, wanted, setting.file_value)
    # Who may not see the files sees that a value waits, and not which: ours, unless the spec has changed.
    was_seen = cluster.observed_generation == cluster.generation
    return same(setting, wanted, setting.value) or (setting.pending_restart and was_seen)


def _before(setting: Setting, wanted: str) -> str:
    """Return what is in force, or where that is right already, what the file says against it."""
    if setting.file_value is not None and same(setting, wanted, setting.value):
        return setting.file_value or "empty"
    return shown(setting)


def _sentence(member: SeenMember, name: str, setting: Setting, wanted: str) -> str:
    text = f"{name} {_before(setting, wanted)} → {wanted} on {member.name}"
    return f"{text}, written; it takes effect at the next restart" if _needs_restart(setting) else text


def _needs_restart(setting: Setting) -> bool:
    return setting.context == "postmaster"


def waiting(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> tuple[str, ...]:
    """Return the settings that are written and wait for a restart, as MEMBER: NAME."""
    return tuple(
        f"{member.name}: {name}"
        for member in seen.answering
        for name, wanted in cluster.spec.settings.items()
        if (setting := member.deep.settings.get(name)) is not None
        and _needs_restart(setting)
        and not setting.is_overridden
        and not same(setting, wanted, setting.value)
        and _is_written(cluster, setting, wanted)
    )


def directions(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> tuple[bool, bool]:
    """Return whether anything rises, and whether anything falls, that a standby must have as much of."""
    rises = False
    falls = False
    for member in seen.answering:
        for name in _ON_STANDBYS_FIRST & set(cluster.spec.settings):
            setting, wanted = member.deep.settings.get(name), cluster.spec.settings[name]
            if setting is None:
                continue
            before, after = amount(setting, setting.value), amount(setting, wanted)
            if before is not None and after is not None:
                rises, falls = rises or after > before, falls or after < before
    return rises, falls


def restart_order(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> str:
    """Say in which order the members that wait must be restarted, as far as that matters."""
    rises, falls = directions(cluster, seen)
    if rises:
        return "standbys first: with less than the primary has they would stop replaying"
    return "the primary first, then the standbys" if falls else "in any order"


def setting_problems(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield reason and message of what no member, or not this one, will ever take."""
    for member in seen.answering:
        known = member.deep.settings
        for name, wanted in cluster.spec.settings.items() if known else ():
            setting = known.get(name)
            if setting is None:
                yield "UnknownSetting", f"{member.name} ({member.version}) has no setting {name}"
                continue
            why = refusal(setting, wanted)
            if why is not None:
                yield "BadSetting", f"{name}: {wanted!r} on {member.name}: {why}"
            elif setting.file_error is not None and same(setting, wanted, setting.file_value or ""):
                yield "BadSetting", f"{name}: {wanted!r} on {member.name}: {setting.file_error}"
        yield from _overridden(cluster, member)


def _overridden(cluster: Resource[PostgresClusterSpec], member: SeenMember) -> Iterable[tuple[str, str]]:
    """Yield which settings the server's command line keeps from being as asked."""
    said = [
        f"{name} is {shown(setting)}, {wanted} is asked"
        for name, wanted in cluster.spec.settings.items()
        if (setting := member.deep.settings.get(name)) is not None
        and setting.is_overridden
        and not same(setting, wanted, setting.value)
    ]
    if said:
        how = "the server was started with them on its command line, which no file outweighs"
        yield "Overridden", f"on {member.name} {', '.join(said)}: {how}"
