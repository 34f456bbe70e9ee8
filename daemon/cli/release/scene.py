"""Everything that one look at the daemon tells about releases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import click

from daemon.cli.facts import Happening, Thing, daemon_status, happenings, things, understood
from daemon.cli.failures import NotFoundError
from daemon.cli.references import selected
from daemon.cli.release.facts import Part, Release, release
from daemon.cli.session import Session
from daemon.cli.shares import Freeze, Override, Shares, freeze, shares

KIND: Final = "Release"
_EVENTS: Final = 200
_FIRST: Final = "a file of kind Release in the watched directory makes one"


@dataclass(frozen=True, slots=True)
class Scene:
    """A release and what is around it at ``now``; ``events`` are its own, oldest first.

    ``observing`` says by whose word nothing is changed, and is empty in mode Enforce.
    """

    release: Release
    shares: Mapping[str, Shares]
    freeze: Freeze | None
    events: tuple[Happening, ...]
    observing: str
    now: datetime

    def candidate_percent(self, part: Part) -> int | None:
        """Return the candidate's share of an entry's traffic: as seen while it is watched, else as asked."""
        split, figures = self.shares.get(part.service), self.release.figures.get(part.service)
        asked = None if split is None else split.in_force(self.now)[part.candidate]
        attempt = self.release.attempt
        if figures is None or attempt is None or not attempt.is_running or self.overridden(part.service):
            return asked
        return asked if figures.observed is None else figures.observed

    def overridden(self, service: str) -> Override | None:
        """Return what a person wants of a service's traffic now, None if nobody took it into his hands."""
        split = self.shares.get(service)
        return None if split is None else split.overridden(self.now)


def scene_of(here: Session, name: str) -> Scene:
    """Look at one release; NotFoundError if it is gone."""
    raw = here.client.get("objects", KIND, name)
    return scenes(here, [raw], here.client.get("status"))[0]


def all_scenes(here: Session) -> tuple[Scene, ...]:
    """Look at all releases."""
    return scenes(here, here.client.get("objects", KIND), here.client.get("status"))


def scenes(here: Session, raws: Sequence[Any], status: Any) -> tuple[Scene, ...]:
    """Look at what is around releases; *raws* and *status* are the daemon's JSON."""
    splits = {each.service: each for each in map(_shares, here.client.get("objects", "TrafficSplit"))}
    now, daemon = here.now(), understood(daemon_status, status)
    frozen = _in_force(understood(freeze, status), now)
    observing = daemon.mode_text if daemon.mode == "Observe" else ""
    return tuple(
        Scene(found, splits, frozen, events_of(here, found.thing.key), observing, now)
        for found in (understood(release, raw) for raw in raws)
    )


def _in_force(found: Freeze | None, now: datetime) -> Freeze | None:
    return found if found is not None and now < found.until else None


def _shares(raw: Any) -> Shares:
    return understood(shares, raw)


def events_of(here: Session, key: str, limit: int = _EVENTS) -> tuple[Happening, ...]:
    """Return the newest events of an object, oldest first."""
    return understood(happenings, here.client.get("events", object=key, limit=limit))


def meant(here: Session, name: str | None, command: str) -> Release:
    """Return the release that is meant; without a name it must be the only one.

    NotFoundError with a guess for a wrong name, UsageError with the whole commands where several are there.
    """
    raws = here.client.get("objects", KIND)
    found = understood(things, raws)
    key = _chosen(found, name, command).key
    return next(understood(release, raw) for raw in raws if f"{KIND}/{raw['metadata']['name']}" == key)


def _chosen(found: Sequence[Thing], name: str | None, command: str) -> Thing:
    if name is not None:
        return selected([name if "/" in name else f"{KIND}/{name}"], found)[0]
    if not found:
        raise no_release()
    if len(found) > 1:
        commands = "\n".join(f"  psactl release {command} {each.name}" for each in found)
        raise click.UsageError(f"there are {len(found)} releases: say which one\n{commands}")
    return found[0]


def no_release() -> NotFoundError:
    """Return the error for a platform without releases."""
    return NotFoundError("there is no release", _FIRST)
