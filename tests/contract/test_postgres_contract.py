"""What we rely on in PostgreSQL, against the fake and a real pair."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import pytest

from crds.postgres import PgDatabase, PgSchema
from lab.postgres import LabPostgres
from reconcilers.contract import NotSentError, PermanentError, Secret
from reconcilers.postgres.actions import PutRole, PutSchema, Target
from reconcilers.postgres.client import PostgresClient
from reconcilers.postgres.model import Deep, SeenDatabase, SeenMember
from reconcilers.postgres.scram import verifier
from reconcilers.transports.postgres import PostgresServers
from reconcilers.transports.postgres_session import Door
from tests.fakes.postgres import NEW_ROLE, FakeMember, FakePostgres
from tests.real_postgres import PASSWORD, REPLICATION_PASSWORD, SLOT, a_site, a_template

ONE, TWO = Target("psa-db", "one"), Target("psa-db", "two")
STORED = Secret(verifier("the app's", b"0123456789abcdef"))


class Rig(Protocol):
    """A primary called one, and a standby called two that streams from it through the slot replica1."""

    client: PostgresClient

    def pause(self) -> None:
        """Pause the standby's replay by hand."""
        ...


class FakeRig:
    def __init__(self) -> None:
        link = {"host": "fake", "port": "1", "user": "replicator", "password": REPLICATION_PASSWORD}
        stored = Secret(verifier(REPLICATION_PASSWORD, b"0123456789abcdef"))
        self._standby = FakeMember("two", "fake:2", is_standby=True, conninfo=link, slot_name=SLOT)
        replicator = replace(NEW_ROLE, login=True, replication=True, verifier=stored)
        self.client: PostgresClient = FakePostgres(
            {"one": FakeMember("one", "fake:1"), "two": self._standby},
            roles={"replicator": replicator},
            databases={"postgres": SeenDatabase("postgres")},
            slots={SLOT: (None, None)},
        )

    def pause(self) -> None:
        self._standby.is_paused = True


class RealRig:
    def __init__(self, pair: Mapping[str, LabPostgres], client: PostgresServers) -> None:
        self._pair = pair
        self.client: PostgresClient = client

    def pause(self) -> None:
        self._pair["two"].run("SELECT pg_wal_replay_pause()")


@pytest.fixture(scope="module")
def pair() -> Iterator[Mapping[str, LabPostgres]]:
    with a_template() as template, a_site(template) as site:
        primary = site.primary()
        yield {"one": primary, "two": site.standby(primary)}


