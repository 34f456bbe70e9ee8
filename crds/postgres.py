"""PostgresCluster: the members of one PostgreSQL cluster, its settings, roles, databases and replication."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from crds.meta import Claim, EndpointName, Model, ObjectName, SecretName, Selection, Spec
from crds.postgres_values import (
    DatabaseName,
    GroupName,
    ObjectPath,
    PgName,
    PoolerSettingName,
    RoleName,
    SchemaName,
    ServerAddress,
    SettingName,
    SettingValue,
    SlotName,
)
from crds.quantity import Duration, MemoryMiB
from crds.release import HookName
from crds.versions import VersionFloor

_SHORTEST: Final = timedelta(minutes=15)


class PgRole(Model):
    """A role. What is left out is not managed; a superuser is never made."""

    login: bool | None = None
    """Whether it may log in."""
    createdb: bool | None = None
    """Whether it may make databases."""
    replication: bool | None = None
    """Whether it may stream the whole cluster."""
    inherit: bool | None = None
    """Whether it has the rights of its groups without SET ROLE."""
    connection_limit: Annotated[int, Field(strict=True, ge=-1, le=100_000)] | None = None
    """Most connections at a time; -1 is no limit."""
    member_of: tuple[GroupName, ...] = ()
    """Roles that it must be a member of; further ones are left alone."""
    password: SecretName | None = None
    """Secret that is its password."""


class PgSchema(Model):
    """A schema of a database."""

    owner: RoleName | None = None
    """Its owner."""


class PgMigration(Model):
    """Where the application writes down how far its schema is."""

    table: ObjectPath
    """Table with a row a migration."""
    column: PgName = "name"
    """Column with its name; the greatest is the last one."""
    at_least: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The last migration must not be lower than this, compared as text."""


class PgExpected(Model):
    """What must be in a database: verified, never made. Each as NAME, which is in public, or SCHEMA.NAME."""

    tables: tuple[ObjectPath, ...] = ()
    """Tables, partitioned ones too."""
    views: tuple[ObjectPath, ...] = ()
    """Views, materialised ones too."""
    indexes: tuple[ObjectPath, ...] = ()
    """Indexes; an invalid one is named as such."""
    functions: tuple[ObjectPath, ...] = ()
    """Functions and procedures."""
    triggers: tuple[ObjectPath, ...] = ()
    """Triggers, by their own names."""
    migration: PgMigration | None = None
    """Where the application writes down how far its schema is."""


class PgDatabase(Model):
    """A database. What is left out is not managed."""

    owner: RoleName | None = None
    """Its owner; of a database that is there it is changed only with change-owner in allow."""
    extensions: tuple[PgName, ...] = ()
    """Extensions that it must have; versions and further ones are left alone."""
    schemas: dict[SchemaName, PgSchema] = Field(default_factory=dict)
    """Schemas that it must have."""
    expect: PgExpected = PgExpected()
    """What the application's migrations must have made."""


class PgSlot(Model):
    """A replication slot; physical unless it has a plugin."""

    plugin: PgName | None = None
    """Output plugin of a logical slot, such as pgoutput."""
    database: PgName | None = None
    """Database of a logical slot."""

    @model_validator(mode="after")
    def _is_whole(self) -> "PgSlot":
        if (self.plugin is None) is not (self.database is None):
            raise ValueError("a logical slot has a plugin and a database, a physical one neither")
        return self


class PgStandby(Model):
    """How a standby is connected to the primary. What is left out is not managed."""

    slot: SlotName | None = None
    """Slot of the primary that it streams from, primary_slot_name."""
    user: RoleName | None = None
    """Role that it comes as."""
    password: SecretName | None = None
    """Secret with that role's password."""
    application_name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,63}$")] | None = None
    """Name in the primary's pg_stat_replication."""
    primary: ServerAddress | None = None
    """HOST:PORT of the primary as the standby reaches it; the endpoint's address if it is left out."""


class PgReplication(Model):
    """Slots and standbys. Who is the primary is never decided here."""

    slots: dict[SlotName, PgSlot] = Field(default_factory=dict)
    """Slots that the primary must have; further ones are only watched."""
    standbys: dict[ObjectName, PgStandby] = Field(default_factory=dict)
    """Members that must stream, by their names in the endpoint."""
    lag_limit: MemoryMiB = 100
    """How far a standby may be behind."""
    slot_limit: MemoryMiB = 1024
    """How much disk a slot that nobody reads may hold back."""


class PgPooler(Model):
    """pgBouncer in front of the cluster, the pooler of the endpoint. What is left out is not managed."""

    settings: dict[PoolerSettingName, SettingValue] = Field(default_factory=dict)
    """Settings that hold until pgBouncer starts again or reads its file: write them there, too."""
    databases: tuple[DatabaseName, ...] = ()
    """Databases that it must list; verified."""
    wait_limit_s: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """How long a client may wait for a connection to the server."""


def _often_enough(every: timedelta) -> timedelta:
    if every < _SHORTEST:
        raise ValueError("15m is the shortest")
    return every


class PgBackup(Model):
    """A backup that a hook makes again and again, such as pg_basebackup or pg_dump."""

    hook: HookName
    """Hook of the settings, which fails unless the backup is whole; PSA_ADDRESS is the primary's."""
    every: Annotated[Duration, AfterValidator(_often_enough)]
    """How often, such as 1d; the times are counted from midnight, UTC."""
    at: Duration = timedelta(0)
    """How long after those times, such as 2h."""
    max_age: Duration
    """How old the last good one may be."""

    @model_validator(mode="after")
    def _is_in_time(self) -> "PgBackup":
        if self.max_age < self.every or self.at >= self.every:
            raise ValueError("maxAge is at least every, and at is less than it")
        return self


