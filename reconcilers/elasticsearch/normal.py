"""When two values are the same to Elasticsearch: it makes text of numbers, and nests what had dots. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from pydantic import JsonValue

from reconcilers.contract import Change

Leaves = Mapping[str, str]
_DURATION: Final = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(nanos|micros|ms|s|m|h|d)")
_NANOS: Final = {"nanos": 1, "micros": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DAY: Final = 24
_SIZE: Final = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(b|kb|mb|gb|tb|pb)", re.IGNORECASE)
_POWERS: Final = ("b", "kb", "mb", "gb", "tb", "pb")
_NOTHING: Final = "not set"
_SHOWN: Final = 4
_LONGEST: Final = 60


def scalar(value: JsonValue) -> str:
    """Return the one text of a value: 1 is "1", 24h is 1d, 1gb is 1024mb, a list is its parts with commas."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case list():
            return ",".join(scalar(each) for each in value)
        case _:
            return canonical(value)


def _text(text: str) -> str:
    if found := _DURATION.fullmatch(text):
        return _number(nanoseconds(text), "ns") if found[2] else text
    if found := _SIZE.fullmatch(text):
        return _number(Decimal(found[1]) * 1024 ** _POWERS.index(found[2].lower()), "bytes")
    return text


def _number(amount: Decimal, unit: str) -> str:
    return f"{amount.normalize():f}{unit}"


def nanoseconds(text: str) -> Decimal:
    """Return a duration of Elasticsearch's; ValueError if it is none."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration")
    unit = _NANOS["h"] * _DAY if found[2] == "d" else _NANOS[found[2]]
    return Decimal(found[1]) * unit


def seconds(text: str) -> float:
    """Return a duration in seconds."""
    return float(nanoseconds(text) / _NANOS["s"])


def is_true(value: JsonValue) -> bool:
    """Whether a value is true, as JSON or as text."""
    return value is True or value == "true"


def leaves(body: Mapping[str, JsonValue], prefix: str = "") -> dict[str, str]:
    """Return all values by their dotted names; an empty mapping is a value, too."""
    found: dict[str, str] = {}
    for name, value in body.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            found |= leaves(value, f"{path}.")
        else:
            found[path] = scalar(value)
    return found


def index_settings(body: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return index settings by their full names, whether or not ``index.`` was said."""
    found = {name: value for name, value in leaves(body).items() if value != "{}"}
    return {
        name if name.startswith("index.") else f"index.{name}": value for name, value in sorted(found.items())
    }


def plain_settings(body: Mapping[str, JsonValue], names: Iterable[str]) -> dict[str, JsonValue]:
    """Return those of *names* (full ones) as they were asked for, for a request."""
    asked = _as_asked(body)
    return {name: asked[name] for name in names}


def _as_asked(body: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for name, value in body.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            found |= _as_asked(value, f"{path}.")
        else:
            found[path if path.startswith("index.") else f"index.{path}"] = value
    return found


def canonical(body: JsonValue) -> str:
    """Return the one text of a body: the same content is the same step."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def changes(asked: Leaves, seen: Leaves) -> tuple[Change, ...]:
    """Return what differs, by name."""
    return tuple(
        Change(name, seen.get(name, _NOTHING), asked.get(name, _NOTHING))
        for name in sorted({*asked, *seen})
        if asked.get(name) != seen.get(name)
    )


def listed(found: Iterable[Change]) -> str:
    """Return changes for a sentence, the first ones in full."""
    every = [f"{each.path} {_short(each.old)} → {_short(each.new)}" for each in found]
    rest = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + rest


def named(names: Iterable[str], most: int = 10) -> str:
    """Return names for a sentence, the first ones and how many more there are."""
    every = list(names)
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest


def _short(text: str) -> str:
    """Return a text for a sentence; a duration in the largest unit that divides it."""
    if found := re.fullmatch(r"(\d+)ns", text):
        amount = int(found[1])
        for unit, size in (
            ("d", _DAY * _NANOS["h"]),
            ("h", _NANOS["h"]),
            ("m", _NANOS["m"]),
            ("s", _NANOS["s"]),
        ):
            if amount % size == 0:
                return f"{amount // size}{unit}"
        return f"{amount / _NANOS['ms']:g}ms"
    if found := re.fullmatch(r"(\d+)bytes", text):
        amount, power = int(found[1]), 0
        while amount and amount % 1024 == 0 and power < len(_POWERS) - 1:
            amount, power = amount // 1024, power + 1
        return f"{amount}{_POWERS[power]}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
