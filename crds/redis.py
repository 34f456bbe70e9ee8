"""RedisInstance: one Redis server, its settings, its users and its place in a replication."""

import enum
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from crds.lines import SETTING_LINE, plain_text
from crds.meta import Claim, EndpointName, Model, SecretName, Selection, Spec
from crds.quantity import Duration
from crds.versions import VersionFloor

#: Old names of settings; Redis keeps both as one.
ALIASES: Final = {
    "slave-announce-ip": "replica-announce-ip",
    "slave-announce-port": "replica-announce-port",
    "slave-ignore-maxmemory": "replica-ignore-maxmemory",
    "slave-lazy-flush": "replica-lazy-flush",
    "slave-priority": "replica-priority",
    "slave-read-only": "replica-read-only",
    "slave-serve-stale-data": "replica-serve-stale-data",
    "cluster-slave-no-failover": "cluster-replica-no-failover",
    "cluster-slave-validity-factor": "cluster-replica-validity-factor",
    "min-slaves-max-lag": "min-replicas-max-lag",
    "min-slaves-to-write": "min-replicas-to-write",
    "repl-ping-slave-period": "repl-ping-replica-period",
    "hash-max-ziplist-entries": "hash-max-listpack-entries",
    "hash-max-ziplist-value": "hash-max-listpack-value",
    "list-max-ziplist-size": "list-max-listpack-size",
    "zset-max-ziplist-entries": "zset-max-listpack-entries",
    "zset-max-ziplist-value": "zset-max-listpack-value",
    "lua-time-limit": "busy-reply-threshold",
}
_FILE: Final = "only the server's own file can say it"
_CUTS_OFF: Final = "a mistake there would cut the daemon off: it stands in the server's own file"
_IS_CODE: Final = "it loads other files or opens what an attacker wants: it stands in the server's own file"
#: Settings that no spec may name, and why.
REFUSED: Final = {
    "port": _CUTS_OFF,
    "bind": _CUTS_OFF,
    "protected-mode": _CUTS_OFF,
    "maxclients": _CUTS_OFF,
    "dir": "another folder would leave the data behind; Redis protects it, too",
    "dbfilename": "another name would leave the data behind; Redis protects it, too",
    "requirepass": "a password stands in no file of this directory: spec.password names a secret",
    "masterauth": "a password stands in no file of this directory: spec.replication.password names a secret",
    "masteruser": "spec.replication.user is the place for it",
    "replicaof": "spec.replication.replicaOf is the place for it",
    "slaveof": "spec.replication.replicaOf is the place for it",
    "user": "spec.users is the place for it",
    "aclfile": _FILE,
    "rename-command": f"{_FILE}; spec.disabledCommands verifies it",
    "include": _IS_CODE,
    "loadmodule": _IS_CODE,
    "enable-debug-command": _IS_CODE,
    "enable-module-command": _IS_CODE,
    "enable-protected-configs": _IS_CODE,
}


def _settable(name: str) -> str:
    why = _CUTS_OFF if name.startswith("tls-") else REFUSED.get(name)
    if why is not None:
        raise ValueError(why)
    return name


def _setting(value: object) -> str:
    """Take what YAML makes of a setting: true is yes, a number its digits, a list its words in a row."""
    if isinstance(value, list | tuple):
        return " ".join(_setting(each) for each in value)
    text = plain_text(value, "yes", "no")
    if text is None:
        raise ValueError('text, a number, or a list of them is needed, such as 4gb, 300 or "yes"')
    return text


SettingName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{1,62}$"), AfterValidator(_settable)]
SettingValue = Annotated[
    str,
    BeforeValidator(_setting),
    SETTING_LINE,
    WithJsonSchema({"type": "string", "examples": ["4gb", "300", "900 1 300 10"]}),
]
#: Redis takes any name without blanks; these reach its ACL file and our sentences.
AccountName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$")]
KeyPattern = Annotated[str, StringConstraints(pattern=r"^(%R|%W|%RW)?~?[!-~]{1,256}$")]
ChannelPattern = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,256}$")]
CommandRule = Annotated[str, StringConstraints(pattern=r"^[+-]@?[A-Za-z][A-Za-z0-9_.-]*(\|[A-Za-z0-9_-]+)?$")]
CommandName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
ServerAddress = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,253}:\d{1,5}$")]


class RedisRole(enum.Enum):
    """What a server is in a replication."""

    PRIMARY = "primary"
    REPLICA = "replica"


