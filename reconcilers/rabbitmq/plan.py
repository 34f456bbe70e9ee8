"""What a broker needs, in which order, and what is verified of it: pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from crds.meta import ConditionType, Truth
from crds.rabbitmq import NodeStatus, RabbitMQSpec, RabbitMQStatus
from reconcilers.contract import Note, Plan, Resource, Verdict
from reconcilers.rabbitmq.access import access_problems, access_steps, blind_spots
from reconcilers.rabbitmq.health import alarms, degraded, not_ready, partitions, too_old
from reconcilers.rabbitmq.model import BrokerNode, RabbitAction, SeenBroker
from reconcilers.rabbitmq.policies import policy_steps
from reconcilers.rabbitmq.removals import removal_problems, removal_steps
from reconcilers.rabbitmq.steps import RabbitStep, Trouble
from reconcilers.rabbitmq.topology import topology_problems, topology_steps

RabbitPlan = Plan[RabbitAction]
#: Statistics of a node are some seconds old: a start that seems later than this is another one.
_JITTER: Final = timedelta(seconds=30)


def plan_rabbitmq(broker: Resource[RabbitMQSpec], seen: SeenBroker, now: datetime) -> RabbitPlan:
    """Make what is missing, in order; say what differs and cannot be changed."""
    before = broker.status if isinstance(broker.status, RabbitMQStatus) else RabbitMQStatus()
    status = _status(broker.spec, before, seen, now)
    found = seen.look.broker
    old = too_old(found)
    if old is not None:
        return Plan(status=status, blocked=old)
    sighted, problems = _sighted(broker, seen), [*access_problems(broker, seen)]
    steps = [*access_steps(broker, seen)]
    for part in (policy_steps, topology_steps, removal_steps):
        steps += part(sighted, seen)
    problems += [*topology_problems(sighted, seen), *removal_problems(sighted, seen)]
    steps, waiting = _kept_back(broker.spec, seen, steps)
    return Plan(
        steps=tuple(replace(step, independent=True) for step in steps),
        writes=tuple(_notes(broker.spec, before, status)),
        verdicts=tuple(_verdicts(broker.spec, seen)),
        status=status,
        waiting=waiting,
        blocked=_joined(problems) if problems else None,
    )


def _sighted(broker: Resource[RabbitMQSpec], seen: SeenBroker) -> Resource[RabbitMQSpec]:
    """Return the object without virtual hosts that we cannot see into: what is in them is unknown."""
    blind = blind_spots(broker, seen)
    if not blind:
        return broker
    vhosts = {name: wish for name, wish in broker.spec.vhosts.items() if name not in blind}
    return replace(broker, spec=broker.spec.model_copy(update={"vhosts": vhosts}))


def _kept_back(
    spec: RabbitMQSpec, seen: SeenBroker, steps: list[RabbitStep]
) -> tuple[list[RabbitStep], str | None]:
    """Return the steps that may go on now, and what the others wait for.

    In a partition the sides would go different ways. Nothing is taken away under an alarm, nor while a node
    is down: it may be the other side of a partition, which the broker knows only when that is over. A step
    that may not be done comes last, because the gate lets nothing through behind it.
    """
    broker = seen.look.broker
    if steps and partitions(broker):
        return [], f"{len(steps)} changes wait until the partition is healed"
    ordered = sorted(steps, key=lambda step: step.needs not in {None, *spec.allow})
    safe = [step for step in ordered if step.needs is None]
    away = ", ".join(node.name for node in broker.nodes if not node.is_running)
    cause = "for the end of the alarm" if alarms(broker) else f"until {away} runs" if away else ""
    if len(safe) < len(ordered) and cause:
        return safe, f"{len(ordered) - len(safe)} changes that take something away wait {cause}"
    return ordered, None


def _status(spec: RabbitMQSpec, before: RabbitMQStatus, seen: SeenBroker, now: datetime) -> RabbitMQStatus:
    look = seen.look
    return RabbitMQStatus(
        version=look.broker.version,
        cluster_name=look.broker.cluster_name,
        nodes={node.name: _node(before.nodes.get(node.name), node, now) for node in look.broker.nodes},
        alarms=alarms(look.broker),
        filled=any(
            (vhost, name) in look.queues or (vhost, name) in look.exchanges
            for vhost, wish in spec.vhosts.items()
            for name in (*wish.queues, *wish.exchanges)
        ),
    )


def _node(before: NodeStatus | None, node: BrokerNode, now: datetime) -> NodeStatus:
    """Return the node's line; it stays as it was while the same process runs."""
    if not node.is_running:
        return NodeStatus(running=False)
    if node.pid is None or node.uptime_s is None:  # it has just begun, and has no statistics yet
        return before if before is not None and before.running else NodeStatus(running=True)
    since = (now - timedelta(seconds=node.uptime_s)).replace(microsecond=0)
    fresh = NodeStatus(running=True, pid=node.pid, since=since)
    return fresh if before is None or before.since is None or _began_anew(before, fresh) else before


def _began_anew(before: NodeStatus, after: NodeStatus) -> bool:
    """Whether it is another run; a container may give the same pid again."""
    if before.since is None or after.since is None:
        return False
    return before.pid != after.pid or after.since - before.since > _JITTER


def _notes(spec: RabbitMQSpec, before: RabbitMQStatus, status: RabbitMQStatus) -> Iterator[Note]:
    for name, node in status.nodes.items():
        old = before.nodes.get(name)
        if old is not None and _began_anew(old, node):
            text = f"{name} was restarted: pid {old.pid} → {node.pid}; all of it is looked at anew"
            yield Note("BrokerRestarted", text)
    if before.cluster_name not in {None, status.cluster_name}:
        text = f"another cluster answers: {before.cluster_name} → {status.cluster_name}"
        yield Note("ClusterChanged", text, warning=True)
    if (
        before.filled
        and not status.filled
        and any(each.queues or each.exchanges for each in spec.vhosts.values())
    ):
        text = (
            "the broker was made anew: none of the exchanges and queues that it had is there; they are made"
            " again in order, their messages are gone"
        )
        yield Note("BrokerEmptied", text, warning=True)


def _verdicts(spec: RabbitMQSpec, seen: SeenBroker) -> Iterable[Verdict]:
    """Say Ready only where "no steps left" is not the whole truth; Degraded always."""
    wrong = [*not_ready(spec, seen.look.broker)]
    if wrong:
        yield Verdict(ConditionType.READY, Truth.FALSE, *_joined(wrong))
    trouble = [*wrong, *degraded(seen.look.broker)]
    if trouble:
        yield Verdict(ConditionType.DEGRADED, Truth.TRUE, *_joined(trouble))
    else:
        yield Verdict(ConditionType.DEGRADED, Truth.FALSE, "Whole")


def _joined(found: list[Trouble]) -> Trouble:
    """Return the first reason with all messages."""
    return found[0][0], "; ".join(dict.fromkeys(message for _, message in found))
