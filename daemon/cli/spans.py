"""Durations as people write and read them."""

import re
from datetime import datetime
from typing import Final

import click

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_STEPS: Final = ((86400, "d"), (3600, "h"), (60, "m"))


def age(since: datetime | None, now: datetime) -> str:
    """Return how long ago *since* is, in its largest unit (``3d``); empty for None."""
    if since is None:
        return ""
    seconds = max(int((now - since).total_seconds()), 0)
    for step, unit in _STEPS:
        if seconds >= 2 * step or (seconds >= step and unit != "m"):
            return f"{seconds // step}{unit}"
    return f"{seconds}s"


def moment(at: datetime | None) -> str:
    """Return a time as the API writes it; empty for None."""
    return "" if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Span(click.ParamType[float]):
    """A duration such as 500ms, 60s or 5m; its value is in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds; a bare number is refused, because nobody knows its unit."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", str(value))
        if match is None:
            self.fail(f"{value!r} is no duration, such as 60s or 5m", param, ctx)
        return int(match[1]) * _SECONDS[match[2]]


SPAN: Final = Span()
