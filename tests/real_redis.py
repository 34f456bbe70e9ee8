"""Private Redis servers: one takes 30 ms to start, so each test has its own."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from crds.meta import Key
from crds.redis import RedisInstanceSpec
from lab.redis import LabRedis, RedisConfig
from metrics.redis import RedisMetrics
from reconcilers.contract import AnyResource, PermanentError, Plan, Secret
from reconcilers.gauges import Gauges
from reconcilers.redis.client import Command, RedisServers, Refused, Reply, Wire
from reconcilers.redis.reconciler import RedisReconciler
from reconcilers.transports.redis import RedisTransport
from tests.builders import START, a_resource
from tests.builders_haproxy import Desk
from tests.real_haproxy import free_address

PASSWORD: Final = "correct horse battery staple"
KEY: Final = Key("RedisInstance", "psa-redis")


def a_redis(name: str = "psa-redis", /, **spec: object) -> AnyResource:
    """Return an object; keywords are the fields of a file, in camelCase."""
    model = RedisInstanceSpec.model_validate({"endpoint": "redis", **spec})
    return a_resource(model, name, "RedisInstance")


class NamedSecrets:
    """Secrets as the settings' files would give them; a test may change one at any time."""

    def __init__(self, **values: str) -> None:
        self.values = {name.replace("_", "-"): value for name, value in values.items()}

    def read(self, name: str) -> Secret:
        if name not in self.values:
            raise PermanentError(f"the settings have no secret {name}", reason="SecretUnavailable")
        return Secret(self.values[name])


@dataclass
class Site:
    """Redis servers below a folder of their own; all end with the test."""

    folder: Path
    servers: list[LabRedis] = field(default_factory=list)

    def start(self, password: str | None = PASSWORD, **config: Any) -> LabRedis:
        """Start another one; keywords are the lab's."""
        # Redis waits five seconds for more replicas before it begins to copy.
        more = ("repl-diskless-sync-delay 0", *config.pop("more", ()))
        made = RedisConfig(free_address(), password=password, more=more, **config)
        server = LabRedis(self.folder / str(len(self.servers)), made)
        self.servers.append(server)
        server.start()
        return server


@contextlib.contextmanager
def a_site() -> Iterator[Site]:
    """Give a site in a folder that Redis's user reaches."""
    folder = Path(tempfile.mkdtemp(prefix="psa-redis-", dir="/tmp"))
    folder.chmod(0o755)
    site = Site(folder)
    try:
        yield site
    finally:
        for server in site.servers:
            server.kill()
        shutil.rmtree(folder)


def transport(server: LabRedis, password: str | None = PASSWORD, **options: Any) -> RedisTransport:
    """Return a connection as the daemon has it."""
    read = None if password is None else lambda: Secret(password)
    return RedisTransport("redis", server.config.address, read_password=read, **options)


async def ask(server: LabRedis, *words: str, **options: Any) -> Reply:
    """Run one command by hand; an error of the server fails the test."""
    (reply,) = await transport(server, **{"password": server.config.password, **options}).ask(words)
    assert not isinstance(reply, Refused), f"{' '.join(words)}: {reply}"
    return reply


async def settings(server: LabRedis, *names: str, **options: Any) -> Mapping[str, str]:
    """Return settings as CONFIG GET gives them."""
    found = await ask(server, "CONFIG", "GET", *names, **options)
    assert isinstance(found, list)
    return dict(zip(found[::2], found[1::2], strict=True))


@dataclass
class Driven:
    """A desk that drives one object on a real server, with what it was given."""

    desk: Desk
    secrets: NamedSecrets
    sent: list[Command]
    """Every command that went out, in order."""
    gauges: Gauges
    registry: CollectorRegistry

    @property
    def changes(self) -> list[Command]:
        """The commands that changed something."""
        reading: set[Command] = {("CONFIG", "GET"), ("ACL", "GETUSER"), ("ACL", "WHOAMI"), ("ACL", "CAT")}
        reading |= {("COMMAND", "INFO"), ("CLUSTER", "INFO"), ("INFO",)}
        return [each for each in self.sent if each[:2] not in reading]

    async def quiet(self, key: Key = KEY) -> Plan[Any]:
        """Make passes until nothing is left to do."""
        return await self.desk.until_quiet(key)


class Recorded:
    """A transport that keeps what was sent through it."""

    def __init__(self, inner: Wire, sent: list[Command]) -> None:
        self._inner = inner
        self._sent = sent

    @property
    def user(self) -> str:
        return self._inner.user

    @property
    def password(self) -> Secret | None:
        return self._inner.password

    @property
    def address(self) -> str:
        return self._inner.address

    async def ask(self, *commands: Command) -> tuple[Reply, ...]:
        self._sent.extend(commands)
        return await self._inner.ask(*commands)


def drive(*objects: AnyResource, secrets: Mapping[str, str] | None = None, **wires: Wire) -> Driven:
    """Put *objects* on a desk, whose endpoints are *wires*."""
    sent: list[Command] = []
    known = NamedSecrets(**{"redis_password": PASSWORD, **(secrets or {})})
    servers = RedisServers({name: Recorded(wire, sent) for name, wire in wires.items()})
    gauges, registry = Gauges(), CollectorRegistry()
    reconciler = RedisReconciler(servers, known, RedisMetrics(registry), gauges, lambda: START)
    desk = Desk({"RedisInstance": reconciler})
    for each in objects:
        desk.put(each)
    return Driven(desk, known, sent, gauges, registry)
