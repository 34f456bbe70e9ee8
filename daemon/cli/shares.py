"""Who gets the traffic of a service, and whether a person set that by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.cli.spans import until
from daemon.cli.values import instant, line


@dataclass(frozen=True, slots=True)
class Override:
    """What a person wants of the traffic for a while."""

    blue: int
    green: int
    until: datetime
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Shares:
    """A traffic split: percentages by colour as the record asks, and what is in force instead."""

    service: str
    percent: Mapping[str, int]
    override: Override | None

    def in_force(self, now: datetime) -> Mapping[str, int]:
        """Return the percentages that hold at *now*."""
        found = self.overridden(now)
        return self.percent if found is None else _percentages(found.blue, found.green)

    def overridden(self, now: datetime) -> Override | None:
        """Return the override that is in force at *now*, None if the record is."""
        return self.override if self.override is not None and now < self.override.until else None


@dataclass(frozen=True, slots=True)
class Freeze:
    """Nothing moves forward anywhere until then."""

    until: datetime
    reason: str
    actor: str


def shares(raw: Any) -> Shares:
    """Parse a TrafficSplit."""
    spec = raw["spec"]
    return Shares(
        service=line(spec["service"]),
        percent=_percentages(_part(spec["blue"]), _part(spec["green"])),
        override=_override(spec.get("override")),
    )


def _part(raw: Any) -> int:
    return int(raw["weight"]) if raw["state"] == "ready" else 0


def _percentages(blue: int, green: int) -> Mapping[str, int]:
    whole = blue + green
    share = round(100 * blue / whole) if whole else 0
    return {"blue": share, "green": 100 - share if whole else 0}


def _override(raw: Any) -> Override | None:
    end = instant(raw["until"]) if raw else None
    if end is None:
        return None
    return Override(int(raw["blue"]), int(raw["green"]), end, line(raw["reason"]), line(raw["actor"]))


def freeze(raw: Any) -> Freeze | None:
    """Parse the freeze of the daemon's status, None for none."""
    found = raw.get("freeze")
    end = instant(found["until"]) if found else None
    return None if end is None else Freeze(end, line(found["reason"]), line(found["actor"]))


def override_said(service: str, found: Override, now: datetime) -> str:
    """Return who has the traffic in his hands, and how to end that."""
    colors = f"blue {found.blue}, green {found.green}"
    what = f"{service}'s traffic is set by hand, {colors}, until {until(found.until, now)}"
    return f"{what}: {found.reason} [{found.actor}]"


def freeze_said(found: Freeze, now: datetime) -> str:
    """Return until when nothing moves forward, why and by whom."""
    return f"frozen until {until(found.until, now)}: {found.reason} [{found.actor}]"
