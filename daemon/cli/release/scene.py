"""Everything that one look at the daemon tells about releases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import click

from daemon.cli.facts import Happening, Thing, happenings, things, understood
from daemon.cli.failures import NotFoundError
from daemon.cli.references import selected
from daemon.cli.release.facts import Part, Release, release
from daemon.cli.session import Session
from daemon.cli.shares import Freeze, Shares, freeze, shares

KIND: Final = "Release"
_EVENTS: Final = 200
_FIRST: Final = "a file of kind Release in the watched directory makes one"


@dataclass(frozen=True, slots=True)
class Scene:
    """A release and what is around it at ``now``; ``events`` are its own, oldest first."""

    release: Release
    shares: Mapping[str, Shares]
    freeze: Freeze | None
    events: tuple[Happening, ...]
    now: datetime

    def candidate_percent(self, part: Part) -> int | None:
        """Return the candidate's share of an entry's traffic: as seen while it is watched, else as asked."""
        figures, split = self.release.figures.get(part.service), self.shares.get(part.service)
        attempt = self.release.attempt
        if figures is not None and figures.observed is not None and attempt and attempt.is_running:
            return figures.observed
        return None if split is None else split.in_force(self.now)[part.candidate]


def scene_of(here: Session, name: str) -> Scene:
    """Look at one release; NotFoundError if it is gone."""
    raw = here.client.get("objects", KIND, name)
    return _scenes(here, [raw])[0]


def all_scenes(here: Session) -> tuple[Scene, ...]:
    """Look at all releases."""
    return _scenes(here, here.client.get("objects", KIND))


def _scenes(here: Session, raws: Sequence[Any]) -> tuple[Scene, ...]:
    splits = {each.service: each for each in map(_shares, here.client.get("objects", "TrafficSplit"))}
    frozen, now = understood(freeze, here.client.get("status")), here.now()
    return tuple(
        Scene(found, splits, frozen, events_of(here, found.thing.key), now)
        for found in (understood(release, raw) for raw in raws)
    )


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
