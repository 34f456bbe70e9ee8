"""Regular expressions of RabbitMQ, which are PCRE's, as far as they mean the same here and end soon."""

import re
from typing import Final

#: Classes that PCRE knows by a name, and Python takes for their letters.
_CLASSES: Final = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "digit": "0-9",
    "lower": "a-z",
    "space": r"\s",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "A-Fa-f0-9",
}
_CLASS: Final = re.compile(r"\[:(\^?\w{1,16}):\]")
_LITERAL: Final = re.compile(r"\\.|\[\^?\]?[^\]]*\]")
_REPETITION: Final = re.compile(r"[*+{]")
_MOST_REPETITIONS: Final = 2
_OPTION: Final = re.compile(r"(?<!\()\?")
_MOST_OPTIONS: Final = 8
_OFTEN: Final = re.compile(r"\)[*+{]")
_REFERENCE: Final = re.compile(r"\\[1-9gk]|\(\?P?=|\(\?\(")


def understood(text: str) -> re.Pattern[str]:
    """Compile an expression. ValueError where it is none, or not one that Python has, too."""
    try:
        return re.compile(_CLASS.sub(_letters, text), re.ASCII)
    except re.error as exc:
        raise ValueError(f"no regular expression: {exc}") from None


def quick(text: str) -> re.Pattern[str]:
    """Compile an expression that no name can keep busy. ValueError where it is none, or may take long.

    Python tries all ways: ``(a+)+$`` takes twice as long for each letter more, and nothing can end it.
    """
    found = understood(text)
    bare = _LITERAL.sub("x", _CLASS.sub(_letters, text))
    is_slow = (
        _OFTEN.search(bare)
        or len(_REPETITION.findall(bare)) > _MOST_REPETITIONS
        or len(_OPTION.findall(bare)) > _MOST_OPTIONS
        or _REFERENCE.search(text)
    )
    if is_slow:
        raise ValueError(
            "it cannot be told soon what it matches: no group that repeats, no reference to one, and at most"
            f" {_MOST_REPETITIONS} of * + {{}} are possible"
        )
    return found


def _letters(named: re.Match[str]) -> str:
    if named[1] not in _CLASSES:
        raise re.error(f"the class {named[0]} is not known here")
    return _CLASSES[named[1]]
