"""Indices and aliases: made from templates, changed where they may be, moved in one piece."""

import copy
import fnmatch
import hashlib
import re
from typing import Final

from pydantic import JsonValue

from lab.es.answers import ACKNOWLEDGED, Asked, EsError, Json, illegal, no_index, part
from lab.es.mappings import merged
from lab.es.settings import flat, index_settings, is_static, nested
from lab.es.world import IndexState, World, settings_of

_BAD: Final = re.compile(r'[\\/*?"<>| ,#:A-Z]')
_FLOOD: Final = "index.blocks.read_only_allow_delete"
_NON_DYNAMIC: Final = (
    "Can't update non dynamic settings [[{}]] for open indices unless the `reopen` query parameter is set to"
    " true. Alternatively, close the indices, apply the settings changes, and reopen the indices"
)
_CREATED: Final = "8512000"


def create(world: World, name: str, body: JsonValue, now: float) -> Json:
    """Make an index from the best template that matches, and from the request above it."""
    if _BAD.search(name) or name.startswith(("-", "_", "+")) or name in {".", ".."}:
        reason = f"Invalid index name [{name}], must be lowercase and must not contain special characters"
        raise EsError(400, "invalid_index_name_exception", reason, more={"index": name})
    if name in world.indices:
        kind = "resource_already_exists_exception"
        raise EsError(400, kind, f"index [{name}/{_uuid(name, 0)}] already exists", more={"index": name})
    if world.holders(name):
        raise EsError(
            400, "invalid_index_name_exception", f"Invalid index name [{name}], already exists as alias"
        )
    settings: Json = {"index.number_of_shards": "1", "index.number_of_replicas": "1"}
    mappings: Json = {}
    aliases: dict[str, Json] = {}
    for layer in (*_layers(world, name), body):
        settings |= index_settings(settings_of(layer))
        mappings = merged(mappings, part(layer, "mappings"))
        aliases |= {alias: _options(options) for alias, options in part(layer, "aliases").items()}
    settings |= {
        "index.creation_date": str(int(now * 1000)),
        "index.provided_name": name,
        "index.routing.allocation.include._tier_preference": "data_content",
        "index.uuid": _uuid(name, now),
        "index.version.created": _CREATED,
    }
    after = {**world.indices, name: IndexState(settings, mappings, aliases, born_at=now)}
    _check_aliases(after)
    world.indices = after
    return {"acknowledged": True, "shards_acknowledged": True, "index": name}


def _layers(world: World, name: str) -> list[JsonValue]:
    """Return what a new index gets, the weakest first."""
    matching = [
        body
        for body in world.templates.values()
        if any(fnmatch.fnmatchcase(name, str(each)) for each in _list(body.get("index_patterns")))
    ]
    if not matching:
        return []
    best = max(matching, key=lambda body: int(str(body.get("priority", 0))))
    parts = [world.components[str(each)].get("template") for each in _list(best.get("composed_of"))]
    return [*parts, best.get("template")]


def get(world: World, asked: Asked, names: str, *, only_settings: str | None = None) -> Json:
    """Answer ``GET /NAMES`` and ``GET /NAMES/_settings/PATTERN``."""
    found: Json = {}
    is_flat = asked.query.get("flat_settings") == "true"
    for name in world.resolve(names, lenient=asked.query.get("ignore_unavailable") == "true"):
        state = world.indices[name]
        patterns = (only_settings or "*").split(",")
        shown = {
            key: value
            for key, value in state.settings.items()
            if any(fnmatch.fnmatchcase(key, each) for each in patterns)
        }
        settings = shown if is_flat else nested(shown)
        if only_settings is None:
            aliases: Json = {alias: dict(options) for alias, options in state.aliases.items()}
            found[name] = {"aliases": aliases, "mappings": state.mappings, "settings": settings}
        elif shown:
            found[name] = {"settings": settings}
    return found


def put_settings(world: World, name: str, body: JsonValue) -> Json:
    """Change settings of an open index; null takes one away."""
    asked = body if isinstance(body, dict) else {}
    inner = asked.get("settings", asked)
    every = flat(inner if isinstance(inner, dict) else {})
    wanted = index_settings({key: "0" if value is None else value for key, value in every.items()})
    fixed = sorted(key for key in wanted if is_static(key.removeprefix("index.")))
    if fixed:
        raise illegal(_NON_DYNAMIC.format(", ".join(fixed)))
    only_blocks = all(key.startswith("index.blocks.") for key in wanted)
    for each in world.resolve(name):
        _check_open(world, each, unless=only_blocks)
        for key, value in every.items():
            full = f"index.{key.removeprefix('index.')}"
            if value is None:
                world.indices[each].settings.pop(full, None)
            else:
                world.indices[each].settings[full] = value
    return ACKNOWLEDGED


