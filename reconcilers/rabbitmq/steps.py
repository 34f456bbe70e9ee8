"""How a change of a broker is put into words, and values compared. Pure."""

from collections.abc import Iterable

from crds.meta import Verb
from crds.rabbitmq import RabbitMQSpec
from reconcilers.amounts import between
from reconcilers.contract import Change, Resource, Step, StepClass
from reconcilers.rabbitmq.model import Arguments, RabbitAction

Broker = Resource[RabbitMQSpec]
RabbitStep = Step[RabbitAction]
Trouble = tuple[str, str]
"""Reason and message."""


def a_step(
    broker: Broker,
    action: RabbitAction,
    *,
    what: str,
    summary: str,
    path: str,
    changes: Iterable[Change] = (),
    needs: Verb | None = None,
) -> RabbitStep:
    """Return a step; all of them may be done twice. *path* leads to the field below ``spec``."""
    return Step(
        action,
        StepClass.ABSOLUTE,
        target=f"{what} on RabbitMQ {broker.spec.endpoint}",
        summary=summary,
        changes=tuple(changes),
        needs=needs,
        origin=broker.where(f"spec.{path}"),
    )


def is_same(left: object, right: object) -> bool:
    """Whether two values are one to the broker, which may give a whole number back as 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def shown(value: object) -> str:
    """Write a value as a file would; nothing is ``absent``."""
    match value:
        case None:
            return "absent"
        case bool():
            return str(value).lower()
        case "":
            return '""'
        case _:
            return str(value)


def listed(values: Arguments) -> str:
    """Write arguments: ``x-max-length 10000, x-message-ttl 86400000``."""
    return ", ".join(f"{name} {shown(values[name])}" for name in sorted(values))


def depth(messages: int | None) -> str:
    """Say how many messages: ``10 to 99 messages``, ``an unknown number of messages``."""
    return "an unknown number of messages" if messages is None else f"{between(messages)} messages"
