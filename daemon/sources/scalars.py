"""What a plain scalar means: YAML 1.2's core schema, and nothing that surprises.

``no``, ``on``, ``22:30``, ``010`` and dates are the text that they look like. Unlike the core schema, numbers
with a leading zero are text (``010`` is neither 8 nor 10), and infinities are refused: none is ever needed.
"""

import re
from typing import Final

Scalar = str | int | float | bool | None

_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_PREFIXED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_REAL: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
#: Longer numbers cost quadratic time to read, and no field takes one.
_LONGEST_NUMBER: Final = 40


class NumberError(ValueError):
    """A number that no field can take; the text says why."""


def resolve(text: str) -> Scalar:
    """Return the value of a plain scalar; raise NumberError for one that is too long or not finite."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    return _number(text)


def _number(text: str) -> Scalar:
    if _NOT_FINITE.fullmatch(text):
        raise NumberError(f"{text} is not a finite number")
    if len(text) > _LONGEST_NUMBER:
        return _long(text)
    if _INTEGER.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text, 0)
    return _real(text) if _REAL.fullmatch(text) else text


def _long(text: str) -> str:
    if any(form.fullmatch(text) for form in (_INTEGER, _PREFIXED, _REAL)):
        raise NumberError(f"a number of {len(text)} characters: at most {_LONGEST_NUMBER} are read")
    return text


def _real(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise NumberError(f"{text} is too large for a number")
    return value
