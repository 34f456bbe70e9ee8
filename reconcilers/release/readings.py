"""What cumulative counters say of one tick (differences, segments, who holds how much, who is UP): pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from crds.evidence import Mark
from reconcilers.counters import CountedNode, CountedServer, Counters
from reconcilers.release.detection import Delta
from reconcilers.release.rule import Sample
from reconcilers.servers import Health


@dataclass(frozen=True, slots=True)
class Reading:
    """One tick of one entry. None is unknown: no node that answered knows it."""

    marks: tuple[Mark, ...]
    """Where the next differences begin."""
    delta: Delta
    hidden: int
    """The candidate's retries and redispatches."""
    is_known: bool
    """Whether at least one node told of all roles."""
    sessions: int | None
    """Requests that the candidate holds, those that wait for it included."""
    stable_sessions: int | None
    down_on: str | None
    """A node where the candidate is DOWN."""
    stable_up: bool | None
    """Whether stable is UP: where the candidate is DOWN, if it is somewhere; else anywhere."""


@dataclass(frozen=True, slots=True)
class _Gained:
    """What one server counted since its mark."""

    requests: int
    errors: int
    hidden: int


def read(marks: tuple[Mark, ...], sample: Sample) -> Reading:
    """Compare the sample's counters with the last readings.

    A server without a mark begins here. Another pid, or a counter that fell (``clear counters``), began at 0
    after the last reading, so that all of what it shows is new. What a node that is away has counted is
    unknown, not 0: its mark stays, and the difference comes when it answers again.
    """
    candidate = _servers(sample.nodes, sample.candidate)
    stable = _servers(sample.nodes, sample.stable) if sample.stable is not None else ()
    old = {(mark.socket, mark.server): mark for mark in marks}
    mine = [_gained(old.get((node.socket, server.name)), node.pid, server) for node, server in candidate]
    theirs = [_gained(old.get((node.socket, server.name)), node.pid, server) for node, server in stable]
    new = {(node.socket, server.name): _mark(node, server) for node, server in (*candidate, *stable)}
    down_on = {node.socket: node.name for node, server in candidate if server.health is Health.DOWN}
    return Reading(
        marks=tuple((old | new).values()),
        delta=Delta(
            sum(each.requests for each in mine),
            sum(each.errors for each in mine),
            sum(each.requests for each in theirs),
            sum(each.errors for each in theirs),
        ),
        hidden=sum(each.hidden for each in mine),
        is_known=bool(candidate) and (bool(stable) or sample.stable is None),
        sessions=_held(candidate),
        stable_sessions=_held(stable) if sample.stable is not None else 0,
        down_on=next(iter(down_on.values()), None),
        stable_up=_is_up(stable, down_on),
    )


def seen_now(marks: tuple[Mark, ...], sample: Sample) -> tuple[Mark, ...]:
    """Return the marks of the nodes that answered; where counting begins, the others have none."""
    sockets = {node.socket for node in sample.nodes}
    return tuple(mark for mark in marks if mark.socket in sockets)


_Found = tuple[tuple[CountedNode, CountedServer], ...]


def _servers(nodes: Iterable[CountedNode], name: str) -> _Found:
    return tuple((node, server) for node in nodes if (server := node.find(name)) is not None)


def _hidden(counters: Counters) -> int:
    return counters.retries + counters.redispatches


def _mark(node: CountedNode, server: CountedServer) -> Mark:
    counters = server.counters
    return Mark.model_construct(
        socket=node.socket,
        server=server.name,
        pid=node.pid,
        requests=counters.total,
        errors=counters.errors,
        hidden=_hidden(counters),
    )


def _gained(mark: Mark | None, pid: int, server: CountedServer) -> _Gained:
    counters = server.counters
    if mark is None:
        return _Gained(0, 0, 0)
    requests, errors, hidden = counters.total, counters.errors, _hidden(counters)
    fell = requests < mark.requests or errors < mark.errors or hidden < mark.hidden
    if mark.pid == pid and not fell:
        requests, errors, hidden = requests - mark.requests, errors - mark.errors, hidden - mark.hidden
    # A request that fails late is counted as sent in an earlier tick.
    return _Gained(max(requests, errors), errors, hidden)


def _held(servers: _Found) -> int | None:
    if not servers:
        return None
    return sum(server.counters.sessions + server.counters.queued for _, server in servers)


def _is_up(stable: _Found, down_on: Iterable[str]) -> bool | None:
    sockets = set(down_on)
    asked = [
        server.health is not Health.DOWN for node, server in stable if node.socket in sockets or not sockets
    ]
    return any(asked) if asked else None