class PgRestart(Model):
    """How a member is restarted; a name alone is its hook's."""

    hook: HookName | None = None
    """Hook that restarts the member at PSA_ADDRESS, PSA_PORT."""
    containers: dict[ObjectName, ObjectName] = Field(default_factory=dict)
    """The Container that each member runs in, by the members' names in the endpoint; it is restarted."""

    @model_validator(mode="after")
    def _is_one_way(self) -> "PgRestart":
        if (self.hook is None) is not bool(self.containers):
            raise ValueError("a hook or containers, one of the two")
        if len({*self.containers.values()}) < len(self.containers):
            raise ValueError("containers: two members are in one container")
        return self


def _as_restart(value: object) -> object:
    return {"hook": value} if isinstance(value, str) else value


class PgAbsent(Model):
    """What must not be there, on the primary. What is named nowhere is left alone."""

    slots: tuple[SlotName, ...] = ()
    """Slots, dropped with drop-slot in allow once nobody reads them."""
    databases: tuple[DatabaseName, ...] = ()
    """Databases, dropped with drop-database in allow once nobody is connected to them."""


class PostgresClusterSpec(Spec):
    """One PostgreSQL cluster, version 13 or newer."""

    endpoint: EndpointName
    """Its members, one of the settings' endpoints."""
    minimum_version: VersionFloor | None = None
    """Lowest version that is accepted, such as 15.0."""
    system_identifier: Annotated[str, StringConstraints(pattern=r"^\d{10,20}$")] | None = None
    """The cluster's own number; the one that was seen first if it is left out. Another one freezes all."""
    settings: dict[SettingName, SettingValue] = Field(default_factory=dict)
    """Settings of each member, compared as PostgreSQL understands them (1GB is 1024MB)."""
    roles: dict[RoleName, PgRole] = Field(default_factory=dict)
    """Roles that must be there; others are left alone."""
    databases: dict[DatabaseName, PgDatabase] = Field(default_factory=dict)
    """Databases that must be there; others are left alone."""
    replication: PgReplication = PgReplication()
    """Slots and standbys."""
    absent: PgAbsent = PgAbsent()
    """What must not be there."""
    pooler: PgPooler | None = None
    """pgBouncer in front of it."""
    backups: dict[ObjectName, PgBackup] = Field(default_factory=dict)
    """Backups by their names; made by hooks, verified by their age."""
    restart: Annotated[PgRestart, BeforeValidator(_as_restart)] | None = None
    """How members are restarted, with restart in allow, one by one: a hook's name, or their containers."""
    rebuild: HookName | None = None
    """Hook that builds the standby at PSA_ADDRESS anew; used with rebuild in allow, once a day each."""
    archived: bool = False
    """Whether WAL must be archived without failures; verified."""

    @model_validator(mode="after")
    def _knows_its_slots(self) -> "PostgresClusterSpec":
        for name, standby in self.replication.standbys.items():
            if standby.slot is not None and standby.slot not in self.replication.slots:
                raise ValueError(f"replication.standbys.{name}.slot: {standby.slot} is not among the slots")
            if standby.slot is not None and self.replication.slots[standby.slot].plugin is not None:
                raise ValueError(f"replication.standbys.{name}.slot: {standby.slot} is logical")
        return self

    @model_validator(mode="after")
    def _asks_for_no_opposites(self) -> "PostgresClusterSpec":
        slots = self.replication.slots
        for name in self.absent.slots:
            if name in slots:
                raise ValueError(f"absent.slots: {name} is among replication.slots, too")
        for name in self.absent.databases:
            if name in self.databases or any(slot.database == name for slot in slots.values()):
                raise ValueError(f"absent.databases: {name} is asked for, too")
        return self

    @model_validator(mode="after")
    def _has_no_circle(self) -> "PostgresClusterSpec":
        waiting = {*self.roles}
        while waiting:
            free = {each for each in waiting if not waiting.intersection(self.roles[each].member_of)}
            if not free:
                raise ValueError(f"roles: memberOf goes round in a circle from {', '.join(sorted(waiting))}")
            waiting -= free
        return self

    def selects(self) -> tuple[Selection, ...]:
        """Select the endpoint."""
        return (Selection(self.endpoint, "postgres"),)

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim the cluster."""
        return (Claim(f"PostgreSQL {self.endpoint}", ("spec", "endpoint")),)


class PostgresClusterStatus(Model):
    """What was last seen of a cluster. Figures that always move are metrics, not here."""

    system_identifier: str | None = None
    """The cluster's own number."""
    primary: str | None = None
    """The member that takes writes; absent if none or more than one does."""
    members: dict[str, str] = Field(default_factory=dict)
    """One line a member: role, version, timeline, and what it streams from."""
    slots: dict[str, str] = Field(default_factory=dict)
    """One line a slot of the primary."""
    pending_restart: tuple[str, ...] = ()
    """Settings that wait for a restart, as MEMBER: NAME."""
    backups: dict[str, datetime] = Field(default_factory=dict)
    """When each backup that was good last was due."""
    migrations: dict[str, str] = Field(default_factory=dict)
    """Last migration of each database."""
