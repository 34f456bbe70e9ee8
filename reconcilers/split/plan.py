"""What a traffic split asks of the pair: pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from crds.balancer import ServerShare, TrafficSplitSpec, TrafficSplitStatus
from crds.meta import ConditionType, Truth
from crds.service import Color, share_of
from reconcilers.contract import Amend, Note, Plan, Resource, Verdict
from reconcilers.servers import (
    Arranged,
    Backend,
    Command,
    Health,
    Node,
    NodeDown,
    Server,
    Wish,
    all_waiting,
    arrange,
    first_problem,
)
from reconcilers.split.model import SeenSplit

_SOON: Final = timedelta(milliseconds=200)
"""How soon to look again while a server is waited for; HAProxy tells of its checks only when asked."""


def plan_split(split: Resource[TrafficSplitSpec], seen: SeenSplit, now: datetime) -> Plan[Command]:
    """Bring every node that answers to what is in force, raising first, and say what stands against it."""
    spec, nodes = _in_force(split.spec, seen, now), [node for node in seen.nodes if isinstance(node, Node)]
    override, before = _said(spec, now), _status(split).override
    arranged = [_arranged(split, spec, node, is_new=override != before) for node in nodes]
    waiting, blocked = all_waiting(arranged), first_problem(arranged)
    steps = tuple(step for each in arranged for step in each.steps)
    verdicts = [_degraded(spec, seen, override)]
    silent = [node.name for node in nodes if not _serves(spec, node)]
    if silent and not steps and blocked is None and waiting is None:
        names = f"{spec.backend} has no server that is UP on {' and '.join(silent)}"
        verdicts.append(Verdict(ConditionType.READY, Truth.FALSE, "NoServerUp", names))
    if override != before and steps:
        verdicts.append(Verdict(ConditionType.DRIFTED, Truth.FALSE, "OverrideChanged"))
    pids = _status(split).pids
    return Plan(
        steps=steps,
        writes=(*_reloads(pids, nodes), *_turns(split, override), *_cleared(split, now)),
        verdicts=tuple(verdicts),
        status=TrafficSplitStatus(
            observed=tuple(_line(spec, node) for node in seen.nodes),
            pids={**pids, **{node.name: node.pid for node in nodes}},
            override=override,
        ),
        recheck_after=_SOON if waiting and not steps else None,
        waiting=waiting,
        blocked=blocked,
    )


def _in_force(spec: TrafficSplitSpec, seen: SeenSplit, now: datetime) -> TrafficSplitSpec:
    """Return what holds now: stable alone while the store takes nothing, else override or record."""
    if seen.shelter is None:
        return spec.in_force(now)
    update = {color.value: share_of(spec, color).given(100 * (color is seen.shelter)) for color in Color}
    return spec.model_copy(update=update)


def shares(spec: TrafficSplitSpec) -> tuple[ServerShare, ServerShare]:
    """Return both colours' shares, blue first. Here and below *spec* is what is in force."""
    return spec.blue, spec.green


def sends_elsewhere(spec: TrafficSplitSpec, node: Node) -> bool:
    """Whether a server gets traffic that shall have none."""
    backend = node.find(spec.backend)
    if backend is None:
        return False
    found = [(share, backend.find(share.server)) for share in shares(spec)]
    return any(share.part == 0 and server is not None and server.takes_traffic for share, server in found)


def asked_ratios(spec: TrafficSplitSpec) -> Mapping[str, float]:
    """Return each server's part of the traffic as the split asks for it."""
    return _ratios({share.server: share.part for share in shares(spec)})


def observed_ratios(spec: TrafficSplitSpec, nodes: Iterable[Node]) -> Mapping[str, float]:
    """Return each server's part of the traffic, the mean of the nodes that have both; empty without one."""
    seen = []
    for node in nodes:
        backend = node.find(spec.backend)
        servers = [backend.find(share.server) for share in shares(spec)] if backend else []
        known = {server.name: _flowing(server) for server in servers if server is not None}
        if len(known) == len(shares(spec)):
            seen.append(_ratios(known))
    return {name: sum(each[name] for each in seen) / len(seen) for name in (seen[0] if seen else ())}


def _flowing(server: Server) -> int:
    return server.share if server.takes_traffic else 0


