"""Reads what the management API answers; what is not of the form that is documented is no answer. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from reconcilers.contract import TransientError
from reconcilers.rabbitmq.model import (
    Account,
    Arguments,
    Broker,
    BrokerNode,
    Exchange,
    Grant,
    Link,
    Place,
    Policy,
    Queue,
    TopicGrant,
)

Json = object
Row = Mapping[str, Json]
_NO_LIMIT: Final = -1
_AWAY: Final = "down"


def read_row(what: str, answer: Json) -> Row:
    """Return an object, which Erlang writes as a list when it is empty; TransientError if it is no object."""
    if answer == []:
        return {}
    if not isinstance(answer, Mapping):
        raise TransientError(f"{what} answers {type(answer).__name__}, an object is needed")
    return answer


def read_rows(what: str, answer: Json) -> tuple[Row, ...]:
    """Return a list of objects; TransientError if it is something else."""
    if not isinstance(answer, list):
        raise TransientError(f"{what} answers {type(answer).__name__}, a list is needed")
    return tuple(read_row(what, each) for each in answer)


def text(row: Row, name: str) -> str:
    """Return a text; TransientError if it is missing."""
    value = row.get(name)
    if not isinstance(value, str):
        raise TransientError(f"the broker's answer has no text {name}")
    return value


def number(row: Row, name: str) -> int | None:
    """Return a whole number, None where the broker does not know it yet."""
    value = row.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and isinstance(value, int | float) else None


def read_broker(overview: Row, nodes: Iterable[Row]) -> Broker:
    """Put together what the broker says of itself."""
    return Broker(
        version=text(overview, "rabbitmq_version"),
        cluster_name=text(overview, "cluster_name"),
        nodes=tuple(sorted((_node(row) for row in nodes), key=lambda node: node.name)),
    )


def _node(row: Row) -> BrokerNode:
    pid, uptime, partitions = row.get("os_pid"), number(row, "uptime"), row.get("partitions")
    return BrokerNode(
        name=text(row, "name"),
        is_running=row.get("running") is True,
        pid=int(pid) if isinstance(pid, str) and pid.isdecimal() else None,
        uptime_s=None if uptime is None else uptime / 1000,
        memory_alarm=row.get("mem_alarm") is True,
        disk_alarm=row.get("disk_free_alarm") is True,
        memory_used_bytes=number(row, "mem_used"),
        memory_limit_bytes=number(row, "mem_limit"),
        disk_free_bytes=number(row, "disk_free"),
        disk_limit_bytes=number(row, "disk_free_limit"),
        partitions=tuple(sorted(map(str, partitions))) if isinstance(partitions, list) else (),
    )


def read_limits(rows: Iterable[Row]) -> Mapping[str, Mapping[str, int]]:
    """Return the limits of each virtual host; a negative one is none."""
    found = {}
    for row in rows:
        values = read_row("vhost-limits", row.get("value"))
        numbers = {name: number(values, name) for name in values}
        found[text(row, "vhost")] = {n: v for n, v in numbers.items() if v is not None and v > _NO_LIMIT}
    return found


def read_users(rows: Iterable[Row]) -> Mapping[str, Account]:
    """Return the users; tags are a list, before 3.9 a text with commas."""
    found = {}
    for row in rows:
        tags = row.get("tags")
        words = tags.split(",") if isinstance(tags, str) else tags if isinstance(tags, list) else []
        hashed, algorithm = row.get("password_hash"), row.get("hashing_algorithm")
        found[text(row, "name")] = Account(
            tags=frozenset(str(each) for each in words if each),
            hash=hashed if isinstance(hashed, str) else "",
            algorithm=algorithm if isinstance(algorithm, str) else "",
        )
    return found


def read_grants(rows: Iterable[Row]) -> Mapping[Place, Grant]:
    """Return permissions by virtual host and user."""
    return {
        (text(row, "vhost"), text(row, "user")): Grant(
            text(row, "configure"), text(row, "write"), text(row, "read")
        )
        for row in rows
    }


def read_topic_grants(rows: Iterable[Row]) -> Mapping[tuple[str, str, str], TopicGrant]:
    """Return topic permissions by virtual host, user and exchange."""
    return {
        (text(row, "vhost"), text(row, "user"), text(row, "exchange")): TopicGrant(
            text(row, "write"), text(row, "read")
        )
        for row in rows
    }


def read_exchanges(rows: Iterable[Row]) -> Mapping[Place, Exchange]:
    """Return exchanges by virtual host and name."""
    return {
        place(row): Exchange(
            type=text(row, "type"),
            is_durable=row.get("durable") is True,
            is_auto_delete=row.get("auto_delete") is True,
            is_internal=row.get("internal") is True,
            arguments=arguments(row),
        )
        for row in rows
    }


def read_queues(rows: Iterable[Row], figures: Iterable[Row]) -> Mapping[Place, Queue]:
    """Return queues; *figures* are the broker's statistics of them, where it has any."""
    known = {place(row): row for row in figures}
    return {place(row): read_queue(row, known.get(place(row), {})) for row in rows}


def read_queue(row: Row, figures: Row) -> Queue:
    """Return a queue with what its statistics say; of one whose node is away they are of before."""
    is_away = row.get("state") == _AWAY
    counts, figures = ({}, {}) if is_away else (row, figures)
    stats = figures.get("message_stats")
    counted: Row = stats if isinstance(stats, Mapping) else {}
    return Queue(
        type=text(row, "type"),
        is_durable=row.get("durable") is True,
        is_auto_delete=row.get("auto_delete") is True,
        arguments=arguments(row),
        messages=number(counts, "messages"),
        unacknowledged=number(counts, "messages_unacknowledged"),
        consumers=number(figures, "consumers"),
        # What was never counted is 0 once there are statistics of the queue at all.
        published=number(counted, "publish") or (0 if "consumers" in figures else None),
        delivered=number(counted, "deliver_get") or (0 if "consumers" in figures else None),
    )


def read_links(rows: Iterable[Row]) -> Mapping[Link, str]:
    """Return bindings with the keys that they are deleted by; those of the default exchange are left out."""
    found = {}
    for row in rows:
        link = Link(
            vhost=text(row, "vhost"),
            source=text(row, "source"),
            kind=text(row, "destination_type"),
            destination=text(row, "destination"),
            routing_key=text(row, "routing_key"),
            arguments=link_arguments(arguments(row)),
        )
        if link.source:
            found[link] = text(row, "properties_key")
    return found


def read_policies(rows: Iterable[Row]) -> Mapping[Place, Policy]:
    """Return policies by virtual host and name."""
    return {
        place(row): Policy(
            pattern=text(row, "pattern"),
            target=text(row, "apply-to"),
            priority=number(row, "priority") or 0,
            definition=read_row("definition", row.get("definition")),
        )
        for row in rows
    }


def place(row: Row) -> Place:
    """Return virtual host and name."""
    return text(row, "vhost"), text(row, "name")


def arguments(row: Row) -> Arguments:
    """Return arguments; an empty list is what Erlang makes of none."""
    found = row.get("arguments")
    return found if isinstance(found, Mapping) else {}


def link_arguments(found: Arguments) -> tuple[tuple[str, str], ...]:
    """Return arguments as a part of a binding's identity."""
    return tuple((name, json.dumps(found[name], sort_keys=True)) for name in sorted(found))
