"""Mappings of indices that exist: what can be added, and what only a new index can have. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from reconcilers.elasticsearch.model import Body
from reconcilers.elasticsearch.normal import scalar

#: What an index does not say of itself although it was asked for: it is what it does anyway.
DEFAULTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType({
    "type": frozenset({"object"}),
    "dynamic": frozenset({"true"}),
    "enabled": frozenset({"true"}),
    "index": frozenset({"true"}),
    "doc_values": frozenset({"true"}),
    "store": frozenset({"false"}),
    "norms": frozenset({"true", "false"}),
    "coerce": frozenset({"true"}),
    "ignore_malformed": frozenset({"false"}),
    "eager_global_ordinals": frozenset({"false"}),
    "fielddata": frozenset({"false"}),
    "term_vector": frozenset({"no"}),
    "analyzer": frozenset({"default"}),
    "similarity": frozenset({"BM25"}),
    "date_detection": frozenset({"true"}),
    "numeric_detection": frozenset({"false"}),
})  # fmt: skip
#: What of a field, or of the whole mapping, may change in an index that exists.
UPDATABLE: Final = frozenset({
    "_meta", "coerce", "copy_to", "date_detection", "dynamic", "dynamic_date_formats", "dynamic_templates",
    "eager_global_ordinals", "fielddata", "fielddata_frequency_filter", "ignore_above", "ignore_malformed",
    "meta", "numeric_detection", "runtime", "search_analyzer", "search_quote_analyzer",
})  # fmt: skip
_BELOW: Final = ("properties", "fields")


@dataclass(frozen=True, slots=True)
class MappingDifference:
    """``body`` is what a request must say; ``added`` and ``conflicts`` are for people."""

    body: Body = field(default_factory=dict)
    added: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def mapping_difference(asked: Body, seen: Body, path: str = "") -> MappingDifference:
    """Compare a mapping, or one field, with what is there; fields that were not asked for do not matter."""
    body: dict[str, JsonValue] = {}
    added: list[str] = []
    conflicts: list[str] = []
    for name, value in asked.items():
        if name in _BELOW and isinstance(value, dict):
            fields = value if name == "fields" or _is_flat(asked, seen) else _nested(value)
            below = _fields(fields, _mapping(seen.get(name)), path)
            if below.body:
                body[name] = dict(below.body)
            added += below.added
            conflicts += below.conflicts
        elif not _is_same(name, value, seen):
            where = f"{path}.{name}" if path else name
            old = scalar(seen[name]) if name in seen else "not said"
            if name in UPDATABLE:
                body[name] = value
                added.append(f"{where} {old} → {scalar(value)}")
            else:
                conflicts.append(f"{where} is {old}, {scalar(value)} is asked")
    return MappingDifference(body, tuple(added), tuple(conflicts))


def _is_flat(asked: Body, seen: Body) -> bool:
    """Whether names below have dots of their own (subobjects); else each stands for an object."""
    return scalar(asked.get("subobjects", seen.get("subobjects", True))) == "false"


def _nested(asked: Body) -> dict[str, JsonValue]:
    """Return fields with the first dot of each name made an object, as an index has them."""
    found: dict[str, JsonValue] = {name: value for name, value in asked.items() if "." not in name}
    for name, value in asked.items():
        outer, dot, inner = name.partition(".")
        if dot:
            above = _mapping(found.get(outer))
            found[outer] = {**above, "properties": {**_mapping(above.get("properties")), inner: value}}
    return found


def _fields(asked: Body, seen: Body, path: str) -> MappingDifference:
    body: dict[str, JsonValue] = {}
    added: list[str] = []
    conflicts: list[str] = []
    for name, wanted in asked.items():
        where = f"{path}.{name}" if path else name
        definition, there = _mapping(wanted), seen.get(name)
        if not isinstance(there, dict):
            body[name] = dict(definition)
            added.append(f"field {where}")
            continue
        found = mapping_difference(definition, there, where)
        conflicts += found.conflicts
        if found.body:
            # A field is said whole: what it leaves out would count as a wish for the default.
            body[name] = {**_own(there), **found.body}
            added += found.added
    return MappingDifference(body, tuple(added), tuple(conflicts))


def _own(there: Body) -> dict[str, JsonValue]:
    return {name: value for name, value in there.items() if name not in _BELOW}


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _is_same(name: str, value: JsonValue, seen: Body) -> bool:
    if name not in seen:
        return scalar(value) in DEFAULTS.get(name, ())
    return _normal(value) == _normal(seen[name])


def _normal(value: JsonValue) -> JsonValue:
    """Return a value with all texts in their normal form."""
    match value:
        case dict():
            return {name: _normal(each) for name, each in value.items()}
        case list() if any(isinstance(each, dict) for each in value):
            return [_normal(each) for each in value]
        case float() if value.is_integer():
            return scalar(int(value))
        case _:
            return scalar(value)
