"""Values that PostgreSQL writes otherwise than a person: they are put into force, and are no difference."""

from collections.abc import Iterator

import pytest

from crds.meta import ConditionType
from lab.postgres import LabPostgres
from tests.builders_haproxy import verdict
from tests.real_postgres import a_cluster, a_site, a_template, driving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[LabPostgres]:
    with a_template() as template, a_site(template) as site:
        yield site.primary()


@pytest.mark.parametrize(
    ("name", "value", "in_force"),
    [
        ("timezone", "Europe/Berlin", "Europe/Berlin"),
        ("timezone", "utc", "UTC"),
        ("log_timezone", "utc", "UTC"),
        ("datestyle", "iso, dmy", "ISO, DMY"),
        ("intervalstyle", "ISO_8601", "iso_8601"),
        ("search_path", '"$user", public', '"$user", public'),
        ("search_path", "app", "app"),
        ("search_path", "APP,  public", "app, public"),
        ("search_path", '"App ""Data""",  public , pg_catalog', '"App ""Data""", public, pg_catalog'),
        ("search_path", "", '""'),
        ("temp_tablespaces", "", ""),
        ("log_destination", "stderr, csvlog", "stderr, csvlog"),
        ("wal_consistency_checking", "heap, btree", "heap, btree"),
        ("log_line_prefix", "%m [%p] ", "%m [%p]"),
        ("lc_messages", "C", "C"),
        ("statement_timeout", "-0", "0"),
        ("log_rotation_age", "1d", "1d"),
        ("autovacuum_work_mem", "-1", "-1"),
        ("default_text_search_config", "english", "english"),
        ("checkpoint_completion_target", "0.90", "0.9"),
        ("bytea_output", "HEX", "hex"),
        ("xmlbinary", "base64", "base64"),
        ("jit", "of", "off"),
        ("vacuum_cost_delay", "2.5ms", "2500us"),
    ],
)
async def test_a_value_is_put_into_force_once_and_then_is_no_difference(
    server: LabPostgres, name: str, value: str, in_force: str
) -> None:
    async with driving(a_cluster(settings={name: value}), {"one": server}) as driven:
        plan = await driven.quiet()
        assert plan.blocked is None
        assert await driven.sentences() == []
        assert server.run(f"SHOW {name}") == in_force


@pytest.mark.parametrize("value", ["App Data, public", "app,", ",app", "app,,public", '"app'])
async def test_what_is_no_list_of_names_is_said_and_not_written(server: LabPostgres, value: str) -> None:
    async with driving(a_cluster(settings={"search_path": value}), {"one": server}) as driven:
        plan = await driven.quiet()
        assert plan.blocked is not None
        assert (plan.blocked[0], "names with commas" in plan.blocked[1]) == ("BadSetting", True)


async def test_what_the_command_line_says_stands_above_all_files_and_is_named(server: LabPostgres) -> None:
    """So start the usual images of containers: with ``postgres -c name=value``."""
    server.kill()
    said = ("-c", "work_mem=5MB", "-c", "max_connections=41", "-c", "random_page_cost=1.5")
    server.life.begin((*server.argv, *said), server.is_ready, 20)
    asked = {
        "work_mem": "20MB",
        "max_connections": 50,
        "random_page_cost": 1.5,
        "maintenance_work_mem": "9MB",
    }
    async with driving(a_cluster(settings=asked), {"one": server}) as driven:
        plan = await driven.quiet()
        assert plan.blocked is not None
        assert plan.blocked[0] == "Overridden"
        assert plan.blocked[1] == (
            "on one work_mem is 5MB, 20MB is asked, max_connections is 41, 50 is asked: the server was"
            " started with them on its command line, which no file outweighs"
        )
        assert await driven.sentences() == []
        assert server.run("SHOW maintenance_work_mem") == "9MB"
        assert server.run("SELECT count(*) FROM pg_file_settings WHERE setting = '20MB'") == "0"
        found = verdict(plan, ConditionType.DEGRADED)
        assert found is not None
        assert "PendingRestart" not in found.reason
