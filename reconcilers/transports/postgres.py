"""PostgreSQL clusters over asyncpg: what the slice asks for, one member at a time.

This module is loaded only where the settings have such an endpoint.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from crds.postgres import PgDatabase
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.postgres.actions import MakeSlot, PutRole, PutSchema, Target
from reconcilers.postgres.model import Deep, SeenDatabase, SeenMember
from reconcilers.transports import postgres_looks as looks
from reconcilers.transports import postgres_statements as statements
from reconcilers.transports.postgres_contents import look_inside
from reconcilers.transports.postgres_session import Door, Member

#: What a standby must have as much of as the primary (PostgreSQL's documentation, 27.4.3).
AS_MUCH: Final = (
    "max_connections",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "max_wal_senders",
    "max_worker_processes",
)
#: Whether we may make roles, and whether a superuser has made a function for us that does.
_MAY_PUT_ROLES: Final = """
SELECT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) AS may,
  EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'psa' AND p.proname = 'put_role' AND has_schema_privilege(n.oid, 'USAGE')
      AND has_function_privilege(p.oid, 'EXECUTE')) AS has_function
"""
_PUT_ROLE: Final = "SELECT psa.put_role($1, $2, $3, $4, $5)::text AS done"
#: Only who was given these settings may set them; a password is then not in the server's log.
_UNLOGGED: Final = {
    "log_statement": "'none'",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "'panic'",
}
_LOADED: Final = "SELECT pg_conf_load_time()::text AS at, pg_sleep($1)::text AS slept"
_RELOAD_POLL_S: Final = 0.01
_RELOAD_POLLS: Final = 100


class PostgresServers:
    """The members of all endpoints of the settings; see PostgresClient."""

    def __init__(self, endpoints: Mapping[str, tuple[Door, Mapping[str, str]]]) -> None:
        """Take, by the endpoint's name, how sessions are opened, and HOST:PORT of each member."""
        self._members = {
            name: {member: Member(member, address, door) for member, address in members.items()}
            for name, (door, members) in endpoints.items()
        }

    async def close(self) -> None:
        """End all sessions."""
        for members in self._members.values():
            for member in members.values():
                await member.close()

    def members(self, endpoint: str) -> Sequence[str]:
        return tuple(self._endpoint(endpoint))

    async def look(self, target: Target) -> SeenMember:
        """Ask for what changes all the time: three short queries. PermanentError MissingPrivilege."""
        member = self._member(target)
        row = (await member.fetch(looks.MEMBER, (), None))[0]
        if not row["sees_all"]:  # what is hidden would look as if it were not there
            words = f"{member.where} hides how it is from user {member.user}: GRANT pg_monitor TO it"
            raise PermanentError(words, reason="MissingPrivilege")
        downstream = await member.fetch(looks.DOWNSTREAM, (), None)
        slots = await member.fetch(looks.SLOTS, (), None)
        seen = looks.read_member(member.name, member.address, row, downstream, slots)
        return replace(seen, has_patroni=seen.has_patroni or member.has_patroni)

    async def history(self, target: Target, timeline: int) -> str | None:
        """Read what a timeline came from, ourselves or by the function that a superuser has made for us."""
        member = self._member(target)
        rights = (await member.fetch(looks.MAY_READ_HISTORY, (), None))[0]
        if not rights["may"] and not rights["has_function"]:
            return None
        sql = looks.HISTORY if rights["may"] else looks.OUR_HISTORY
        return looks.text((await member.fetch(sql, (timeline,), None))[0], "said")

    async def look_deep(
        self,
        target: Target,
        *,
        settings: Sequence[str],
        roles: Sequence[str],
        databases: Mapping[str, PgDatabase],
        is_standby: bool,
    ) -> Deep:
        """Ask for what changes rarely; for roles and databases of a primary only."""
        member = self._member(target)
        rights = (await member.fetch(looks.RIGHTS, (), None))[0]
        rows = await member.fetch(looks.SETTINGS, ([*settings],), None)
        files = await member.fetch(looks.FILE_SETTINGS, ([*settings],), None) if rights["sees_files"] else ()
        link = await member.fetch(looks.CONNECTION, (), None)
        given = {looks.word(each, "name"): looks.text(each, "value") or "" for each in link}
        deep = Deep(
            looks.read_settings(rows, files),
            statements.read_conninfo(given.get("primary_conninfo", "")),
            given.get("primary_slot_name", ""),
        )
        if is_standby:
            return deep
        query = looks.ROLES_WITH_VERIFIERS if rights["sees_verifiers"] else looks.ROLES
        found = looks.read_roles(await member.fetch(query, ([*roles],), None))
        return replace(deep, roles=found, databases=await _databases(member, databases))

    async def set_setting(self, target: Target, name: str, value: str) -> None:
        """Write a setting, and let the server read it. What it refuses is not written."""
        member = self._member(target)
        await member.execute((statements.alter_system(name, value),), None)
        await _reload(member)

    async def connect(self, target: Target, conninfo: Mapping[str, str], slot: str | None) -> None:
        """Write where a standby streams from; the statement stays out of the server's log, if it may.

        PostgreSQL itself tells of the changed setting as it reads it, with the password: see the how-to.
        """
        member, commands = self._member(target), []
        if slot is not None:
            commands.append(statements.alter_system("primary_slot_name", slot))
        if conninfo:
            text = statements.write_conninfo(conninfo).value
            commands.append(statements.alter_system("primary_conninfo", text))
        async with _unlogged(member):
            await member.execute(tuple(commands), None)
        await _reload(member)

    async def resume_replay(self, target: Target) -> None:
        """Let a standby replay; NotSentError where it has less than another member, and would shut down."""
        here = await _amounts(self._member(target))
        for name, other in self._endpoint(target.endpoint).items():
            if name == target.member:
                continue
            try:
                there = await _amounts(other)
            except (TransientError, PermanentError):
                continue  # it is away: nothing is known of it
            less = [each for each in AS_MUCH if here[each] < there[each]]
            if less:
                words = ", ".join(f"{each} {here[each]} here, {there[each]} on {name}" for each in less)
                raise NotSentError(f"resuming the replay would end {target.member}: {words}")
        await self._member(target).fetch("SELECT pg_wal_replay_resume()::text AS done", (), None)

    async def make_slot(self, target: Target, name: str, plugin: str | None, database: str | None) -> None:
        sql, values = statements.make_slot(MakeSlot(target, name, plugin, database))
        await self._member(target).fetch(sql, values, database)

    async def put_role(self, action: PutRole) -> None:
        """Make or change a role ourselves, or by the function that a superuser has made for us."""
        member = self._member(action.target)
        rights = (await member.fetch(_MAY_PUT_ROLES, (), None))[0]
        verifier = None if action.verifier is None else action.verifier.value
        options, groups = [*action.options], [*action.groups]
        async with contextlib.nullcontext() if verifier is None else _unlogged(member):
            if rights["may"] or not rights["has_function"]:
                await member.execute((statements.together(statements.put_role(action)),), None)
            else:
                values = (action.name, options, action.connection_limit, verifier, groups)
                await member.fetch(_PUT_ROLE, values, None)

    async def make_database(self, target: Target, name: str, owner: str | None) -> None:
        await self._member(target).execute_slow(statements.create_database(name, owner), None)

    async def give_database(self, target: Target, name: str, owner: str) -> None:
        await self._member(target).execute((statements.give_database(name, owner),), None)

    async def make_extension(self, target: Target, database: str, name: str) -> None:
        # Its schema is where the database's own search_path says.
        await self._member(target).execute_slow(statements.create_extension(name), database)

    async def put_schema(self, action: PutSchema) -> None:
        command = statements.put_schema(action.name, action.owner, is_new=action.is_new)
        if command is not None:
            await self._member(action.target).execute((command,), action.database)

    async def drop_slot(self, target: Target, name: str) -> None:
        await self._member(target).fetch(statements.DROP_SLOT, (name,), None)

    async def drop_database(self, target: Target, name: str) -> None:
        # Whoever is connected is not thrown out: the server refuses.
        await self._member(target).execute_slow(statements.drop_database(name), None)

    def _endpoint(self, endpoint: str) -> Mapping[str, Member]:
        found = self._members.get(endpoint)
        if found is None:
            raise PermanentError(
                f"the settings have no endpoint {endpoint} of type postgres", reason="UnknownEndpoint"
            )
        return found

    def _member(self, target: Target) -> Member:
        found = self._endpoint(target.endpoint).get(target.member)
        if found is None:
            raise PermanentError(
                f"endpoint {target.endpoint} has no member {target.member}", reason="UnknownMember"
            )
        return found


