"""What policies need, and which messages a change of them would cut off. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from crds.meta import Verb
from crds.patterns import quick
from crds.rabbitmq import PolicyWish
from reconcilers.contract import Change
from reconcilers.rabbitmq.model import DeletePolicy, Place, Policy, Queue, SeenBroker, SetPolicy
from reconcilers.rabbitmq.steps import Broker, RabbitStep, a_step, depth, is_same, listed, shown

#: Each takes messages away by itself, from the moment that it is in force.
_LOSSY: Final = ("expires", "max-length", "max-length-bytes", "message-ttl")
_NAMED: Final = 5
"""Queues that a sentence names; the others are counted."""
Policies = Mapping[str, Policy]
Patterns = Mapping[str, re.Pattern[str] | None]


@dataclass(frozen=True, slots=True)
class Touched:
    """A queue whose policy becomes another one; ``cuts`` names what will be tighter than before."""

    name: str
    queue: Queue
    cuts: tuple[str, ...]

    @property
    def loses(self) -> bool:
        """Whether it holds messages, or may hold some, that the new limits can take away."""
        return bool(self.cuts) and self.queue.messages != 0


def policy_steps(broker: Broker, seen: SeenBroker) -> Iterator[RabbitStep]:
    """Yield a step for each policy that differs; each is weighed on top of those before it."""
    for vhost, wish in broker.spec.vhosts.items():
        queues = {name: queue for (where, name), queue in seen.look.queues.items() if where == vhost}
        found: dict[str, Policy] = {
            name: policy for (where, name), policy in seen.look.policies.items() if where == vhost
        }
        for name, asked in wish.policies.items():
            policy = a_policy(asked)
            before = found.get(name)
            if before is None or _differences(before, policy):
                after = {**found, name: policy}
                yield _set(broker, (vhost, name), policy, before, touched_by(queues, found, after))
                found = after
        for name in wish.absent.policies:
            if name in found:
                after = {each: policy for each, policy in found.items() if each != name}
                yield _delete(broker, vhost, name, touched_by(queues, found, after))
                found = after


def a_policy(asked: PolicyWish) -> Policy:
    """Return a policy as it is asked."""
    return Policy(asked.pattern, asked.apply_to.value, asked.priority, dict(asked.definition))


def touched_by(queues: Mapping[str, Queue], before: Policies, after: Policies) -> tuple[Touched, ...]:
    """Return the queues for which another policy, or another definition, may be in force afterwards."""
    patterns = {each.pattern: _readable(each.pattern) for each in (*before.values(), *after.values())}
    found = []
    for name, queue in sorted(queues.items()):
        old, new = _in_force(name, queue, before, patterns), _in_force(name, queue, after, patterns)
        if old != new:
            found.append(Touched(name, queue, tuple(_cuts(queue, old, new))))
    return tuple(found)


def _readable(pattern: str) -> re.Pattern[str] | None:
    """Return a pattern; None for somebody else's that is not understood here, or not soon."""
    try:
        return quick(pattern)
    except ValueError:
        return None


def _in_force(name: str, queue: Queue, policies: Policies, patterns: Patterns) -> tuple[Policy | None, ...]:
    """Return the policies of which one is in force: of equal priority the broker takes any.

    One whose pattern is not understood may be it, too, unless a higher one surely is. None is no policy.
    """
    found: list[Policy | None] = []
    least: int | None = None
    for policy in sorted(policies.values(), key=lambda each: -each.priority):
        if policy.target not in {"all", "queues", f"{queue.type}_queues"}:
            continue
        if least is not None and policy.priority < least:
            break
        pattern = patterns[policy.pattern]
        if pattern is None or pattern.search(name) is not None:
            found.append(policy)
            least = least if pattern is None else policy.priority
    return (*found, None) if least is None else tuple(found)


def _cuts(queue: Queue, old: tuple[Policy | None, ...], new: tuple[Policy | None, ...]) -> Iterator[str]:
    """Yield what can be tighter than before; where one of several is in force, in the worst case."""
    for key in _LOSSY:
        after = [limit for each in new if (limit := _limit(queue, each, key)) is not None]
        before = [_limit(queue, each, key) for each in old]
        if after and any(each is None or min(after) < each for each in before):
            yield key


def _limit(queue: Queue, policy: Policy | None, key: str) -> float | None:
    """Return the limit in force: the smaller one of the queue's own argument and its policy's."""
    values = (queue.arguments.get(f"x-{key}"), None if policy is None else policy.definition.get(key))
    return min((each for each in values if isinstance(each, int | float)), default=None)


def _differences(found: Policy, asked: Policy) -> tuple[Change, ...]:
    """Return what changes, by field; of the definition each key."""
    changes = [
        Change(name, shown(old), shown(new))
        for name, old, new in (
            ("pattern", found.pattern, asked.pattern),
            ("applyTo", found.target, asked.target),
            ("priority", found.priority, asked.priority),
        )
        if old != new
    ]
    for key in sorted({*found.definition, *asked.definition}):
        have, want = found.definition.get(key), asked.definition.get(key)
        if not is_same(have, want):
            changes.append(Change(key, shown(have), shown(want)))
    return tuple(changes)


def _set(
    broker: Broker, place: Place, policy: Policy, before: Policy | None, touched: tuple[Touched, ...]
) -> RabbitStep:
    vhost, name = place
    if before is None:
        made = Change(f"vhosts.{vhost}.policies.{name}", "absent", listed(policy.definition))
        changes: tuple[Change, ...] = (made,)
        said = f"make policy {name} in {vhost}: {listed(policy.definition)} for {policy.pattern}"
    else:
        changes = _differences(before, policy)
        told = ", ".join(f"{each.path} {each.old} → {each.new}" for each in changes)
        said = f"policy {name} in {vhost}: {told}"
    return a_step(
        broker,
        SetPolicy(broker.spec.endpoint, vhost, name, policy),
        what=f"policy {name} in {vhost}",
        summary=f"{said}; {_consequence(touched)}",
        path=f"vhosts.{vhost}.policies.{name}",
        changes=changes,
        needs=_verb(touched),
    )


def _delete(broker: Broker, vhost: str, name: str, touched: tuple[Touched, ...]) -> RabbitStep:
    return a_step(
        broker,
        DeletePolicy(broker.spec.endpoint, vhost, name),
        what=f"policy {name} in {vhost}",
        summary=f"delete policy {name} in {vhost}; {_consequence(touched)}",
        path=f"vhosts.{vhost}.absent.policies",
        changes=(Change(f"vhosts.{vhost}.policies.{name}", "present", "absent"),),
        needs=_verb(touched),
    )


def _verb(touched: tuple[Touched, ...]) -> Verb | None:
    return Verb.LOSSY_POLICY if any(each.loses for each in touched) else None


def _consequence(touched: tuple[Touched, ...]) -> str:
    """Name the queues with their depth, those that lose messages first."""
    if not touched:
        return "it touches no queue that is there"
    order = sorted(touched, key=lambda each: (not each.loses, each.name))
    named = [f"{each.name} ({depth(each.queue.messages)})" for each in order[:_NAMED]]
    rest = f" and {len(order) - _NAMED} more" if len(order) > _NAMED else ""
    cuts = sorted({cut for each in touched if each.loses for cut in each.cuts})
    loss = f", whose messages {' and '.join(cuts)} may take away" if cuts else ""
    return f"it touches {', '.join(named)}{rest}{loss}"
