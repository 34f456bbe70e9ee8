"""What this slice asks of RabbitMQ's management API, and what the answers come to."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from reconcilers.contract import PermanentError, TransientError
from reconcilers.rabbitmq.answers import (
    Json,
    Row,
    read_broker,
    read_exchanges,
    read_grants,
    read_limits,
    read_links,
    read_policies,
    read_queue,
    read_queues,
    read_row,
    read_rows,
    read_topic_grants,
    read_users,
)
from reconcilers.rabbitmq.model import Ends, Link, Look, Queue, Topic

_NODE: Final = (
    "name,running,os_pid,uptime,partitions,mem_alarm,disk_free_alarm,"
    "mem_used,mem_limit,disk_free,disk_free_limit"
)

_EXCHANGE: Final = "vhost,name,type,durable,auto_delete,internal,arguments"
_NOT_FOUND: Final = 404
#: RabbitMQ's own programs break off with it, too.
_FAILED: Final = 500
ContractError = TransientError | PermanentError


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the parts of its path behind ``/api`` as they are, its query, and its body.

    ``accepts`` are statuses beside success that are an answer, too.
    """

    method: str
    path: tuple[str, ...]
    query: str = ""
    body: Mapping[str, object] | None = None
    accepts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and the body, None without one."""

    status: int
    body: Json = field(default=None, repr=False)


class Wire(Protocol):
    """The transport, as far as this slice uses it; it raises the contract's errors."""

    @property
    def user(self) -> str:
        """The user that we come as."""
        ...

    async def send(self, call: Call) -> Reply:
        """Send one request, to the first node that takes it."""
        ...


class RabbitClient(Protocol):
    """The calls of this slice; ``RabbitBrokers`` has them over a transport."""

    async def look(self, endpoint: str, topics: frozenset[Topic], ends: Collection[Ends] = ()) -> Look: ...

    async def queue(self, endpoint: str, vhost: str, name: str) -> Queue | None: ...

    async def put(self, endpoint: str, *path: str, body: Mapping[str, object]) -> None: ...

    async def post(self, endpoint: str, *path: str, body: Mapping[str, object]) -> None: ...

    async def delete(self, endpoint: str, *path: str, query: str = "") -> None: ...


class RabbitBrokers:
    """The calls of this slice, for all endpoints of the settings."""

    def __init__(self, wires: Mapping[str, Wire]) -> None:
        self._wires = wires

    async def look(self, endpoint: str, topics: frozenset[Topic], ends: Collection[Ends] = ()) -> Look:
        """Ask for everything at once, one call a type; what is not asked for needs no rights.

        Where a binding of somebody else lets the broker fail to list all, those between *ends* are asked for.
        """
        wire = self._wire(endpoint)
        calls = _calls(topics)
        async with asyncio.TaskGroup() as tasks:
            asked = {name: tasks.create_task(_get(wire, *call)) for name, call in calls.items()}
        found = _answers({name: task.result() for name, task in asked.items()})

        def rows(name: str) -> tuple[Row, ...]:
            return read_rows(name, found[name]) if name in found else ()

        if found.get("bindings", ()) is None:
            links, unlisted = await _links_between(wire, ends)
        else:
            links, unlisted = read_links(rows("bindings")), frozenset()
        return Look(
            me=wire.user,
            broker=read_broker(read_row("overview", found["overview"]), rows("nodes")),
            vhosts=frozenset(str(row.get("name")) for row in rows("vhosts")),
            limits=read_limits(rows("vhost-limits")),
            users=read_users(rows("users")),
            grants=read_grants(rows("permissions")),
            topic_grants=read_topic_grants(rows("topic-permissions")),
            exchanges=read_exchanges(rows("exchanges")),
            queues=read_queues(rows("queues"), rows("figures")),
            links=links,
            unlisted=unlisted,
            policies=read_policies(rows("policies")),
        )

    async def queue(self, endpoint: str, vhost: str, name: str) -> Queue | None:
        """Look at one queue as it is now; None if there is none."""
        call = Call("GET", ("queues", vhost, name), accepts=(_NOT_FOUND,))
        reply = await self._wire(endpoint).send(call)
        if reply.status == _NOT_FOUND:
            return None
        row = read_row("queue", reply.body)
        return read_queue(row, row)

    async def put(self, endpoint: str, *path: str, body: Mapping[str, object]) -> None:
        """Make what stands at *path* this; twice is the same as once."""
        await self._wire(endpoint).send(Call("PUT", path, body=body))

    async def post(self, endpoint: str, *path: str, body: Mapping[str, object]) -> None:
        """Make a binding; twice is the same as once."""
        await self._wire(endpoint).send(Call("POST", path, body=body))

    async def delete(self, endpoint: str, *path: str, query: str = "") -> None:
        """Delete what stands at *path*, if it is there."""
        await self._wire(endpoint).send(Call("DELETE", path, query, accepts=(_NOT_FOUND,)))

    def _wire(self, endpoint: str) -> Wire:
        found = self._wires.get(endpoint)
        if found is None:
            raise PermanentError(
                f"the settings have no endpoint {endpoint} of type rabbitmq", reason="UnknownEndpoint"
            )
        return found


