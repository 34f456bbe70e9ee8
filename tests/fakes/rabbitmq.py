"""A broker behind its management API, with the opinions that we rely on; ``tests/contract`` compares them."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qs

from reconcilers.contract import PermanentError, TransientError
from reconcilers.rabbitmq.client import Call, Reply
from reconcilers.transports.rabbitmq import path_of
from reconcilers.transports.rabbitmq_errors import of_answer

Row = dict[str, object]
Place = tuple[str, str]
_Name = TypeVar("_Name")
ME = "reconciler"
_SUCCESS = range(200, 300)
_OWN = {"": "direct", "amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic"}
_SAME = ("durable", "auto_delete", "type", "internal", "arguments")


@dataclass
class FakeRabbit:
    """One broker. ``fail_next`` calls end without an answer, each after it was carried out if ``is_late``."""

    version: str = "3.12.1"
    cluster_name: str = "psa@rabbit"
    pid: int = 1000
    uptime_s: float = 3600.0
    user: str = ME
    may_see_all: bool = True
    """Whether our user has rights in each virtual host; without them its lists are empty."""
    fail_next: int = 0
    is_late: bool = False
    node: Row = field(default_factory=dict)
    """What the node says beside the usual."""
    calls: list[Call] = field(default_factory=list)
    vhosts: set[str] = field(default_factory=lambda: {"/"})
    limits: dict[str, dict[str, object]] = field(default_factory=dict)
    users: dict[str, Row] = field(default_factory=dict)
    grants: dict[Place, Row] = field(default_factory=dict)
    topic_grants: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    exchanges: dict[Place, Row] = field(default_factory=dict)
    queues: dict[Place, Row] = field(default_factory=dict)
    bindings: list[Row] = field(default_factory=list)
    policies: dict[Place, Row] = field(default_factory=dict)
    _salts: int = 0

    @property
    def changes(self) -> list[Call]:
        """The calls that asked for a change."""
        return [call for call in self.calls if call.method != "GET"]

    def wipe(self) -> None:
        """Begin anew as a broker that has lost its folder."""
        fresh = FakeRabbit(pid=self.pid + 1, uptime_s=1.0)
        for name in ("vhosts", "limits", "users", "grants", "topic_grants"):
            setattr(self, name, getattr(fresh, name))
        self.exchanges, self.queues, self.bindings, self.policies = {}, {}, [], {}
        self.pid, self.uptime_s = fresh.pid, fresh.uptime_s

    async def send(self, call: Call) -> Reply:
        path_of(call)
        self.calls.append(call)
        fails, self.fail_next = self.fail_next > 0, max(0, self.fail_next - 1)
        if fails and not (self.is_late and call.method != "GET"):
            raise TransientError("no answer")
        status, body = self._answer(call)
        if fails:
            raise TransientError("no answer, although it was done")
        if status in _SUCCESS or status in call.accepts:
            return Reply(status, json.loads(json.dumps(body)))
        raise of_answer(f"{call.method} {call.path}", "fake", self.user, status, body)

    def _answer(self, call: Call) -> tuple[int, object]:
        if call.method == "GET" and len(call.path) == 1:
            return 200, self._listing(call.path[0], call.query)
        kind, rest = call.path[0], call.path[1:]
        body: Row = dict(call.body or {})
        handlers: Mapping[str, Callable[[str, tuple[str, ...], Row, str], tuple[int, object]]] = {
            "vhosts": self._vhost,
            "vhost-limits": self._limit,
            "users": self._user,
            "permissions": self._grant,
            "topic-permissions": self._topic_grant,
            "exchanges": self._exchange,
            "queues": self._queue,
            "bindings": self._binding,
            "policies": self._policy,
        }
        if kind not in {"vhosts", "users"} and rest[0] not in self.vhosts:
            return 404, {"error": "not_found", "reason": "vhost_not_found"}
        return handlers[kind](call.method, rest, body, call.query)

    def _listing(self, kind: str, query: str) -> object:
        if kind == "overview":
            return {"rabbitmq_version": self.version, "cluster_name": self.cluster_name}
        if kind == "nodes":
            usual = {"name": "psa@rabbit", "running": True, "os_pid": str(self.pid), "partitions": []}
            return [{**usual, "uptime": int(self.uptime_s * 1000), "mem_limit": 1 << 30, **self.node}]
        if kind == "vhosts":
            return [{"name": each} for each in sorted(self.vhosts)]
        if kind == "vhost-limits":
            return [{"vhost": vhost, "value": value} for vhost, value in self.limits.items()]
        seen: Mapping[str, list[Row]] = {
            "users": [{"name": name, **row} for name, row in self.users.items()],
            "permissions": [{"vhost": v, "user": u, **row} for (v, u), row in self.grants.items()],
            "topic-permissions": [
                {"vhost": v, "user": u, "exchange": e, **row} for (v, u, e), row in self.topic_grants.items()
            ],
            "exchanges": self._all_exchanges(),
            "queues": [_queue_row(place, row, query) for place, row in self.queues.items()],
            "bindings": self.bindings,
            "policies": [_named(place, row) for place, row in self.policies.items()],
        }
        is_hidden = not self.may_see_all and kind in {"exchanges", "queues", "bindings", "policies"}
        return [] if is_hidden else seen[kind]

    def _all_exchanges(self) -> list[Row]:
        own: Row = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}
        usual = [
            {"vhost": vhost, "name": name, "type": kind, **own}
            for vhost in self.vhosts
            for name, kind in _OWN.items()
        ]
        return [*usual, *(_named(place, row) for place, row in self.exchanges.items())]

    def _vhost(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        self.vhosts.add(path[0])
        return 201, None

    def _limit(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        self.limits.setdefault(path[0], {})[path[1]] = body["value"]
        return 204, None

    def _user(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        if method == "DELETE":
            return _gone(self.users, path[0])
        # As the real one: without a password it makes a user that has none.
        hashed, algorithm = body.get("password_hash", ""), body.get("hashing_algorithm", "")
        if "password" in body:
            self._salts += 1
            salt = self._salts.to_bytes(4)
            digest = hashlib.sha256(salt + str(body["password"]).encode()).digest()
            hashed, algorithm = (
                base64.b64encode(salt + digest).decode(),
                "rabbit_password_hashing_sha256",
            )
        tags = [each for each in str(body["tags"]).split(",") if each]
        row: Row = {"password_hash": hashed, "hashing_algorithm": algorithm, "tags": tags}
        return _put(self.users, path[0], row)

    def _grant(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        if path[1] not in {*self.users, self.user}:
            return 400, {"error": "bad_request", "reason": "vhost_or_user_not_found"}
        return _put(self.grants, (path[0], path[1]), body)

    def _topic_grant(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        place = (path[0], path[1], str(body.pop("exchange")))
        return _put(self.topic_grants, place, body)

    def _exchange(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        place = (path[0], path[1])
        if method == "DELETE":
            bound = any((each["vhost"], each["source"]) == place for each in self.bindings)
            if bound and "if-unused" in parse_qs(query):
                reason = f"exchange '{path[1]}' in vhost '{path[0]}' in use"
                return 400, {"error": "bad_request", "reason": reason}
            self._unbound(place, "exchange")
            return _gone(self.exchanges, place)
        return self._declare(self.exchanges, place, body, "exchange")

    def _queue(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        place = (path[0], path[1])
        if method == "PUT":
            arguments = dict(body.get("arguments") or {})  # type: ignore[call-overload]  # JSON of ours
            row = {**body, "type": arguments.get("x-queue-type", "classic"), "messages": 0, "consumers": 0}
            return self._declare(self.queues, place, row, "queue")
        found = self.queues.get(place)
        if found is None:
            return 404, {"error": "Object Not Found", "reason": "Not Found"}
        if method == "GET":
            return 200, _named(place, found)
        flags = parse_qs(query)
        if flags and found["type"] == "quorum":
            return 400, {"error": "bad_request", "reason": "not supported by quorum queues"}
        if ("if-empty" in flags and found["messages"]) or ("if-unused" in flags and found["consumers"]):
            return 400, {
                "error": "bad_request",
                "reason": f"queue '{path[1]}' in vhost '{path[0]}' not empty",
            }
        self._unbound(place, "queue")
        return _gone(self.queues, place)

    def _binding(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        vhost, _, source, end, destination = path[:5]
        kind = "queue" if end == "q" else "exchange"
        ends = {"queue": self.queues, "exchange": self.exchanges}[kind]
        if (vhost, destination) not in ends or (source not in _OWN and (vhost, source) not in self.exchanges):
            return 404, {"error": "not_found", "reason": f"no {kind} '{destination}' in vhost '{vhost}'"}
        row: Row = {"vhost": vhost, "source": source, "destination": destination, "destination_type": kind}
        if method == "DELETE":
            left = [
                each
                for each in self.bindings
                if (each["properties_key"], *_ends(each)) != (path[5], *_ends(row))
            ]
            status = 204 if len(left) < len(self.bindings) else 404
            self.bindings = left
            return status, None
        suffix = f"~{len(str(body['arguments']))}" if body["arguments"] else ""
        row |= {**body, "properties_key": f"{body['routing_key'] or '~'}{suffix}"}
        if row not in self.bindings:
            self.bindings.append(row)
        return 201, None

    def _policy(self, method: str, path: tuple[str, ...], body: Row, query: str) -> tuple[int, object]:
        if method == "DELETE":
            return _gone(self.policies, (path[0], path[1]))
        return _put(self.policies, (path[0], path[1]), body)

    def _declare(self, there: dict[Place, Row], place: Place, row: Row, kind: str) -> tuple[int, object]:
        found = there.get(place)
        if found is None:
            there[place] = row
            return 201, None
        different = [name for name in _SAME if found.get(name) != row.get(name)]
        if different:
            reason = f"inequivalent arg '{different[0]}' for {kind} '{place[1]}' in vhost '{place[0]}'"
            return 400, {"error": "bad_request", "reason": reason}
        return 204, None

    def _unbound(self, place: Place, kind: str) -> None:
        self.bindings = [
            each
            for each in self.bindings
            if (each["vhost"], each["destination"]) != place or each["destination_type"] != kind
        ]


class Refusing:
    """A wire whose broker refuses everything with one error."""

    def __init__(self, error: TransientError | PermanentError, user: str = ME) -> None:
        self.error = error
        self.user = user

    async def send(self, call: Call) -> Reply:
        raise self.error


def _named(place: Place, row: Row) -> Row:
    return {"vhost": place[0], "name": place[1], **row}


def _ends(row: Row) -> tuple[object, ...]:
    return row["vhost"], row["source"], row["destination"], row["destination_type"]


def _queue_row(place: Place, row: Row, query: str) -> Row:
    """Give a queue with, or without, what only the statistics know."""
    if "columns" in query:
        return {"vhost": place[0], "name": place[1], "consumers": row["consumers"]}
    return {key: value for key, value in _named(place, row).items() if key != "consumers"}


def _put(there: dict[_Name, Row], place: _Name, row: Row) -> tuple[int, object]:
    status = 204 if place in there else 201
    there[place] = row
    return status, None


def _gone(there: dict[_Name, Row], place: _Name) -> tuple[int, object]:
    found = there.pop(place, None)
    return (204, None) if found is not None else (404, {"error": "Object Not Found", "reason": "Not Found"})
