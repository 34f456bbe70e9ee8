"""Who the daemon comes as: the grants of the guide and no more, and every way in that is closed."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crds.meta import ConditionType, Truth
from lab.postgres import LabPostgres, PostgresError
from reconcilers.contract import NotSentError, PermanentError, Secret, TransientError
from reconcilers.postgres.actions import PutRole, Target
from reconcilers.postgres.model import LostMember
from reconcilers.transports.postgres import PostgresServers
from reconcilers.transports.postgres_session import Door
from reconcilers.transports.postgres_statements import literal
from tests.builders_haproxy import verdict
from tests.builders_tls import Authority, make_authority
from tests.real_haproxy import refusing_address
from tests.real_postgres import (
    KEY,
    PASSWORD,
    SLOT,
    Driven,
    Site,
    a_cluster,
    a_site,
    a_template,
    driving,
    put,
)

GUIDE = Path(__file__).parents[2] / "docs/how-to/put-postgresql-under-it.md"
US = "psa_reconciler"
OUR_PASSWORD = "our own"
SPEC: Mapping[str, object] = {
    "settings": {"work_mem": "20MB", "max_connections": 50},
    "roles": {
        "psa_app": {"login": True, "createdb": False, "password": "psa-app", "connectionLimit": 20},
        "replicator": {"replication": True, "connectionLimit": 4, "password": "replicator"},
        "readers": {"memberOf": ["pg_monitor"]},
    },
    "databases": {
        "psa_platform": {
            "owner": "psa_app",
            "extensions": ["pg_trgm"],
            "schemas": {"app": {"owner": "psa_app"}},
        }
    },
    "replication": {
        "slots": {SLOT: {}, "decoded": {}},
        "standbys": {"two": {"slot": "decoded", "user": "replicator", "password": "replicator"}},
    },
    "archived": True,
}


def documented_sql() -> str:
    """Return the guide's statements, with what it asks to be filled in."""
    found = re.search(r"```sql\n(.+?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    settings = ", ".join(SPEC["settings"])  # type: ignore[arg-type]  # a mapping
    return f"""{found[1]}
        GRANT ALTER SYSTEM ON PARAMETER {settings} TO {US};
        ALTER ROLE {US} PASSWORD '{OUR_PASSWORD}';
    """


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with a_template() as template:
        yield template


@pytest.fixture
def site(template: Path) -> Iterator[Site]:
    with a_site(template) as site:
        yield site


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def lesser(members: Mapping[str, LabPostgres], **spec: Any) -> AsyncIterator[Driven]:
    """Drive as the role of the guide."""
    cluster = a_cluster(**{**SPEC, **spec})
    async with driving(cluster, members, user=US, password=OUR_PASSWORD) as driven:
        yield driven


async def test_the_documented_grants_are_enough_for_all_that_the_kind_does(site: Site) -> None:
    # All statements would be in the log, and so the password of whoever streams.
    loud = ("log_statement = 'all'", "log_min_duration_statement = 0")
    primary = site.primary(more=loud)
    primary.run(documented_sql())
    standby = site.standby(primary, more=loud)
    async with lesser({"one": primary, "two": standby}) as driven:
        plan = await driven.quiet()
        await driven.until(
            lambda: primary.run("SELECT slot_name FROM pg_replication_slots WHERE active") == "decoded"
        )
        standby.run("SELECT pg_wal_replay_pause()")
        primary.run("ALTER ROLE psa_app NOLOGIN PASSWORD 'guessed'")
        assert len(await driven.sentences()) == 2
        await driven.quiet()
        assert (plan.blocked, await driven.sentences()) == (None, [])

    assert (
        primary.run("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = 'psa_reconciler'") == "f"
    )
    granted = "SELECT pg_has_role('readers', 'pg_monitor', 'MEMBER')"
    assert primary.run(granted) == "t"
    assert "pg_wal_replay_pause" in standby.log.read_text()
    assert "the replicator" not in standby.log.read_text()
    ours = [line for line in primary.log.read_text().splitlines() if "put_role" in line or "SCRAM-" in line]
    assert [line for line in ours if "SCRAM-SHA-256$4096" in line] == []


async def test_with_the_documented_grants_and_no_others_what_must_be_absent_is_dropped(site: Site) -> None:
    primary = site.primary(more=("wal_level = logical",))
    primary.run(documented_sql())
    # As the guide says of roles that are there already and own databases; nothing of the stranger's is ours.
    primary.run("CREATE ROLE psa_app; CREATE ROLE stranger; GRANT psa_app TO psa_reconciler")
    primary.run("CREATE DATABASE psa_old OWNER psa_app")
    primary.run("CREATE DATABASE theirs OWNER stranger")
    primary.run("CREATE TABLE kept (id int); ALTER TABLE kept OWNER TO psa_app", "psa_old")
    primary.run("SELECT pg_create_physical_replication_slot('replica9', true)")
    primary.run("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')", "psa_old")
    spec: Mapping[str, Any] = {
        "settings": {},
        "roles": {},
        "databases": {},
        "replication": {},
        "allow": ["drop-slot", "drop-database"],
    }
    ours = {"slots": ["replica9", "feed"], "databases": ["psa_old"]}
    async with lesser({"one": primary}, **spec, absent=ours) as driven:
        plan = await driven.quiet()
        assert (plan.blocked, await driven.sentences()) == (None, [])
    assert primary.run("SELECT count(*) FROM pg_replication_slots") == "0"
    left = "SELECT datname FROM pg_database WHERE datname IN ('psa_old', 'theirs')"
    assert primary.run(left) == "theirs"

    async with lesser({"one": primary}, **spec, absent={"databases": ["theirs"]}) as driven:
        (step,) = (await driven.look()).steps
        with pytest.raises(PermanentError, match="must be owner of database theirs") as caught:
            await driven.desk.reconcilers["PostgresCluster"].apply(step)
    assert caught.value.reason == "MissingPrivilege"
    assert primary.run(left) == "theirs"


async def test_with_the_documented_grants_and_no_others_it_is_known_where_a_split_began(site: Site) -> None:
    primary = site.primary()
    primary.run(documented_sql())
    standby = site.standby(primary)
    standby.run("SELECT pg_promote(true, 10)")
    primary.run("REVOKE EXECUTE ON FUNCTION psa.timeline_history(int) FROM psa_reconciler")
    (_, place, *_) = (standby.data / "pg_wal/00000002.history").read_text().split()
    async with lesser({"one": primary, "two": standby}) as driven:
        plan = await driven.look()
        assert plan.blocked is not None
        assert plan.blocked[0] == "SplitBrain"
        assert f"one and two have the same history up to {place} on timeline 1" in plan.blocked[1]

        standby.run("REVOKE EXECUTE ON FUNCTION psa.timeline_history(int) FROM psa_reconciler")
        plan = await driven.look()
        assert plan.blocked is not None
        assert "where they parted is unknown: the history of two may not be read" in plan.blocked[1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("'postgres', '{}', 1, NULL, '{}'", "role postgres is not for psa.put_role"),
        ("'psa_reconciler', '{CREATEDB}', 1, NULL, '{}'", "role psa_reconciler is not for psa.put_role"),
        ("'mine', '{SUPERUSER}', 1, NULL, '{}'", "option 'SUPERUSER' is not for psa.put_role"),
        ("'mine', '{LOGIN SUPERUSER}', 1, NULL, '{}'", "option 'LOGIN SUPERUSER' is not for psa.put_role"),
        ("'mine', '{}', 1, 'clear text', '{}'", "takes SCRAM-SHA-256 verifiers only"),
        ("'mine', '{}', 1, NULL, '{pg_execute_server_program}'", "group pg_execute_server_program is not"),
        ("'mine', '{}', 1, NULL, '{postgres}'", "group postgres is not for psa.put_role"),
    ],
)
def test_the_function_makes_nobody_more_than_its_limits(limited: LabPostgres, call: str, words: str) -> None:
    with pytest.raises(PostgresError, match=re.escape(words)):
        limited.run(f"SET SESSION AUTHORIZATION {US}; SELECT psa.put_role({call})")


