"""psactl wait."""

import time
from collections.abc import Sequence
from typing import Final

import click

from daemon.cli.facts import Thing, thing, things, understood
from daemon.cli.failures import TimedOutError
from daemon.cli.following import CONNECTED, follow
from daemon.cli.planning import counted
from daemon.cli.references import key_named, selected, unknown
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.spans import SPAN
from daemon.cli.states import holds, state_of

_CONDITIONS: Final = {"ready": "Ready", "synced": "Synced"}


@click.command(short_help="Wait until objects are ready.")
@click.argument("words", metavar="[KIND/NAME]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All objects; at least one must be there.")
@click.option("--for", "wanted", type=click.Choice(list(_CONDITIONS)), default="ready", show_default=True)
@click.option("--timeout", "span", type=SPAN, default="60s", show_default=True, metavar="DURATION")
@reaches_daemon
def wait(words: tuple[str, ...], wanted: str, span: float, *, every: bool) -> None:
    """Wait until objects are ready for the spec that is in force now.

    An object that does not exist yet is waited for, too: its file may just have been dropped.
    Exit code 7 when the time is over.
    """
    if bool(words) is every:
        raise click.UsageError("name objects, or give --all")
    here = session()
    waiting = _Waiting(here, words, _CONDITIONS[wanted])
    for frame in follow(here, deadline=time.monotonic() + span):
        if frame is CONNECTED:
            waiting.look(understood(things, here.client.get("objects")))
        elif frame.event == "object":
            waiting.hear(understood(thing, frame.data))
        if waiting.is_over:
            click.echo(here.out.say(Tone.GOOD, f"{counted(len(waiting.keys), 'object')} {wanted}"))
            return
    missing = waiting.missing()
    for line in missing:
        here.say(Tone.BUSY, line)
    raise TimedOutError(f"{counted(len(missing), 'object')} not {wanted} after {span:g} s")


class _Waiting:
    """Who is waited for, and how far they are."""

    def __init__(self, here: Session, words: Sequence[str], condition: str) -> None:
        self._here = here
        self._words = words
        self._condition = condition
        self._known: dict[str, Thing] = {}
        self._told: set[str] = set()
        self.keys: tuple[str, ...] = ()

    def look(self, objects: Sequence[Thing]) -> None:
        """Take in all objects; say once which ones are not there yet."""
        self._known = {found.key: found for found in objects}
        self.keys = self._meant(objects)
        for key in self.keys:
            if key not in self._known and key not in self._told:
                self._told.add(key)
                self._here.say(
                    Tone.BUSY, f"{unknown(key, objects).message} yet; {unknown(key, objects).hint}"
                )

    def _meant(self, objects: Sequence[Thing]) -> tuple[str, ...]:
        if not self._words:
            return tuple(self._known)
        named = [key for word in self._words if (key := key_named(word))]
        others = [word for word in self._words if "/" not in word]
        found = [each.key for each in selected(others, objects)] if others else []
        return tuple(dict.fromkeys([*named, *found]))

    def hear(self, found: Thing) -> None:
        """Take in one object."""
        self._known[found.key] = found
        if not self._words:
            self.keys = tuple(self._known)

    @property
    def is_over(self) -> bool:
        """Whether all are as wanted; nobody is not all."""
        return bool(self.keys) and all(
            (found := self._known.get(key)) is not None and holds(found, self._condition) for key in self.keys
        )

    def missing(self) -> list[str]:
        """Return a line for each object that is not as wanted."""
        lines = []
        for key in self.keys:
            found = self._known.get(key)
            if found is None:
                lines.append(f"{key}: there is no such object")
            elif not holds(found, self._condition):
                state = state_of(found)
                lines.append(f"{key}: {state.word}{f': {state.message}' if state.message else ''}")
        return lines or ["there are no objects"]
