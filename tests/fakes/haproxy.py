"""HAProxy pairs in memory, with the behaviour that we rely on; ``tests/contract`` compares with real ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from crds.balancer import ServerState
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.counters import CountedNode, CountedServer, Counters
from reconcilers.servers import (
    CONFIGURED_MAINT,
    FORCED_DRAIN,
    FORCED_MAINT,
    Backend,
    Health,
    Node,
    NodeDown,
    Server,
    not_admin,
)

_STATIC = ("static-rr", "source", "uri", "hdr")
_NOTHING = Counters(0, 0, 0, 0, 0, 0, 0, 0)
_BITS = {ServerState.MAINT: FORCED_MAINT, ServerState.DRAIN: FORCED_DRAIN, ServerState.READY: 0}


@dataclass
class FakeServer:
    """A server line of the configuration, and what stands behind it."""

    name: str
    address: str = "127.0.0.1:3000"
    weight: int = 100
    is_alive: bool = True
    """Whether its health checks pass."""
    is_checked: bool = True
    is_disabled: bool = False
    inherited: int = 0
    """Bits that no command can clear: a tracked server, a name that does not resolve."""


@dataclass
class FakeBackend:
    name: str
    servers: list[FakeServer]
    algorithm: str = "roundrobin"


@dataclass
class FakeNode:
    """One process with its run-time state; ``refuses`` is the error that every call meets."""

    name: str
    socket: str
    backends: list[FakeBackend]
    level: str = "admin"
    refuses: TransientError | None = None
    pid: int = 1000
    uptime_s: int = 3600
    state: dict[tuple[str, str], Server] = field(default_factory=dict)
    counters: dict[tuple[str, str], Counters] = field(default_factory=dict)

    def begin(self, pid: int) -> None:
        """Forget all that was set or counted; every server counts as UP until it was checked."""
        self.pid, self.uptime_s, self.state, self.counters = pid, 0, {}, {}
        for backend in self.backends:
            for each in backend.servers:
                admin = (FORCED_MAINT | CONFIGURED_MAINT if each.is_disabled else 0) | each.inherited
                weight = each.weight
                server = Server(each.name, each.address, weight, weight, admin, Health.DOWN)
                self.state[backend.name, each.name] = _opened(each, server)

    def check(self) -> None:
        """Let every health check run once, far enough to decide."""
        for backend, each in self.configured():
            server = self.state[backend.name, each.name]
            if each.is_checked and server.state is not ServerState.MAINT:
                health = Health.UP if each.is_alive else Health.DOWN
                self.state[backend.name, each.name] = replace(server, health=health)
        self.uptime_s += 1

    def configured(self) -> list[tuple[FakeBackend, FakeServer]]:
        return [(backend, each) for backend in self.backends for each in backend.servers]

    def carriers(self, backend: str) -> set[str]:
        """Return the servers that get new clients and are really there to serve them."""
        alive = {each.name for found, each in self.configured() if found.name == backend and each.is_alive}
        servers = [server for (name, _), server in self.state.items() if name == backend]
        return {server.name for server in servers if server.takes_traffic and server.name in alive}

    def counted(self, backend: str, server: str) -> Counters:
        """Return what it has counted for a server."""
        return self.counters.get((backend, server), _NOTHING)

    def change(self, backend: str, server: str, **fields: object) -> None:
        """Set fields of a server's run-time state by hand."""
        self.state[backend, server] = replace(self.state[backend, server], **fields)  # type: ignore[arg-type]


