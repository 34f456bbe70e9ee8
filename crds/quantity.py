"""Amounts as people write them: ``4Gi``, ``10m``, ``200ms``, ``0.1%``; without a unit only zero is clear."""

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_MEBIBYTES: Final = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _mebibytes(value: object) -> object:
    # A list or a mapping has no hash: only what can be a zero is looked up.
    if isinstance(value, str | int) and not isinstance(value, bool) and value in {"0", 0}:
        return 0
    match = re.fullmatch(r"(\d{1,9})(Mi|Gi|Ti)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("an amount with its unit is needed: Mi, Gi or Ti, such as 512Mi or 4Gi")
    return int(match[1]) * _MEBIBYTES[match[2]]


def _gibibytes(value: object) -> object:
    amount = _mebibytes(value)
    if not isinstance(amount, int) or amount % 1024:
        raise ValueError("a whole number of gibibytes is needed, such as 10Gi")
    return amount // 1024


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration with its unit is needed: ms, s, m, h or d, such as 30s or 10m")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _share(value: object) -> object:
    if isinstance(value, float):
        return value
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a percentage is needed, such as 0.1%")
    return round(float(match[1]) / 100, 9)


def share_text(share: float) -> str:
    """Write a share of 1 as a percentage."""
    return f"{share * 100:.6f}".rstrip("0").rstrip(".") + "%"


def mebibytes_text(amount: int) -> str:
    """Write *amount* MiB with the largest unit that divides it."""
    for unit in ("Ti", "Gi"):
        if amount and amount % _MEBIBYTES[unit] == 0:
            return f"{amount // _MEBIBYTES[unit]}{unit}"
    return f"{amount}Mi" if amount else "0"


def duration_text(duration: timedelta) -> str:
    """Write *duration* with the largest unit that divides it."""
    milliseconds = round(duration / timedelta(milliseconds=1))
    for unit in ("d", "h", "m", "s"):
        step = round(_SECONDS[unit] * 1000)
        if milliseconds % step == 0 and milliseconds >= step:
            return f"{milliseconds // step}{unit}"
    return f"{milliseconds}ms"


MemoryMiB = Annotated[
    int,
    BeforeValidator(_mebibytes),
    Field(ge=0),
    PlainSerializer(mebibytes_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(0|\d{1,9}(Mi|Gi|Ti))$", "examples": ["512Mi", "4Gi"]}),
]
DiskGiB = Annotated[
    int,
    BeforeValidator(_gibibytes),
    Field(ge=1),
    PlainSerializer(lambda amount: f"{amount}Gi", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,9}(Gi|Ti)$", "examples": ["10Gi", "1Ti"]}),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,9}(ms|s|m|h|d)$", "examples": ["30s", "10m"]}),
]
Share = Annotated[
    float,
    BeforeValidator(_share),
    Field(gt=0, lt=1),
    PlainSerializer(share_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,3}(\.\d{1,6})?%$", "examples": ["0.1%"]}),
]
