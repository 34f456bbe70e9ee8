"""Durations and instants as people write and read them. All times are UTC."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import click

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_STEPS: Final = ((86400, "d"), (3600, "h"), (60, "m"))
_EXAMPLE: Final = "2026-11-24T18:00:00Z"


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


def clock(at: datetime, now: datetime) -> str:
    """Return a time for people, with its day unless that is today."""
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def lasting(seconds: float) -> str:
    """Return a duration in its two largest units: ``4m 12s``, ``3h 28m``, ``2d 1h``."""
    left = max(int(seconds), 0)
    for (step, unit), (smaller, small) in pairwise((*_STEPS, (1, "s"))):
        if left >= step:
            rest = left % step // smaller
            return f"{left // step}{unit}{f' {rest}{small}' if rest else ''}"
    return f"{left}s"


def until(at: datetime, now: datetime) -> str:
    """Return a coming time with how far it is."""
    return f"{clock(at, now)} (in {lasting((at - now).total_seconds())})"


def seconds_in(text: str) -> float:
    """Return the seconds of a duration such as 500ms or 5m; raise ValueError for another text."""
    match = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", text)
    if match is None:
        raise ValueError(f"{text!r} is no duration, such as 60s or 5m")
    return int(match[1]) * _SECONDS[match[2]]


class Span(click.ParamType[float]):
    """A duration such as 500ms, 60s or 5m; its value is in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds; a bare number is refused, because nobody knows its unit."""
        if isinstance(value, float):
            return value
        try:
            return seconds_in(str(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class Instant(click.ParamType[datetime]):
    """A time with its zone; without one nobody knows which 18:00 is meant."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time, such as {_EXAMPLE}", param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value!r} has no time zone; with one: {_EXAMPLE}", param, ctx)
        return found.astimezone(UTC)


SPAN: Final = Span()
INSTANT: Final = Instant()


def end_of(span: float | None, at: datetime | None, now: datetime) -> datetime | None:
    """Return when something ends that was given as a duration or as a time, None if it was neither.

    Raises UsageError for both, and for a time that is over.
    """
    if span is not None and at is not None:
        raise click.UsageError("give --for or --until, not both")
    found = at if span is None else now + timedelta(seconds=span)
    if found is not None and found <= now:
        raise click.UsageError(f"{clock(found, now)} is over: it is {clock(now, now)}")
    return found
