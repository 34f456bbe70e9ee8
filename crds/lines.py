"""Text of one line, and what a plain value of YAML is as text. What a server calls true is its own."""

from typing import Final

from pydantic import AfterValidator

_LONGEST_SETTING: Final = 1024


def one_line(longest: int) -> AfterValidator:
    """Take text of at most *longest* characters that a log or a terminal shows in one line."""

    def check(text: str) -> str:
        if len(text) > longest or not text.isprintable():
            raise ValueError(f"one line of at most {longest} characters is needed")
        return text

    return AfterValidator(check)


#: The value of a setting.
SETTING_LINE: Final = one_line(_LONGEST_SETTING)


def plain_text(value: object, true: str, false: str) -> str | None:
    """Return text, a number's digits, or *true* and *false* for what they are; None for anything else."""
    match value:
        case bool():
            return true if value else false
        case int() | float():
            return str(value)
        case str():
            return value
        case _:
            return None