async def _get(wire: Wire, path: str, query: str) -> Json | ContractError:
    """Return the answer, or the error as a value: one refusal must not hide the others.

    None is a list of bindings that the broker fails to make.
    """
    accepts = (_FAILED,) if path == "bindings" else ()
    try:
        reply = await wire.send(Call("GET", (path,), query, accepts=accepts))
    except (TransientError, PermanentError) as exc:
        return exc
    return None if reply.status in accepts else reply.body


async def _links_between(wire: Wire, ends: Collection[Ends]) -> tuple[Mapping[Link, str], frozenset[Ends]]:
    """Return the bindings between *ends*, and the ends of those that the broker fails to list even so."""
    found: dict[Link, str] = {}
    unlisted = set()
    for each in ends:
        vhost, source, kind, destination = each
        pair = ("bindings", vhost, "e", source, kind[:1], destination)
        path = pair if destination else ("exchanges", vhost, source, "bindings", "source")
        reply = await wire.send(Call("GET", path, accepts=(_NOT_FOUND, _FAILED)))
        if reply.status == _FAILED:
            unlisted.add(each)
        elif reply.status != _NOT_FOUND:
            found |= read_links(read_rows("bindings", reply.body))
    return found, frozenset(unlisted)


def _answers(found: Mapping[str, Json | ContractError]) -> Mapping[str, Json]:
    """Return the answers. Raises the gravest error, with what every refused call is missing."""
    errors = [each for each in found.values() if isinstance(each, TransientError | PermanentError)]
    final = [each for each in errors if isinstance(each, PermanentError)]
    if final:
        same = [each for each in final if each.reason == final[0].reason]
        raise PermanentError("; ".join(dict.fromkeys(map(str, same))), reason=final[0].reason)
    if errors:
        raise errors[0]
    return found


def _calls(topics: frozenset[Topic]) -> Mapping[str, tuple[str, str]]:
    """Return path and query of each call by a name of ours."""
    return {name: call for topic, calls in _CALLS.items() if topic in {None, *topics} for name, call in calls}


#: What each topic asks; ``None`` always.
_CALLS: Final[Mapping[Topic | None, tuple[tuple[str, tuple[str, str]], ...]]] = {
    None: (
        ("overview", ("overview", "columns=rabbitmq_version,cluster_name")),
        ("nodes", ("nodes", f"columns={_NODE}")),
    ),
    Topic.VHOSTS: (
        ("vhosts", ("vhosts", "columns=name")),
        ("exchanges", ("exchanges", f"columns={_EXCHANGE}")),
    ),
    Topic.LIMITS: (("vhost-limits", ("vhost-limits", "")),),
    Topic.USERS: (("users", ("users", "")),),
    Topic.PERMISSIONS: (("permissions", ("permissions", "")),),
    Topic.TOPIC_PERMISSIONS: (("topic-permissions", ("topic-permissions", "")),),
    # Without statistics, depths are the queues' own counters, at most one interval old; with them they are
    # absent at first and lag twice as long. Consumers and rates are only there.
    Topic.QUEUES: (
        ("queues", ("queues", "disable_stats=true&enable_queue_totals=true")),
        ("figures", ("queues", "columns=vhost,name,consumers,message_stats")),
    ),
    Topic.BINDINGS: (("bindings", ("bindings", "")),),
    Topic.POLICIES: (("policies", ("policies", "")),),
}
