"""Private PostgreSQL servers: initdb is run once a session, each site copies what it made."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lab.pgbouncer import LabPgbouncer, PgbouncerConfig
from lab.postgres import LabPostgres, PostgresConfig
from tests.real_haproxy import free_address

PASSWORD: Final = "the superuser's"
REPLICATION_PASSWORD: Final = "the replicator's"
SLOT: Final = "replica1"
#: A receiver that lost its primary tries again each 5 s; checkpoints and archiving at once.
QUICK: Final = ("wal_retrieve_retry_interval = '100ms'", "autovacuum = off", "max_connections = 40")


@contextlib.contextmanager
def a_template() -> Iterator[Path]:
    """Give the data folder of a server that has never run."""
    folder = _folder()
    try:
        server = LabPostgres(folder, PostgresConfig("127.0.0.1:1", PASSWORD, REPLICATION_PASSWORD))
        server.prepare()
        yield server.data
    finally:
        shutil.rmtree(folder)


@dataclass
class Site:
    """PostgreSQL servers and poolers below a folder of their own; all end with the site."""

    folder: Path
    template: Path | None = None
    servers: list[LabPostgres] = field(default_factory=list)
    poolers: list[LabPgbouncer] = field(default_factory=list)

    def primary(self, **config: Any) -> LabPostgres:
        """Start a primary; keywords are the lab's."""
        return self._start(config)

    def standby(self, primary: LabPostgres, slot: str = SLOT, **config: Any) -> LabPostgres:
        """Start a standby of a primary that runs, through a slot that is made there."""
        primary.run(f"SELECT pg_create_physical_replication_slot('{slot}', true)")
        found = {"primary": primary.config.address, "slot": slot, "name": slot, "archives": False}
        return self._start({**found, **config})

    def pooler(self, server: LabPostgres, **config: Any) -> LabPgbouncer:
        """Start a pooler in front of a server; its admin is ``postgres``."""
        given = {"admin": "postgres", "users": {"postgres": PASSWORD}, **config}
        made = LabPgbouncer(
            self.folder / f"pooler-{len(self.poolers)}",
            PgbouncerConfig(free_address(), server.config.address, **given),
        )
        self.poolers.append(made)
        made.start()
        return made

    def end(self) -> None:
        """End all, without a word to anybody."""
        for pooler in self.poolers:
            pooler.kill()
        for server in reversed(self.servers):
            server.kill()

    def _start(self, config: dict[str, Any]) -> LabPostgres:
        more = (*QUICK, *config.pop("more", ()))
        given = {"template": self.template, **config}
        made = PostgresConfig(free_address(), PASSWORD, REPLICATION_PASSWORD, more=more, **given)
        server = LabPostgres(self.folder / str(len(self.servers)), made)
        self.servers.append(server)
        server.start()
        return server


@contextlib.contextmanager
def a_site(template: Path | None = None) -> Iterator[Site]:
    """Give a site in a folder that PostgreSQL's user reaches."""
    site = Site(_folder(), template)
    try:
        yield site
    finally:
        site.end()
        shutil.rmtree(site.folder)


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="psa-postgres-", dir="/tmp"))
    folder.chmod(0o755)
    return folder