def _ratios(weights: Mapping[str, int]) -> dict[str, float]:
    whole = sum(weights.values())
    return {name: weight / whole if whole else 0.0 for name, weight in weights.items()}


def _arranged(
    split: Resource[TrafficSplitSpec], spec: TrafficSplitSpec, node: Node, *, is_new: bool
) -> Arranged:
    wishes = {share.server: Wish(share.weight, share.state) for share in shares(spec)}
    origin = split.where("spec.backend")
    return arrange(
        node,
        spec.backend,
        wishes,
        endpoint=spec.endpoint,
        origin=origin,
        trusts_unchecked=split.is_ready() and not is_new,
    )


def _serves(spec: TrafficSplitSpec, node: Node) -> bool:
    backend = node.find(spec.backend)
    return backend is not None and any(server.takes_traffic for server in backend.servers)


def _degraded(spec: TrafficSplitSpec, seen: SeenSplit, override: str | None) -> Verdict:
    """Say which nodes are away, which servers that shall have traffic are DOWN, and who overrides."""
    away = [f"{node.name} is away: {node.reason}" for node in seen.nodes if isinstance(node, NodeDown)]
    broken = [text for node in seen.nodes if isinstance(node, Node) for text in _broken(spec, node)]
    overridden = [f"the split is overridden: {override}"] if override is not None else []
    trouble = {"NodeDown": away, "ServerDown": broken, "Overridden": overridden}
    reason = next((name for name, texts in trouble.items() if texts), None)
    if reason is None:
        return Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole")
    text = "; ".join(text for texts in trouble.values() for text in texts)
    return Verdict(ConditionType.DEGRADED, Truth.TRUE, reason, text)


def _said(spec: TrafficSplitSpec, now: datetime) -> str | None:
    """Say who overrides the split, and until when; None while the record is in force."""
    found = spec.overridden(now)
    if found is None:
        return None
    until = found.until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"blue {found.blue}, green {found.green} until {until}, by {found.actor}: {found.reason}"


def _turns(split: Resource[TrafficSplitSpec], override: str | None) -> Iterable[Note]:
    """Tell once that an override begins, and once that it is over."""
    before = _status(split).override
    if override is not None and override != before:
        yield Note("OverrideInForce", override)
    if override is None and before is not None:
        record = ", ".join(f"{each.server} {each.weight} {each.state.value}" for each in shares(split.spec))
        yield Note("OverrideEnded", f"the record is in force again: {record}")


def _cleared(split: Resource[TrafficSplitSpec], now: datetime) -> Iterable[Amend]:
    """Take an override that has run out off the record."""
    spec, owner = split.spec, split.owner
    if spec.override is None or spec.overridden(now) is not None or owner is None or split.held is not None:
        return
    yield Amend(split.key, spec.model_copy(update={"override": None}), split.annotations, owner)


def _broken(spec: TrafficSplitSpec, node: Node) -> Iterable[str]:
    backend = node.find(spec.backend) or Backend(spec.backend, "", ())
    for share in shares(spec):
        server = backend.find(share.server)
        is_open = server is not None and server.share > 0 and share.part > 0
        if server is not None and is_open and server.health is Health.DOWN:
            yield f"{spec.backend}/{share.server} is DOWN on {node.name}"


def _status(split: Resource[TrafficSplitSpec]) -> TrafficSplitStatus:
    return split.status if isinstance(split.status, TrafficSplitStatus) else TrafficSplitStatus()


def _reloads(pids: Mapping[str, int], nodes: Iterable[Node]) -> Iterable[Note]:
    for node in nodes:
        before = pids.get(node.name, node.pid)
        if before != node.pid:
            text = f"HAProxy on {node.name} was reloaded or restarted: pid {before} → {node.pid}"
            yield Note("BalancerReloaded", text)


def _line(spec: TrafficSplitSpec, node: Node | NodeDown) -> str:
    """Say what a node has; nothing that changes by itself, so health is left to the conditions."""
    if isinstance(node, NodeDown):
        return f"{node.name}: away"
    backend = node.find(spec.backend)
    servers = backend.servers if backend is not None else ()
    ours = {share.server for share in shares(spec)}
    said = [f"{each.name} {each.weight} {each.state.value}" for each in servers if each.name in ours]
    return f"{node.name}: {', '.join(said) or 'no such server'}"
