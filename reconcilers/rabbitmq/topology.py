"""What exchanges, queues and bindings need; what was made otherwise cannot be changed. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from crds.rabbitmq import BindingWish, ExchangeWish, QueueWish
from reconcilers.contract import Change
from reconcilers.rabbitmq.answers import link_arguments
from reconcilers.rabbitmq.model import (
    Arguments,
    Bind,
    DeclareExchange,
    DeclareQueue,
    Exchange,
    Link,
    Queue,
    SeenBroker,
)
from reconcilers.rabbitmq.steps import Broker, RabbitStep, Trouble, a_step, is_same, listed, shown

#: Arguments that a policy can have instead, without the first two letters.
_IN_POLICIES: Final = frozenset(
    f"x-{each}"
    for each in (
        "dead-letter-exchange",
        "dead-letter-routing-key",
        "delivery-limit",
        "expires",
        "max-length",
        "max-length-bytes",
        "message-ttl",
        "overflow",
        "queue-mode",
    )
)
_UNLISTED: Final = (
    "the broker fails to list them, which one with arguments and a ~ in its routing key does to RabbitMQ"
    " 3.10; deleting the queue or exchange that it leads to helps"
)
Difference = tuple[str, object, object]
"""A field, what it is, and what is asked."""


def topology_steps(broker: Broker, seen: SeenBroker) -> Iterator[RabbitStep]:
    """Yield what is missing: exchanges, then queues, then bindings."""
    look, endpoint = seen.look, broker.spec.endpoint
    for vhost, wish in broker.spec.vhosts.items():
        for name, asked in wish.exchanges.items():
            if (vhost, name) not in look.exchanges:
                yield _exchange(broker, vhost, name, asked)
        for name, wanted in wish.queues.items():
            if (vhost, name) not in look.queues:
                yield _queue(broker, vhost, name, wanted)
        for link, arguments, index in _wanted_links(broker, vhost):
            is_known = link in look.links or link.ends in look.unlisted
            if not is_known and not _missing_ends(broker, seen, link):
                yield a_step(
                    broker,
                    Bind(endpoint, link, arguments),
                    what=f"binding {link} in {vhost}",
                    summary=f"bind in {vhost}: {link}",
                    path=f"vhosts.{vhost}.bindings.{index}",
                )


def topology_problems(broker: Broker, seen: SeenBroker) -> Iterator[Trouble]:
    """Yield what differs and cannot be changed, with the choices once, and bindings of what is not there."""
    exchanges: list[tuple[str, list[Difference]]] = []
    queues: list[tuple[str, list[Difference]]] = []
    for vhost, wish in broker.spec.vhosts.items():
        for name, asked in wish.exchanges.items():
            found = seen.look.exchanges.get((vhost, name))
            if found is not None:
                differences = [*exchange_differences(asked, found)]
                exchanges.append((f"exchange {name} in {vhost}", differences))
        for name, wanted in wish.queues.items():
            made = seen.look.queues.get((vhost, name))
            if made is not None:
                queues.append((f"queue {name} in {vhost}", [*queue_differences(wanted, made)]))
    yield from _fixed("exchange", [each for each in exchanges if each[1]])
    yield from _fixed("queue", [each for each in queues if each[1]])
    for vhost in broker.spec.vhosts:
        yield from _unbound(broker, seen, vhost)


def _unbound(broker: Broker, seen: SeenBroker, vhost: str) -> Iterator[Trouble]:
    """Yield bindings that cannot be made, and those of which nobody can tell."""
    for link, _, _ in _wanted_links(broker, vhost):
        missing = _missing_ends(broker, seen, link)
        if missing:
            text = f"{link} cannot be bound in {vhost}: there is no {' and no '.join(missing)}"
            yield "MissingEnd", text
    for _, source, kind, destination in sorted(ends for ends in seen.look.unlisted if ends[0] == vhost):
        between = f"{source} to {kind} {destination}" if destination else f"{source} to anything"
        yield "BindingsUnlisted", f"the bindings from {between} in {vhost} are unknown: {_UNLISTED}"


def exchange_differences(asked: ExchangeWish, found: Exchange) -> Iterator[Difference]:
    """Yield what of an exchange is not as it is asked; what is left out is not compared."""
    fields: tuple[Difference, ...] = (
        ("type", found.type, asked.type.value),
        ("durable", found.is_durable, asked.durable),
        ("autoDelete", found.is_auto_delete, asked.auto_delete),
        ("internal", found.is_internal, asked.internal),
    )
    yield from _unlike(fields, found.arguments, asked.arguments)


def queue_differences(asked: QueueWish, found: Queue) -> Iterator[Difference]:
    """Yield what of a queue is not as it is asked; what is left out is not compared."""
    fields: tuple[Difference, ...] = (
        ("type", found.type, None if asked.type is None else asked.type.value),
        ("durable", found.is_durable, asked.durable),
        ("autoDelete", found.is_auto_delete, asked.auto_delete),
    )
    yield from _unlike(fields, found.arguments, asked.arguments)


def a_link(vhost: str, wish: BindingWish) -> Link:
    """Return the identity of a binding that is asked for."""
    is_queue = wish.queue is not None
    return Link(
        vhost=vhost,
        source=wish.source,
        kind="queue" if is_queue else "exchange",
        destination=(wish.queue if is_queue else wish.exchange) or "",
        routing_key=wish.routing_key,
        arguments=link_arguments(wish.arguments),
    )


def _wanted_links(broker: Broker, vhost: str) -> Iterator[tuple[Link, Arguments, int]]:
    """Yield each binding once, with its place in the file."""
    known = set()
    for index, wish in enumerate(broker.spec.vhosts[vhost].bindings):
        link = a_link(vhost, wish)
        if link not in known:
            known.add(link)
            yield link, wish.arguments, index


def _missing_ends(broker: Broker, seen: SeenBroker, link: Link) -> tuple[str, ...]:
    """Return which ends of a binding are neither there nor asked for."""
    wish, look = broker.spec.vhosts[link.vhost], seen.look
    source, destination = (link.vhost, link.source), (link.vhost, link.destination)
    missing = []
    if link.source not in wish.exchanges and source not in look.exchanges:
        missing.append(f"exchange {link.source}")
    asked, found = (wish.queues, look.queues) if link.kind == "queue" else (wish.exchanges, look.exchanges)
    if link.destination not in asked and destination not in found:
        missing.append(f"{link.kind} {link.destination}")
    return tuple(missing)


def _exchange(broker: Broker, vhost: str, name: str, asked: ExchangeWish) -> RabbitStep:
    exchange = Exchange(
        type=asked.type.value,
        is_durable=asked.durable is not False,
        is_auto_delete=asked.auto_delete is True,
        is_internal=asked.internal is True,
        arguments=dict(asked.arguments),
    )
    words = _words(
        exchange.type,
        "durable" if exchange.is_durable else "transient",
        "auto-delete" if exchange.is_auto_delete else "",
        "internal" if exchange.is_internal else "",
        listed(exchange.arguments),
    )
    return a_step(
        broker,
        DeclareExchange(broker.spec.endpoint, vhost, name, exchange),
        what=f"exchange {name} in {vhost}",
        summary=f"make exchange {name} in {vhost}: {words}",
        path=f"vhosts.{vhost}.exchanges.{name}",
        changes=(Change(f"vhosts.{vhost}.exchanges.{name}", "absent", words),),
    )


def _queue(broker: Broker, vhost: str, name: str, asked: QueueWish) -> RabbitStep:
    queue = Queue(
        type="" if asked.type is None else asked.type.value,
        is_durable=asked.durable is not False,
        is_auto_delete=asked.auto_delete is True,
        arguments=dict(asked.arguments),
    )
    words = _words(
        queue.type,
        "durable" if queue.is_durable else "transient",
        "auto-delete" if queue.is_auto_delete else "",
        listed(queue.arguments),
    )
    return a_step(
        broker,
        DeclareQueue(broker.spec.endpoint, vhost, name, queue),
        what=f"queue {name} in {vhost}",
        summary=f"make queue {name} in {vhost}: {words}",
        path=f"vhosts.{vhost}.queues.{name}",
        changes=(Change(f"vhosts.{vhost}.queues.{name}", "absent", words),),
    )


def _words(*words: str) -> str:
    return ", ".join(each for each in words if each)


def _unlike(fields: Iterable[Difference], have: Arguments, asked: Arguments) -> Iterator[Difference]:
    yield from (each for each in fields if each[2] is not None and not is_same(each[1], each[2]))
    for name, value in asked.items():
        if not is_same(have.get(name), value):
            yield name, have.get(name), value


def _fixed(kind: str, found: Sequence[tuple[str, Sequence[Difference]]]) -> Iterator[Trouble]:
    """Say both values of each thing, and once what can be done."""
    if not found:
        return
    for thing, differences in found:
        said = [f"{name} is {shown(have)}, {shown(asked)} is asked" for name, have, asked in differences]
        yield "ImmutableDiffers", f"{thing} is made once for all, and differs: {'; '.join(said)}"
    policy = [name for _, differences in found for name, _, _ in differences if name in _IN_POLICIES]
    choices = [
        "write into the file what it is",
        f"or name it in absent.{kind}s, with allow: [delete-{kind}], and ask for it again once it is gone",
    ]
    if policy and kind == "queue":
        choices.append(f"or let a policy say {policy[0].removeprefix('x-')}, which can change")
    yield "ImmutableDiffers", ", ".join(choices)
