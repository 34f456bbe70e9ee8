"""When two values of a setting are the same for PostgreSQL: pure.

Units and their spelling are those of "Setting Parameters" in PostgreSQL's documentation (20.1.1), and what
unit a number has without one stands in pg_settings.
"""

import math
import re
from typing import Final

from reconcilers.postgres.model import Setting

_BYTES: Final = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_MICROSECONDS: Final = {
    "us": 1,
    "ms": 1000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")
_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|0x[0-9a-fA-F]+)\s*([A-Za-z]*)\s*")
#: Settings that take effect with a reload, or at the next session.
RELOADED: Final = frozenset({"sighup", "superuser-backend", "backend", "superuser", "user"})


def same(setting: Setting, wanted: str, found: str) -> bool:
    """Whether *wanted*, as a person writes it, is what the server calls *found*."""
    if setting.vartype in {"integer", "real"}:
        one, two = _amount(setting, wanted), _amount(setting, found)
        return one is not None and two is not None and math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-12)
    if setting.vartype == "bool":
        truth = _truth(wanted)
        return truth is not None and truth == _truth(found)
    if setting.vartype == "enum":
        return _choice(setting, wanted) == _choice(setting, found)
    return wanted == found


def refusal(setting: Setting, wanted: str) -> str | None:
    """Return why the server would not take *wanted*, as far as its form tells; None if it may."""
    if setting.context == "internal":
        return "it cannot be changed: it was fixed when the server was built or the cluster was made"
    if setting.vartype in {"integer", "real"} and _amount(setting, wanted) is None:
        unit = f" with a unit, its own is {setting.unit}" if setting.unit else ""
        return f"a number{unit} is needed"
    if setting.vartype == "bool" and _truth(wanted) is None:
        return "on or off is needed"
    if setting.vartype == "enum" and _choice(setting, wanted) not in setting.choices:
        return f"one of {', '.join(setting.choices)} is needed"
    return None


def shown(setting: Setting) -> str:
    """Return the value in force as a person would write it."""
    if setting.vartype == "string":
        return setting.value or "empty"
    match = re.fullmatch(r"(\d*)(kB|MB|B)", setting.unit or "")
    if match is None or not re.fullmatch(r"\d+", setting.value):
        return f"{setting.value}{setting.unit or ''}"
    amount = int(setting.value) * int(match[1] or 1) * _BYTES[match[2]]
    unit = next((unit for unit in ("TB", "GB", "MB", "kB") if amount and amount % _BYTES[unit] == 0), "B")
    return f"{amount // _BYTES[unit]}{unit}"


def _amount(setting: Setting, text: str) -> float | None:
    """Return *text* in bytes, microseconds, or as it is; integers are rounded to whole units."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    number = float(int(match[1], 16)) if match[1].startswith("0x") else float(match[1])
    own = _unit(setting.unit or "")
    if not match[2]:
        size = own[1] if own is not None else 1
        return (round(number) if setting.vartype == "integer" else number) * size
    given = _unit(match[2])
    if given is None or own is None or given[0] != own[0]:
        return None
    whole = number * given[1] / own[1]
    return (round(whole) if setting.vartype == "integer" else whole) * own[1]


def _unit(text: str) -> tuple[str, int] | None:
    """Return the sort of a unit and its size; ``8kB`` is one, too."""
    match = re.fullmatch(r"(\d*)([A-Za-z]+)", text)
    if match is None:
        return None
    times = int(match[1] or 1)
    for sort, sizes in (("bytes", _BYTES), ("time", _MICROSECONDS)):
        if match[2] in sizes:
            return sort, times * sizes[match[2]]
    return None


def _truth(text: str) -> bool | None:
    """Read a truth value as PostgreSQL does: any unambiguous beginning will do."""
    said = text.strip().lower()
    if not said or said == "o":
        return None
    if any(word.startswith(said) for word in _TRUE):
        return True
    return False if any(word.startswith(said) for word in _FALSE) else None


def _choice(setting: Setting, text: str) -> str:
    """Return how the server spells a choice; where on and off are choices, true and false are, too."""
    said = text.strip().lower()
    if said in setting.choices:
        return said
    truth = _truth(said)
    word = {True: "on", False: "off", None: said}[truth]
    return word if word in setting.choices else said
