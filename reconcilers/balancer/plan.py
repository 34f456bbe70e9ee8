"""What a load balancer's spec asks of the pair, and what is verified: pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from crds.balancer import BackendWish, LoadBalancerSpec, LoadBalancerStatus, ServerState
from crds.meta import ConditionType, Truth
from crds.versions import is_older
from reconcilers.balancer.model import BalancerAction, SeenBalancer, StateFile, WriteStateFile
from reconcilers.contract import Change, Note, Plan, Resource, Step, StepClass, Verdict
from reconcilers.servers import Arranged, Health, Node, NodeDown, Wish, all_waiting, arrange, first_problem

_STATE_FILE_EVERY: Final = timedelta(seconds=1)
"""The file must follow what a traffic split sets, or a reload within the poll interval loses it."""


def plan_balancer(
    balancer: Resource[LoadBalancerSpec], seen: SeenBalancer, _now: datetime
) -> Plan[BalancerAction]:
    """Set what is asked, verify the rest, and say what differs."""
    nodes = [node for node in seen.nodes if isinstance(node, Node)]
    arranged = [each for node in nodes for each in _arranged(balancer, node)]
    steps: list[Step[BalancerAction]] = [
        Step(each.action, each.step_class, each.target, each.summary, each.changes, origin=each.origin)
        for one in arranged
        for each in one.steps
    ]
    # With commands pending the file would be old at once: it is written when they have been read back.
    if not steps:
        steps = [_write(balancer, file) for file in seen.files if _is_stale(file)]
    waiting = all_waiting(arranged)
    pids = _known_pids(balancer)
    # HAProxy's checks tell nobody: a backend without a server is looked at until it has one.
    is_unsettled = bool(waiting or seen.files) or any(any(_silent(balancer.spec, node)) for node in nodes)
    return Plan(
        steps=tuple(steps),
        writes=tuple(_reloads(pids, nodes)),
        verdicts=tuple(_verdicts(balancer.spec, seen, nodes)),
        status=LoadBalancerStatus(
            nodes=tuple(_line(node) for node in seen.nodes),
            pids={**pids, **{node.name: node.pid for node in nodes}},
        ),
        recheck_after=_STATE_FILE_EVERY if is_unsettled else None,
        waiting=waiting,
        blocked=first_problem(arranged),
    )


def _arranged(balancer: Resource[LoadBalancerSpec], node: Node) -> Iterable[Arranged]:
    for name, asked in balancer.spec.backends.items():
        wishes = {server: Wish(wish.weight, wish.state) for server, wish in asked.servers.items()}
        origin = balancer.where(f"spec.backends.{name}")
        yield arrange(
            node,
            name,
            wishes,
            endpoint=balancer.spec.endpoint,
            origin=origin,
            trusts_unchecked=balancer.is_ready(),
        )


def _is_stale(file: StateFile) -> bool:
    return file.trouble is None and file.found != file.wanted


def _write(balancer: Resource[LoadBalancerSpec], file: StateFile) -> Step[BalancerAction]:
    return Step(
        action=WriteStateFile(balancer.spec.endpoint, file.socket, file.path),
        step_class=StepClass.ABSOLUTE,
        target=f"server-state file {file.path}",
        summary=f"write the server-state file {file.path}, so that a reload keeps weights and states",
        changes=(Change("serverStateFile", "absent" if file.found is None else "older", "as HAProxy says"),),
        origin=balancer.where("spec.endpoint"),
    )


def _verdicts(spec: LoadBalancerSpec, seen: SeenBalancer, nodes: Iterable[Node]) -> Iterable[Verdict]:
    """Say Ready only where verifying says no; Degraded always."""
    wrong = [found for node in nodes for found in (*_version(spec, node), *_algorithms(spec, node))]
    silent = [found for node in nodes for found in _silent(spec, node)]
    trouble = [
        *wrong,
        *[("NodeDown", f"{n.name} is away: {n.reason}") for n in seen.nodes if isinstance(n, NodeDown)],
        *[found for node in nodes for found in _down(spec, node)],
        *[("StateFileUnreadable", file.trouble) for file in seen.files if file.trouble is not None],
    ]
    if wrong or silent:
        yield _verdict(ConditionType.READY, Truth.FALSE, wrong or silent)
    if trouble:
        yield _verdict(ConditionType.DEGRADED, Truth.TRUE, trouble)
    else:
        yield Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole")


def _verdict(kind: ConditionType, truth: Truth, found: list[tuple[str, str]]) -> Verdict:
    return Verdict(kind, truth, found[0][0], "; ".join(message for _, message in found))


def _version(spec: LoadBalancerSpec, node: Node) -> Iterable[tuple[str, str]]:
    floor = spec.minimum_version
    if floor is not None and is_older(node.version, floor):
        yield "VersionTooLow", f"{node.name} runs HAProxy {node.version}, at least {floor} is asked"


def _algorithms(spec: LoadBalancerSpec, node: Node) -> Iterable[tuple[str, str]]:
    for name, asked in spec.backends.items():
        found = node.find(name)
        if found is not None and asked.algorithm not in {None, found.algorithm}:
            text = f"{name} on {node.name} balances by {found.algorithm}, {asked.algorithm} is asked"
            yield "AlgorithmDiffers", text


def _silent(spec: LoadBalancerSpec, node: Node) -> Iterable[tuple[str, str]]:
    for name in spec.backends:
        found = node.find(name)
        if found is not None and found.servers and not any(server.takes_traffic for server in found.servers):
            yield "NoServerUp", f"{name} has no server that is UP on {node.name}"


def _down(spec: LoadBalancerSpec, node: Node) -> Iterable[tuple[str, str]]:
    for name, asked in spec.backends.items():
        yield from (("ServerDown", f"{text} is DOWN on {node.name}") for text in _broken(name, asked, node))


def _broken(name: str, asked: BackendWish, node: Node) -> Iterable[str]:
    found = node.find(name)
    for server in found.servers if found is not None else ():
        is_open = server.state is not ServerState.MAINT
        if server.name in asked.servers and is_open and server.health is Health.DOWN:
            yield f"{name}/{server.name}"


def _known_pids(balancer: Resource[LoadBalancerSpec]) -> dict[str, int]:
    return dict(balancer.status.pids) if isinstance(balancer.status, LoadBalancerStatus) else {}


def _reloads(pids: Mapping[str, int], nodes: Iterable[Node]) -> Iterable[Note]:
    for node in nodes:
        before = pids.get(node.name, node.pid)
        if before != node.pid:
            text = f"HAProxy on {node.name} was reloaded or restarted: pid {before} → {node.pid}"
            yield Note("BalancerReloaded", text)


def _line(node: Node | NodeDown) -> str:
    if isinstance(node, NodeDown):
        return f"{node.name} at {node.socket}: away"
    return f"{node.name} at {node.socket}: HAProxy {node.version}, pid {node.pid}"
