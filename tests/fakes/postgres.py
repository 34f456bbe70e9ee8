"""A PostgreSQL cluster in memory, with the opinions that we rely on; tests/integration has real ones."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from crds.postgres import PgDatabase
from reconcilers.contract import NotSentError, PermanentError, Secret
from reconcilers.postgres.actions import PutRole, PutSchema, Target
from reconcilers.postgres.model import (
    Deep,
    Downstream,
    Receiver,
    SeenDatabase,
    SeenMember,
    SeenRole,
    SeenSlot,
    Setting,
)
from reconcilers.postgres.passwords import Answers
from reconcilers.postgres.scram import is_password
from reconcilers.postgres.settings import amount, refusal, same

SYSTEM = "7300000000000000001"
#: What a new server has, of the settings that tests use.
SETTINGS: Mapping[str, Setting] = {
    "work_mem": Setting("4096", "kB", "integer", "user", lowest="64", highest="2147483647"),
    "shared_buffers": Setting("16384", "8kB", "integer", "postmaster", lowest="16", highest="1073741823"),
    "max_connections": Setting("100", None, "integer", "postmaster", lowest="1", highest="262143"),
    "random_page_cost": Setting("4", None, "real", "user", lowest="0", highest="1e+10"),
    "autovacuum": Setting("on", None, "bool", "sighup"),
    "log_statement": Setting("none", None, "enum", "superuser", ("none", "ddl", "mod", "all")),
    "log_line_prefix": Setting("%m [%p] ", None, "string", "sighup"),
    "wal_level": Setting("replica", None, "enum", "postmaster", ("minimal", "replica", "logical")),
    "block_size": Setting("8192", None, "integer", "internal", lowest="8192", highest="8192"),
}
EXTENSIONS = frozenset({"plpgsql", "pgcrypto", "pg_stat_statements"})
FLAGS: Mapping[str, tuple[str, bool]] = {
    "LOGIN": ("login", True),
    "NOLOGIN": ("login", False),
    "CREATEDB": ("createdb", True),
    "NOCREATEDB": ("createdb", False),
    "REPLICATION": ("replication", True),
    "NOREPLICATION": ("replication", False),
    "INHERIT": ("inherit", True),
    "NOINHERIT": ("inherit", False),
}
NEW_ROLE = SeenRole(
    login=False,
    superuser=False,
    createdb=False,
    replication=False,
    inherit=True,
    connection_limit=-1,
    member_of=frozenset(),
    verifier=None,
)

#: 1.7 ms by design, and asked of each standby at each look.
_is_password = lru_cache(maxsize=1024)(is_password)


async def at_once(work: Callable[[], Answers]) -> Answers:
    """Compare passwords right here, so that virtual time does not wait for a thread."""
    await asyncio.sleep(0)
    return work()


@dataclass
class FakeMember:
    """One server. What is written waits for a reload, which all callers make, or for a restart."""

    name: str
    address: str
    is_standby: bool = False
    system_identifier: str = SYSTEM
    timeline: int = 1
    version: str = "15.20"
    runs: int = 1
    is_down: bool = False
    is_paused: bool = False
    behind_bytes: int = 0
    connections: int = 3
    history: str | None = None
    conninfo: Mapping[str, str] = field(default_factory=dict)
    slot_name: str = ""
    settings: dict[str, Setting] = field(default_factory=lambda: dict(SETTINGS))
    written: dict[str, str] = field(default_factory=dict)

    def restart(self) -> None:
        """Begin a new run with what the files say."""
        self.runs += 1
        for name, value in self.written.items():
            self.settings[name] = replace(self.settings[name], value=_normal(self.settings[name], value))


@dataclass
class FakePostgres:
    """The members of one endpoint, and what they share: roles, databases, and the primary's slots."""

    servers: Mapping[str, FakeMember]
    roles: dict[str, SeenRole] = field(default_factory=dict)
    databases: dict[str, SeenDatabase] = field(default_factory=dict)
    slots: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    sees_verifiers: bool = True
    sees_files: bool = True
    has_patroni: bool = False
    end_of_wal: int = 1 << 30
    writes: list[str] = field(default_factory=list)
    """What was changed, in order."""

    def members(self, endpoint: str) -> Sequence[str]:
        return tuple(self.servers)

    async def look(self, target: Target) -> SeenMember:
        server = self._reached(target)
        standbys = [each for each in self.servers.values() if self._streams(each)]
        slots = {
            name: SeenSlot(plugin, database, name in {each.slot_name for each in standbys}, "reserved", 0)
            for name, (plugin, database) in self.slots.items()
        }
        receiver = Receiver("streaming", server.slot_name or None, self._address(server))
        return SeenMember(
            name=server.name,
            address=server.address,
            is_standby=server.is_standby,
            system_identifier=server.system_identifier,
            timeline=server.timeline,
            version=server.version,
            started_at=str(server.runs),
            position=self.end_of_wal - server.behind_bytes,
            received=self.end_of_wal if server.is_standby else None,
            is_paused=server.is_paused,
            receiver=receiver if self._streams(server) else None,
            downstream=()
            if server.is_standby
            else tuple(
                Downstream(
                    each.conninfo.get("application_name", "walreceiver"), "streaming", each.slot_name, 1, 1
                )
                for each in standbys
            ),
            slots={} if server.is_standby else slots,
            connections=server.connections,
            connection_limit=100,
            has_patroni=self.has_patroni,
        )

    async def history(self, target: Target, timeline: int) -> str | None:
        return self._reached(target).history

    async def look_deep(
        self,
        target: Target,
        *,
        settings: Sequence[str],
        roles: Sequence[str],
        databases: Mapping[str, PgDatabase],
        is_standby: bool,
    ) -> Deep:
        server = self._reached(target)
        assert is_standby is server.is_standby
        deep = Deep(
            {name: self._setting(server, name) for name in settings if name in server.settings},
            server.conninfo,
            server.slot_name,
        )
        if is_standby:
            return deep
        found = {name: self._seen(self.roles[name]) for name in roles if name in self.roles}
        asked = {
            name: replace(self.databases[name], unavailable=frozenset(wish.extensions) - EXTENSIONS)
            for name, wish in databases.items()
            if name in self.databases
        }
        return replace(deep, roles=found, databases=asked)

    async def set_setting(self, target: Target, name: str, value: str) -> None:
        server = self._reached(target)
        if name not in server.settings:
            raise PermanentError(f'unrecognized configuration parameter "{name}"', reason="Refused")
        why = refusal(server.settings[name], value)
        if why is not None:
            raise PermanentError(f'invalid value for parameter "{name}": {why}', reason="Refused")
        self.writes.append(f"{target.member}: {name} = {value}")
        server.written[name] = value
        if server.settings[name].context != "postmaster":
            server.settings[name] = replace(
                server.settings[name], value=_normal(server.settings[name], value)
            )

    async def connect(self, target: Target, conninfo: Mapping[str, str], slot: str | None) -> None:
        server = self._reached(target)
        assert server.is_standby, "a primary streams from nobody"
        self.writes.append(f"{target.member}: connect")
        server.conninfo = dict(conninfo) or server.conninfo
        server.slot_name = server.slot_name if slot is None else slot

    async def resume_replay(self, target: Target) -> None:
        server = self._reached(target)
        if not server.is_standby or not server.is_paused:
            raise PermanentError("recovery is not paused", reason="Refused")
        self.writes.append(f"{target.member}: resume")
        server.is_paused, server.behind_bytes = False, 0

    async def make_slot(self, target: Target, name: str, plugin: str | None, database: str | None) -> None:
        server = self._primary(target)
        if name in self.slots:
            raise PermanentError(f'replication slot "{name}" already exists', reason="Refused")
        if database is not None and database not in self.databases:
            raise PermanentError(f'database "{database}" does not exist', reason="Refused")
        if plugin is not None and server.settings["wal_level"].value != "logical":
            raise PermanentError("logical decoding requires wal_level >= logical", reason="Refused")
        self.writes.append(f"{target.member}: slot {name}")
        self.slots[name] = (plugin, database)

    async def put_role(self, action: PutRole) -> None:
        self._primary(action.target)
        if action.is_new is (action.name in self.roles):
            raise PermanentError(f'role "{action.name}" is there, or is not', reason="Refused")
        missing = [each for each in action.groups if each not in self.roles]
        if missing:
            raise PermanentError(f'role "{missing[0]}" does not exist', reason="Refused")
        if any(action.name in self._groups_of(each) for each in action.groups):
            raise PermanentError(f'role "{action.name}" is a member of itself', reason="Refused")
        role = self.roles.get(action.name, NEW_ROLE)
        assert not role.superuser, "a superuser was changed"
        limit = role.connection_limit if action.connection_limit is None else action.connection_limit
        self.writes.append(f"role {action.name}")
        flags = dict(FLAGS[each] for each in action.options)
        self.roles[action.name] = SeenRole(
            login=flags.get("login", role.login),
            superuser=False,
            createdb=flags.get("createdb", role.createdb),
            replication=flags.get("replication", role.replication),
            inherit=flags.get("inherit", role.inherit),
            connection_limit=limit,
            member_of=role.member_of | {*action.groups},
            verifier=action.verifier or role.verifier,
        )

    async def make_database(self, target: Target, name: str, owner: str | None) -> None:
        self._primary(target)
        if name in self.databases:
            raise PermanentError(f'database "{name}" already exists', reason="Refused")
        self._owner(owner)
        self.writes.append(f"database {name}")
        self.databases[name] = SeenDatabase(owner or "psa", frozenset({"plpgsql"}), schemas={"public": "psa"})

    async def give_database(self, target: Target, name: str, owner: str) -> None:
        self._primary(target)
        self._owner(owner)
        self.writes.append(f"database {name} to {owner}")
        self.databases[name] = replace(self.databases[name], owner=owner)

    async def make_extension(self, target: Target, database: str, name: str) -> None:
        self._primary(target)
        if name not in EXTENSIONS:
            raise PermanentError(f'could not open extension control file "{name}.control"', reason="Refused")
        found = self.databases[database]
        self.writes.append(f"extension {name} in {database}")
        self.databases[database] = replace(found, extensions=found.extensions | {name})

    async def drop_slot(self, target: Target, name: str) -> None:
        self._primary(target)
        if name in self.slots and not self._is_read(name):
            self.writes.append(f"drop slot {name}")
            del self.slots[name]

    async def drop_database(self, target: Target, name: str) -> None:
        self._primary(target)
        if name in self.databases:
            self.writes.append(f"drop database {name}")
            del self.databases[name]

    async def put_schema(self, action: PutSchema) -> None:
        self._primary(action.target)
        found = self.databases[action.database]
        self._owner(action.owner)
        if action.is_new is (action.name in found.schemas):
            raise PermanentError(f'schema "{action.name}" is there, or is not', reason="Refused")
        self.writes.append(f"schema {action.name} in {action.database}")
        schemas = {**found.schemas, action.name: action.owner or found.schemas.get(action.name, "psa")}
        self.databases[action.database] = replace(found, schemas=schemas)

    def _is_read(self, slot: str) -> bool:
        return any(self._streams(each) and each.slot_name == slot for each in self.servers.values())

    def _reached(self, target: Target) -> FakeMember:
        server = self.servers[target.member]
        if server.is_down:
            raise NotSentError(f"{server.name} at {server.address}: nobody listens there")
        return server

    def _primary(self, target: Target) -> FakeMember:
        server = self._reached(target)
        assert not server.is_standby, "a write was sent to a standby"
        return server

    def _streams(self, standby: FakeMember) -> bool:
        """Whether a standby can come in at the primary, as its connection string says."""
        link, role = standby.conninfo, self.roles.get(standby.conninfo.get("user", ""))
        primary = next((each for each in self.servers.values() if not each.is_standby), None)
        if not standby.is_standby or standby.is_down or primary is None or primary.is_down or role is None:
            return False
        stored = role.verifier.value if role.verifier is not None else ""
        may_come = role.login and role.replication and _is_password(link.get("password", ""), stored)
        has_slot = standby.slot_name == "" or self.slots.get(standby.slot_name) == (None, None)
        return may_come and has_slot and self._address(standby) == primary.address

    def _address(self, server: FakeMember) -> str:
        return f"{server.conninfo.get('host', '')}:{server.conninfo.get('port', '')}"

    def _setting(self, server: FakeMember, name: str) -> Setting:
        setting, written = server.settings[name], server.written.get(name)
        waits = written is not None and not same(setting, written, setting.value)
        return replace(setting, pending_restart=waits, file_value=written if self.sees_files else None)

    def _seen(self, role: SeenRole) -> SeenRole:
        return role if self.sees_verifiers else replace(role, verifier=Secret(""))

    def _groups_of(self, name: str) -> frozenset[str]:
        found = {name}
        for _ in self.roles:
            found |= {group for each in found if each in self.roles for group in self.roles[each].member_of}
        return frozenset(found)

    def _owner(self, name: str | None) -> None:
        if name is not None and name not in self.roles:
            raise PermanentError(f'role "{name}" does not exist', reason="Refused")


def _normal(setting: Setting, value: str) -> str:
    """Return a value as pg_settings shows it."""
    match setting.vartype:
        case "integer":
            return str(amount(setting, value))
        case "real":
            return f"{amount(setting, value):g}"
        case "bool":
            return "on" if same(setting, value, "on") else "off"
        case "enum":
            return next(each for each in setting.choices if same(setting, value, each))
        case _:
            return value
