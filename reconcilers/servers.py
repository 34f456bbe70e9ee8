"""HAProxy's servers as seen and as asked, and the safe order of commands between the two: pure."""

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from crds.balancer import ServerState
from crds.meta import Origin
from reconcilers.contract import Change, Step, StepClass

#: Bits of srv_admin_state (HAProxy's management guide, "show servers state"). 0x04 only says that the
#: configuration has ``disabled``, and stays when the server is opened by hand; 0x40 is no maintenance at all.
FORCED_MAINT: Final = 0x01
INHERITED_MAINT: Final = 0x02
CONFIGURED_MAINT: Final = 0x04
FORCED_DRAIN: Final = 0x08
INHERITED_DRAIN: Final = 0x10
RESOLUTION_MAINT: Final = 0x20
_MAINT: Final = FORCED_MAINT | INHERITED_MAINT | RESOLUTION_MAINT
_DRAIN: Final = FORCED_DRAIN | INHERITED_DRAIN

#: Accept 0 and the configured weight only. So do the hashing ones unless their hash-type is consistent, which
#: HAProxy does not show: for those its answer decides.
_STATIC: Final = frozenset({"static-rr"})
_OPENNESS: Final = (ServerState.MAINT, ServerState.DRAIN, ServerState.READY)


class Health(enum.Enum):
    """What HAProxy thinks of a server."""

    DOWN = "down"
    """Not used: checks fail, or it is in maintenance."""
    DOUBTFUL = "doubtful"
    """Used, but one failed check away from DOWN: it was just opened or started, or it is failing."""
    WAVERING = "wavering"
    """Used, and its last check failed: another one or more will take it DOWN."""
    UP = "up"
    UNCHECKED = "unchecked"
    """Used, and nobody checks it."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of one backend. ``admin`` is HAProxy's bit mask, weights are absolute."""

    name: str
    address: str | None
    """``10.0.20.10:3000``; None for a UNIX socket or a name that does not resolve."""
    weight: int
    initial_weight: int
    """Weight in the configuration."""
    admin: int
    health: Health

    @property
    def state(self) -> ServerState:
        """The administrative state that is in force."""
        if self.admin & _MAINT:
            return ServerState.MAINT
        return ServerState.DRAIN if self.admin & _DRAIN else ServerState.READY

    @property
    def share(self) -> int:
        """Weight for new clients: nothing unless it is ready."""
        return self.weight if self.state is ServerState.READY else 0

    @property
    def takes_traffic(self) -> bool:
        """Whether new clients are sent to it."""
        return self.share > 0 and self.health is not Health.DOWN


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend of one HAProxy."""

    name: str
    algorithm: str
    servers: tuple[Server, ...]

    def find(self, name: str) -> Server | None:
        """Return the server of that name, None if the configuration has none."""
        return next((server for server in self.servers if server.name == name), None)


@dataclass(frozen=True, slots=True)
class Node:
    """One HAProxy that answered. ``name`` is for people (``node 1``), ``socket`` is its address."""

    name: str
    socket: str
    pid: int
    version: str
    uptime_s: int
    is_admin: bool
    """Whether its socket may change anything."""
    backends: tuple[Backend, ...]

    def find(self, name: str) -> Backend | None:
        """Return the backend of that name, None if the configuration has none."""
        return next((backend for backend in self.backends if backend.name == name), None)


@dataclass(frozen=True, slots=True)
class NodeDown:
    """One HAProxy that did not answer."""

    name: str
    socket: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What one server shall be; None is not managed."""

    weight: int | None
    state: ServerState | None


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Give a server an absolute weight. ``pid``: what one process refused, the next may accept."""

    endpoint: str
    socket: str
    pid: int
    backend: str
    server: str
    weight: int


@dataclass(frozen=True, slots=True)
class SetState:
    """Give a server an administrative state."""

    endpoint: str
    socket: str
    pid: int
    backend: str
    server: str
    state: ServerState


Command = SetWeight | SetState


@dataclass(frozen=True, slots=True)
class Arranged:
    """How to come from what is to what is asked, on one node."""

    steps: tuple[Step[Command], ...] = ()
    waiting: str | None = None
    """Why a server keeps its traffic for now."""
    problem: tuple[str, str] | None = None
    """Reason and message of what only a person can change."""


def first_problem(arranged: Iterable[Arranged]) -> tuple[str, str] | None:
    """Return the reason of the first problem with all messages, None if there is none."""
    problems = [each.problem for each in arranged if each.problem is not None]
    return (problems[0][0], "; ".join(message for _, message in problems)) if problems else None


def all_waiting(arranged: Iterable[Arranged]) -> str | None:
    """Return all that is being waited for, None if nothing is."""
    return "; ".join(each.waiting for each in arranged if each.waiting is not None) or None


@dataclass(frozen=True, slots=True)
class _Move:
    """One server's way to its goal."""

    server: Server
    weight: int
    state: ServerState

    @property
    def is_needed(self) -> bool:
        return (self.weight, self.state) != (self.server.weight, self.server.state)

    @property
    def share(self) -> int:
        """Weight for new clients at the goal."""
        return self.weight if self.state is ServerState.READY else 0

    @property
    def is_lowering(self) -> bool:
        return self.share < self.server.share

    @property
    def silences(self) -> bool:
        """Whether it ends traffic that flows."""
        return self.share == 0 and self.server.takes_traffic

    @property
    def weight_comes_first(self) -> bool:
        """Whether the weight is set before the state; a server that closes must not be raised before."""
        closing = _OPENNESS.index(self.state) < _OPENNESS.index(self.server.state)
        return self.weight < self.server.weight or not closing


