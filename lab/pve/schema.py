"""The part of Proxmox's own API schema that the simulator covers: paths, parameters, permissions.

``schema.json`` is an extract of the generated ``apidata.js`` of pve-docs 8.4 and 9.1;
what both versions share is stored once.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import TypeAdapter

from lab.pve import formats, properties
from lab.pve.message import ParamValue, refused_parameters

MISSING: Final = "property is missing and it is not optional"
UNKNOWN: Final = "property is not defined in schema and the schema does not allow additional properties"
CONFLICT: Final = "duplicate parameter (already defined in URI) with conflicting values!"
TYPES: Final = {
    "integer": re.compile(r"[+-]?\d+"),
    "number": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
    "boolean": re.compile(r"[01]"),
}
INDEXED: Final = re.compile(r"(net|mp|dev|unused)(\d+)")


@dataclass(frozen=True, slots=True)
class Property:
    """One parameter, or one key of a property string."""

    type: str = "string"
    format: "str | dict[str, Property] | None" = None
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    minLength: int | None = None  # noqa: N815 - the schema's own word
    maxLength: int | None = None  # noqa: N815 - the schema's own word
    pattern: str = ""
    optional: int = 0
    default_key: int = 0


@dataclass(frozen=True, slots=True)
class Method:
    """One endpoint: *node* means that the request is proxied to the node of the path."""

    params: dict[str, Property]
    allowtoken: int
    protected: int
    node: int
    check: list[object] | None = None  # a permission expression, nested lists
    world: int = 0

    def param(self, name: str) -> Property | None:
        """Return the property called *name*; ``net3`` finds ``net[n]``."""
        found = self.params.get(name)
        indexed = INDEXED.fullmatch(name)
        if found is None and indexed:
            return self.params.get(f"{indexed[1]}[n]")
        return found


Methods: TypeAlias = dict[str, dict[str, Method]]


@dataclass(frozen=True, slots=True)
class Route:
    """A matched endpoint: its template, its schema and the parameters in its path."""

    template: str
    method: Method
    path_params: Mapping[str, str]


@cache
def load(version: str) -> Mapping[str, Mapping[str, Method]]:
    """Templates and methods of one version (``8.4`` or ``9.2``)."""
    document = json.loads((Path(__file__).parent / "schema.json").read_text())
    tables = TypeAdapter(dict[str, Methods]).validate_python(document)
    merged: Methods = {}
    for table in (tables["both"], tables[version]):
        for template, methods in table.items():
            merged.setdefault(template, {}).update(methods)
    return merged


@cache
def _patterns(version: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    templates = sorted(load(version), key=lambda template: template.count("{"))
    return tuple(
        (template, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))) for template in templates
    )


def match(version: str, method: str, path: str) -> Route | None:
    """Return the endpoint of *path*, ``None`` where the API (or this simulator) has none."""
    table = load(version)
    for template, pattern in _patterns(version):
        found = pattern.fullmatch(path)
        if found and method in table[template]:
            return Route(template, table[template][method], found.groupdict())
    return None


def as_text(value: ParamValue) -> str:
    """Perl's view of a parameter: JSON booleans are 1 and 0, everything is a string."""
    if isinstance(value, bool):
        return str(int(value))
    return str(value)


def verify(route: Route, given: Mapping[str, ParamValue]) -> dict[str, str]:
    """Check all parameters of one request.

    Raises: ApiError 400 with one text per refused parameter.
    """
    params = dict(route.path_params)
    errors: dict[str, str] = {}
    for name, value in given.items():
        if name in route.path_params and as_text(value) != route.path_params[name]:
            errors[name] = CONFLICT
        params.setdefault(name, as_text(value))
    for name, text in params.items():
        prop = route.method.param(name)
        error = UNKNOWN if prop is None else property_error(prop, name, text)
        if error:
            errors.setdefault(name, error)
    for name, prop in route.method.params.items():
        if not prop.optional and "[" not in name and name not in params:
            errors[name] = MISSING
    if errors:
        raise refused_parameters(errors)
    return params


def property_error(prop: Property, name: str, value: str) -> str:
    """Return the error text of one value, "" if it conforms."""
    kind = TYPES.get(prop.type)
    if kind is not None and not kind.fullmatch(value):
        return f"type check ('{prop.type}') failed - got '{value}'"
    if isinstance(prop.format, dict):
        return _nested_error(prop.format, name, value)
    if prop.format and (error := formats.error_of(prop.format, value)):
        return f"invalid format - {error}"
    return _range_error(prop, value) if kind is not None else _text_error(prop, value)


def _range_error(prop: Property, value: str) -> str:
    if prop.minimum is not None and float(value) < prop.minimum:
        return f"value must have a minimum value of {prop.minimum:g}"
    if prop.maximum is not None and float(value) > prop.maximum:
        return f"value must have a maximum value of {prop.maximum:g}"
    return ""


def _text_error(prop: Property, value: str) -> str:
    if prop.minLength is not None and len(value) < prop.minLength:
        return f"value must be at least {prop.minLength} characters long"
    if prop.maxLength is not None and len(value) > prop.maxLength:
        return f"value may only be {prop.maxLength} characters long"
    if prop.enum and value not in prop.enum:
        return f"value '{value}' does not have a value in the enumeration '{', '.join(prop.enum)}'"
    if prop.pattern and not re.fullmatch(_python_pattern(prop.pattern), value):
        return "value does not match the regex pattern"
    return ""


def _python_pattern(pattern: str) -> str:
    """Perl prints compiled patterns as ``(?^:…)``, which Python does not read."""
    return pattern.replace("(?^:", "(?:").replace("(?^i:", "(?:")


def default_key(format_: Mapping[str, Property]) -> str:
    return next((key for key, prop in format_.items() if prop.default_key), "")


def _nested_error(format_: Mapping[str, Property], name: str, value: str) -> str:
    given = properties.parse(value, default_key(format_))
    lines = [
        f"{name}.{key}: {MISSING}" for key, prop in format_.items() if not prop.optional and key not in given
    ]
    for key, text in given.items():
        prop = format_.get(key)
        error = UNKNOWN if prop is None else property_error(prop, key, text)
        if error:
            lines.append(f"{name}.{key}: {error}")
    return "invalid format - format error\n" + "\n".join(lines) + "\n" if lines else ""
