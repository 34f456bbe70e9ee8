"""The stand-in itself: one pure class that answers requests. Time is an argument."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from lab.es import indices, lifecycle, parameters, templates
from lab.es.answers import ACKNOWLEDGED, Answered, Asked, EsError, Json, illegal, part
from lab.es.settings import change_cluster, nested
from lab.es.world import World

_READS: Final = frozenset({"GET", "HEAD"})
_DISK_BYTES: Final = 200 * 1024**3
_USED: Final = 0.42
_FULL: Final = 0.97


@dataclass(frozen=True, slots=True)
class _Call:
    """A request whose path was understood; ``names`` are its variable parts."""

    world: World
    asked: Asked
    names: tuple[str, ...]
    now: float


class EsCluster:
    """A cluster of Elasticsearch as far as the daemon uses it."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()

    def answer(self, asked: Asked, now: float) -> Answered:
        """Answer one request at *now*, in seconds since 1970."""
        try:
            lifecycle.run(self.world, now)
            self._let_in(asked)
            self._check_faults(asked)
            answered = self._dispatch(asked, now)
        except EsError as error:
            return error.answer
        if asked.method not in _READS and answered.status < 400:  # noqa: PLR2004 - errors begin there
            self.world.changes += 1
        return answered

    def flood(self, now: float, *, names: str = "*") -> None:
        """Let the disk be full: indices get the block that Elasticsearch sets then."""
        lifecycle.run(self.world, now)
        for name in self.world.resolve(names, lenient=True):
            self.world.indices[name].settings["index.blocks.read_only_allow_delete"] = "true"

    def dry(self) -> None:
        """Let the disk have room again: Elasticsearch takes its block away by itself."""
        for state in self.world.indices.values():
            state.settings.pop("index.blocks.read_only_allow_delete", None)

    def _dispatch(self, asked: Asked, now: float) -> Answered:
        is_known = False
        for pattern, methods in _ROUTES:
            found = re.fullmatch(pattern, asked.path)
            if found is None:
                continue
            is_known = True
            if asked.method in methods:
                parameters.check(asked)
                return _answered(methods[asked.method](_Call(self.world, asked, found.groups(), now)))
        if is_known:
            text = f"Incorrect HTTP method for uri [{asked.path}] and method [{asked.method}]"
            return Answered(405, {"error": text, "status": 405})
        text = f"no handler found for uri [{asked.path}] and method [{asked.method}]"
        return Answered(400, {"error": text})

    def _let_in(self, asked: Asked) -> None:
        world = self.world
        if not world.accounts and not world.api_keys:
            return
        user = self._user(asked)
        if user in world.watchers and asked.method not in _READS:
            reason = (
                f"action [{_action(asked)}] is unauthorized for user [{user}] with effective roles [monitor],"
                " this action is granted by the cluster privileges [manage,all]"
            )
            raise EsError(403, "security_exception", reason)

    def _user(self, asked: Asked) -> str:
        scheme, _, text = asked.authorization.partition(" ")
        if scheme == "ApiKey" and text in self.world.api_keys:
            return "api key"
        if scheme == "Basic":
            user, _, password = base64.b64decode(text).decode().partition(":")
            if self.world.accounts.get(user) == password:
                return user
            reason = f"unable to authenticate user [{user}] for REST request [{asked.path}]"
        else:
            reason = f"missing authentication credentials for REST request [{asked.path}]"
        raise EsError(401, "security_exception", reason)

    def _check_faults(self, asked: Asked) -> None:
        faults = self.world.faults
        if faults.no_master and asked.path != "/":
            raise EsError(503, "master_not_discovered_exception", "null")
        if asked.method in _READS:
            return
        if faults.busy > 0:
            faults.busy -= 1
            headers = {} if faults.retry_after_s is None else {"Retry-After": str(faults.retry_after_s)}
            reason = "rejected execution of coordinating operation"
            raise EsError(429, "es_rejected_execution_exception", reason, headers=headers)
        name = asked.path.rpartition("/")[2]
        if name in faults.reserved:
            raise illegal(
                f"Failed to process request [{_action(asked)}] with errors: [[{name}] set as read-only by"
                " [file_settings]]"
            )


def _action(asked: Asked) -> str:
    words = {"_ilm": "ilm", "_index_template": "indices:admin/index_template", "_cluster": "settings/update"}
    first = asked.path.strip("/").partition("/")[0]
    return f"cluster:admin/{words.get(first, 'indices')}/{asked.method.lower()}"


def _answered(result: JsonValue | tuple[int, JsonValue]) -> Answered:
    return Answered(*result) if isinstance(result, tuple) else Answered(200, result)


def _about(call: _Call) -> Json:
    world = call.world
    return {
        "name": "psa-elasticsearch",
        "cluster_name": world.name,
        "cluster_uuid": world.uuid,
        "version": {"number": world.version, "build_flavor": "default", "lucene_version": "9.11.1"},
        "tagline": "You Know, for Search",
    }


