"""Users behind HAProxy, and how versions answer them, second by second."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from crds.balancer import ServerState
from reconcilers.servers import Health, Server
from tests.fakes.haproxy import FakeHaproxy, FakeNode

#: Seconds after which HAProxy gives up on a server that does not answer.
SERVER_TIMEOUT_S = 30


@dataclass
class Application:
    """How a version behaves.

    ``hangs``: it answers nobody. ``is_ill``: its health check fails. ``refuses``: it takes no connection,
    while its health check is well. ``spoils`` is the share of the other version's requests that fail while
    this one has traffic, because it uses up what both share. ``slow`` is the share of its answers that take
    longer than any limit. ``burst`` is how many errors come together.
    """

    error_rate: float = 0.0
    hangs: bool = False
    is_ill: bool = False
    refuses: bool = False
    spoils: float = 0.0
    slow: float = 0.0
    burst: int = 1


@dataclass
class Users:
    """Requests through HAProxy, each second so many a node, spread by what HAProxy has."""

    rate: int = 20
    served: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Requests that found nobody."""
    clinging: Counter[str] = field(default_factory=Counter)
    """Requests that stay open at a version whatever happens, such as WebSockets."""
    bound: Counter[str] = field(default_factory=Counter)
    """Requests a second of users that a cookie binds to a server."""


@dataclass
class Crowd:
    """Lets users come. ``version_at`` says which version serves at an address, None if nothing does."""

    haproxy: FakeHaproxy
    users: Users
    versions: Mapping[str, Application]
    version_at: Callable[[str], str | None]
    answered: Counter[str] = field(default_factory=Counter)
    """Answers in HAProxy's log by server, and below those that were too slow."""
    slower: Counter[str] = field(default_factory=Counter)
    _chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - chance that repeats
    _rest: dict[str, float] = field(default_factory=dict)
    """Fractions of requests that are still owed to a server."""
    _hanging: dict[tuple[int, str], list[int]] = field(default_factory=dict)

    def second(self) -> None:
        """Let one second pass."""
        for number, node in enumerate(self.haproxy.nodes):
            for backend, server in node.configured():
                server.is_alive = self._is_alive(server.address)
                if self.users.rate and server is backend.servers[0]:
                    self._come(number, node, backend.name)

    def _application(self, version: str | None) -> Application:
        return self.versions.get(version or "", Application())

    def _is_alive(self, address: str) -> bool:
        version = self.version_at(address.partition(":")[0])
        return version is not None and not self._application(version).is_ill

    def _come(self, number: int, node: FakeNode, backend: str) -> None:
        servers = {name: server for (found, name), server in node.state.items() if found == backend}
        versions = {
            each.name: self.version_at(each.address.partition(":")[0])
            for found, each in node.configured()
            if found.name == backend
        }
        portions = self._portions(servers)
        if not portions:
            self.users.lost += self.users.rate
        spoiled = max((self._application(versions[name]).spoils for name in portions), default=0.0)
        for name in servers:
            requests, version = portions.get(name, 0), versions[name]
            if requests and self._application(version).refuses and len(portions) > 1:
                self.haproxy.serve(name, number=number, backend=backend, redispatches=requests)
                other = next(each for each in portions if each != name)
                self._serve(number, backend, other, versions[other], requests=requests, spoiled=spoiled)
            else:
                self._serve(number, backend, name, version, requests=requests, spoiled=spoiled)

    def _portions(self, servers: Mapping[str, Server]) -> dict[str, int]:
        """Return who gets how many requests: by weight, and by the cookies of those that have one."""
        takers = {name: server.share for name, server in servers.items() if server.takes_traffic}
        for name in list(self.users.bound):
            server = servers[name]
            if server.state is ServerState.MAINT or server.health is Health.DOWN:
                moved = self.users.bound.pop(name)
                self.users.bound.update({next(iter(takers)): moved} if takers else {})
        whole, portions = sum(takers.values()), Counter(self.users.bound)
        free = self.users.rate - self.users.bound.total()
        for name, share in takers.items():
            exact = free * share / whole + self._rest.get(name, 0.0)
            portions[name] += int(exact)
            self._rest[name] = exact - int(exact)
        return dict(portions)

    def _serve(
        self, number: int, backend: str, name: str, version: str | None, *, requests: int, spoiled: float
    ) -> None:
        application = self._application(version)
        held = self._held(number, name, requests if application.hangs else 0)
        who, open_requests = version or "nobody", held.sum + self.users.clinging[version or "nobody"]
        self.users.served[who] += requests
        if application.hangs:
            self.users.failed[who] += held.given_up
            self.haproxy.serve(
                name, number=number, backend=backend, broken=held.given_up, sessions=open_requests
            )
            return
        is_gone = version is None or application.refuses
        rate = max(application.error_rate, 0.0 if application.spoils else spoiled)
        failed = requests if is_gone else self._failures(requests, rate, application.burst)
        self.users.failed[who] += failed
        self.answered[name] += requests
        self.slower[name] += sum(self._chance.random() < application.slow for _ in range(requests))
        kind = {"refused": failed} if is_gone else {"errors_5xx": failed}
        answered = 0 if is_gone else requests
        self.haproxy.serve(name, answered, number=number, backend=backend, sessions=open_requests, **kind)

    def _failures(self, requests: int, rate: float, burst: int) -> int:
        if rate <= 0 or not requests:
            return 0
        bursts = sum(self._chance.random() < rate / burst for _ in range(requests))
        return min(requests, bursts * burst)

    def _held(self, number: int, name: str, requests: int) -> "Held":
        waiting = self._hanging.setdefault((number, name), [])
        waiting.append(requests)
        given_up = waiting.pop(0) if len(waiting) > SERVER_TIMEOUT_S else 0
        return Held(sum(waiting), given_up)


@dataclass(frozen=True)
class Held:
    """Requests that nobody has answered yet, and those that HAProxy gave up in this second."""

    sum: int
    given_up: int