@contextlib.asynccontextmanager
async def _rig(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if kind == "fake":
        yield FakeRig()
        return
    pair = request.getfixturevalue("pair")
    way = Door("postgres", "postgres", lambda: Secret(PASSWORD))
    servers = PostgresServers({"psa-db": (way, {name: each.config.address for name, each in pair.items()})})
    yield RealRig(pair, servers)
    await servers.close()


@pytest.fixture(params=["fake", "real"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with _rig(request.param, request) as rig:
        yield rig


async def deep(rig: Rig, *settings: str, target: Target = ONE, **asked: PgDatabase) -> Deep:
    roles = ("app", "reader", "owner", "nobody", "replicator")
    return await rig.client.look_deep(
        target, settings=settings, roles=roles, databases=asked, is_standby=target == TWO
    )


async def eventually(rig: Rig, target: Target, holds: Callable[[SeenMember], bool]) -> SeenMember:
    """Look until something holds of a member: a reload takes a moment, a receiver some."""
    deadline = time.monotonic() + 10
    while not holds(seen := await rig.client.look(target)):
        assert time.monotonic() < deadline, f"it does not come about: {seen}"
        await asyncio.sleep(0.02)
    return seen


async def test_a_pair_tells_who_it_is(rig: Rig) -> None:
    standby = await eventually(rig, TWO, lambda seen: seen.receiver is not None)
    primary = await eventually(rig, ONE, lambda seen: seen.slots[SLOT].active)
    assert [*rig.client.members("psa-db")] == ["one", "two"]
    assert (primary.is_standby, standby.is_standby) == (False, True)
    assert primary.system_identifier == standby.system_identifier
    assert [(each.state, each.slot) for each in primary.downstream] == [("streaming", SLOT)]
    assert (primary.received, standby.received is None) == (None, False)


@pytest.mark.parametrize("target", [ONE, TWO], ids=["primary", "standby"])
async def test_a_setting_that_a_reload_applies_is_in_force_at_the_next_look(rig: Rig, target: Target) -> None:
    for wanted, found in (("9MB", "9216"), ("10240", "10240"), ("9MB", "9216")):
        await rig.client.set_setting(target, "work_mem", wanted)
        setting = (await deep(rig, "work_mem", target=target)).settings["work_mem"]
        assert (setting.value, setting.unit, setting.pending_restart) == (found, "kB", False)
        assert setting.file_value == wanted


async def test_a_setting_that_needs_a_restart_waits_for_it_in_the_file(rig: Rig) -> None:
    before = (await deep(rig, "shared_buffers")).settings["shared_buffers"].value
    await rig.client.set_setting(ONE, "shared_buffers", "24MB")
    setting = (await deep(rig, "shared_buffers")).settings["shared_buffers"]
    assert (setting.value, setting.file_value, setting.pending_restart) == (before, "24MB", True)
    assert setting.context == "postmaster"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("no_such_setting", "1", "unrecognized configuration parameter"),
        ("work_mem", "banana", "invalid value for parameter"),
        ("autovacuum", "perhaps", "requires a Boolean|on or off"),
        ("log_statement", "most", "invalid value for parameter"),
    ],
)
async def test_a_setting_that_is_refused_is_not_written(rig: Rig, name: str, value: str, words: str) -> None:
    with pytest.raises(PermanentError, match=words):
        await rig.client.set_setting(ONE, name, value)
    setting = (await deep(rig, name)).settings.get(name)
    assert setting is None or setting.file_value != value


async def test_a_role_has_what_it_was_made_and_changed_with(rig: Rig) -> None:
    await rig.client.put_role(PutRole(ONE, "reader", is_new=True))
    made = PutRole(ONE, "app", is_new=True, options=("LOGIN",), connection_limit=5, verifier=STORED)
    await rig.client.put_role(made)
    role = ((await deep(rig)).roles or {})["app"]
    assert (role.login, role.createdb, role.inherit, role.connection_limit) == (True, False, True, 5)
    assert (role.verifier, role.member_of) == (STORED, frozenset())

    await rig.client.put_role(PutRole(ONE, "app", is_new=False, options=("NOINHERIT",), groups=("reader",)))
    role = ((await deep(rig)).roles or {})["app"]
    assert (role.login, role.inherit, role.member_of) == (True, False, frozenset({"reader"}))
    assert role.verifier == STORED

    with pytest.raises((PermanentError, NotSentError)):
        await rig.client.put_role(made)
    with pytest.raises(PermanentError, match="does not exist"):
        await rig.client.put_role(PutRole(ONE, "nobody", is_new=True, groups=("no such group",)))
    assert "nobody" not in ((await deep(rig)).roles or {}), "half of it was made"


async def test_a_database_has_its_owner_schemas_and_extensions(rig: Rig) -> None:
    await rig.client.put_role(PutRole(ONE, "owner", is_new=True))
    await rig.client.make_database(ONE, "app", None)
    await rig.client.give_database(ONE, "app", "owner")
    await rig.client.make_extension(ONE, "app", "pgcrypto")
    await rig.client.put_schema(PutSchema(ONE, "app", "mine", "owner", is_new=True))
    with pytest.raises((PermanentError, NotSentError)):
        await rig.client.make_database(ONE, "app", None)
    with pytest.raises(PermanentError):
        await rig.client.make_extension(ONE, "app", "no_such_extension")
    with pytest.raises(PermanentError, match="does not exist"):
        await rig.client.make_database(ONE, "other", "no such role")

    asked = PgDatabase(extensions=("pgcrypto", "no_such_extension"), schemas={"mine": PgSchema()})
    found = ((await deep(rig, app=asked, other=PgDatabase())).databases or {})["app"]
    assert (found.owner, found.trouble) == ("owner", None)
    assert "pgcrypto" in found.extensions
    assert found.unavailable == {"no_such_extension"}
    assert found.schemas["mine"] == "owner"


async def test_a_slot_is_there_once_it_was_made_and_a_second_one_of_its_name_is_refused(rig: Rig) -> None:
    await rig.client.make_slot(ONE, "another", None, None)
    slot = (await rig.client.look(ONE)).slots["another"]
    assert (slot.plugin, slot.database, slot.active, slot.wal_status) == (None, None, False, "reserved")
    with pytest.raises((PermanentError, NotSentError), match="already exists"):
        await rig.client.make_slot(ONE, "another", None, None)
    with pytest.raises((PermanentError, NotSentError)):
        await rig.client.make_slot(ONE, "decoded", "test_decoding", "postgres")
    assert "decoded" not in (await rig.client.look(ONE)).slots


async def test_a_standby_streams_from_where_it_is_told_to(rig: Rig) -> None:
    right = (await deep(rig, target=TWO)).conninfo
    await rig.client.connect(TWO, {**right, "port": "9"}, None)
    await eventually(rig, TWO, lambda seen: seen.receiver is None)
    assert (await deep(rig, target=TWO)).conninfo["port"] == "9"
    await rig.client.connect(TWO, right, SLOT)
    seen = await eventually(rig, TWO, lambda seen: seen.receiver is not None)
    assert seen.receiver is not None
    assert seen.receiver.sender == f"{right['host']}:{right['port']}"
    assert (await deep(rig, target=TWO)).slot_name == SLOT


async def test_a_replay_that_was_paused_goes_on(rig: Rig) -> None:
    rig.pause()
    await eventually(rig, TWO, lambda seen: seen.is_paused)
    await rig.client.resume_replay(TWO)
    await eventually(rig, TWO, lambda seen: not seen.is_paused)
