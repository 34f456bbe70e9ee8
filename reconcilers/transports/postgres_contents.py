"""What is in a database of PostgreSQL: asked for only where a spec says something about it."""

from collections.abc import Iterable

from crds.postgres import PgDatabase, PgExpected, PgMigration
from reconcilers.contract import PermanentError, TransientError
from reconcilers.postgres.model import SeenDatabase
from reconcilers.transports import postgres_looks as looks
from reconcilers.transports.postgres_session import Member
from reconcilers.transports.postgres_statements import path, quoted


async def look_inside(member: Member, name: str, owner: str, asked: PgDatabase) -> SeenDatabase:
    """Look into a database; what stands in the way of that stands in the way of nothing else."""
    if not asked.extensions and not asked.schemas and asked.expect == PgExpected():
        return SeenDatabase(owner)
    try:
        extensions, unavailable = await _extensions(member, name, asked.extensions)
        schemas = await member.fetch(looks.SCHEMAS, ([*asked.schemas],), name) if asked.schemas else ()
        names = [*_full_names(asked.expect)]
        objects = await member.fetch(looks.OBJECTS, (names,), name) if names else ()
        last = await _last_migration(member, name, asked.expect.migration)
    except (TransientError, PermanentError) as exc:
        return SeenDatabase(owner, trouble=str(exc))
    sorts, invalid = looks.read_objects(objects)
    return SeenDatabase(
        owner,
        extensions=extensions,
        unavailable=unavailable,
        schemas={looks.word(each, "name"): looks.word(each, "owner") for each in schemas},
        objects=sorts,
        invalid_indexes=invalid,
        last_migration=last,
    )


async def _extensions(
    member: Member, database: str, asked: Iterable[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the extensions that are there, and those asked for that cannot be made."""
    if not asked:
        return frozenset(), frozenset()
    rows = await member.fetch(looks.EXTENSIONS, (), database)
    there = frozenset(looks.word(each, "name") for each in rows)
    missing = [each for each in asked if each not in there]
    found = await member.fetch(looks.AVAILABLE, (missing,), database) if missing else ()
    return there, frozenset(missing) - {looks.word(each, "name") for each in found}


def _full_names(expect: PgExpected) -> Iterable[str]:
    for sort in (expect.tables, expect.views, expect.indexes, expect.functions, expect.triggers):
        for each in sort:
            yield each if "." in each else f"public.{each}"


async def _last_migration(member: Member, database: str, migration: PgMigration | None) -> str | None:
    """Return the last migration; None where there is none, or not even the table."""
    if migration is None:
        return None
    table = migration.table if "." in migration.table else f"public.{migration.table}"
    rows = await member.fetch("SELECT to_regclass($1)::text AS name", (path(table),), database)
    if rows[0]["name"] is None:
        return None
    # A view, or a cast of the column's type, would run its owner's functions with our rights: TABLESAMPLE
    # takes no view, and concat calls no cast. Compared as bytes, as the file is: a database's collation may
    # order digits otherwise.
    column = f'rtrim(concat({quoted(migration.column)})) COLLATE "C"'
    sql = f"SELECT nullif(max({column}), '') AS last FROM {path(table)} TABLESAMPLE SYSTEM (100)"  # noqa: S608 - quoted names
    return looks.text((await member.fetch(sql, (), database))[0], "last")