def arrange(
    node: Node,
    backend_name: str,
    wishes: Mapping[str, Wish],
    *,
    endpoint: str,
    origin: Origin | None,
    trusts_unchecked: bool,
) -> Arranged:
    """Return the commands that fulfil *wishes* on *node*: what raises first, then what lowers.

    Nobody's traffic ends before another server that HAProxy holds for healthy has weight. *trusts_unchecked*:
    all was as asked when last seen, so that a server without a check yet is one that a reload made so.
    """
    backend = node.find(backend_name)
    if backend is None:
        return Arranged(problem=("UnknownBackend", f"{node.name} has no backend {backend_name}"))
    missing = [f"{backend_name}/{name}" for name in wishes if backend.find(name) is None]
    if missing:
        return Arranged(problem=("UnknownServer", f"{node.name} has no server {' and no '.join(missing)}"))
    moves = [_move(server, wishes.get(server.name, Wish(None, None))) for server in backend.servers]
    needed = [move for move in moves if move.is_needed]
    problem = _problem(node, backend, needed) if needed else None
    if problem is not None:
        return Arranged(problem=problem)
    trusted = {Health.UP, Health.WAVERING, Health.UNCHECKED} | (
        {Health.DOUBTFUL} if trusts_unchecked else set()
    )
    carries = any(_carries(move, trusted) for move in moves)
    kept = [] if carries else [move for move in needed if move.silences]
    if kept and not any(move.share for move in moves):
        names = " and ".join(f"{backend_name}/{move.server.name}" for move in kept)
        return Arranged(problem=("NoTraffic", f"nobody would be left on {node.name} beside {names}"))
    order = sorted((move for move in needed if move not in kept), key=lambda move: move.is_lowering)
    steps = [step for move in order for step in _steps(node, backend_name, move, endpoint, origin)]
    return Arranged(tuple(steps), _waiting(node, backend_name, moves, kept))


def _move(server: Server, wish: Wish) -> _Move:
    weight = server.weight if wish.weight is None else wish.weight
    return _Move(server, weight, server.state if wish.state is None else wish.state)


def _carries(move: _Move, trusted: Collection[Health]) -> bool:
    """Whether the server has traffic once all that raises is done, and may have it alone.

    In maintenance it counts as DOWN, so that one that is being opened must be seen open first.
    """
    return move.share > 0 and move.server.health in trusted


def _waiting(node: Node, backend: str, moves: Sequence[_Move], kept: Sequence[_Move]) -> str | None:
    if not kept:
        return None
    silent = " and ".join(f"{backend}/{move.server.name}" for move in kept)
    doubts = ", ".join(f"{move.server.name} {_doubt(move.server)}" for move in moves if move.share)
    return f"{silent} keeps its traffic on {node.name}: {doubts}"


def _doubt(server: Server) -> str:
    if server.state is ServerState.MAINT:
        return "is just being opened"
    return "is DOWN" if server.health is Health.DOWN else "has not passed a check yet"


def _problem(node: Node, backend: Backend, moves: Sequence[_Move]) -> tuple[str, str] | None:
    if not node.is_admin:
        return "SocketNotAdmin", not_admin(node.name, node.socket)
    for move in moves:
        name, server = f"{backend.name}/{move.server.name}", move.server
        allowed = {0, server.initial_weight, server.weight}
        if backend.algorithm in _STATIC and move.weight not in allowed:
            return "StaticAlgorithm", (
                f"{name} on {node.name}: {backend.algorithm} takes only 0 and the configured weight "
                f"{server.initial_weight}, not {move.weight}; use roundrobin"
            )
        inherited = _inherited(move)
        if inherited is not None:
            return "MaintenanceInherited", f"{name} on {node.name} cannot be {move.state.value}: {inherited}"
    return None


def _inherited(move: _Move) -> str | None:
    """Return what keeps a server more closed than asked, and is not in the hand of ``set server``."""
    if move.state is ServerState.MAINT:
        return None
    if move.server.admin & RESOLUTION_MAINT:
        return "its name does not resolve"
    if move.server.admin & INHERITED_MAINT:
        return "the server that it tracks is in maintenance"
    if move.state is ServerState.READY and move.server.admin & INHERITED_DRAIN:
        return "the server that it tracks is in drain"
    return None


def not_admin(node: str, socket: str) -> str:
    """Return what to say of a socket that may only read, and how to mend it."""
    return (
        f"the socket {socket} of {node} may not change anything: give it `level admin` on its "
        "`stats socket` line in haproxy.cfg, and reload"
    )


def _steps(
    node: Node, backend: str, move: _Move, endpoint: str, origin: Origin | None
) -> Iterable[Step[Command]]:
    name, server = move.server.name, move.server
    where = (endpoint, node.socket, node.pid, backend, name)
    steps: list[Step[Command]] = []
    if move.weight != server.weight:
        change = ("weight", str(server.weight), str(move.weight))
        steps.append(_step(SetWeight(*where, move.weight), node, change, origin))
    if move.state is not server.state:
        change = ("state", server.state.value, move.state.value)
        steps.append(_step(SetState(*where, move.state), node, change, origin))
    return steps if move.weight_comes_first else reversed(steps)


def _step(command: Command, node: Node, change: tuple[str, str, str], origin: Origin | None) -> Step[Command]:
    what, old, new = change
    name = f"{command.backend}/{command.server}"
    return Step(
        action=command,
        step_class=StepClass.ABSOLUTE,
        target=f"server {name} on {command.endpoint}",
        summary=f"{name} {what} {old} → {new} on {node.name}",
        changes=(Change(f"{command.server}.{what}", old, new),),
        origin=origin,
        deadline=timedelta(seconds=1),
    )