@pytest.fixture(scope="module")
def limited(template: Path) -> Iterator[LabPostgres]:
    with a_site(template) as site:
        primary = site.primary()
        primary.run(documented_sql())
        yield primary


async def test_a_missing_right_is_said_in_the_servers_words_and_other_things_are_still_done(
    limited: LabPostgres,
) -> None:
    async with lesser({"one": limited}, settings={"random_page_cost": 1.1}, replication={}) as driven:
        steps = (await driven.look()).steps
        setting = next(each for each in steps if "random_page_cost" in each.summary)
        with pytest.raises(PermanentError, match="random_page_cost") as caught:
            await driven.desk.reconcilers["PostgresCluster"].apply(setting)
        assert caught.value.reason == "MissingPrivilege"
        for step in steps:
            if step is not setting:
                await driven.desk.reconcilers["PostgresCluster"].apply(step)
    assert limited.run("SELECT datname FROM pg_database WHERE datname = 'psa_platform'") == "psa_platform"


async def test_a_password_that_nobody_may_compare_is_said_and_not_written_again(site: Site) -> None:
    primary = site.primary()
    primary.run(documented_sql())
    primary.run("REVOKE SELECT (rolname, rolpassword) ON pg_authid FROM psa_reconciler")
    roles = {"psa_app": {"login": True, "password": "psa-app"}}
    async with lesser({"one": primary}, settings={}, roles=roles, replication={}) as driven:
        plan = await driven.quiet()
        assert plan.blocked is not None
        assert plan.blocked[0] == "PasswordUnseen"
        assert await driven.sentences() == []


