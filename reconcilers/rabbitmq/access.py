"""What virtual hosts, users and their rights need. Pure."""

from collections.abc import Iterable

from crds.rabbitmq import Permission, TopicPermission, UserWish, VhostWish
from reconcilers.contract import Change
from reconcilers.rabbitmq.model import (
    Account,
    Grant,
    MakeVhost,
    SeenBroker,
    SetLimit,
    SetPermission,
    SetTopicPermission,
    SetUser,
    TopicGrant,
)
from reconcilers.rabbitmq.passwords import is_password
from reconcilers.rabbitmq.steps import Broker, RabbitStep, Trouble, a_step, shown


def access_steps(broker: Broker, seen: SeenBroker) -> Iterable[RabbitStep]:
    """Yield steps, each after what it builds on: virtual hosts, limits, users, permissions."""
    for vhost, wish in broker.spec.vhosts.items():
        if vhost not in seen.look.vhosts:
            yield a_step(
                broker,
                MakeVhost(broker.spec.endpoint, vhost),
                what=f"virtual host {vhost}",
                summary=f"make virtual host {vhost}",
                path=f"vhosts.{vhost}",
            )
        yield from _limits(broker, seen, vhost, wish)
    for name, asked in broker.spec.users.items():
        if name != seen.look.me:
            yield from _user(broker, seen, name, asked)
    for vhost, wish in broker.spec.vhosts.items():
        yield from _rights_in(broker, seen, vhost, wish)


def access_problems(broker: Broker, seen: SeenBroker) -> Iterable[Trouble]:
    """Yield what stands in the way: our own user in the file, and virtual hosts that we cannot see into."""
    me = seen.look.me
    if me in broker.spec.users or me in broker.spec.absent.users:
        text = f"{me} is the user that this program comes as: leave it out of the file"
        yield "OwnUser", text
    for vhost in sorted(blind_spots(broker, seen)):
        text = (
            f"user {me} sees nothing in virtual host {vhost}: on the broker's host,"
            f" rabbitmqctl set_permissions -p {vhost} {me} '.*' '.*' '.*'"
        )
        yield "MissingPrivilege", text


def blind_spots(broker: Broker, seen: SeenBroker) -> frozenset[str]:
    """Return virtual hosts that are there, and seem to have not even the default exchange.

    The broker answers an empty list where we have no rights; nothing in them is known to be absent.
    """
    look = seen.look
    return frozenset(
        each for each in broker.spec.vhosts if each in look.vhosts and (each, "") not in look.exchanges
    )


def _rights_in(broker: Broker, seen: SeenBroker, vhost: str, wish: VhostWish) -> Iterable[RabbitStep]:
    for user, right in wish.permissions.items():
        yield from _permission(broker, seen, vhost, user, right)
    for user, rights in wish.topic_permissions.items():
        for exchange, topics in rights.items():
            yield from _topic_permission(broker, seen, (vhost, user, exchange), topics)


def _limits(broker: Broker, seen: SeenBroker, vhost: str, wish: VhostWish) -> Iterable[RabbitStep]:
    asked = {"max-connections": wish.limits.max_connections, "max-queues": wish.limits.max_queues}
    found = seen.look.limits.get(vhost, {})
    for name, value in asked.items():
        old = found.get(name)
        if value is not None and value != old:
            yield a_step(
                broker,
                SetLimit(broker.spec.endpoint, vhost, name, value),
                what=f"limits of virtual host {vhost}",
                summary=f"virtual host {vhost}: {name} {shown(old)} → {value}",
                path=f"vhosts.{vhost}.limits",
                changes=(Change(f"vhosts.{vhost}.limits.{name}", shown(old), str(value)),),
            )


def _user(broker: Broker, seen: SeenBroker, name: str, asked: UserWish) -> Iterable[RabbitStep]:
    found, password = seen.look.users.get(name), seen.passwords[asked.password]
    tags = found.tags if asked.tags is None and found is not None else frozenset(asked.tags or ())
    new: Account | None = found if found is not None and is_password(found, password) else None
    changes = _user_changes(found, tags, has_password=new is not None)
    if not changes:
        return
    said = ", ".join(f"{each.path} {each.old} → {each.new}" for each in changes)
    yield a_step(
        broker,
        SetUser(broker.spec.endpoint, name, tuple(sorted(tags)), new or password),
        what=f"user {name}",
        summary=f"make user {name}" if found is None else f"user {name}: {said}",
        path=f"users.{name}",
        changes=changes,
    )


def _user_changes(found: Account | None, tags: frozenset[str], *, has_password: bool) -> tuple[Change, ...]:
    if found is None:
        return (Change("user", "absent", _tagged(tags)),)
    changes = [] if has_password else [Change("password", "another one", "as its secret says")]
    if found.tags != tags:
        changes.append(Change("tags", _tagged(found.tags), _tagged(tags)))
    return tuple(changes)


def _tagged(tags: frozenset[str]) -> str:
    return f"[{', '.join(sorted(tags))}]"


def _permission(
    broker: Broker, seen: SeenBroker, vhost: str, user: str, asked: Permission
) -> Iterable[RabbitStep]:
    grant, found = Grant(asked.configure, asked.write, asked.read), seen.look.grants.get((vhost, user))
    if grant == found:
        return
    old = None if found is None else {"configure": found.configure, "write": found.write, "read": found.read}
    new = {"configure": grant.configure, "write": grant.write, "read": grant.read}
    changes = _rights(old, new)
    said = ", ".join(f"{each.path} {each.old} → {each.new}" for each in changes)
    yield a_step(
        broker,
        SetPermission(broker.spec.endpoint, vhost, user, grant),
        what=f"permissions of {user} in {vhost}",
        summary=f"permissions of {user} in {vhost}: {said}",
        path=f"vhosts.{vhost}.permissions.{user}",
        changes=changes,
    )


def _topic_permission(
    broker: Broker, seen: SeenBroker, place: tuple[str, str, str], asked: TopicPermission
) -> Iterable[RabbitStep]:
    vhost, user, exchange = place
    grant, found = TopicGrant(asked.write, asked.read), seen.look.topic_grants.get(place)
    if grant == found:
        return
    old = None if found is None else {"write": found.write, "read": found.read}
    changes = _rights(old, {"write": grant.write, "read": grant.read})
    said = ", ".join(f"{each.path} {each.old} → {each.new}" for each in changes)
    yield a_step(
        broker,
        SetTopicPermission(broker.spec.endpoint, vhost, user, exchange, grant),
        what=f"topic permissions of {user} in {vhost}",
        summary=f"topic permissions of {user} at {exchange} in {vhost}: {said}",
        path=f"vhosts.{vhost}.topicPermissions.{user}.{exchange}",
        changes=changes,
    )


def _rights(old: dict[str, str] | None, new: dict[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(name, "absent" if old is None else shown(old[name]), shown(value))
        for name, value in new.items()
        if old is None or old[name] != value
    )
