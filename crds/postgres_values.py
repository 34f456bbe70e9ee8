"""Names and values of PostgreSQL as a file may say them, and what no file may set."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema

from crds.lines import SETTING_LINE, plain_text

_CUTS_OFF: Final = "a mistake there would cut the daemon or everybody off: it stands in the server's own file"
_RUNS_CODE: Final = "whoever sets it runs programs as the server: it stands in the server's own file"
_PLACE: Final = "another place would leave the data behind: it stands in the server's own file"
_REPLICATION: Final = "spec.replication.standbys is the place for it"
#: Settings that no spec may name, and why.
REFUSED: Final = {
    "listen_addresses": _CUTS_OFF,
    "port": _CUTS_OFF,
    "hba_file": _CUTS_OFF,
    "ident_file": _CUTS_OFF,
    "unix_socket_directories": _CUTS_OFF,
    "superuser_reserved_connections": _CUTS_OFF,
    "password_encryption": "passwords are SCRAM-SHA-256 verifiers, always",
    "default_transaction_read_only": _CUTS_OFF,
    "config_file": _PLACE,
    "data_directory": _PLACE,
    "archive_command": _RUNS_CODE,
    "archive_library": _RUNS_CODE,
    "archive_cleanup_command": _RUNS_CODE,
    "recovery_end_command": _RUNS_CODE,
    "restore_command": _RUNS_CODE,
    "dynamic_library_path": _RUNS_CODE,
    "jit_provider": _RUNS_CODE,
    "local_preload_libraries": _RUNS_CODE,
    "session_preload_libraries": _RUNS_CODE,
    "shared_preload_libraries": _RUNS_CODE,
    "primary_conninfo": _REPLICATION,
    "primary_slot_name": _REPLICATION,
    "synchronous_standby_names": "who must confirm decides a person: a name that is away stops all writes",
}


def _settable(name: str) -> str:
    cuts_off = name.startswith(("ssl", "krb_", "recovery_target"))
    why = _CUTS_OFF if cuts_off else REFUSED.get(name)
    if why is not None:
        raise ValueError(why)
    return name


def _setting(value: object) -> str:
    """Take what YAML makes of a setting: true is on, a number its digits."""
    text = plain_text(value, "on", "off")
    if text is None:
        raise ValueError('text, a number, true or false is needed, such as 128MB, 200 or "replica"')
    return text


def _not_reserved(name: str) -> str:
    if name.startswith("pg_") or name in {"public", "none"}:
        raise ValueError("names that begin with pg_, public and none are PostgreSQL's own")
    return name


def _not_a_systems(name: str) -> str:
    if name.startswith("pg_") or name == "information_schema":
        raise ValueError("names that begin with pg_, and information_schema, are PostgreSQL's own")
    return name


def _not_a_template(name: str) -> str:
    if name in {"template0", "template1"}:
        raise ValueError("the templates are PostgreSQL's own")
    return name


SettingName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62})?$"),
    AfterValidator(_settable),
]
SettingValue = Annotated[
    str,
    BeforeValidator(_setting),
    SETTING_LINE,
    WithJsonSchema({"type": "string", "examples": ["128MB", "200", "replica"]}),
]
#: PostgreSQL cuts longer names at 63 bytes without a word. All are quoted where they are used.
PgName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_$.@ -]{0,62}$")]
RoleName = Annotated[PgName, AfterValidator(_not_reserved)]
GroupName = PgName
"""A role to be a member of: PostgreSQL's own ones, such as pg_monitor, too."""
SchemaName = Annotated[PgName, AfterValidator(_not_a_systems)]
DatabaseName = Annotated[PgName, AfterValidator(_not_a_template)]
SlotName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,63}$"), AfterValidator(_not_reserved)]
#: ``table`` or ``schema.table``.
ObjectPath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?$")
]
ServerAddress = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,253}:\d{1,5}$")]


#: Sizes and times: whatever says where pgBouncer listens, and whom it lets in, stands in its own file.
PoolerSettingName = Literal[
    "pool_mode",
    "max_client_conn",
    "default_pool_size",
    "min_pool_size",
    "reserve_pool_size",
    "reserve_pool_timeout",
    "max_db_connections",
    "max_user_connections",
    "server_idle_timeout",
    "server_lifetime",
    "server_connect_timeout",
    "server_login_retry",
    "server_check_delay",
    "server_round_robin",
    "query_timeout",
    "query_wait_timeout",
    "client_idle_timeout",
    "client_login_timeout",
    "idle_transaction_timeout",
    "log_connections",
    "log_disconnections",
    "log_pooler_errors",
    "log_stats",
    "stats_period",
]
