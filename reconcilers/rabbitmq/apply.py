"""Carries out one step on a broker."""

from typing import assert_never

from reconcilers.contract import Secret, TransientError
from reconcilers.rabbitmq.client import RabbitClient
from reconcilers.rabbitmq.model import (
    Bind,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeletePolicy,
    DeleteQueue,
    DeleteUser,
    MakeVhost,
    RabbitAction,
    SetLimit,
    SetPermission,
    SetPolicy,
    SetTopicPermission,
    SetUser,
    Unbind,
)

_Access = MakeVhost | SetLimit | SetUser | SetPermission | SetTopicPermission
_Making = SetPolicy | DeclareExchange | DeclareQueue | Bind
_Removal = Unbind | DeleteQueue | DeleteExchange | DeletePolicy | DeleteUser


async def apply_action(client: RabbitClient, action: RabbitAction) -> None:
    """Send one change. Any of them twice is the same as once."""
    match action:
        case MakeVhost() | SetLimit() | SetUser() | SetPermission() | SetTopicPermission():
            await _grant(client, action)
        case SetPolicy() | DeclareExchange() | DeclareQueue() | Bind():
            await _make(client, action)
        case Unbind() | DeleteQueue() | DeleteExchange() | DeletePolicy() | DeleteUser():
            await _remove(client, action)
        case _:
            assert_never(action)


async def _grant(client: RabbitClient, action: _Access) -> None:
    match action:
        case MakeVhost(endpoint, vhost):
            await client.put(endpoint, "vhosts", vhost, body={})
        case SetLimit(endpoint, vhost, name, value):
            await client.put(endpoint, "vhost-limits", vhost, name, body={"value": value})
        case SetUser(endpoint, name, tags, password):
            # The request replaces the user whole: without a password it would have none from then on.
            known = (
                {"password": password.value}
                if isinstance(password, Secret)
                else {"password_hash": password.hash, "hashing_algorithm": password.algorithm}
            )
            await client.put(endpoint, "users", name, body={**known, "tags": ",".join(tags)})
        case SetPermission(endpoint, vhost, user, grant):
            body = {"configure": grant.configure, "write": grant.write, "read": grant.read}
            await client.put(endpoint, "permissions", vhost, user, body=body)
        case SetTopicPermission(endpoint, vhost, user, exchange, topics):
            body = {"exchange": exchange, "write": topics.write, "read": topics.read}
            await client.put(endpoint, "topic-permissions", vhost, user, body=body)
        case _:
            assert_never(action)


async def _make(client: RabbitClient, action: _Making) -> None:
    match action:
        case SetPolicy(endpoint, vhost, name, policy):
            body: dict[str, object] = {
                "pattern": policy.pattern,
                "apply-to": policy.target,
                "priority": policy.priority,
                "definition": dict(policy.definition),
            }
            await client.put(endpoint, "policies", vhost, name, body=body)
        case DeclareExchange(endpoint, vhost, name, exchange):
            body = {
                "type": exchange.type,
                "durable": exchange.is_durable,
                "auto_delete": exchange.is_auto_delete,
                "internal": exchange.is_internal,
                "arguments": dict(exchange.arguments),
            }
            await client.put(endpoint, "exchanges", vhost, name, body=body)
        case DeclareQueue(endpoint, vhost, name, queue):
            kind = {"x-queue-type": queue.type} if queue.type else {}
            body = {
                "durable": queue.is_durable,
                "auto_delete": queue.is_auto_delete,
                "arguments": {**kind, **queue.arguments},
            }
            await client.put(endpoint, "queues", vhost, name, body=body)
        case Bind(endpoint, link, arguments):
            kind_of_end = "q" if link.kind == "queue" else "e"
            path = ("bindings", link.vhost, "e", link.source, kind_of_end, link.destination)
            body = {"routing_key": link.routing_key, "arguments": dict(arguments)}
            await client.post(endpoint, *path, body=body)
        case _:
            assert_never(action)


async def _remove(client: RabbitClient, action: _Removal) -> None:
    match action:
        case Unbind(endpoint, link, key):
            kind_of_end = "q" if link.kind == "queue" else "e"
            path = ("bindings", link.vhost, "e", link.source, kind_of_end, link.destination, key)
            await client.delete(endpoint, *path)
        case DeleteQueue():
            await _delete_queue(client, action)
        case DeleteExchange(endpoint, vhost, name):
            await client.delete(endpoint, "exchanges", vhost, name, query="if-unused=true")
        case DeletePolicy(endpoint, vhost, name):
            await client.delete(endpoint, "policies", vhost, name)
        case DeleteUser(endpoint, name):
            await client.delete(endpoint, "users", name)
        case _:
            assert_never(action)


async def _delete_queue(client: RabbitClient, action: DeleteQueue) -> None:
    """Delete a queue that is empty and unused: the broker checks it for a classic one, we for the others."""
    endpoint, vhost, name = action.endpoint, action.vhost, action.name
    if action.is_classic:
        await client.delete(endpoint, "queues", vhost, name, query="if-empty=true&if-unused=true")
        return
    found = await client.queue(endpoint, vhost, name)
    if found is None:
        return
    if found.messages != 0 or found.consumers != 0:
        raise TransientError(f"queue {name} in {vhost} is not surely empty and unused any more")
    await client.delete(endpoint, "queues", vhost, name)