def put_mapping(world: World, name: str, body: JsonValue) -> Json:
    """Add to the mapping of an index."""
    for each in world.resolve(name):
        _check_open(world, each)
        state = world.indices[each]
        state.mappings = merged(state.mappings, body if isinstance(body, dict) else {})
    return ACKNOWLEDGED


def delete(world: World, name: str) -> Json:
    """Delete an index, with its documents."""
    if "*" in name:
        raise illegal("Wildcard expressions or all indices are not allowed")
    if name not in world.indices:
        if world.holders(name):
            raise illegal(
                f"The provided expression [{name}] matches an alias, specify the corresponding concrete"
                " indices instead."
            )
        raise no_index(name)
    del world.indices[name]
    return ACKNOWLEDGED


def get_aliases(world: World, names: str | None) -> tuple[int, Json]:
    """Answer ``GET /_alias/NAMES``: 404 where one is missing, with those that are there."""
    wanted = None if names is None else names.split(",")
    found: Json = {}
    for name, state in sorted(world.indices.items()):
        shown: Json = {
            alias: dict(options)
            for alias, options in state.aliases.items()
            if wanted is None or any(fnmatch.fnmatchcase(alias, each) for each in wanted)
        }
        if shown or wanted is None:
            found[name] = {"aliases": shown}
    missing = [each for each in wanted or () if "*" not in each and not world.holders(each)]
    if missing:
        return 404, {"error": f"alias [{','.join(missing)}] missing", "status": 404, **found}
    return 200, found


def change_aliases(world: World, body: JsonValue) -> Json:
    """Carry out all actions, or none."""
    after = copy.deepcopy(world.indices)
    for action in _list(part({"": body}, "").get("actions")):
        if not isinstance(action, dict):
            raise illegal("[aliases] malformed action")
        (verb, what), *_ = action.items()
        index, alias = str(part({"": what}, "").get("index")), str(part({"": what}, "").get("alias"))
        if index not in after:
            raise no_index(index)
        _check_open(world, index)
        if verb == "remove":
            if after[index].aliases.pop(alias, None) is None:
                raise EsError(404, "aliases_not_found_exception", f"aliases [{alias}] missing")
        elif verb == "add":
            more = {
                key: value for key, value in part({"": what}, "").items() if key not in {"index", "alias"}
            }
            after[index].aliases[alias] = _options(more)
        else:
            raise illegal(f"[aliases] unknown field [{verb}]")
    _check_aliases(after)
    world.indices = after
    return {"acknowledged": True, "errors": False}


def write_document(world: World, name: str, now: float) -> Json:
    """Take a document; an index that is missing is made, unless action.auto_create_index forbids it."""
    target = world.writer(name)
    if target not in world.indices:
        if not _may_create(world, target):
            raise EsError(
                404, "index_not_found_exception", f"no such index [{target}]", more={"index": target}
            )
        create(world, target, {}, now)
    _check_open(world, target)
    world.indices[target].documents += 1
    return {"_index": target, "_id": str(world.indices[target].documents), "result": "created"}


def _may_create(world: World, name: str) -> bool:
    rule = str({**world.persistent, **world.transient}.get("action.auto_create_index", "true"))
    if rule in {"true", "false"}:
        return rule == "true"
    return any(fnmatch.fnmatchcase(name, each.strip().removeprefix("+")) for each in rule.split(","))


def _check_open(world: World, name: str, *, unless: bool = False) -> None:
    settings = world.indices[name].settings
    if unless:
        return
    if settings.get(_FLOOD) == "true":
        reason = (
            f"index [{name}] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark,"
            " index has read-only-allow-delete block];"
        )
        raise EsError(429, "cluster_block_exception", reason)
    if settings.get("index.blocks.read_only") == "true":
        reason = f"index [{name}] blocked by: [FORBIDDEN/5/index read-only (api)];"
        raise EsError(403, "cluster_block_exception", reason)


def _check_aliases(indices: dict[str, IndexState]) -> None:
    writers: dict[str, list[str]] = {}
    for name, state in indices.items():
        for alias, options in state.aliases.items():
            if alias in indices:
                why = "an index or data stream exists with the same name as the alias"
                reason = f"Invalid alias name [{alias}]: {why}"
                raise EsError(400, "invalid_alias_name_exception", reason)
            if options.get("is_write_index"):
                writers.setdefault(alias, []).append(name)
    for alias, found in writers.items():
        if len(found) > 1:
            reason = f"alias [{alias}] has more than one write index [{','.join(sorted(found))}]"
            raise EsError(500, "illegal_state_exception", reason)


def _options(options: JsonValue) -> Json:
    found = dict(options) if isinstance(options, dict) else {}
    routing = found.pop("routing", None)
    return found if routing is None else {"index_routing": routing, "search_routing": routing, **found}


def _uuid(name: str, now: float) -> str:
    return hashlib.sha256(f"{name}{now}".encode()).hexdigest()[:22]


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
