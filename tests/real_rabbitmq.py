"""Private RabbitMQ brokers. One takes 4 s to start: tests share one, each with a virtual host of its own."""

import atexit
import contextlib
import functools
import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from crds.meta import Key
from crds.rabbitmq import RabbitMQSpec
from lab.rabbitmq import LabRabbit, RabbitConfig
from lab.users import as_user
from metrics.rabbitmq import RabbitMetrics
from reconcilers.contract import AnyResource, PermanentError, Plan, Secret, TransientError
from reconcilers.gauges import Gauges
from reconcilers.rabbitmq.client import Call, RabbitBrokers, Reply, Wire
from reconcilers.rabbitmq.reconciler import RabbitReconciler
from reconcilers.transports.rabbitmq import RabbitTransport
from tests.builders import START, a_resource
from tests.builders_haproxy import Desk
from tests.real_haproxy import free_address

ME: Final = "psa_reconciler"
PASSWORD: Final = "correct-horse-battery-staple"
KEY: Final = Key("RabbitMQ", "psa-rabbitmq")
_NUMBERS: Final = itertools.count(1)


def a_rabbit(name: str = "psa-rabbitmq", /, **spec: object) -> AnyResource:
    """Return an object; keywords are the fields of a file, in camelCase."""
    model = RabbitMQSpec.model_validate({"endpoint": "rabbit", **spec})
    return a_resource(model, name, "RabbitMQ")


def a_topology(**more: object) -> dict[str, object]:
    """Return a virtual host with an exchange, two queues and their bindings."""
    return {
        "exchanges": {"psa.events": {"type": "topic", "durable": True}},
        "queues": {
            "email": {"durable": True, "arguments": {"x-message-ttl": 86400000, "x-max-length": 10000}},
            "teams": {"type": "quorum", "durable": True},
        },
        "bindings": [
            {"source": "psa.events", "queue": "email", "routingKey": "ticket.*"},
            {"source": "psa.events", "queue": "teams", "routingKey": "ticket.created"},
        ],
        **more,
    }


class NamedSecrets:
    """Secrets as the settings' files would give them; a test may change one at any time."""

    def __init__(self, **values: str) -> None:
        self.values = {name.replace("_", "-"): value for name, value in values.items()}

    def read(self, name: str) -> Secret:
        if name not in self.values:
            raise PermanentError(f"the settings have no secret {name}", reason="SecretUnavailable")
        return Secret(self.values[name])


class Recorded:
    """A wire that keeps what was sent through it."""

    def __init__(self, inner: Wire) -> None:
        self._inner = inner
        self.sent: list[Call] = []

    @property
    def user(self) -> str:
        return self._inner.user

    async def send(self, call: Call) -> Reply:
        self.sent.append(call)
        return await self._inner.send(call)


@dataclass
class Driven:
    """A desk that drives objects on one broker, with what it was given."""

    desk: Desk
    wire: Recorded
    reconciler: RabbitReconciler
    gauges: Gauges
    registry: CollectorRegistry
    secrets: NamedSecrets

    @property
    def changes(self) -> list[Call]:
        """The calls that asked for a change."""
        return [call for call in self.wire.sent if call.method != "GET"]

    async def quiet(self, key: Key = KEY) -> Plan[Any]:
        """Make passes until nothing is left to do but what was refused."""
        return await self.desk.until_quiet(key)


def drive(wire: Wire, *objects: AnyResource, **secrets: str) -> Driven:
    """Put *objects* on a desk, whose endpoint ``rabbit`` is *wire*."""
    recorded, known = Recorded(wire), NamedSecrets(**{"app": "app-secret", **secrets})
    registry, gauges = CollectorRegistry(), Gauges()
    reconciler = RabbitReconciler(
        RabbitBrokers({"rabbit": recorded}), known, RabbitMetrics(registry), gauges, lambda: START
    )
    desk = Desk({"RabbitMQ": reconciler})
    for each in objects:
        desk.put(each)
    return Driven(desk, recorded, reconciler, gauges, registry, known)


def a_broker(folder: Path, **config: Any) -> LabRabbit:
    """Return a broker on free ports; keywords are the lab's."""
    ports = [int(free_address().rpartition(":")[2]) for _ in range(2)]
    made = RabbitConfig(
        amqp=free_address(),
        management=free_address(),
        distribution_port=ports[0],
        epmd_port=config.pop("epmd_port", ports[1]),
        user=ME,
        password=PASSWORD,
        **config,
    )
    return LabRabbit(folder, made)


