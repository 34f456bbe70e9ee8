"""Private PostgreSQL servers: initdb is run once a session, each site copies what it made."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from crds.meta import Key
from crds.postgres import PostgresClusterSpec
from lab.pgbouncer import LabPgbouncer, PgbouncerConfig
from lab.postgres import SUPERUSER, LabPostgres, PostgresConfig
from lab.processes import send
from lab.users import give_away
from metrics.pgbouncer import PgbouncerMetrics
from metrics.postgres import PostgresMetrics
from reconcilers.contract import AnyResource, PermanentError, Plan, Secret
from reconcilers.gauges import Gauges
from reconcilers.postgres.client import Hooks
from reconcilers.postgres.observe import DEEP_FOR
from reconcilers.postgres.reconciler import PostgresReconciler
from reconcilers.transports.pgbouncer import Console, Poolers
from reconcilers.transports.postgres import PostgresServers
from reconcilers.transports.postgres_session import Door
from tests.builders import START, a_resource
from tests.builders_haproxy import Desk, said
from tests.real_haproxy import free_address

KEY: Final = Key("PostgresCluster", "psa-db")

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


def put(server: LabPostgres, name: str, text: str) -> None:
    """Write a file of the data folder, for the server's eyes only, and let it read its files again."""
    file = server.data / name
    file.touch(mode=0o600)
    file.write_text(text)
    give_away("postgres", file)
    assert server.life.process is not None
    send(server.life.process, signal.SIGHUP)


def a_cluster(name: str = "psa-db", /, **spec: object) -> AnyResource:
    """Return an object; keywords are the fields of a file, in camelCase."""
    model = PostgresClusterSpec.model_validate({"endpoint": "psa-db", **spec})
    return a_resource(model, name, "PostgresCluster")


class NamedSecrets:
    """Secrets as the settings' files would give them; a test may change one at any time."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def read(self, name: str) -> Secret:
        if name not in self.values:
            raise PermanentError(f"the settings have no secret {name}", reason="SecretUnavailable")
        return Secret(self.values[name])


class Wall:
    """The wall time of a test, which a test may move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Driven:
    """A desk that drives one object on real servers, with what it was given."""

    desk: Desk
    secrets: NamedSecrets
    wall: Wall
    servers: PostgresServers
    poolers: Poolers
    gauges: Gauges
    registry: CollectorRegistry

    async def quiet(self, key: Key = KEY) -> Plan[Any]:
        """Make passes until nothing is left to do."""
        return await self.desk.until_quiet(key)

    async def look(self) -> Plan[Any]:
        """Make one look that forgets what was looked at deeply before, as after a minute."""
        self.wall.now += DEEP_FOR
        return await self.desk.look(KEY)

    async def sentences(self) -> list[str]:
        """Return what a fresh look would do."""
        return said(await self.look())

    async def until_true(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait without passes."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it does not come about"
            await asyncio.sleep(0.02)

    async def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Make passes until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it does not come about"
            await self.desk.one_pass(KEY)
            await asyncio.sleep(0.02)


SECRETS: Final = {"replicator": REPLICATION_PASSWORD, "psa-app": "the app's, with ' and \\\\"}


@contextlib.asynccontextmanager
async def driving(
    resource: AnyResource,
    members: Mapping[str, LabPostgres],
    *,
    user: str = SUPERUSER,
    password: str = PASSWORD,
    addresses: Mapping[str, str] | None = None,
    pooler: LabPgbouncer | None = None,
    pooler_ca: Path | None = None,
    hooks: Hooks | None = None,
    **door: Any,
) -> AsyncIterator[Driven]:
    """Put an object on a desk, whose endpoint has *members*, and close all sessions in the end.

    *addresses* are other ones than those of the members; with *pooler_ca* the pooler must speak TLS.
    """
    secrets, wall, gauges, registry = NamedSecrets(SECRETS), Wall(), Gauges(), CollectorRegistry()
    way = Door(user, "postgres", lambda: Secret(password), **door)
    places = {name: each.config.address for name, each in members.items()}
    servers = PostgresServers({"psa-db": (way, {**places, **(addresses or {})})})
    consoles = (
        {} if pooler is None else {"psa-db": Console(replace(way, ca_file=pooler_ca), pooler.config.address)}
    )
    poolers = Poolers(consoles)
    reconciler = PostgresReconciler(
        servers,
        secrets,
        PostgresMetrics(registry),
        gauges,
        wall,
        poolers=poolers,
        pooler_metrics=PgbouncerMetrics(registry),
        hooks=hooks,
    )
    desk = Desk({"PostgresCluster": reconciler})
    desk.put(resource)
    try:
        yield Driven(desk, secrets, wall, servers, poolers, gauges, registry)
    finally:
        await servers.close()
        await poolers.close()
