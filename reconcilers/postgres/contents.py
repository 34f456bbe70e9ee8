"""Databases and what must be in them: pure."""

from collections.abc import Collection, Iterable, Iterator

from crds.meta import Verb
from crds.postgres import PgExpected, PostgresClusterSpec
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.postgres.actions import (
    GiveDatabase,
    MakeDatabase,
    MakeExtension,
    PostgresAction,
    PutSchema,
    Target,
)
from reconcilers.postgres.configuration import PostgresStep
from reconcilers.postgres.model import SeenDatabase, SeenMember


def database_steps(
    cluster: Resource[PostgresClusterSpec], primary: SeenMember, roles: Collection[str]
) -> Iterable[PostgresStep]:
    """Yield what makes databases, then what is in them: a new one is looked into by the next pass.

    *roles* are those that are there by then: nothing can be given to another one.
    """
    if primary.deep.databases is None:
        return
    for name, wish in cluster.spec.databases.items():
        found = primary.deep.databases.get(name)
        if found is not None:
            yield from _inside(cluster, primary, name, found, roles)
        elif wish.owner is None or wish.owner in roles:
            owner = f", owner {wish.owner}" if wish.owner is not None else ""
            action = MakeDatabase(_target(cluster, primary), name, wish.owner)
            yield _step(cluster, action, f"database {name}", f"make database {name}{owner}", path=name)


def _target(cluster: Resource[PostgresClusterSpec], primary: SeenMember) -> Target:
    return Target(cluster.spec.endpoint, primary.name)


def _inside(
    cluster: Resource[PostgresClusterSpec],
    primary: SeenMember,
    name: str,
    found: SeenDatabase,
    roles: Collection[str],
) -> Iterator[PostgresStep]:
    target, wish = _target(cluster, primary), cluster.spec.databases[name]
    if wish.owner in roles and wish.owner is not None and found.owner != wish.owner:
        text = f"give database {name} to {wish.owner}: it is {found.owner}'s"
        change = Change(f"databases.{name}.owner", found.owner, wish.owner)
        given = GiveDatabase(target, name, wish.owner)
        path, verb = f"{name}.owner", Verb.CHANGE_OWNER
        yield _step(cluster, given, f"database {name}", text, path=path, change=change, needs=verb)
    if found.trouble is not None:
        return
    for each in wish.extensions:
        if each not in found.extensions | found.unavailable:
            text = f"make extension {each} in {name}"
            action = MakeExtension(target, name, each)
            yield _step(cluster, action, f"extension {each} in {name}", text, path=f"{name}.extensions")
    for schema, asked in wish.schemas.items():
        owner = found.schemas.get(schema)
        is_asked = owner is None or asked.owner not in {None, owner}
        if is_asked and (asked.owner is None or asked.owner in roles):
            yield _schema(cluster, target, name, schema, owner)


def _schema(
    cluster: Resource[PostgresClusterSpec], target: Target, name: str, schema: str, owner: str | None
) -> PostgresStep:
    """Return what makes a schema, or takes it from *owner*."""
    wanted = cluster.spec.databases[name].schemas[schema].owner
    if owner is None:
        text = f"make schema {schema} in {name}" + (f", owner {wanted}" if wanted is not None else "")
    else:
        text = f"give schema {schema} in {name} to {wanted}: it is {owner}'s"
    return _step(
        cluster,
        PutSchema(target, name, schema, wanted, is_new=owner is None),
        f"schema {schema} in {name}",
        text,
        path=f"{name}.schemas.{schema}",
        change=Change(f"databases.{name}.schemas.{schema}", owner or "absent", wanted or "there"),
        needs=None if owner is None else Verb.CHANGE_OWNER,
    )


def _step(
    cluster: Resource[PostgresClusterSpec],
    action: PostgresAction,
    target: str,
    text: str,
    *,
    path: str,
    change: Change | None = None,
    needs: Verb | None = None,
) -> PostgresStep:
    return Step(
        action,
        StepClass.ABSOLUTE,
        target=target,
        summary=text,
        changes=(change or Change(f"databases.{path}", "absent", "there"),),
        needs=needs,
        origin=cluster.where(f"spec.databases.{path}"),
    )


def missing_objects(cluster: Resource[PostgresClusterSpec], primary: SeenMember) -> Iterable[str]:
    """Yield a sentence a database whose schema is not what the application's migrations must have made."""
    for name, wish in cluster.spec.databases.items():
        found = (primary.deep.databases or {}).get(name)
        if found is None or found.trouble is not None:
            continue
        lacks = [*_lacking(wish.expect, found)]
        if lacks:
            yield f"{name}: {'; '.join(lacks)}"


def _lacking(expected: PgExpected, found: SeenDatabase) -> Iterator[str]:
    for sort in ("tables", "views", "indexes", "functions", "triggers"):
        there = found.objects.get(sort, frozenset())
        gone = [each for each in getattr(expected, sort) if _full(each) not in there]
        if gone:
            yield f"{sort} missing: {', '.join(gone)}"
    invalid = [each for each in expected.indexes if _full(each) in found.invalid_indexes]
    if invalid:
        yield f"indexes invalid: {', '.join(invalid)}"
    migration = expected.migration
    if migration is not None and migration.at_least is not None:
        last = found.last_migration
        if last is None or last < migration.at_least:
            yield f"last migration {last or 'none'}, {migration.at_least} is needed"


def _full(path: str) -> str:
    return path if "." in path else f"public.{path}"


def database_problems(
    cluster: Resource[PostgresClusterSpec], primary: SeenMember
) -> Iterable[tuple[str, str]]:
    """Yield reason and message of databases that could not be looked into, or are to be nobody's."""
    roles = primary.deep.roles
    for name, wish in cluster.spec.databases.items():
        found = (primary.deep.databases or {}).get(name)
        if found is not None and found.trouble is not None:
            yield "DatabaseUnseen", f"{name}: {found.trouble}"
        for extension in wish.extensions:
            if found is not None and extension in found.unavailable:
                message = f"{name}: the server has no files of extension {extension}: a package is missing"
                yield "ExtensionUnavailable", message
        owners = {wish.owner, *(schema.owner for schema in wish.schemas.values())} - {None}
        for owner in sorted(str(each) for each in owners):
            if roles is not None and owner not in roles and owner not in cluster.spec.roles:
                yield "UnknownRole", f"database {name}: there is no role {owner}, and none is asked for"