async def test_without_pg_monitor_nothing_is_known_and_so_nothing_is_changed(site: Site) -> None:
    primary = site.primary()
    primary.run(documented_sql())
    standby = site.standby(primary)
    before = standby.run("SHOW primary_conninfo")
    primary.run("REVOKE pg_monitor FROM psa_reconciler")
    hidden = "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE rolname = '{}'"
    async with lesser({"one": primary, "two": standby}) as driven:
        await driven.until_true(lambda: standby.run(hidden.format(US)) == "0")
        plan = await driven.quiet()
        found = verdict(plan, ConditionType.READY)

    assert found is not None
    assert (found.status, found.reason) == (Truth.UNKNOWN, "PrimaryUnseen")
    assert f"hides how it is from user {US}: GRANT pg_monitor" in found.message
    assert standby.run("SHOW primary_conninfo") == before


def servers(address: str, password: str = PASSWORD, **door: Any) -> PostgresServers:
    way = Door("postgres", "postgres", lambda: Secret(password), **door)
    return PostgresServers({"psa-db": (way, {"one": address})})


async def failure(wires: PostgresServers) -> TransientError | PermanentError:
    """Return what a look fails with."""
    try:
        await wires.look(Target("psa-db", "one"))
    except (TransientError, PermanentError) as exc:
        return exc
    finally:
        await wires.close()
    raise AssertionError("it was let in")


async def test_a_wrong_password_is_said_and_not_shown(limited: LabPostgres) -> None:
    error = await failure(servers(limited.config.address, "wrong horse"))
    assert isinstance(error, PermanentError)
    assert (error.reason, "horse" in str(error)) == ("WrongPassword", False)


async def test_a_database_that_is_not_there_is_named(limited: LabPostgres) -> None:
    way = Door("postgres", "nowhere", lambda: Secret(PASSWORD))
    error = await failure(PostgresServers({"psa-db": (way, {"one": limited.config.address})}))
    assert isinstance(error, PermanentError)
    assert error.reason == "UnknownDatabase"


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with refusing_address() as address:
        error = await failure(servers(address))
    assert isinstance(error, NotSentError)
    assert "nobody listens there" in str(error)


async def test_who_speaks_something_else_is_no_postgresql() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        assert isinstance(await failure(servers(f"{host}:{port}")), NotSentError)


async def test_who_says_nothing_is_not_waited_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        error = await failure(servers(f"127.0.0.1:{mute.getsockname()[1]}", connect_s=0.2))
    assert isinstance(error, NotSentError)
    assert "no answer" in str(error)


