"""How one reading of a data service stands against a gate's limits: pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from crds.gates import DatabaseErrors, Gate, GateMark, GateState, QueueDepth, ReplicationLag, Usual
from reconcilers.gauges import Gauge
from reconcilers.release.model import SeenGate

Reading = tuple[GateState, str]

_MIB: Final = 1024**2
_COUNTERS: Final = ("commits", "rollbacks", "deadlocks", "conflicts")
_CONNECTIONS: Final = "connections_ratio"
#: A share of fewer rolled back transactions than these is chance.
_ROLLBACKS: Final = 5
_SHORTEST_S: Final = 10.0
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What a database counted in a time."""

    seconds: float
    transactions: float
    rollbacks: float
    deadlocks: float
    conflicts: float

    @property
    def rollback_share(self) -> float:
        """Part of the transactions that were rolled back."""
        return self.rollbacks / self.transactions if self.transactions else 0.0

    def a_minute(self, count: float) -> float:
        """Return *count* as a rate; a shorter time counts as a minute, so that one does not become many."""
        return count * _MINUTE_S / max(self.seconds, _MINUTE_S)


def names_of(gate: Gate) -> tuple[str, ...]:
    """Return the values of which a gate needs earlier ones, too."""
    match gate:
        case ReplicationLag():
            return ()
        case DatabaseErrors():
            return _COUNTERS
        case QueueDepth():
            return tuple(f"depth:{queue}" for queue in gate.queues)


def read_gate(
    gate: Gate, seen: SeenGate, last: Gauge, earlier: GateMark | None, usual: Usual | None
) -> Reading:
    """Say how *last* stands against the limits; *earlier* is of the same run, from up to a minute before."""
    match gate:
        case ReplicationLag():
            return _lag(gate, last.values, seen.replicas)
        case DatabaseErrors():
            return _errors(gate, last, earlier, usual)
        case QueueDepth():
            return _depth(gate, last, earlier)


def counted(now: Gauge, begin: Mapping[str, float], seconds: float) -> Counted | None:
    """Return what came since *begin*; None where a counter is not told."""
    if not all(name in now.values and name in begin for name in _COUNTERS):
        return None
    commits, rollbacks, deadlocks, conflicts = (
        max(0.0, now.values[name] - begin[name]) for name in _COUNTERS
    )
    return Counted(seconds, commits + rollbacks, rollbacks, deadlocks, conflicts)


def _lag(gate: ReplicationLag, values: Mapping[str, float], replicas: tuple[str, ...]) -> Reading:
    told = tuple(name.partition(":")[2] for name in values if name.startswith("lag_bytes:"))
    names = replicas or told
    if not names:
        return GateState.UNKNOWN, f"no replica of {gate.cluster} tells its lag"
    for name in names:
        is_told = f"lag_bytes:{name}" in values and (gate.age is None or f"lag_seconds:{name}" in values)
        if not is_told:
            return GateState.UNKNOWN, f"how far {name} is behind is not known"
    worst = max(names, key=lambda name: values[f"lag_bytes:{name}"])
    lag = values[f"lag_bytes:{worst}"]
    says = f"{worst} is {lag / _MIB:.1f} MiB behind, limit {gate.limit} MiB"
    is_broken = lag > gate.limit * _MIB
    if gate.age is not None:
        limit_s = gate.age.total_seconds()
        oldest = max(names, key=lambda name: values[f"lag_seconds:{name}"])
        age_s = values[f"lag_seconds:{oldest}"]
        says += f"; {oldest} is {age_s:.0f} s behind, limit {limit_s:g} s"
        is_broken = is_broken or age_s > limit_s
    return _state(is_broken), f"{says}; {len(names)} replica{'s' if len(names) > 1 else ''} read"


def _errors(gate: DatabaseErrors, last: Gauge, earlier: GateMark | None, usual: Usual | None) -> Reading:
    seconds = (last.at - earlier.at).total_seconds() if earlier is not None else 0.0
    if earlier is None or seconds < _SHORTEST_S:
        return GateState.UNKNOWN, f"{gate.cluster} was counted for less than {_SHORTEST_S:g} s"
    found = counted(last, earlier.values, seconds)
    connections = last.values.get(_CONNECTIONS)
    if found is None or connections is None:
        return GateState.UNKNOWN, f"{gate.cluster} does not tell all that is asked for"
    limit = _over(gate, gate.rollbacks, usual.rollbacks if usual else 0.0)
    share = found.rollback_share
    parts = [
        (
            share > limit and found.rollbacks >= _ROLLBACKS,
            f"{share:.1%} of {found.transactions:.0f} transactions were rolled back, limit {limit:.1%}",
        ),
        *_rates(gate, found, usual),
        (
            connections > gate.connections,
            f"{connections:.0%} of the connections in use, limit {gate.connections:.0%}",
        ),
    ]
    broken = [text for is_broken, text in parts if is_broken]
    says = "; ".join(broken or [text for _, text in parts])
    return _state(bool(broken)), f"{says}; in {seconds:.0f} s{_usually(usual)}"


def _rates(gate: DatabaseErrors, found: Counted, usual: Usual | None) -> Iterator[tuple[bool, str]]:
    for what, count, floor, before in (
        ("deadlocks", found.deadlocks, gate.deadlocks, usual.deadlocks if usual else 0.0),
        ("cancelled queries", found.conflicts, gate.conflicts, usual.conflicts if usual else 0.0),
    ):
        rate, limit = found.a_minute(count), _over(gate, floor, before)
        yield rate > limit, f"{rate:.0f} {what} a minute, limit {limit:.0f}"


def _over(gate: DatabaseErrors, floor: float, usual: float) -> float:
    return max(floor, gate.times * usual)


def _usually(usual: Usual | None) -> str:
    if usual is None:
        return ", what is usual is not known"
    return f"; {usual.rollbacks:.1%} rolled back in the {usual.seconds / _MINUTE_S:.0f} min before"


def _depth(gate: QueueDepth, last: Gauge, earlier: GateMark | None) -> Reading:
    missing = [queue for queue in gate.queues if f"depth:{queue}" not in last.values]
    if missing:
        return GateState.UNKNOWN, f"how full {', '.join(missing)} is, is not known"
    depths = {queue: last.values[f"depth:{queue}"] for queue in gate.queues}
    fullest = max(depths, key=lambda queue: depths[queue])
    says = f"{fullest} holds {depths[fullest]:.0f} messages, limit {gate.limit}"
    is_broken = depths[fullest] > gate.limit
    if gate.growth is not None:
        seconds = (last.at - earlier.at).total_seconds() if earlier is not None else 0.0
        if earlier is None or seconds < _SHORTEST_S:
            state = GateState.BROKEN if is_broken else GateState.UNKNOWN
            return state, f"{says}; its growth was watched for less than {_SHORTEST_S:g} s"
        grown = {
            queue: _MINUTE_S * (depth - earlier.values.get(f"depth:{queue}", depth)) / seconds
            for queue, depth in depths.items()
        }
        fastest = max(grown, key=lambda queue: grown[queue])
        says += f"; {fastest} grows by {grown[fastest]:.0f} a minute, limit {gate.growth}, in {seconds:.0f} s"
        is_broken = is_broken or grown[fastest] > gate.growth
    return _state(is_broken), f"{says}; {len(depths)} queue{'s' if len(depths) > 1 else ''} read"


def _state(is_broken: bool) -> GateState:  # noqa: FBT001 - a word for it
    return GateState.BROKEN if is_broken else GateState.WELL