@contextlib.contextmanager
def a_running_broker(**config: Any) -> Iterator[LabRabbit]:
    """Give a broker of one's own, in a folder that RabbitMQ's user reaches."""
    folder = Path(tempfile.mkdtemp(prefix="psa-rabbit-", dir="/tmp"))
    folder.chmod(0o755)
    broker = a_broker(folder / "broker", **config)
    try:
        broker.start()
        yield broker
    finally:
        broker.end()
        shutil.rmtree(folder)


@contextlib.contextmanager
def a_running_pair() -> Iterator[tuple[LabRabbit, LabRabbit]]:
    """Give two nodes that are one cluster, on one port mapper of their own."""
    folder = Path(tempfile.mkdtemp(prefix="psa-rabbit-", dir="/tmp"))
    folder.chmod(0o755)
    names = ("psa-a@localhost", "psa-b@localhost")
    rows = [(f"cluster_formation.classic_config.nodes.{n}", name) for n, name in enumerate(names, 1)]
    shared: dict[str, Any] = {
        "epmd_port": int(free_address().rpartition(":")[2]),
        "cookie": secrets.token_hex(16),
        "more": (("cluster_formation.peer_discovery_backend", "classic_config"), *rows),
    }
    first, second = (a_broker(folder / name, node=name, **shared) for name in names)
    try:
        first.start()  # alone, so that the second has somebody to join
        second.start()
        control(second, "await_startup")
        yield first, second
    finally:
        second.end()
        first.end()
        shutil.rmtree(folder)


@functools.cache
def the_broker() -> LabRabbit:
    """Return the broker that all tests of this process share; it ends with the process."""
    kept = contextlib.ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(a_running_broker())


def transport(broker: LabRabbit, user: str = ME, password: str = PASSWORD, **options: Any) -> RabbitTransport:
    """Return a connection as the daemon has it."""
    urls = options.pop("urls", [f"http://{broker.config.management}"])
    return RabbitTransport("rabbit", urls, user=user, read_password=lambda: Secret(password), **options)


@dataclass
class Site:
    """A virtual host of one's own on the shared broker, and a hand that changes it."""

    broker: LabRabbit
    vhost: str
    wire: RabbitTransport
    users: list[str] = field(default_factory=list)

    def user(self) -> str:
        """Name a user that goes with the site."""
        self.users.append(f"user-{next(_NUMBERS)}")
        return self.users[-1]

    async def by_hand(self, method: str, *path: str, **body: object) -> object:
        """Send one request as an administrator would; ``{v}`` in the path is the virtual host."""
        parts = tuple(part.replace("{v}", self.vhost) for part in path)
        return (await self.wire.send(Call(method, parts, body=body or None))).body

    async def publish(self, queue: str, count: int = 1) -> None:
        """Put messages into a queue."""
        for _ in range(count):
            await self.wire.send(
                Call(
                    "POST",
                    ("exchanges", self.vhost, "amq.default", "publish"),
                    body={
                        "properties": {},
                        "routing_key": queue,
                        "payload": "x",
                        "payload_encoding": "string",
                    },
                )
            )

    async def names(self, kind: str) -> list[str]:
        """Return the names of all queues, exchanges or policies of the virtual host."""
        rows = (await self.wire.send(Call("GET", (kind, self.vhost)))).body
        assert isinstance(rows, list)
        return sorted(row["name"] for row in rows if row["name"] and not row["name"].startswith("amq."))

    async def bound(self) -> list[str]:
        """Return all bindings as ``KEY queue``."""
        rows = (await self.wire.send(Call("GET", ("bindings", self.vhost)))).body
        assert isinstance(rows, list)
        return sorted(f"{row['routing_key']} {row['destination']}" for row in rows if row["source"])


@contextlib.asynccontextmanager
async def a_site(broker: LabRabbit | None = None) -> AsyncIterator[Site]:
    """Give a virtual host on the shared broker, or on *broker*; it goes with the test."""
    on = broker or the_broker()
    site = Site(on, f"test-{os.getpid()}-{next(_NUMBERS)}", transport(on))
    try:
        await site.by_hand("PUT", "vhosts", "{v}", description="a test's")
        yield site
    finally:
        with contextlib.suppress(TransientError, PermanentError):
            await site.by_hand("DELETE", "vhosts", "{v}")
            for user in site.users:
                await site.wire.send(Call("DELETE", ("users", user), accepts=(404,)))
        await site.wire.close()


def control(broker: LabRabbit, *command: str) -> str:
    """Return what rabbitmqctl prints; it takes more than a second."""
    done = subprocess.run(
        [*as_user("rabbitmq"), "/usr/lib/rabbitmq/bin/rabbitmqctl", "--quiet", *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        cwd=broker.folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **broker.environment},
    )
    return done.stdout


def told(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """Return one figure of the broker."""
    return registry.get_sample_value(f"psa_rabbitmq_{name}", {"broker": KEY.name, **labels})
