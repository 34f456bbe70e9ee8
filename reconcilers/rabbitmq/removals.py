"""What is deleted: only what the file says must be absent, only if it is empty and unused. Pure."""

from collections.abc import Iterator
from typing import Final

from crds.meta import Verb
from reconcilers.amounts import between
from reconcilers.contract import Change
from reconcilers.rabbitmq.model import (
    DeleteExchange,
    DeleteQueue,
    DeleteUser,
    Place,
    Queue,
    SeenBroker,
    Unbind,
)
from reconcilers.rabbitmq.steps import Broker, RabbitStep, Trouble, a_step, depth
from reconcilers.rabbitmq.topology import a_link

_CLASSIC: Final = "classic"


def removal_steps(broker: Broker, seen: SeenBroker) -> Iterator[RabbitStep]:
    """Yield deletions in the reverse order of making: bindings, queues, exchanges, users."""
    yield from _unbindings(broker, seen)
    for place, queue in _unwanted_queues(broker, seen):
        if _in_the_way(queue) is None:
            yield _queue(broker, place, queue)
    for vhost, name in _unwanted_exchanges(broker, seen):
        if not _bound(broker, seen, vhost, name):
            yield a_step(
                broker,
                DeleteExchange(broker.spec.endpoint, vhost, name),
                what=f"exchange {name} in {vhost}",
                summary=f"delete exchange {name} in {vhost}: nothing is bound to it",
                path=f"vhosts.{vhost}.absent.exchanges",
                changes=(Change(f"vhosts.{vhost}.exchanges.{name}", "present", "absent"),),
                needs=Verb.DELETE_EXCHANGE,
            )
    for user in broker.spec.absent.users:
        if user in seen.look.users and user != seen.look.me:
            yield a_step(
                broker,
                DeleteUser(broker.spec.endpoint, user),
                what=f"user {user}",
                summary=f"delete user {user}; its connections end",
                path="absent.users",
                changes=(Change(f"users.{user}", "present", "absent"),),
                needs=Verb.DELETE_USER,
            )


def removal_problems(broker: Broker, seen: SeenBroker) -> Iterator[Trouble]:
    """Yield what must be absent, and is in use or holds messages."""
    for (vhost, name), queue in _unwanted_queues(broker, seen):
        reason = _in_the_way(queue)
        if reason is not None:
            text = f"queue {name} in {vhost} is deleted only when it is empty and unused: it has {reason}"
            yield "QueueNotEmpty" if queue.messages != 0 else "QueueInUse", text
    for vhost, name in _unwanted_exchanges(broker, seen):
        bound = _bound(broker, seen, vhost, name)
        if bound:
            text = f"exchange {name} in {vhost} is deleted only when nothing is bound to it: it has {bound}"
            yield "ExchangeInUse", text


def _unbindings(broker: Broker, seen: SeenBroker) -> Iterator[RabbitStep]:
    for vhost, wish in broker.spec.vhosts.items():
        for link in dict.fromkeys(a_link(vhost, each) for each in wish.absent.bindings):
            key = seen.look.links.get(link)
            if key is not None:
                yield a_step(
                    broker,
                    Unbind(broker.spec.endpoint, link, key),
                    what=f"binding {link} in {vhost}",
                    summary=f"unbind in {vhost}: {link}; such messages do not come there any more",
                    path=f"vhosts.{vhost}.absent.bindings",
                    changes=(Change(f"vhosts.{vhost}.bindings", str(link), "absent"),),
                    needs=Verb.UNBIND,
                )


def _unwanted_queues(broker: Broker, seen: SeenBroker) -> Iterator[tuple[Place, Queue]]:
    for vhost, wish in broker.spec.vhosts.items():
        for name in wish.absent.queues:
            found = seen.look.queues.get((vhost, name))
            if found is not None:
                yield (vhost, name), found


def _unwanted_exchanges(broker: Broker, seen: SeenBroker) -> Iterator[Place]:
    for vhost, wish in broker.spec.vhosts.items():
        yield from ((vhost, name) for name in wish.absent.exchanges if (vhost, name) in seen.look.exchanges)


def _in_the_way(queue: Queue) -> str | None:
    """Return what keeps a queue from being deleted, None if nothing does. Unknown is not empty."""
    if queue.messages != 0:
        return depth(queue.messages)
    if queue.consumers is None:
        return "perhaps consumers: the broker has counted them not yet"
    return f"{between(queue.consumers)} consumers" if queue.consumers else None


def _bound(broker: Broker, seen: SeenBroker, vhost: str, name: str) -> str | None:
    """Return what is bound to an exchange beside what is going to be unbound."""
    if (vhost, name, "", "") in seen.look.unlisted:
        return "bindings that the broker fails to list"
    going = {a_link(vhost, each) for each in broker.spec.vhosts[vhost].absent.bindings}
    left = [
        link for link in seen.look.links if (link.vhost, link.source) == (vhost, name) and link not in going
    ]
    return None if not left else f"{len(left)} bindings, such as {min(map(str, left))}"


def _queue(broker: Broker, place: Place, queue: Queue) -> RabbitStep:
    vhost, name = place
    is_classic = queue.type == _CLASSIC
    race = (
        "" if is_classic else "; for this type the broker does not check that: what comes meanwhile is lost"
    )
    return a_step(
        broker,
        DeleteQueue(broker.spec.endpoint, vhost, name, is_classic),
        what=f"queue {name} in {vhost}",
        summary=f"delete queue {name} in {vhost}: it is empty and unused{race}",
        path=f"vhosts.{vhost}.absent.queues",
        changes=(Change(f"vhosts.{vhost}.queues.{name}", "present", "absent"),),
        needs=Verb.DELETE_QUEUE,
    )
