"""What cumulative counters say of one tick (differences, segments, who holds how much, who is UP): pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from crds.evidence import Mark
from reconcilers.counters import CountedNode, CountedServer
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
    """The candidate's failures beside its errors: tried again, sent elsewhere, or vanished."""
    is_known: bool
    """Whether at least one node told of all roles."""
    sessions: int | None
    """Requests that the candidate holds, those that wait for it included."""
    stable_sessions: int | None
    down_on: str | None
    """A node where the candidate is DOWN."""
    stable_up: bool | None
    """Whether stable is UP: where the candidate is DOWN, if it is somewhere; else anywhere."""
    stable_wavers: bool
    """Whether each stable server of those that is UP is no longer, or not yet, passing all of its checks."""


def read(marks: tuple[Mark, ...], sample: Sample) -> Reading:
    """Compare the sample's counters with the last readings.

    A server without a mark begins here. Another pid, or a counter that fell (``clear counters``), began at 0
    after the last reading, so that all of what it shows is new. What a node that is away has counted is
    unknown, not 0: its mark stays, and the difference comes when it answers again.
    """
    candidate = _servers(sample.nodes, sample.candidate)
    stable = _servers(sample.nodes, sample.stable) if sample.stable is not None else ()
    old = {(mark.socket, mark.server): mark for mark in marks}
    new = dict(old)
    requests, errors, hidden = _total(_counted(old, new, node, server) for node, server in candidate)
    stable_requests, stable_errors, _ = _total(_counted(old, new, node, server) for node, server in stable)
    down_on = {node.socket: node.name for node, server in candidate if server.health is Health.DOWN}
    return Reading(
        marks=tuple(new.values()),
        delta=Delta(requests, errors, stable_requests, stable_errors),
        hidden=hidden,
        is_known=bool(candidate) and (bool(stable) or sample.stable is None),
        sessions=_held(candidate),
        stable_sessions=_held(stable) if sample.stable is not None else 0,
        down_on=next(iter(down_on.values()), None),
        stable_up=_is_up(stable, down_on),
        stable_wavers=_wavers(stable, down_on),
    )


def seen_now(marks: tuple[Mark, ...], sample: Sample) -> tuple[Mark, ...]:
    """Return the marks of the nodes that answered; where counting begins, the others have none."""
    sockets = {node.socket for node in sample.nodes}
    return tuple(mark for mark in marks if mark.socket in sockets)


_Found = tuple[tuple[CountedNode, CountedServer], ...]


def _servers(nodes: Iterable[CountedNode], name: str) -> _Found:
    return tuple((node, server) for node in nodes if (server := node.find(name)) is not None)


_Marks = dict[tuple[str, str], Mark]
#: Requests, errors and hidden failures that were counted.
_Gained = tuple[int, int, int]


def _counted(old: _Marks, new: _Marks, node: CountedNode, server: CountedServer) -> _Gained:
    """Return what one server counted since its mark, and put its new mark into *new*.

    Of what vanished the mark keeps the most that this process showed, since it may fall.
    """
    counters, key = server.counters, (node.socket, server.name)
    requests, errors, vanished = counters.total, counters.errors, counters.vanished
    hidden = counters.retries + counters.redispatches
    mark, gained = old.get(key), (0, 0, 0)
    if mark is not None and mark.pid == node.pid and not _fell(mark, requests, errors, hidden):
        vanished = max(vanished, mark.vanished)
        more = hidden - mark.hidden + vanished - mark.vanished
        gained = (requests - mark.requests, errors - mark.errors, more)
    elif mark is not None:
        gained = (requests, errors, hidden + vanished)
    new[key] = Mark.model_construct(
        socket=node.socket,
        server=server.name,
        pid=node.pid,
        requests=requests,
        errors=errors,
        hidden=hidden,
        vanished=vanished,
    )
    return gained


def _total(gained: Iterable[_Gained]) -> _Gained:
    requests = errors = hidden = 0
    for each in gained:
        requests, errors, hidden = requests + each[0], errors + each[1], hidden + each[2]
    return requests, errors, hidden


def _fell(mark: Mark, requests: int, errors: int, hidden: int) -> bool:
    return requests < mark.requests or errors < mark.errors or hidden < mark.hidden


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


def _wavers(stable: _Found, down_on: Collection[str]) -> bool:
    up = [
        server.health
        for node, server in stable
        if server.health is not Health.DOWN and (node.socket in down_on or not down_on)
    ]
    return bool(up) and all(each in {Health.WAVERING, Health.DOUBTFUL} for each in up)