async def test_tls_is_spoken_and_the_server_verified(site: Site, authority: Authority) -> None:
    primary = site.primary()
    plain = primary.config.address
    error = await failure(servers(plain, ca_file=authority.ca))
    assert isinstance(error, PermanentError)
    assert (error.reason, "the server offers none" in str(error)) == ("TlsFailed", True)
    for name, source in (("server.crt", authority.certificate), ("server.key", authority.key)):
        put(primary, name, source.read_text())
    primary.run("ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf()")

    good = servers(plain, ca_file=authority.ca)
    assert (await good.look(Target("psa-db", "one"))).system_identifier
    await good.close()
    error = await failure(servers(plain, ca_file=authority.stranger_certificate))
    assert isinstance(error, PermanentError)
    assert error.reason == "TlsFailed"


async def test_a_server_without_a_place_left_is_asked_again_later(site: Site) -> None:
    primary = site.primary(more=("max_connections = 4", "superuser_reserved_connections = 0"))
    wires = [servers(primary.config.address) for _ in range(4)]
    for each in wires:
        await each.look(Target("psa-db", "one"))
    error = await failure(servers(primary.config.address))
    for each in wires:
        await each.close()
    assert isinstance(error, NotSentError)
    assert "too many clients" in str(error)


async def test_a_password_file_that_changes_is_followed_at_the_next_session(limited: LabPostgres) -> None:
    words = ["first"]
    way = Door("rotating", "postgres", lambda: Secret(words[0]))
    limited.run("CREATE ROLE rotating LOGIN PASSWORD 'first' IN ROLE pg_monitor")
    wires = PostgresServers({"psa-db": (way, {"one": limited.config.address})})
    await wires.look(Target("psa-db", "one"))
    limited.run("ALTER ROLE rotating PASSWORD 'second'")
    words[0] = "second"
    limited.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'")
    # The end of a session is seen at the latest by the first that is sent.
    with contextlib.suppress(TransientError):
        await wires.look(Target("psa-db", "one"))
    assert (await wires.look(Target("psa-db", "one"))).connections
    await wires.close()
    limited.run("DROP ROLE rotating")


async def test_one_locked_out_member_is_lost_and_no_other(site: Site) -> None:
    primary = site.primary()
    standby = site.standby(primary)
    cluster = a_cluster(settings={"work_mem": "20MB"}, replication={"standbys": {"two": {}}})
    put(standby, "pg_hba.conf", "host all all 127.0.0.0/8 reject\n")
    async with driving(cluster, {"one": primary, "two": standby}) as driven:
        plan = await driven.quiet()
        ready = verdict(plan, ConditionType.READY)
        seen = await driven.desk.reconcilers["PostgresCluster"].observe(
            driven.desk.state.objects[KEY], driven.desk.state
        )
    assert isinstance(seen.members[1], LostMember)
    assert ready is not None
    assert ready.reason == "StandbyLost"
    assert "pg_hba.conf rejects connection" in ready.message
    assert primary.run("SHOW work_mem") == "20MB"


async def test_a_name_with_quotes_capitals_and_blanks_is_that_name(limited: LabPostgres) -> None:
    wires = servers(limited.config.address)
    at = Target("psa-db", "one")
    name = 'Ärger "with" $names; DROP'
    await wires.put_role(PutRole(at, name, is_new=True, options=("LOGIN",), groups=("pg_monitor",)))
    await wires.make_database(at, name, name)
    found = limited.run(
        "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = datname AND datname <> 'postgres'"
    )
    with pytest.raises(PermanentError, match="no name of 1 to 63 bytes"):
        await wires.make_database(at, "ä" * 32, None)
    await wires.close()
    limited.run(f'DROP DATABASE "{name}"; DROP ROLE "{name}"'.replace('"with"', '""with""'))
    assert found == name


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_a_value_with_quotes_and_backslashes_is_that_value(limited: LabPostgres, conforming: str) -> None:
    values = ["it's", "back\\slash", "\\'; DROP", "E'x'", "$$ $1 %s", "line\nbreak", "Ärger", ""]
    constants = ", ".join(literal(each) for each in values)
    sql = f"SET standard_conforming_strings = {conforming}; SELECT to_json(ARRAY[{constants}]);"
    assert json.loads(limited.run(sql)) == values
