"""Statements that change something in PostgreSQL, with every name quoted and every value a literal: pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from reconcilers.contract import PermanentError, Secret
from reconcilers.postgres.actions import MakeSlot, PutRole
from reconcilers.postgres.settings import NAME_LISTS, names

#: PostgreSQL cuts longer ones without a word.
LONGEST_NAME: Final = 63
#: Words that CREATE ROLE is given.
_OPTIONS: Final = frozenset(
    f"{no}{word}" for word in ("LOGIN", "CREATEDB", "REPLICATION", "INHERIT") for no in ("", "NO")
)
_SETTING: Final = re.compile(r"[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62})?")
#: Drops a slot, unless it is gone or read.
DROP_SLOT: Final = """
SELECT pg_drop_replication_slot(slot_name)::text AS done
FROM pg_replication_slots WHERE slot_name = $1 AND NOT active
"""
_PAIR: Final = re.compile(r"\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^'\s\\]|\\.)*))", re.DOTALL)
_HOST: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?")


def quoted(name: str) -> str:
    """Return an identifier. PermanentError BadName if PostgreSQL would cut it, or cannot have it."""
    if not name or "\0" in name or len(name.encode()) > LONGEST_NAME:
        raise _bad(f"{name!r} is no name of 1 to {LONGEST_NAME} bytes")
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def literal(text: str) -> str:
    """Return a value as a constant; it means the same whatever standard_conforming_strings is."""
    if "\0" in text:
        raise _bad("a value cannot hold a zero byte")
    escaped = text.replace("'", "''")
    if "\\" not in text:
        return f"'{escaped}'"
    doubled = escaped.replace("\\", "\\\\")
    return f"E'{doubled}'"


def _bad(words: str) -> PermanentError:
    return PermanentError(words, reason="BadName")


def path(name: str) -> str:
    """Return ``table`` or ``schema.table``, quoted."""
    return ".".join(quoted(part) for part in name.split("."))


def alter_system(name: str, value: str) -> str:
    """Return what writes a setting into postgresql.auto.conf."""
    if _SETTING.fullmatch(name) is None:
        raise _bad(f"{name!r} is no setting")
    # As one literal a list of names would be one long name.
    parts = (names(value) if name in NAME_LISTS else None) or (value,)
    return f"ALTER SYSTEM SET {name} = {', '.join(map(literal, parts))}"


def put_role(action: PutRole) -> Sequence[str]:
    """Return what makes a role, or changes it: one statement, and one for each group."""
    words = [*_checked(action.options)]
    if action.connection_limit is not None:
        words.append(f"CONNECTION LIMIT {action.connection_limit:d}")
    if action.verifier is not None:
        words.append(f"PASSWORD {literal(action.verifier.value)}")
    name = quoted(action.name)
    verb = "CREATE" if action.is_new else "ALTER"
    role = [f"{verb} ROLE {name} {' '.join(words)}".rstrip()] if action.is_new or words else []
    return (*role, *(f"GRANT {quoted(group)} TO {name}" for group in action.groups))


def together(commands: Sequence[str]) -> str:
    """Return commands that are all done or none, sent as one."""
    return "; ".join(commands)


def _checked(options: Sequence[str]) -> Sequence[str]:
    for each in options:
        if each not in _OPTIONS:
            raise _bad(f"{each!r} is no option of a role")
    return options


def create_database(name: str, owner: str | None) -> str:
    """Return what makes a database from template1."""
    return f"CREATE DATABASE {quoted(name)}" + (f" OWNER {quoted(owner)}" if owner is not None else "")


def give_database(name: str, owner: str) -> str:
    """Return what changes a database's owner."""
    return f"ALTER DATABASE {quoted(name)} OWNER TO {quoted(owner)}"


def drop_database(name: str) -> str:
    """Return what drops a database that nobody is connected to; twice is the same as once."""
    return f"DROP DATABASE IF EXISTS {quoted(name)}"


def create_extension(name: str) -> str:
    """Return what makes an extension; twice is the same as once."""
    return f"CREATE EXTENSION IF NOT EXISTS {quoted(name)}"


def put_schema(name: str, owner: str | None, *, is_new: bool) -> str | None:
    """Return what makes a schema or gives it away; None if nothing is to do."""
    if is_new:
        return f"CREATE SCHEMA {quoted(name)}" + (
            f" AUTHORIZATION {quoted(owner)}" if owner is not None else ""
        )
    return None if owner is None else f"ALTER SCHEMA {quoted(name)} OWNER TO {quoted(owner)}"


def make_slot(action: MakeSlot) -> tuple[str, tuple[str, ...]]:
    """Return a query with its values. A physical slot holds WAL back from this moment on."""
    if action.plugin is None:
        return "SELECT slot_name::text FROM pg_create_physical_replication_slot($1, true)", (action.name,)
    return "SELECT slot_name::text FROM pg_create_logical_replication_slot($1, $2)", (
        action.name,
        action.plugin,
    )


def write_conninfo(pairs: Mapping[str, str]) -> Secret:
    """Return a connection string of libpq (33.1.1.1 of its documentation)."""
    return Secret(" ".join(f"{name}='{_escaped(value)}'" for name, value in pairs.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def read_conninfo(text: str) -> Mapping[str, str]:
    """Read a connection string, in words or as a URI; what cannot be read is left out."""
    if text.startswith(("postgresql://", "postgres://")):
        return _read_uri(text)
    found: dict[str, str] = {}
    place = 0
    while (match := _PAIR.match(text, place)) is not None:
        quoted_value, plain = match[2], match[3]
        found[match[1]] = re.sub(r"\\(.)", r"\1", plain if quoted_value is None else quoted_value)
        place = match.end()
    return found


def _read_uri(text: str) -> Mapping[str, str]:
    """Read a URI of libpq (33.1.1.2); several hosts are a list, each with its port."""
    rest, _, query = text.partition("://")[2].partition("?")
    place, _, database = rest.partition("/")
    login, _, hosts = place.rpartition("@")
    user, _, password = login.partition(":")
    ends = [_HOST.fullmatch(each) for each in hosts.split(",")]
    ports = ",".join(each["port"] or "" for each in ends if each is not None)
    named = {
        "user": user,
        "password": password,
        "host": ",".join(each["host"].strip("[]") for each in ends if each is not None),
        "port": ports if ports.strip(",") else "",
        "dbname": database,
    }
    return {name: unquote(value) for name, value in named.items() if value} | dict(_parameters(query))


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    for each in query.split("&") if query else ():
        name, _, value = each.partition("=")
        yield ("sslmode", "require") if each == "ssl=true" else (unquote(name), unquote(value))