class FakeHaproxy:
    """All endpoints of a daemon. Every look may let the health checks run once before it.

    ``blackouts`` lists the commands that ended all traffic of a backend that had some: there must be none.
    """

    def __init__(
        self,
        *backends: FakeBackend,
        endpoint: str = "edge",
        nodes: int = 1,
        checks_at_each_look: bool = True,
        state_files: Mapping[str, Path] | None = None,
    ) -> None:
        self.checks_at_each_look = checks_at_each_look
        self.commands: list[str] = []
        self.blackouts: list[str] = []
        self.files: dict[Path, str] = {}
        self._state_files = state_files or {}
        self._next_pid = 1000
        self.nodes: list[FakeNode] = []
        for number in range(1, nodes + 1):
            name = f"node {number}" if nodes > 1 else endpoint
            copies = [
                replace(each, servers=[replace(server) for server in each.servers]) for each in backends
            ]
            node = FakeNode(name, f"unix:///run/{endpoint}-{number}.sock", copies)
            node.begin(self._new_pid())
            node.check()
            node.uptime_s = 3600
            self.nodes.append(node)
        self.endpoints = {endpoint: self.nodes}

    def _new_pid(self) -> int:
        self._next_pid += 1
        return self._next_pid

    def reload(self, number: int = 0) -> None:
        """Start another process of a node, with the configuration's weights and states."""
        self.nodes[number].begin(self._new_pid())

    async def look(self, endpoint: str, backend: str | None = None) -> tuple[Node | NodeDown, ...]:
        nodes = self._nodes(endpoint)
        if self.checks_at_each_look:
            for node in nodes:
                node.check()
        seen = tuple(self._seen(node, backend) for node in nodes)
        if all(isinstance(node, NodeDown) for node in seen):
            raise TransientError("HAProxy does not answer")
        return seen

    def _seen(self, node: FakeNode, backend: str | None) -> Node | NodeDown:
        if node.refuses is not None:
            return NodeDown(node.name, node.socket, str(node.refuses))
        backends = tuple(
            Backend(each.name, each.algorithm, tuple(node.state[each.name, s.name] for s in each.servers))
            for each in node.backends
            if backend in {None, each.name}
        )
        is_admin = node.level == "admin"
        return Node(node.name, node.socket, node.pid, "2.6.12-1+deb12u4", node.uptime_s, is_admin, backends)

    def serve(
        self, server: str, requests: int = 0, *, number: int = 0, backend: str | None = None, **others: int
    ) -> None:
        """Let a server have answered so many requests more, on a node by its number.

        *others* are as in ``Counters``: so many of the requests were answered with ``errors_5xx``; what was
        ``refused`` or ``broken`` comes on top. ``sessions`` and ``queued`` are what it holds from now on.
        """
        node = self.nodes[number]
        (name,) = {each.name for each, found in node.configured() if found.name == server} & (
            {backend} if backend else {each.name for each in node.backends}
        )
        before = node.counted(name, server)
        held = {each: others.pop(each) for each in ("sessions", "queued") if each in others}
        failed = sum(others.get(each, 0) for each in ("refused", "broken", "retries", "redispatches"))
        added = {"requests": requests, "attempts": requests + failed, **others}
        new = {each: getattr(before, each) + more for each, more in added.items()}
        node.counters[name, server] = replace(before, **new, **held)

    async def count(self, endpoint: str, backend: str) -> tuple[CountedNode | NodeDown, ...]:
        nodes = self._nodes(endpoint)
        counted = tuple(self._counted(node, backend) for node in nodes)
        if all(isinstance(node, NodeDown) for node in counted):
            raise TransientError("HAProxy does not answer")
        return counted

    def _counted(self, node: FakeNode, backend: str) -> CountedNode | NodeDown:
        if node.refuses is not None:
            return NodeDown(node.name, node.socket, str(node.refuses))
        servers = (
            CountedServer(each.name, node.state[backend, each.name].health, node.counted(backend, each.name))
            for found, each in node.configured()
            if found.name == backend
        )
        return CountedNode(node.name, node.socket, node.pid, tuple(servers))

    async def set_weight(self, endpoint: str, socket: str, backend: str, server: str, weight: int) -> None:
        node, configured = self._admitted(endpoint, socket, backend, server)
        if not 0 <= weight <= 256:
            raise PermanentError(f"weight {weight}", reason="WeightRefused")
        algorithm = next(each.algorithm for each in node.backends if each.name == backend)
        if algorithm in _STATIC and weight not in {0, configured.weight}:
            raise PermanentError("Backend is using a static LB algorithm", reason="StaticAlgorithm")
        before = node.carriers(backend)
        node.change(backend, server, weight=weight)
        self._record(node, backend, f"{backend}/{server} weight {weight} on {node.name}", before)

    async def set_state(
        self, endpoint: str, socket: str, backend: str, server: str, state: ServerState
    ) -> None:
        node, configured = self._admitted(endpoint, socket, backend, server)
        before, old = node.carriers(backend), node.state[backend, server]
        kept = old.admin & ~(FORCED_MAINT | FORCED_DRAIN)
        new = replace(old, admin=kept | _BITS[state])
        if new.state is ServerState.MAINT:
            new = replace(new, health=Health.DOWN)
        elif old.state is ServerState.MAINT:
            new = _opened(configured, new)
        node.state[backend, server] = new
        self._record(node, backend, f"{backend}/{server} state {state.value} on {node.name}", before)

    def _record(self, node: FakeNode, backend: str, command: str, before: set[str]) -> None:
        self.commands.append(command)
        if before and not node.carriers(backend):
            self.blackouts.append(command)

    def _admitted(self, endpoint: str, socket: str, backend: str, server: str) -> tuple[FakeNode, FakeServer]:
        node = self._node(endpoint, socket)
        if node.level != "admin":
            raise PermanentError(not_admin(node.name, socket), reason="SocketNotAdmin")
        found = next((each for each in node.backends if each.name == backend), None)
        if found is None:
            raise PermanentError("No such backend.", reason="UnknownBackend")
        for each in found.servers:
            if each.name == server:
                return node, each
        raise PermanentError("No such server.", reason="UnknownServer")

    def _nodes(self, endpoint: str) -> list[FakeNode]:
        if endpoint not in self.endpoints:
            raise PermanentError(f"the settings have no endpoint {endpoint}", reason="UnknownEndpoint")
        return self.endpoints[endpoint]

    def _node(self, endpoint: str, socket: str) -> FakeNode:
        node = next((node for node in self._nodes(endpoint) if node.socket == socket), None)
        if node is None:
            raise PermanentError(f"no HAProxy is configured at {socket}", reason="UnknownSocket")
        if node.refuses is not None:
            raise node.refuses
        return node

    def state_file(self, endpoint: str, socket: str) -> Path | None:
        return self._state_files.get(socket)

    async def server_states(self, endpoint: str, socket: str) -> str:
        """Return the columns that matter, and one that moves by itself."""
        node = self._node(endpoint, socket)
        header = "# be_name srv_name srv_admin_state srv_uweight srv_time_since_last_change"
        rows = [
            f"{backend} {server.name} {server.admin} {server.weight} {node.uptime_s}"
            for (backend, _), server in node.state.items()
        ]
        return "\n".join(["1", header, *rows, "", ""])

    async def read_state_file(self, path: Path) -> str | None:
        return self.files.get(path)

    async def write_state_file(self, path: Path, text: str) -> None:
        if path.parent == Path("/nowhere"):
            raise NotSentError(f"cannot write the server-state file {path}")
        self.files[path] = text


def _opened(configured: FakeServer, server: Server) -> Server:
    """Return a server as HAProxy has it before its first check."""
    if server.state is ServerState.MAINT:
        return replace(server, health=Health.DOWN)
    return replace(server, health=Health.DOUBTFUL if configured.is_checked else Health.UNCHECKED)
