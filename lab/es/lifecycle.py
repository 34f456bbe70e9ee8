"""Index lifecycle policies, and what they do as time goes by."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

from lab.es.answers import ACKNOWLEDGED, Asked, EsError, Json, illegal, part
from lab.es.indices import create
from lab.es.world import IndexState, World

PHASES: Final = ("hot", "warm", "cold", "frozen", "delete")
_ACTIONS: Final = frozenset({
    "allocate", "delete", "downsample", "forcemerge", "freeze", "migrate", "readonly", "rollover",
    "searchable_snapshot", "set_priority", "shrink", "unfollow", "wait_for_snapshot",
})  # fmt: skip
_UNITS_S: Final = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: What an action says although nobody asked.
_FILLED: Final[Mapping[str, Json]] = {
    "delete": {"delete_searchable_snapshot": True},
    "allocate": {"include": {}, "exclude": {}, "require": {}},
    "migrate": {"enabled": True},
    "searchable_snapshot": {"force_merge_index": True},
    "shrink": {"allow_write_after_shrink": False},
}


def seconds(text: object) -> float:
    """Return a duration; 400 for what is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(nanos|micros|ms|s|m|h|d)", str(text))
    if found is None:
        raise illegal(
            f"failed to parse setting [min_age] with value [{text}] as a time value: unit is missing"
        )
    return float(found[1]) * _UNITS_S[found[2]]


def put_policy(world: World, name: str, asked: Asked, now: float) -> Json:
    phases = part(part(asked.body, "policy"), "phases")
    kept: Json = {}
    for phase, body in phases.items():
        if phase not in PHASES:
            raise illegal(f"lifecycle does not support phase [{phase}]")
        actions = part(body, "actions")
        for action in actions:
            if action not in _ACTIONS or (action == "delete" and phase != "delete"):
                raise illegal(f"invalid action [{action}] defined in phase [{phase}]")
        min_age = body.get("min_age", "0ms") if isinstance(body, dict) else "0ms"
        seconds(min_age)
        filled: Json = {
            each: {**_FILLED.get(each, {}), **(options if isinstance(options, dict) else {})}
            for each, options in actions.items()
        }
        kept[phase] = {"min_age": min_age, "actions": filled}
    version = int(str(world.policies.get(name, {}).get("version", 0))) + 1
    policy: Json = {"phases": kept}
    meta = part(part(asked.body, "policy"), "_meta")
    if meta:
        policy["_meta"] = meta
    changed = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    world.policies[name] = {"version": version, "modified_date": changed, "policy": policy}
    return ACKNOWLEDGED


def get_policy(world: World, name: str) -> Json:
    if name not in world.policies:
        raise EsError(404, "resource_not_found_exception", f"Lifecycle policy not found: {name}")
    templates: list[JsonValue] = [
        template
        for template, body in world.templates.items()
        if part(part(part(body, "template"), "settings"), "index").get("lifecycle") == {"name": name}
        or part(part(body, "template"), "settings").get("index.lifecycle.name") == name
    ]
    users: Json = {
        "indices": list(world.users_of(name)),
        "data_streams": [],
        "composable_templates": templates,
    }
    return {name: {**world.policies[name], "in_use_by": users}}


def delete_policy(world: World, name: str) -> Json:
    if name not in world.policies:
        raise EsError(404, "resource_not_found_exception", f"Lifecycle policy not found: {name}")
    users = world.users_of(name)
    if users:
        listed = ", ".join(users)
        raise illegal(f"Cannot delete policy [{name}]. It is in use by one or more indices: [{listed}]")
    del world.policies[name]
    return ACKNOWLEDGED


def explain(world: World, names: list[str], query: Mapping[str, str], now: float) -> Json:
    """Answer ``GET /NAMES/_ilm/explain``."""
    found: Json = {}
    for name in names:
        state = world.indices[name]
        policy = state.settings.get("index.lifecycle.name")
        if policy is None:
            if query.get("only_managed") != "true" and query.get("only_errors") != "true":
                found[name] = {"index": name, "managed": False}
            continue
        missing = str(policy) not in world.policies
        if query.get("only_errors") == "true" and not missing:
            continue
        line: Json = {"index": name, "managed": True, "policy": policy, "age": _age_text(now - state.born_at)}
        if missing:
            reason = f"policy [{policy}] does not exist"
            line |= {"step": "ERROR", "step_info": {"type": "illegal_argument_exception", "reason": reason}}
        else:
            line |= {"phase": _phase(world, state, now), "step": "complete"}
        found[name] = line
    return {"indices": found}


def run(world: World, now: float) -> None:
    """Do what is due: roll over, then delete. A real cluster looks every ten minutes."""
    if not world.lifecycle_runs or world.faults.no_master:
        return
    for name, state in list(world.indices.items()):
        phases = _phases(world, state)
        _roll_over(world, name, part(part(phases, "hot"), "actions"), now)
        end = phases.get("delete")
        ends = isinstance(end, dict) and "delete" in part(end, "actions")
        if ends and now - state.born_at >= seconds(part(phases, "delete").get("min_age")):
            del world.indices[name]


def _roll_over(world: World, name: str, actions: Json, now: float) -> None:
    state, limits = world.indices[name], part(actions, "rollover")
    alias = str(state.settings.get("index.lifecycle.rollover_alias", ""))
    if not limits or not alias or world.writer(alias) != name or alias not in state.aliases:
        return
    is_old = "max_age" in limits and now - state.born_at >= seconds(limits["max_age"])
    is_full = "max_docs" in limits and state.documents >= int(str(limits["max_docs"]))
    found = re.fullmatch(r"(.*-)(\d+)", name)
    if found is not None and (is_old or is_full):
        following = f"{found[1]}{int(found[2]) + 1:06d}"
        create(world, following, {}, now)
        state.aliases[alias] = {"is_write_index": False}
        world.indices[following].aliases[alias] = {"is_write_index": True}
        state.born_at = now


def _phases(world: World, state: IndexState) -> Json:
    policy = world.policies.get(str(state.settings.get("index.lifecycle.name")))
    return {} if policy is None else part(part(policy, "policy"), "phases")


def _phase(world: World, state: IndexState, now: float) -> str:
    phases = _phases(world, state)
    due = [
        phase for phase in PHASES if phase in phases
        and now - state.born_at >= seconds(part(phases, phase).get("min_age"))
    ]  # fmt: skip
    return due[-1] if due else "new"


def _age_text(age_s: float) -> str:
    """Return an age as Elasticsearch writes it: 1.5d, 3h, 20.15s."""
    for unit in ("d", "h", "m", "s"):
        if age_s >= _UNITS_S[unit]:
            return f"{age_s / _UNITS_S[unit]:.2f}".rstrip("0").rstrip(".") + unit
    return f"{max(0, int(age_s * 1000))}ms"