class RedisAccount(Model):
    """An ACL user: all of it. What is not granted here is taken away."""

    enabled: bool = True
    """Whether it may log in."""
    passwords: tuple[SecretName, ...] = ()
    """Its passwords, secrets of the settings; each of them is good."""
    keys: tuple[KeyPattern, ...] = ()
    """Patterns of keys, such as app:* or %R~shared:* for reading only; "*" alone is all."""
    channels: tuple[ChannelPattern, ...] = ()
    """Patterns of channels; "*" alone is all."""
    commands: tuple[CommandRule, ...] = ()
    """Rules in their order, such as +@read, -keys or +config|get. Nothing is allowed before the first."""

    @field_validator("keys")
    @classmethod
    def _all_or_some(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if len(keys) > 1 and {"*", "~*"} & set(keys):
            raise ValueError('"*" is all keys: leave the others out')
        return keys

    @field_validator("channels")
    @classmethod
    def _all_or_some_channels(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        if len(channels) > 1 and "*" in channels:
            raise ValueError('"*" is all channels: leave the others out')
        return channels


class RedisReplication(Model):
    """The server's place in a replication. Who is the primary is never decided here."""

    role: RedisRole | None = None
    """What it must be; verified, never made so: a failover is Sentinel's or a person's."""
    replica_of: ServerAddress | None = None
    """HOST:PORT of its primary. Leave it out where Sentinel decides."""
    replicas: Annotated[int, Field(strict=True, ge=0, le=64)] | None = None
    """How many replicas must be online; verified."""
    max_lag: Duration | None = None
    """How old the last word of a replica, or of its primary, may be; verified."""
    user: AccountName | None = None
    """ACL user that it comes to its primary as, masteruser."""
    password: SecretName | None = None
    """Secret that it comes to its primary with, masterauth."""

    @model_validator(mode="after")
    def _agrees(self) -> "RedisReplication":
        if self.role is RedisRole.PRIMARY and self.replica_of is not None:
            raise ValueError("a primary is nobody's replica: leave out role or replicaOf")
        return self


class RedisInstanceSpec(Spec):
    """One Redis server, version 7.0 or newer."""

    endpoint: EndpointName
    """The server, one of the settings' endpoints."""
    minimum_version: VersionFloor | None = None
    """Lowest version that is accepted."""
    config: dict[SettingName, SettingValue] = Field(default_factory=dict)
    """Settings of redis.conf by their names; compared as Redis understands them (1gb is 1073741824)."""
    password: SecretName | None = None
    """Secret that is the default user's only password, requirepass."""
    users: dict[AccountName, RedisAccount] = Field(default_factory=dict)
    """ACL users; others are left alone."""
    replication: RedisReplication = RedisReplication()
    """Its place in a replication."""
    disabled_commands: tuple[CommandName, ...] = ()
    """Commands that the server's file must have renamed, such as FLUSHALL; verified."""
    max_unsaved: Duration | None = None
    """For how long changes may wait for a snapshot; verified."""
    signed: tuple[SettingName, ...] = ()
    """Settings that a person has read in the server's file, because its CONFIG command was disabled."""

    @field_validator("config")
    @classmethod
    def _each_once(cls, config: dict[str, str]) -> dict[str, str]:
        twice = sorted(name for name in config if ALIASES.get(name) in config)
        if twice:
            raise ValueError(f"{twice[0]} and {ALIASES[twice[0]]} are one setting: leave one out")
        return config

    @model_validator(mode="after")
    def _one_password(self) -> "RedisInstanceSpec":
        if self.password is not None and "default" in self.users:
            raise ValueError("password is the default user's: leave it out, or users.default")
        return self

    def selects(self) -> tuple[Selection, ...]:
        """Select the endpoint."""
        return (Selection(self.endpoint, "redis"),)

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim the server."""
        return (Claim(f"Redis {self.endpoint}", ("spec", "endpoint")),)


class RedisInstanceStatus(Model):
    """What was last seen of a Redis server. Figures that always move are metrics, not here."""

    version: str | None = None
    """Version of the server."""
    run_id: str | None = None
    """Its name for this run; another one means a restart."""
    role: str | None = None
    """primary, or replica of HOST:PORT."""
    replicas: tuple[str, ...] = ()
    """Addresses of the replicas that are online."""
    cluster: str | None = None
    """State of the cluster, if it is a node of one."""
    persistence: str | None = None
    """AOF and snapshots, as they are configured."""
    has_keys: bool = False
    """Whether it held any key."""
    emptied: str | None = None
    """The restart that it came back from without the keys that it had."""
    unsaved: str | None = None
    """Why what was set is not in the server's file; absent once it is."""
    config_command: str | None = None
    """available, or unavailable: then only INFO tells how it is set."""
    verified: tuple[str, ...] = ()
    """Settings that INFO confirmed, where CONFIG is unavailable."""
    unverified: tuple[str, ...] = ()
    """Settings that nothing but the server's file can confirm, where CONFIG is unavailable."""
