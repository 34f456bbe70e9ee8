"""What pydantic's complaints mean, in the words of somebody who writes YAML.

``message`` says what was found, ``notes`` what is allowed; neither names a Python type.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, UnionType
from typing import Annotated, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from daemon.sources.nearest import nearest
from daemon.sources.tree import Path

_SHOWN: Final = 40
_SHORT_LIST: Final = 12
_A_NAME: Final = "small letters, digits and -, beginning and ending with a letter or digit, 63 at most"

#: What the patterns of the models mean; a test wants a sentence for each of them.
PATTERNS: Final[Mapping[str, str]] = MappingProxyType({
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$": f"{_A_NAME}, such as psa-redis",
    r"^[a-z][a-z0-9_-]{0,31}$": "small letters, digits, _ and -, beginning with a letter, 32 at most",
    r"^[a-z][a-z0-9-]{0,31}$": "small letters, digits and -, beginning with a letter, 32 at most",
    r"^[^\x00-\x1f\x7f]*$": "text of one line, without control characters",
    r"^[A-Za-z0-9_.:-]{1,64}$": "letters, digits and _ . : -, from 1 to 64 characters",
    r"^\d{1,3}(\.\d{1,3}){0,2}$": 'a version in quotes, such as "16", "2.6" or "2.6.12"',
    r"^[a-z0-9-]{1,32}$": "small letters, digits and -, such as roundrobin, 32 at most",
    r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$": "letters, digits and - (not first or last), 63 at most",
    r"^[A-Za-z][A-Za-z0-9._-]{0,98}[A-Za-z0-9]$": "letters, digits and . _ -, beginning with a letter",
    r"^[A-Za-z][A-Za-z0-9._-]*:vztmpl/[A-Za-z0-9][A-Za-z0-9._+{}-]*\.tar\.(gz|xz|zst)$": (
        "STORAGE:vztmpl/FILE.tar.zst (or .gz, .xz), such as "
        "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
    ),
    r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$": "a bridge such as vmbr0: letters, digits and _ . -, 15 at most",
    r"^[a-z][a-z0-9]{0,14}$": "an interface such as eth0: small letters and digits, 15 at most",
    r"^[a-z0-9_][a-z0-9_.+-]{0,60}$": "small letters, digits and _ . + -, 61 at most",
    r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$": "a domain such as psa.local",
    r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,62}$": "a version such as 1.4.0: letters, digits and . + _ -, 63 at most",
    r"^psa-r-[0-9a-f]{12}$": "a stamp such as psa-r-0123456789ab",
    r"^[a-z0-9][a-z0-9.-]{0,79}$": "small letters, digits and . -, 80 at most",
    r"^[a-z][a-z0-9_-]{0,63}$": "the name of a secret: small letters, digits, _ and -, a letter first",
    r"^[a-z][a-z0-9_-]{1,62}$": "a setting of redis.conf, such as maxmemory-policy, in small letters",
    r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$": "an ACL user: letters, digits and . _ @ -, 63 at most",
    r"^(%R|%W|%RW)?~?[!-~]{1,256}$": 'a pattern of keys without blanks, such as app:* or "%R~shared:*"',
    r"^[!-~]{1,256}$": "a pattern of channels without blanks, such as app:*",
    r"^[+-]@?[A-Za-z][A-Za-z0-9_.-]*(\|[A-Za-z0-9_-]+)?$": "an ACL rule, such as +@read, -keys, +config|get",
    r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$": "a command such as FLUSHALL",
    r"^[A-Za-z0-9.:_-]{1,253}:\d{1,5}$": "HOST:PORT, such as 10.0.30.12:6379",
    r"^[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62})?$": "a setting such as work_mem, in small letters",
    r"^[A-Za-z_][A-Za-z0-9_$.@ -]{0,62}$": "letters, digits, _ $ . @ - and blanks, 63 at most",
    r"^[a-z0-9_]{1,63}$": "a slot's name: small letters, digits and _, 63 at most",
    r"^[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?$": "NAME or SCHEMA.NAME",
    r"^[A-Za-z0-9_-]{1,63}$": "letters, digits, _ and -, 63 at most",
    r"^\d{10,20}$": "a cluster's number of 10 to 20 digits, as pg_controldata shows it",
    r"^[a-z0-9][a-z0-9._-]{0,199}$": "an index or alias: small letters, digits and . _ -, not first . _ -",
    r"^[a-z0-9][a-z0-9._*-]{0,199}$": "names such as psa-logs-*: small letters, digits and . _ - *",
    r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,199}$": "letters, digits and . _ @ -, beginning with a letter or digit",
    r"^[a-z][A-Za-z0-9_*-]*(\.[A-Za-z0-9_*-]+)+$": "a setting's full name, such as action.auto_create_index",
    r"^[A-Za-z0-9_.-]{1,63}$": "letters, digits and _ . -, 63 at most",
    r"^\d{1,9}(ms|s|m|h|d)$": "an age with its unit: ms, s, m, h or d, such as 30d",
    r"^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,126}$": "letters, digits and _ . : @ -, 127 at most",
    r"^(/|/?[A-Za-z0-9][A-Za-z0-9_.:-]{0,62})$": "a virtual host: / alone, or letters, digits and _ . : -",
    r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$": "a user of the broker: letters, digits and _ . @ -, 63 at most",
    r"^[A-Za-z0-9_.*#:@/-]{0,255}$": "a routing key such as ticket.*: letters, digits and _ . * # : @ / -",
    r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$": "an argument such as x-max-length: letters, digits, _ . -, 63 at most",
    r"^\S{1,255}/\S{1,255}$": "VHOST/QUEUE, such as psa/tickets",
    r"^/[\x21-\x7e]*$": "a path that begins with /, such as /health, without spaces",
})  # fmt: skip

_KINDS: Final[Mapping[str, str]] = MappingProxyType({
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
})  # fmt: skip
_BOUNDS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType({
    "greater_than_equal": ("is too small", "at least", "ge"),
    "greater_than": ("is too small", "more than", "gt"),
    "less_than_equal": ("is too large", "at most", "le"),
    "less_than": ("is too large", "less than", "lt"),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong; ``path`` leads to the value, or to the name if that is ``about_name``."""

    path: Path
    message: str
    notes: tuple[str, ...] = ()
    about_name: bool = False


