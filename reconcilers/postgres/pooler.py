"""pgBouncer in front of a cluster: its settings, its databases, and who waits: pure."""

from collections.abc import Iterable
from typing import Final

from crds.postgres import PgPooler, PostgresClusterSpec
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.postgres.actions import PostgresAction, SetPooler, Target
from reconcilers.postgres.model import LostPooler, SeenCluster, SeenPooler

#: Name of the pooler among the members of its endpoint.
POOLER: Final = "pgbouncer"
_TRUTHS: Final = {"on": "1", "true": "1", "yes": "1", "off": "0", "false": "0", "no": "0"}


def pooler_steps(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[Step[PostgresAction]]:
    """Yield a step a setting that differs. It holds until pgBouncer starts again or reads its file."""
    wish, found = _both(cluster, seen)
    if wish is None or found is None:
        return
    for name, wanted in wish.settings.items():
        setting = found.settings.get(name)
        if setting is None or not setting.is_changeable or same(wanted, setting.value):
            continue
        yield Step(
            SetPooler(Target(cluster.spec.endpoint, POOLER), name, _as_told(wanted, setting.value)),
            StepClass.ABSOLUTE,
            target=f"{name} of pgBouncer",
            summary=f"{name} {setting.value} → {wanted} in pgBouncer",
            changes=(Change(f"pooler.settings.{name}", setting.value, wanted),),
            origin=cluster.where(f"spec.pooler.settings.{name}"),
        )


def pooler_problems(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield reason and message of what this pgBouncer will not take."""
    wish, found = _both(cluster, seen)
    for name, wanted in wish.settings.items() if wish is not None and found is not None else ():
        setting = found.settings.get(name) if found is not None else None
        if setting is None:
            yield "UnknownSetting", f"pgBouncer {found.version if found else ''} has no setting {name}"
        elif not setting.is_changeable and not same(wanted, setting.value):
            text = f"{name}: {wanted} is asked for, {setting.value} in force"
            yield "BadSetting", f"{text}: pgBouncer reads it only as it starts"


def pooler_down(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield reason and message where applications do not get in."""
    if cluster.spec.pooler is None:
        return
    if seen.pooler is None:
        yield "NoPooler", f"endpoint {cluster.spec.endpoint} has no pooler in the settings"
    elif isinstance(seen.pooler, LostPooler):
        yield seen.pooler.reason, seen.pooler.trouble


def pooler_trouble(cluster: Resource[PostgresClusterSpec], seen: SeenCluster) -> Iterable[tuple[str, str]]:
    """Yield reason and message of what works with less than was asked for."""
    wish, found = _both(cluster, seen)
    if wish is None or found is None:
        return
    missing = [each for each in wish.databases if each not in found.databases]
    if missing:
        yield "PoolerDatabaseMissing", f"pgBouncer does not list {', '.join(missing)}"
    if found.paused:
        yield "PoolerPaused", f"somebody paused {', '.join(sorted(found.paused))} in pgBouncer"
    for pool in found.pools:
        if pool.waiting and pool.waited_s > wish.wait_limit_s:
            size = f"; at most {pool.size} connections to the server are allowed" if pool.size else ""
            waits = f"clients wait for {pool.database} as {pool.user}"
            yield "ClientsWait", f"{waits} for more than {wish.wait_limit_s:g} s, the limit{size}"


def _as_told(wanted: str, found: str) -> str:
    """Return a value as SET takes it: a truth only as a number."""
    return _TRUTHS.get(wanted.lower(), wanted) if found in {"0", "1"} else wanted


def same(wanted: str, found: str) -> bool:
    """Whether two values are the same for pgBouncer, which shows truths as 1 and 0."""
    one, two = (_TRUTHS.get(each.lower(), each.lower()) for each in (wanted.strip(), found.strip()))
    try:
        return float(one) == float(two)
    except ValueError:
        return one == two


def _both(
    cluster: Resource[PostgresClusterSpec], seen: SeenCluster
) -> tuple[PgPooler | None, SeenPooler | None]:
    found = seen.pooler
    return cluster.spec.pooler, found if isinstance(found, SeenPooler) else None
