"""Whatever is asked of a cluster and whatever is found, crashes included: it rests, as asked where it may."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from crds.meta import Verb
from crds.postgres import PostgresClusterSpec
from metrics.postgres import PostgresMetrics
from reconcilers.contract import PermanentError, Plan, Secret, Step
from reconcilers.gauges import Gauges
from reconcilers.postgres.model import SeenDatabase
from reconcilers.postgres.reconciler import PostgresReconciler
from reconcilers.postgres.scram import is_password, verifier
from reconcilers.postgres.settings import refusal, same
from tests.builders import START
from tests.builders_haproxy import Desk
from tests.fakes.postgres import NEW_ROLE, FakeMember, FakePostgres, at_once
from tests.real_postgres import KEY, NamedSecrets, a_cluster


def is_refused(spec: Mapping[str, Any]) -> bool:
    """Whether the file would be refused: roles in a circle, a logical slot, what is absent and asked for."""
    try:
        a_cluster(**spec)
    except ValueError:
        return True
    return False


SECRETS = NamedSecrets({"one": "the first", "two": "the second"})
VERBS = [each.value for each in (Verb.CHANGE_OWNER, Verb.DROP_SLOT, Verb.DROP_DATABASE, Verb.REBUILD)]
VALUES: Mapping[str, list[object]] = {
    "work_mem": ["20MB", "4096", "0.1GB", "1kB", "many"],
    "shared_buffers": ["128MB", "4GB", 16384],
    "max_connections": [50, 200, "0xC8", "\u00b2"],
    "random_page_cost": [1.1, 4, "4.0"],
    "autovacuum": [True, False, "o"],
    "log_statement": ["ddl", "DDL", "everything"],
    "log_line_prefix": ["", "%t [%p]: "],
    "wal_level": ["logical", "replica"],
    "block_size": [8192],
    "no_such_setting": ["1"],
}
SETTINGS = st.fixed_dictionaries({}, optional={name: st.sampled_from(each) for name, each in VALUES.items()})
ROLE_NAMES = st.sampled_from(["psa_app", "replicator", "reader", "boss"])
OWNERS = st.sampled_from([None, "psa_app", "reader", "boss", "nobody"])
ROLES = st.fixed_dictionaries(
    {},
    optional={
        "login": st.booleans(),
        "createdb": st.booleans(),
        "replication": st.booleans(),
        "connectionLimit": st.sampled_from([-1, 0, 100]),
        "memberOf": st.lists(st.sampled_from(["reader", "psa_app", "pg_monitor", "gone"]), max_size=2),
        "password": st.sampled_from(["one", "two", "no-such-secret"]),
    },
)
DATABASES = st.fixed_dictionaries(
    {"owner": OWNERS},
    optional={
        "extensions": st.lists(st.sampled_from(["pgcrypto", "no-such"]), max_size=2, unique=True),
        "schemas": st.dictionaries(
            st.sampled_from(["public", "psa"]), st.fixed_dictionaries({"owner": OWNERS})
        ),
        "expect": st.just({"tables": ["tickets"]}),
    },
)
SLOTS = st.dictionaries(
    st.sampled_from(["replica1", "feed"]),
    st.sampled_from([{}, {"plugin": "pgoutput", "database": "psa_platform"}]),
)
STANDBYS = st.sampled_from(
    [
        {},
        {"replica": {}},
        {"replica": {"user": "replicator", "password": "one", "applicationName": "replica"}},
        {"replica": {"user": "replicator", "password": "no-such-secret"}},
        {"gone": {"user": "replicator"}, "primary": {}},
    ]
)
SPECS = st.fixed_dictionaries(
    {
        "settings": SETTINGS,
        "roles": st.dictionaries(ROLE_NAMES, ROLES, max_size=3),
        "databases": st.dictionaries(st.sampled_from(["psa_platform", "other"]), DATABASES),
        "replication": st.fixed_dictionaries({"slots": SLOTS, "standbys": STANDBYS}),
    },
    optional={
        "allow": st.lists(st.sampled_from(VERBS), max_size=3, unique=True),
        "systemIdentifier": st.sampled_from(["7300000000000000001", "7300000000000000002"]),
        "minimumVersion": st.sampled_from(["15.0", "16.0"]),
        "absent": st.fixed_dictionaries(
            {}, optional={"slots": st.just(["replica1", "feed"]), "databases": st.just(["other"])}
        ),
    },
).filter(lambda spec: not is_refused(spec))
FOUND_ROLES = st.builds(
    lambda login, replication, groups, password: replace(
        NEW_ROLE,
        login=login,
        replication=replication,
        connection_limit=5,
        member_of=frozenset(groups),
        verifier=None if password is None else Secret(verifier(password, b"salt")),
    ),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(), ("pg_monitor",)]),
    st.sampled_from([None, "the first", "nobody knows"]),
)
FOUND_DATABASES = st.builds(
    SeenDatabase,
    owner=st.sampled_from(["psa", "psa_app"]),
    extensions=st.just(frozenset({"plpgsql"})),
    schemas=st.sampled_from([{"public": "psa"}, {"public": "psa", "psa": "reader"}]),
    trouble=st.sampled_from([None, None, "permission denied for database"]),
)
BOSS = replace(NEW_ROLE, login=True, superuser=True, createdb=True, replication=True)


@st.composite
def worlds(draw: st.DrawFn) -> FakePostgres:
    primary = FakeMember("primary", "10.0.30.10:5432")
    replica = FakeMember(
        "replica",
        "10.0.30.11:5432",
        is_standby=draw(st.sampled_from([True, True, True, False])),
        system_identifier=draw(st.sampled_from([primary.system_identifier, "7300000000000000002"])),
        is_down=draw(st.booleans()),
        is_paused=draw(st.booleans()),
        behind_bytes=draw(st.sampled_from([0, 200 << 20])),
        conninfo=draw(st.sampled_from([{}, {"host": "10.0.0.9", "port": "5432", "sslmode": "prefer"}])),
    )
    primary.is_down = draw(st.sampled_from([False, False, False, True]))
    found = draw(st.dictionaries(ROLE_NAMES.filter(lambda each: each != "boss"), FOUND_ROLES, max_size=3))
    return FakePostgres(
        {"primary": primary, "replica": replica},
        {**found, "psa": BOSS, "boss": BOSS, "pg_monitor": NEW_ROLE},
        draw(st.dictionaries(st.sampled_from(["psa_platform", "other"]), FOUND_DATABASES)),
        draw(st.sampled_from([{}, {"replica1": (None, None)}, {"feed": ("pgoutput", "psa_platform")}])),
        sees_verifiers=draw(st.booleans()),
        sees_files=draw(st.booleans()),
        has_patroni=draw(st.sampled_from([False, False, False, True])),
    )


def a_desk(world: FakePostgres, spec: Mapping[str, Any]) -> Desk:
    desk = Desk({})
    desk.put(a_cluster(**spec))
    restart(desk, world)
    return desk


def restart(desk: Desk, world: FakePostgres) -> None:
    """Give the object to a new process: what the old one had in memory is gone."""
    metrics = PostgresMetrics(CollectorRegistry())
    reconciler = PostgresReconciler(world, SECRETS, metrics, Gauges(), lambda: START, worker=at_once)
    desk.reconcilers = {KEY.kind: reconciler}


async def one_pass(desk: Desk, crash_after: int = 100) -> tuple[Plan[Any], list[str]]:
    """Make a pass as the engine does; return what was not done: not allowed, refused, or behind such."""
    plan = await desk.look(KEY)
    undone = [step.summary for step in plan.steps]
    for number, step in enumerate(plan.steps):
        if number >= crash_after:
            return plan, undone
        if not is_allowed(desk, step):
            break
        try:
            await desk.reconcilers[KEY.kind].apply(step)
        except PermanentError:
            break
        undone.pop(0)
    desk.keep(KEY, plan)
    return plan, undone


def is_allowed(desk: Desk, step: Step[Any]) -> bool:
    return step.needs is None or step.needs in spec_of(desk).allow


async def settled(desk: Desk) -> list[str]:
    """Make passes until one does nothing; return what is left undone."""
    undone: list[str] | None = None
    for _ in range(12):
        plan, now = await one_pass(desk)
        if len(now) == len(plan.steps) and now == undone:
            return now
        undone = now
    raise AssertionError(f"not quiet: {undone}")


def spec_of(desk: Desk) -> PostgresClusterSpec:
    found = desk.state.objects[KEY].spec
    assert isinstance(found, PostgresClusterSpec)
    return found


@given(world=worlds(), spec=SPECS, crashes=st.lists(st.integers(0, 5), max_size=3))
async def test_it_rests_as_asked_after_crashes_of_ours(
    world: FakePostgres, spec: Mapping[str, Any], crashes: list[int]
) -> None:
    desk = a_desk(world, spec)
    for crash_after in crashes:
        await one_pass(desk, crash_after)
        restart(desk, world)
    undone = await settled(desk)
    world.writes.clear()
    restart(desk, world)
    assert await settled(desk) == undone
    assert world.writes == [], "it does not rest"

    plan = await desk.look(KEY)
    if plan.blocked is None and not plan.steps:
        assert_as_asked(world, spec_of(desk))


def assert_as_asked(world: FakePostgres, spec: PostgresClusterSpec) -> None:
    for server in world.servers.values():
        assert server.is_down or settings_are_as_asked(server, spec)
    if not world.servers["primary"].is_down:
        assert_roles_as_asked(world, spec)
        assert_databases_as_asked(world, spec)
        assert {*spec.replication.slots} <= {*world.slots}
        assert not {*spec.absent.slots} & {*world.slots}
        assert not {*spec.absent.databases} & {*world.databases}
        assert_standbys_as_asked(world, spec)


def settings_are_as_asked(server: FakeMember, spec: PostgresClusterSpec) -> bool:
    found = server.settings
    return all(
        refusal(found[name], value) is None
        and same(found[name], value, server.written.get(name, found[name].value))
        for name, value in spec.settings.items()
    )


def assert_roles_as_asked(world: FakePostgres, spec: PostgresClusterSpec) -> None:
    for name, role in spec.roles.items():
        found = world.roles[name]
        assert found.member_of >= {*role.member_of}
        assert role.login in {None, found.login}
        assert role.connection_limit in {None, found.connection_limit}
        if role.password is not None:
            assert found.verifier is not None
            assert is_password(SECRETS.read(role.password).value, found.verifier.value)


def assert_databases_as_asked(world: FakePostgres, spec: PostgresClusterSpec) -> None:
    for name, database in spec.databases.items():
        there = world.databases[name]
        assert database.owner in {None, there.owner}
        assert there.extensions >= {*database.extensions}
        assert {*database.schemas} <= {*there.schemas}


def assert_standbys_as_asked(world: FakePostgres, spec: PostgresClusterSpec) -> None:
    for name, standby in spec.replication.standbys.items():
        replica = world.servers.get(name)
        if replica is not None and replica.is_standby and not replica.is_down:
            assert not replica.is_paused
            assert standby.user is None or replica.conninfo["host"] == "10.0.30.10"


@given(world=worlds(), spec=SPECS)
async def test_nothing_is_promoted_dropped_taken_away_or_done_behind_patronis_back(
    world: FakePostgres, spec: Mapping[str, Any]
) -> None:
    owners = {name: each.owner for name, each in world.databases.items()}
    roles, slots = dict(world.roles), dict(world.slots)
    writable = {name for name, each in world.servers.items() if not each.is_standby}
    desk = a_desk(world, spec)
    await settled(desk)

    assert {name for name, each in world.servers.items() if not each.is_standby} == writable
    assert {*roles} <= {*world.roles}
    assert all(world.roles[name].member_of >= each.member_of for name, each in roles.items())
    found, absent = spec_of(desk), spec_of(desk).absent
    gone = {*slots} - {*world.slots}
    assert gone <= ({*absent.slots} if Verb.DROP_SLOT in found.allow else set())
    assert {name: each for name, each in slots.items() if name not in gone}.items() <= world.slots.items()
    lost = {*owners} - {*world.databases}
    assert lost <= ({*absent.databases} if Verb.DROP_DATABASE in found.allow else set())
    if Verb.CHANGE_OWNER not in found.allow:
        kept = {name: each for name, each in owners.items() if name not in lost}
        assert {name: world.databases[name].owner for name in kept} == kept
    if world.has_patroni:
        assert world.writes == []


@given(world=worlds(), spec=SPECS)
async def test_two_writable_members_another_cluster_and_an_old_version_freeze_all(
    world: FakePostgres, spec: Mapping[str, Any]
) -> None:
    desk = a_desk(world, spec)
    up = [each for each in world.servers.values() if not each.is_down]
    wanted = {spec.get("systemIdentifier"), *(each.system_identifier for each in up)} - {None}
    freezes = len(wanted) > 1 or sum(not each.is_standby for each in up) > 1
    await settled(desk)

    plan = await desk.look(KEY)
    if up and freezes:
        assert plan.blocked is not None
        assert plan.blocked[0] in {"WrongSystem", "SplitBrain"}
        assert world.writes == []
    elif up and spec.get("minimumVersion") == "16.0":
        assert plan.blocked is not None
        assert plan.blocked[0] == "VersionTooLow"
        assert world.writes == []


@given(world=worlds(), spec=SPECS)
async def test_each_step_is_one_sentence_of_its_own_and_shows_no_secret(
    world: FakePostgres, spec: Mapping[str, Any]
) -> None:
    plan = await a_desk(world, spec).look(KEY)
    said = [step.summary for step in plan.steps]
    assert len(said) == len({*said})
    for step in plan.steps:
        assert step.changes
        assert "\n" not in step.summary
        assert not [each for each in ("the first", "the second", "SCRAM-SHA-256") if each in repr(step)]
