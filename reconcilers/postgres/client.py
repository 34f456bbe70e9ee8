"""What a cluster's reconciler needs of PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from crds.postgres import PgDatabase
from reconcilers.contract import PermanentError
from reconcilers.hook_runs import HookResult, HookRun
from reconcilers.postgres.actions import PutRole, PutSchema, Target
from reconcilers.postgres.model import Deep, SeenMember, SeenPooler


class Hooks(Protocol):
    """Programs of the settings."""

    @property
    def known(self) -> Mapping[str, bool]:
        """Each hook of the settings."""
        ...

    async def start(self, run: HookRun) -> str:
        """Begin a run; PermanentError HookRunExists if its name was used before."""
        ...

    async def look(self, run_id: str) -> HookResult | None:
        """Return what is known of a run, None if it was never begun. Raises TransientError."""
        ...


class PoolerClient(Protocol):
    """The poolers of all endpoints. Calls raise TransientError, NotSentError or PermanentError."""

    def has(self, endpoint: str) -> bool:
        """Whether an endpoint has a pooler."""
        ...

    async def look(self, endpoint: str) -> SeenPooler:
        """Look at settings, databases and pools."""
        ...

    async def set(self, endpoint: str, name: str, value: str) -> None:
        """Set one setting."""
        ...


class NoPoolers:
    """The poolers of settings without any."""

    def has(self, endpoint: str) -> bool:
        return False

    async def look(self, endpoint: str) -> SeenPooler:
        raise PermanentError(f"endpoint {endpoint} has no pooler", reason="UnknownEndpoint")

    async def set(self, endpoint: str, name: str, value: str) -> None:
        raise PermanentError(f"endpoint {endpoint} has no pooler", reason="UnknownEndpoint")


class PostgresClient(Protocol):
    """The members of all endpoints. Each call raises TransientError, NotSentError or PermanentError.

    What takes writes and meets a server in recovery raises TransientError: it was not done, and who is the
    primary is looked up again.
    """

    def members(self, endpoint: str) -> Sequence[str]:
        """Return the names of an endpoint's members; PermanentError UnknownEndpoint."""
        ...

    async def look(self, target: Target) -> SeenMember:
        """Look at what moves: role, positions, streams, slots, archiver, connections. ``deep`` is empty."""
        ...

    async def history(self, target: Target, timeline: int) -> str | None:
        """Return the history file of a member's timeline; None where nobody lets us read it."""
        ...

    async def look_deep(
        self,
        target: Target,
        *,
        settings: Sequence[str],
        roles: Sequence[str],
        databases: Mapping[str, PgDatabase],
        is_standby: bool,
    ) -> Deep:
        """Look at these settings, roles and databases; roles and databases only of a primary.

        What may not be seen is a fact (a role's verifier ``""``, a database's ``trouble``), no failure.
        """
        ...

    async def set_setting(self, target: Target, name: str, value: str) -> None:
        """ALTER SYSTEM SET and pg_reload_conf()."""
        ...

    async def connect(self, target: Target, conninfo: Mapping[str, str], slot: str | None) -> None:
        """Set primary_conninfo, unless empty, and primary_slot_name, unless None, of a standby; reload."""
        ...

    async def resume_replay(self, target: Target) -> None:
        """pg_wal_replay_resume()."""
        ...

    async def make_slot(self, target: Target, name: str, plugin: str | None, database: str | None) -> None:
        """Make a slot; a physical one reserves WAL at once."""
        ...

    async def put_role(self, action: PutRole) -> None:
        """CREATE ROLE or ALTER ROLE with these options, and GRANT the groups, in one transaction."""
        ...

    async def make_database(self, target: Target, name: str, owner: str | None) -> None:
        """CREATE DATABASE."""
        ...

    async def give_database(self, target: Target, name: str, owner: str) -> None:
        """ALTER DATABASE … OWNER TO."""
        ...

    async def make_extension(self, target: Target, database: str, name: str) -> None:
        """CREATE EXTENSION in a database."""
        ...

    async def drop_slot(self, target: Target, name: str) -> None:
        """Drop a slot that nobody reads; one that is gone, or is read by now, is left."""
        ...

    async def drop_database(self, target: Target, name: str) -> None:
        """DROP DATABASE; one that is gone is fine, one with sessions raises NotSentError."""
        ...

    async def put_schema(self, action: PutSchema) -> None:
        """CREATE SCHEMA, or ALTER SCHEMA … OWNER TO, in a database."""
        ...
