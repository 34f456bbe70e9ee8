"""Mappings: merged, and refused where a field would change."""

from typing import Final

from pydantic import JsonValue

from lab.es.answers import Json, illegal
from lab.es.settings import text_of

_UPDATABLE: Final = frozenset({
    "coerce", "copy_to", "dynamic", "eager_global_ordinals", "ignore_above", "ignore_malformed", "meta",
    "search_analyzer",
})  # fmt: skip
#: What an index does not say of a field, because it does it anyway.
_USUAL: Final[Json] = {"index": True, "doc_values": True, "store": False, "enabled": True}
_BELOW: Final = ("properties", "fields")


def merged(kept: Json, new: Json, path: str = "") -> Json:
    """Return a mapping with *new* in it; 400 where that changes the type or a fixed parameter of a field."""
    after = dict(kept)
    for name, value in new.items():
        if name in _BELOW and isinstance(value, dict):
            fields = _mapping(after.get(name))
            asked = _nested(value) if name == "properties" else value
            after[name] = {
                **fields,
                **{each: _field(fields, each, body, path) for each, body in asked.items()},
            }
        else:
            after[name] = text_of(value) if name == "dynamic" else value
    return after


def _nested(fields: Json) -> Json:
    """Return fields with an object for each dot in a name (subobjects, which cannot be switched off here)."""
    found: Json = {}
    for name, value in fields.items():
        outer, dot, inner = name.partition(".")
        below: Json = {"properties": {inner: value}} if dot else _mapping(value)
        kept = _mapping(found.get(outer))
        both = {**_mapping(kept.get("properties")), **_mapping(below.get("properties"))}
        found[outer] = {**kept, **below, **({"properties": both} if both else {})}
    return found


def _field(kept: Json, name: str, body: JsonValue, path: str) -> Json:
    where = f"{path}.{name}" if path else name
    new = _mapping(body)
    if name not in kept:
        _check(where, new)
        return _shown(new, where)
    old = _mapping(kept[name])
    old_type, new_type = str(old.get("type", "object")), str(new.get("type", "object"))
    if old_type != new_type:
        raise illegal(f"mapper [{where}] cannot be changed from type [{old_type}] to [{new_type}]")
    for parameter in {*old, *new} - {"type", *_BELOW} - _UPDATABLE:
        usual = _USUAL.get(parameter)
        before, after = old.get(parameter, usual), new.get(parameter, usual)
        if text_of(before) != text_of(after):
            raise illegal(
                f"Mapper for [{where}] conflicts with existing mapper:\n\tCannot update parameter"
                f" [{parameter}] from [{text_of(before)}] to [{text_of(after)}]"
            )
    return merged(old, _shown(new, where), where)


def _check(where: str, new: Json) -> None:
    if "type" not in new and "properties" not in new:
        raise illegal(f"No type specified for field [{where}]")


def _shown(new: Json, where: str) -> Json:
    """Return a field as an index gives it back."""
    found = {name: value for name, value in new.items() if name not in _USUAL or _USUAL[name] != value}
    if found.get("type") == "object" and "properties" in found:
        del found["type"]
    for below in _BELOW:
        if below in found:
            found[below] = merged({}, {below: found[below]}, where)[below]
    return found


def _mapping(value: JsonValue) -> Json:
    return value if isinstance(value, dict) else {}
