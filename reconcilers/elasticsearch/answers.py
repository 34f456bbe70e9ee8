"""What Elasticsearch's answers say: JSON becomes what the plan works with, here and nowhere else. Pure."""

import math
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from reconcilers.contract import PermanentError
from reconcilers.elasticsearch.model import (
    About,
    Aged,
    Body,
    ClusterSettings,
    Disk,
    Health,
    SeenIndex,
    SeenPolicy,
)
from reconcilers.elasticsearch.normal import seconds

_LONGEST_REASON = 120


def read_about(answer: JsonValue | None) -> About:
    """Read ``GET /``."""
    body = _map("GET /", answer)
    version = _map("GET / version", body.get("version"))
    return About(
        version=_text("version.number", version.get("number")),
        cluster_name=_text("cluster_name", body.get("cluster_name")),
        cluster_uuid=_text("cluster_uuid", body.get("cluster_uuid")),
        distribution=str(version.get("distribution", "")),
    )


def read_health(answer: JsonValue | None) -> Health:
    """Read ``GET /_cluster/health``."""
    body = _map("GET /_cluster/health", answer)
    return Health(
        status=_text("status", body.get("status")),
        nodes=_count(body, "number_of_nodes"),
        data_nodes=_count(body, "number_of_data_nodes"),
        active_shards=_count(body, "active_shards"),
        relocating_shards=_count(body, "relocating_shards"),
        initializing_shards=_count(body, "initializing_shards"),
        unassigned_shards=_count(body, "unassigned_shards"),
        pending_tasks=_count(body, "number_of_pending_tasks"),
        longest_wait_ms=_count(body, "task_max_waiting_in_queue_millis"),
    )


def read_settings(answer: JsonValue | None) -> ClusterSettings:
    """Read ``GET /_cluster/settings?flat_settings=true``."""
    body = _map("GET /_cluster/settings", answer)
    return ClusterSettings(_part(body, "persistent"), _part(body, "transient"))


def read_policy(name: str, answer: JsonValue | None) -> SeenPolicy | None:
    """Read ``GET /_ilm/policy/NAME``; None if there is none."""
    if answer is None:
        return None
    found = _map(f"the policy {name}", _map("GET /_ilm/policy", answer).get(name))
    phases = _part(_map(f"the policy {name}", found.get("policy")), "phases")
    users = _part(found, "in_use_by")
    templates = (*_names(users, "composable_templates"), *_names(users, "data_streams"))
    return SeenPolicy(phases, _names(users, "indices"), templates)


def read_named(what: str, name: str, answer: JsonValue | None) -> Body | None:
    """Read a component or index template; None if there is none. *what* is ``index_template``, for one."""
    if answer is None:
        return None
    body = _map(f"GET /_{what}", answer)
    for each in _list(body.get(f"{what}s")):
        found = _map(what, each)
        if found.get("name") == name:
            return _map(what, found.get(what))
    return None


def read_indices(answer: Mapping[str, JsonValue]) -> Mapping[str, SeenIndex]:
    """Read ``GET /NAMES?flat_settings=true``."""
    found: dict[str, SeenIndex] = {}
    for name, each in answer.items():
        body = _map(f"the index {name}", each)
        aliases = {alias: _map(alias, options) for alias, options in _part(body, "aliases").items()}
        found[name] = SeenIndex(_part(body, "settings"), _part(body, "mappings"), aliases)
    return found


def read_matched(answer: Mapping[str, JsonValue]) -> Mapping[str, Body]:
    """Read ``GET /PATTERNS/_settings?flat_settings=true``."""
    return {name: _part(_map(f"the index {name}", each), "settings") for name, each in answer.items()}


def read_aliases(asked: Iterable[str], answer: JsonValue) -> Mapping[str, Mapping[str, Body]]:
    """Read ``GET /_alias/NAMES``: who has each of the *asked* ones, and how."""
    found: dict[str, dict[str, Body]] = {name: {} for name in asked}
    for index, each in _map("GET /_alias", answer).items():
        if isinstance(each, dict):
            for alias, options in _part(each, "aliases").items():
                if alias in found:
                    found[alias][index] = _map(alias, options)
    return found


def read_aged(answer: JsonValue | None) -> tuple[Aged, ...]:
    """Read ``GET /_all/_ilm/explain?only_managed=true``."""
    return tuple(
        Aged(index, str(each["policy"]), _age(each.get("age")))
        for index, each in _explained(answer)
        if "policy" in each
    )


def read_stuck(answer: JsonValue | None) -> Mapping[str, str]:
    """Read ``GET /NAMES/_ilm/explain?only_errors=true``: the step that failed, and why."""
    found: dict[str, str] = {}
    for index, each in _explained(answer):
        reason = str(_part(each, "step_info").get("reason", "no reason given"))
        found[index] = f"{each.get('failed_step', each.get('step'))}: {reason[:_LONGEST_REASON]}"
    return found


def read_disks(answer: JsonValue | None) -> Mapping[str, Disk]:
    """Read ``GET /_cat/allocation?format=json&bytes=b``; shards on no node have a line without figures."""
    rows = [each for each in _list(answer) if isinstance(each, dict)]
    return {
        str(row.get("node")): Disk(int(str(row["disk.used"])), int(str(row["disk.total"])))
        for row in rows
        if all(str(row.get(name, "")).isdecimal() for name in ("disk.used", "disk.total"))
    }


def _explained(answer: JsonValue | None) -> list[tuple[str, dict[str, JsonValue]]]:
    indices = {} if answer is None else _part(_map("GET /_ilm/explain", answer), "indices")
    return [(index, each) for index, each in indices.items() if isinstance(each, dict)]


def _age(value: JsonValue | None) -> float:
    """Return an age in seconds: new for an index of the future or without a date, old where none can tell."""
    text = str(value or "0s")
    try:
        return 0.0 if text.startswith("-") else seconds(text)
    except ValueError:
        return math.inf


def _unexpected(what: str) -> PermanentError:
    return PermanentError(f"{what}: this is no answer of Elasticsearch's", reason="UnexpectedAnswer")


def _map(what: str, value: JsonValue | None) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise _unexpected(what)
    return value


def _part(body: Body, name: str) -> dict[str, JsonValue]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _list(value: JsonValue | None) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _names(body: Body, name: str) -> tuple[str, ...]:
    return tuple(sorted(map(str, _list(body.get(name)))))


def _text(what: str, value: JsonValue | None) -> str:
    if not isinstance(value, str):
        raise _unexpected(what)
    return value


def _count(body: Body, name: str) -> int:
    found = body.get(name)
    if not isinstance(found, int):
        raise _unexpected(name)
    return found
