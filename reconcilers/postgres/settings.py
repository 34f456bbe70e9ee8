"""When two values of a setting are the same for PostgreSQL: pure.

Units and their spelling are those of "Setting Parameters" in PostgreSQL's documentation (20.1.1), and what
unit a number has without one stands in pg_settings. What is read how, and rounded where, is parse_int,
parse_real and convert_to_base_unit of src/backend/utils/misc/guc.c; tests/contract asks a real server.
"""

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
_SIZES: Final = {"bytes": _BYTES, "time": _MICROSECONDS}
_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")
_WORDS: Final = frozenset({*_TRUE, *_FALSE})
#: More than any setting can hold, far below where numbers end.
_MOST: Final = 10**18
_NUMBER: Final = re.compile(
    r"\s*([+-]?)(0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*"
)
#: Settings whose text is a list of identifiers (GUC_LIST_QUOTE, those that a file may name).
NAME_LISTS: Final = frozenset({"search_path", "temp_tablespaces"})
#: What a text is, by the setting's name in small letters, where it is no mere text.
SORTS: Final = {
    **dict.fromkeys(NAME_LISTS, "names"),
    **dict.fromkeys(("datestyle", "log_timezone", "timezone"), "caseless"),
}
_NAME: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s,"][^\s,]*))\s*(,|$)')
#: Settings that take effect with a reload, or at the next session.
RELOADED: Final = frozenset({"sighup", "superuser-backend", "backend", "superuser", "user"})


def same(setting: Setting, wanted: str, found: str) -> bool:
    """Whether *wanted*, as a person writes it, is what the server calls *found*."""
    if setting.vartype in {"integer", "real"}:
        one, two = amount(setting, wanted), amount(setting, found)
        if one is None or two is None:
            return False
        # pg_settings shows six digits of a real number.
        return one == two or (setting.vartype == "real" and f"{one:g}" == f"{two:g}")
    if setting.vartype == "bool":
        truth = _truth(wanted)
        return truth is not None and truth == _truth(found)
    if setting.vartype == "enum":
        return _choice(setting, wanted) == _choice(setting, found)
    if setting.vartype == "names":
        return names(wanted) == names(found)
    return wanted == found or (setting.vartype == "caseless" and wanted.lower() == found.lower())


def refusal(setting: Setting, wanted: str) -> str | None:
    """Return why the server would not take *wanted*, as far as its form tells; None if it may."""
    if setting.context == "internal":
        return "it cannot be changed: it was fixed when the server was built or the cluster was made"
    if setting.vartype in {"integer", "real"}:
        return _bad_number(setting, amount(setting, wanted))
    if setting.vartype == "bool" and _truth(wanted) is None:
        return "on or off is needed"
    if setting.vartype == "enum" and _choice(setting, wanted) not in setting.choices:
        return f"one of {', '.join(setting.choices)} is needed"
    if setting.vartype == "names" and names(wanted) is None:
        return 'names with commas between them are needed, "in quotes" where they have blanks or capitals'
    return None


def _bad_number(setting: Setting, wanted: float | None) -> str | None:
    if wanted is None:
        unit = f" with a unit, its own is {setting.unit}" if setting.unit else ""
        return f"a number{unit} is needed"
    if setting.lowest is None or setting.highest is None:
        return None
    if float(setting.lowest) <= wanted <= float(setting.highest):
        return None
    return f"{shown(setting, setting.lowest)} to {shown(setting, setting.highest)} is allowed"


def shown(setting: Setting, value: str | None = None) -> str:
    """Return the value in force, or one in the setting's own unit, as a person would write it."""
    text = setting.value if value is None else value
    if setting.vartype in {"string", "names", "caseless"}:
        return text or "empty"
    match = re.fullmatch(r"(\d*)(kB|MB|B)", setting.unit or "")
    if match is None or not re.fullmatch(r"[0-9]+", text):
        # Below zero it is no amount, but a word of the setting's own, such as "no limit".
        return text if text.startswith("-") else f"{text}{setting.unit or ''}"
    size = int(text) * int(match[1] or 1) * _BYTES[match[2]]
    unit = next((unit for unit in ("TB", "GB", "MB", "kB") if size and size % _BYTES[unit] == 0), "B")
    return f"{size // _BYTES[unit]}{unit}"


def amount(setting: Setting, text: str) -> float | None:
    """Return the number that the server makes of *text*, in the setting's own unit; None if it is none."""
    match = _NUMBER.fullmatch(text)
    number = _number(match[2], is_integer=setting.vartype == "integer") if match is not None else None
    if match is None or number is None:
        return None
    number = -number if match[1] == "-" else number
    if match[3]:
        own, given = _unit(setting.unit or ""), _unit(match[3])
        if given is None or own is None or given[0] != own[0]:
            return None
        number = _rounded(number, *given) / own[1]
    return round(number) if setting.vartype == "integer" else number


def _number(text: str, *, is_integer: bool) -> float | None:
    """Read digits as C does; for integers a leading 0 is octal. What no setting can hold is None."""
    if text[:2] in {"0x", "0X"}:
        number = float(min(int(text, 16), _MOST))
    elif is_integer and re.fullmatch(r"0[0-9]+", text):
        if not re.fullmatch(r"[0-7]+", text):
            return None
        number = float(min(int(text, 8), _MOST))
    else:
        number = float(text)
    return number if number < _MOST else None


def _rounded(number: float, sort: str, size: int) -> float:
    """Return *number* units in bytes or microseconds, rounded to whole units of the next smaller sort."""
    smaller = max((each for each in _SIZES[sort].values() if each < size), default=None)
    return number * size if smaller is None else round(number * size / smaller) * smaller


def _unit(text: str) -> tuple[str, int] | None:
    """Return the sort of a unit and its size; ``8kB`` is one, too."""
    match = re.fullmatch(r"(\d*)([A-Za-z]+)", text)
    if match is None:
        return None
    times = int(match[1] or 1)
    for sort, sizes in _SIZES.items():
        if match[2] in sizes:
            return sort, times * sizes[match[2]]
    return None


def names(text: str) -> tuple[str, ...] | None:
    """Read a list of identifiers, None for what is none; without quotes capitals are small letters.

    So does SplitIdentifierString of src/backend/utils/adt/varlena.c. Empty names are left out: the server
    writes no name at all as one.
    """
    found: list[str] = []
    place = 0
    while place < len(text.rstrip()):
        match = _NAME.match(text, place)
        if match is None or (match[3] == "," and match.end() == len(text.rstrip())):
            return None
        found.append(match[2].lower() if match[1] is None else match[1].replace('""', '"'))
        place = match.end()
    return tuple(each for each in found if each)


def _truth(text: str) -> bool | None:
    """Read a truth value as PostgreSQL does: any unambiguous beginning will do."""
    said = text.lower()
    if not said or said == "o":
        return None
    if any(word.startswith(said) for word in _TRUE):
        return True
    return False if any(word.startswith(said) for word in _FALSE) else None


def _choice(setting: Setting, text: str) -> str:
    """Return how the server spells a choice; where on and off are choices, true and false are, too."""
    said = text.lower()
    spelt = {each.lower(): each for each in setting.choices}
    truth = {True: "on", False: "off", None: said}[_truth(said) if said in _WORDS else None]
    return spelt.get(said) or spelt.get(truth) or said
