"""Looks at a broker: only what the object asks for, one call a type."""

from crds.rabbitmq import RabbitMQSpec
from reconcilers.contract import Resource, Secrets
from reconcilers.rabbitmq.client import RabbitClient
from reconcilers.rabbitmq.model import Ends, SeenBroker, Topic
from reconcilers.rabbitmq.topology import a_link


async def observe_rabbitmq(
    client: RabbitClient, secrets: Secrets, broker: Resource[RabbitMQSpec]
) -> SeenBroker:
    """Read the secrets, then ask the broker. A secret that cannot be had ends the look."""
    spec = broker.spec
    passwords = {user.password: secrets.read(user.password) for user in spec.users.values()}
    return SeenBroker(await client.look(spec.endpoint, topics(spec), ends(spec)), passwords)


def topics(spec: RabbitMQSpec) -> frozenset[Topic]:
    """Return what has to be asked for *spec*: what nobody asks for needs no rights."""
    wishes = spec.vhosts.values()
    asked = {
        Topic.VHOSTS: bool(spec.vhosts),
        Topic.LIMITS: any(each.limits.model_dump(exclude_none=True) for each in wishes),
        Topic.USERS: bool(spec.users or spec.absent.users),
        Topic.PERMISSIONS: any(each.permissions for each in wishes),
        Topic.TOPIC_PERMISSIONS: any(each.topic_permissions for each in wishes),
        # A policy's step names the queues that it touches, a binding's may lack its end.
        Topic.QUEUES: any(
            each.queues or each.policies or each.bindings or each.absent.queues or each.absent.policies
            for each in wishes
        ),
        Topic.BINDINGS: any(
            each.bindings or each.absent.bindings or each.absent.exchanges for each in wishes
        ),
        Topic.POLICIES: any(each.policies or each.absent.policies for each in wishes),
    }
    return frozenset(topic for topic, is_asked in asked.items() if is_asked)


def ends(spec: RabbitMQSpec) -> tuple[Ends, ...]:
    """Return between which ends *spec* names bindings; any destination of an exchange that must be absent."""
    found: dict[Ends, None] = {}
    for vhost, wish in spec.vhosts.items():
        found |= dict.fromkeys(a_link(vhost, each).ends for each in (*wish.bindings, *wish.absent.bindings))
        found |= dict.fromkeys((vhost, name, "", "") for name in wish.absent.exchanges)
    return tuple(found)