def describe(error: ErrorDetails, model: type[BaseModel], root: str, raw: str) -> Complaint:
    """Say what *error* of *model* means; *root* is the model's name in the file, *raw* what stands there."""
    kind, path = error["type"], error["loc"]
    if kind == "missing":
        return _missing(path, model, root)
    if kind == "extra_forbidden":
        return _unknown_field(path, model, root)
    if path and path[-1] == "[key]":
        message, notes = _value(error, raw)
        where = dotted(root, path[:-2])
        return Complaint(path[:-1], f"{where}: the name {message}", notes, about_name=True)
    if kind == "value_error" and isinstance(error["input"], Mapping | list):
        return _of_several(path, error["input"], str(error["ctx"]["error"]), root)
    message, notes = _value(error, raw)
    return Complaint(path, f"{dotted(root, path)}: {message}", notes)


def dotted(root: str, path: Path) -> str:
    """Return *path* below *root* as people write it: ``spec.tags[0]``."""
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def found(value: object) -> str:
    """Return a value as a person would call it."""
    match value:
        case None:
            return "nothing"
        case bool() | int() | float():
            return json.dumps(value)
        case str():
            shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
            return json.dumps(shown, ensure_ascii=False)
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a mapping"
        case _:
            return "this"


def unknown(word: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the notes for a word that is not one of *allowed*; a good guess stands for a long list."""
    close = nearest(word, allowed)
    every = (f"allowed: {', '.join(allowed)}",) if close is None or len(allowed) <= _SHORT_LIST else ()
    return (f'did you mean "{close}"?', *every) if close is not None else every


def _of_several(path: Path, value: object, sentence: str, root: str) -> Complaint:
    """Say what is wrong with fields together, at the field that *sentence* begins with, if it does."""
    head, colon, rest = sentence.partition(": ")
    below: list[str] = []
    while colon and head:
        names = value if isinstance(value, Mapping) else {}
        step = max((name for name in names if f"{head}.".startswith(f"{name}.")), key=len, default=None)
        if step is None:
            return Complaint(path, f"{dotted(root, path)}: {sentence}")
        below.append(step)
        value, head = names[step], head[len(step) + 1 :]
    path = (*path, *below)
    return Complaint(path, f"{dotted(root, path)}: {rest or sentence}")


def _missing(path: Path, model: type[BaseModel], root: str) -> Complaint:
    name, parent = str(path[-1]), path[:-1]
    said = _descriptions(model, parent).get(name)
    notes = (f"{name}: {said}",) if said else (f'add "{name}: …"',)
    return Complaint(parent, f'{dotted(root, parent)}: the field "{name}" is missing', notes)


def _unknown_field(path: Path, model: type[BaseModel], root: str) -> Complaint:
    name, parent = str(path[-1]), path[:-1]
    notes = unknown(name, tuple(sorted(_descriptions(model, parent))))
    return Complaint(path, f'{dotted(root, parent)}: there is no field "{name}"', notes, about_name=True)


def _value(error: ErrorDetails, raw: str) -> tuple[str, tuple[str, ...]]:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in _KINDS:
        return f"{_KINDS[kind]} is needed, found {found(value)}", _kind_notes(kind, value, raw)
    if kind in _BOUNDS:
        what, limit, name = _BOUNDS[kind]
        return f"{found(value)} {what}: {limit} {context[name]:g} is allowed", ()
    if kind == "enum":
        allowed = tuple(re.findall(r"'([^']*)'", str(context["expected"])))
        return f"{found(value)} is not allowed", unknown(str(value), allowed)
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"{found(value)} is not allowed", (f"allowed: {PATTERNS.get(pattern, pattern)}",)
    if kind == "value_error":
        return f"{found(value)} is not allowed", (str(context["error"]),)
    return _length_or_other(error)


def _length_or_other(error: ErrorDetails) -> tuple[str, tuple[str, ...]]:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    size = len(value) if isinstance(value, (str, list, dict)) else 0
    unit = "characters" if isinstance(value, str) else "entries"
    if kind in {"string_too_long", "too_long"}:
        return f"{size} {unit} are too many: at most {context['max_length']} are allowed", ()
    if kind in {"string_too_short", "too_short"}:
        return f"{size} {unit} are too few: at least {context['min_length']} are needed", ()
    needed = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{found(value)} is not allowed", (f"needed: {needed[:1].lower()}{needed[1:]}",)


def _kind_notes(kind: str, value: object, raw: str) -> tuple[str, ...]:
    """Return how to write what was probably meant."""
    scalar = isinstance(value, (str, int, float))
    if kind == "string_type" and scalar:
        return (f'put it in quotes if it is meant as text: "{raw or value}"',)
    if kind.startswith("bool") and isinstance(value, str) and value.lower() in {"yes", "no", "on", "off"}:
        meant = "true" if value.lower() in {"yes", "on"} else "false"
        return (f'"{value}" is a word in YAML 1.2: write {meant}',)
    if kind.startswith(("int", "float", "bool")) and isinstance(value, str) and raw[:1] in {'"', "'"}:
        return (f"write it without quotes: {value}",)
    if kind in {"tuple_type", "list_type", "set_type", "frozen_set_type"} and scalar:
        return (f"write [{raw or value}]",)
    if _KINDS[kind] == "a mapping":
        return ('write "field: value" lines below it, indented',)
    return ()


def _descriptions(model: type[BaseModel], path: Path) -> dict[str, str]:
    """Return the fields, as they are spelled in files, of the model at *path*, each with its description."""
    models: set[type[BaseModel]] = {model}
    for step in path:
        models = {inner for outer in models for inner in _below(outer, step)}
    fields = (field for found in models for field in found.model_fields.items())
    return {info.alias or name: _first_line(info.description) for name, info in fields}


def _below(model: type[BaseModel], step: str | int) -> set[type[BaseModel]]:
    for name, info in model.model_fields.items():
        if step in {info.alias, name}:
            return set(_models(info.annotation))
    return {model}  # a name in a dict or a place in a list: the annotation was looked through already


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models in *annotation*, through ``| None``, lists and dicts."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in {Union, UnionType, Annotated, tuple, list, dict}:
        for argument in get_args(annotation):
            yield from _models(argument)


def _first_line(description: str | None) -> str:
    return (description or "").split("\n", maxsplit=1)[0]