def _health(call: _Call) -> Json:
    world = call.world
    unassigned = world.unassigned()
    color = world.faults.color or ("yellow" if unassigned else "green")
    if world.faults.color is not None:
        unassigned = max(unassigned, 1)
    shards = sum(int(str(each.settings["index.number_of_shards"])) for each in world.indices.values())
    return {
        "cluster_name": world.name,
        "status": color,
        "timed_out": False,
        "number_of_nodes": world.nodes,
        "number_of_data_nodes": world.nodes,
        "active_primary_shards": shards,
        "active_shards": shards,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": unassigned,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    }


def _get_settings(call: _Call) -> Json:
    shown = dict if call.asked.query.get("flat_settings") == "true" else nested
    return {"persistent": shown(call.world.persistent), "transient": shown(call.world.transient)}


def _put_settings(call: _Call) -> Json:
    world, body = call.world, call.asked.body
    persistent = change_cluster(world.persistent, "persistent", part(body, "persistent"))
    transient = change_cluster(world.transient, "transient", part(body, "transient"))
    world.persistent, world.transient = persistent, transient
    return {
        "acknowledged": True,
        "persistent": part(body, "persistent"),
        "transient": part(body, "transient"),
    }


def _disks(call: _Call) -> JsonValue:
    is_full = any(
        each.settings.get("index.blocks.read_only_allow_delete") == "true"
        for each in call.world.indices.values()
    )
    used = int(_DISK_BYTES * (_FULL if is_full else _USED))
    rows: list[JsonValue] = [
        {"node": f"psa-elasticsearch-{number}", "disk.used": str(used), "disk.total": str(_DISK_BYTES)}
        for number in range(1, call.world.nodes + 1)
    ]
    return rows


def _switch_lifecycle(call: _Call) -> Json:
    call.world.lifecycle_runs = call.names[0] == "start"
    return ACKNOWLEDGED


def _explain(call: _Call) -> Json:
    names = call.world.resolve(call.names[0])
    return lifecycle.explain(call.world, names, call.asked.query, call.now)


_Handler = Callable[[_Call], "JsonValue | tuple[int, JsonValue]"]
_NAME: Final = "([^/]+)"
_ROUTES: Final[tuple[tuple[str, dict[str, _Handler]], ...]] = (
    ("/", {"GET": _about}),
    ("/_cluster/health", {"GET": _health}),
    ("/_cluster/settings", {"GET": _get_settings, "PUT": _put_settings}),
    ("/_cat/allocation", {"GET": _disks}),
    (
        "/_ilm/status",
        {"GET": lambda call: {"operation_mode": "RUNNING" if call.world.lifecycle_runs else "STOPPED"}},
    ),
    ("/_ilm/(start|stop)", {"POST": _switch_lifecycle}),
    (
        f"/_ilm/policy/{_NAME}",
        {
            "GET": lambda call: lifecycle.get_policy(call.world, call.names[0]),
            "PUT": lambda call: lifecycle.put_policy(call.world, call.names[0], call.asked, call.now),
            "DELETE": lambda call: lifecycle.delete_policy(call.world, call.names[0]),
        },
    ),
    (
        f"/_component_template/{_NAME}",
        {
            "GET": lambda call: templates.get_definition(
                call.world.components, "component_template", call.names[0]
            ),
            "PUT": lambda call: templates.put_component(call.world, call.names[0], call.asked.body),
            "DELETE": lambda call: templates.delete_definition(
                call.world, "component_template", call.names[0]
            ),
        },
    ),
    (
        f"/_index_template/{_NAME}",
        {
            "GET": lambda call: templates.get_definition(
                call.world.templates, "index_template", call.names[0]
            ),
            "PUT": lambda call: templates.put_template(call.world, call.names[0], call.asked.body),
            "DELETE": lambda call: templates.delete_definition(call.world, "index_template", call.names[0]),
        },
    ),
    ("/_aliases", {"POST": lambda call: indices.change_aliases(call.world, call.asked.body)}),
    ("/_alias", {"GET": lambda call: indices.get_aliases(call.world, None)}),
    (f"/_alias/{_NAME}", {"GET": lambda call: indices.get_aliases(call.world, call.names[0])}),
    (f"/{_NAME}/_ilm/explain", {"GET": _explain}),
    (
        f"/{_NAME}/_settings",
        {
            "GET": lambda call: indices.get(call.world, call.asked, call.names[0], only_settings="*"),
            "PUT": lambda call: indices.put_settings(call.world, call.names[0], call.asked.body),
        },
    ),
    (
        f"/{_NAME}/_settings/{_NAME}",
        {"GET": lambda call: indices.get(call.world, call.asked, call.names[0], only_settings=call.names[1])},
    ),
    (
        f"/{_NAME}/_mapping",
        {"PUT": lambda call: indices.put_mapping(call.world, call.names[0], call.asked.body)},
    ),
    (
        f"/{_NAME}/_doc",
        {"POST": lambda call: (201, indices.write_document(call.world, call.names[0], call.now))},
    ),
    (
        "/([^/_][^/]*|_all)",
        {
            "GET": lambda call: indices.get(call.world, call.asked, call.names[0]),
            "PUT": lambda call: indices.create(call.world, call.names[0], call.asked.body, call.now),
            "DELETE": lambda call: indices.delete(call.world, call.names[0]),
        },
    ),
)
