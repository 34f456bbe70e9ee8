"""Single values of the daemon's JSON; what does not fit raises TypeError or ValueError."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

#: Control characters in a message of some server must not steer the reader's terminal.
_CONTROLS: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")
_CONTROLS_OF_A_TEXT: Final = {code: blank for code, blank in _CONTROLS.items() if code != ord("\n")}


def line(value: Any) -> str:
    """Return a value as one line of text."""
    return str(value).translate(_CONTROLS)


def lines(value: Any) -> str:
    """Return a value as text that may have several lines."""
    return str(value).translate(_CONTROLS_OF_A_TEXT)


def shown(value: Any) -> str:
    """Return a value as files have it: ``true`` and not ``True``, nothing for None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def optional(value: Any) -> str | None:
    """Return a value as one line of text, None for None."""
    return None if value is None else line(value)


def words(raw: Any) -> Mapping[str, str]:
    """Return a mapping of texts."""
    return {line(name): line(value) for name, value in raw.items()}


def instant(text: Any) -> datetime | None:
    """Return a time in UTC, None for None."""
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def number(value: Any) -> float | None:
    """Return a number, None for None."""
    return None if value is None else float(value)
