"""Whoever owns a database may not run anything as us: of their tables we read, and call nothing of theirs."""

from collections.abc import Iterator

import pytest

from crds.postgres import PostgresClusterStatus
from lab.postgres import LabPostgres
from tests.real_postgres import KEY, a_cluster, a_site, a_template, driving

pytestmark = pytest.mark.slow

#: What only a superuser may do, as whom we come.
STEAL = """
CREATE FUNCTION steal() RETURNS text LANGUAGE plpgsql AS $$
BEGIN EXECUTE 'ALTER ROLE app SUPERUSER'; RETURN '0001'; END $$;
"""
#: What an owner makes of the table that we read, by what is wrong with it.
TRAPS = {
    "a view": "CREATE VIEW migrations AS SELECT steal() AS name;",
    "a view of a table": """
        CREATE TABLE t AS SELECT 1; CREATE VIEW migrations AS SELECT steal() AS name FROM t;""",
    "a cast of the column": """
        CREATE TYPE step AS ENUM ('0001'); CREATE TABLE migrations (name step);
        INSERT INTO migrations VALUES ('0001');
        CREATE FUNCTION told(step) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN public.steal(); END';
        CREATE CAST (step AS text) WITH FUNCTION told(step);""",
    "a comparison of the column": """
        CREATE DOMAIN step AS text; CREATE TABLE migrations (name step);
        INSERT INTO migrations VALUES ('0001'); INSERT INTO migrations VALUES ('0000');
        CREATE FUNCTION public.max(step) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN public.steal(); END';
        ALTER DATABASE app SET search_path = public, pg_catalog;""",
}


@pytest.fixture(scope="module")
def server() -> Iterator[LabPostgres]:
    with a_template() as template, a_site(template) as site:
        yield site.primary()


@pytest.fixture
def owned(server: LabPostgres) -> Iterator[LabPostgres]:
    """A server with a database that belongs to somebody who may do nothing else."""
    server.run("CREATE ROLE app; CREATE DATABASE app OWNER app")
    server.run("ALTER SCHEMA public OWNER TO app", "app")
    yield server
    server.run("DROP DATABASE app; DROP ROLE app")


def as_app(server: LabPostgres, sql: str) -> None:
    server.run(f"SET ROLE app; {sql}", "app")


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS)
async def test_the_table_of_migrations_is_no_way_to_our_rights(owned: LabPostgres, trap: str) -> None:
    as_app(owned, STEAL + trap)
    expect = {"migration": {"table": "migrations", "atLeast": "0002"}}
    async with driving(a_cluster(databases={"app": {"expect": expect}}), {"one": owned}) as driven:
        await driven.quiet()
    assert owned.run("SELECT rolsuper FROM pg_roles WHERE rolname = 'app'") == "f"


async def test_a_policy_of_the_rows_is_not_run_as_us(owned: LabPostgres) -> None:
    owned.run("CREATE ROLE reader LOGIN PASSWORD 'ours'; GRANT pg_monitor, pg_read_all_data TO reader")
    as_app(
        owned,
        """CREATE TABLE caught (who text); GRANT INSERT ON caught TO PUBLIC;
        CREATE FUNCTION seen() RETURNS bool LANGUAGE plpgsql AS
          'BEGIN INSERT INTO public.caught VALUES (current_user); RETURN true; END';
        CREATE TABLE migrations AS SELECT '0001'::text AS name;
        ALTER TABLE migrations ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON migrations USING (seen());""",
    )
    expect = {"migration": {"table": "migrations"}}
    cluster = a_cluster(databases={"app": {"expect": expect}})
    async with driving(cluster, {"one": owned}, user="reader", password="ours") as driven:
        plan = await driven.quiet()
    assert plan.blocked is not None
    assert (plan.blocked[0], "row-level security" in plan.blocked[1]) == ("DatabaseUnseen", True)
    assert owned.run("SELECT count(*) FROM caught", "app") == "0"
    owned.run("DROP ROLE reader")


@pytest.mark.parametrize(
    ("table", "last"),
    [
        ("(name text)", None),
        ("(name text); INSERT INTO migrations VALUES ('0002'), ('0010'), (NULL)", "0010"),
        ("(name char(8)); INSERT INTO migrations VALUES ('0001'), ('0002')", "0002"),
        ("(name bigint); INSERT INTO migrations VALUES (9), (10)", "9"),
        ("(name text) PARTITION BY LIST (name); CREATE TABLE one PARTITION OF migrations DEFAULT", None),
    ],
)
async def test_the_last_migration_is_read_as_text(owned: LabPostgres, table: str, last: str | None) -> None:
    as_app(owned, f"CREATE TABLE migrations {table};")
    expect = {"migration": {"table": "migrations"}}
    async with driving(a_cluster(databases={"app": {"expect": expect}}), {"one": owned}) as driven:
        plan = await driven.quiet()
        assert plan.blocked is None
        found = driven.desk.state.objects[KEY].status
        assert isinstance(found, PostgresClusterStatus)
        assert found.migrations.get("app") == last


async def test_a_view_in_the_place_of_the_table_is_said(owned: LabPostgres) -> None:
    as_app(owned, "CREATE VIEW migrations AS SELECT 'x' AS name;")
    expect = {"migration": {"table": "migrations"}}
    async with driving(a_cluster(databases={"app": {"expect": expect}}), {"one": owned}) as driven:
        plan = await driven.quiet()
        assert plan.blocked is not None
        assert plan.blocked[0] == "DatabaseUnseen"
        assert "tables and materialized views" in plan.blocked[1]