@contextlib.asynccontextmanager
async def _unlogged(member: Member) -> AsyncIterator[None]:
    """Keep what is done meanwhile out of the server's log, as far as we may."""
    for name, quiet in _UNLOGGED.items():
        with contextlib.suppress(PermanentError):
            await member.execute((f"SET {name} = {quiet}",), None)
    try:
        yield
    finally:
        for name in _UNLOGGED:
            with contextlib.suppress(PermanentError, TransientError):
                await member.execute((f"RESET {name}",), None)


async def _reload(member: Member) -> None:
    """Let a server read its files, and wait until our own session has them, which is soon but not at once."""
    before = (await member.fetch(_LOADED, (0.0,), None))[0]["at"]
    await member.fetch("SELECT pg_reload_conf() AS done", (), None)
    for _ in range(_RELOAD_POLLS):
        if (await member.fetch(_LOADED, (_RELOAD_POLL_S,), None))[0]["at"] != before:
            return


async def _amounts(member: Member) -> Mapping[str, int]:
    rows = await member.fetch(looks.SETTINGS, ([*AS_MUCH],), None)
    return {looks.word(each, "name"): int(looks.word(each, "value")) for each in rows}


async def _databases(member: Member, asked: Mapping[str, PgDatabase]) -> Mapping[str, SeenDatabase]:
    rows = await member.fetch(looks.DATABASES, ([*asked],), None)
    found: dict[str, SeenDatabase] = {}
    for row in rows:
        name = looks.word(row, "name")
        inside = await look_inside(member, name, looks.word(row, "owner"), asked[name])
        found[name] = replace(inside, connections=looks.count(row, "connections"))
    return found
