"""psactl wait."""

import time
from collections.abc import Sequence
from typing import Final

import click

from daemon.cli.facts import FileProblem, Thing, thing, understood
from daemon.cli.failures import CommandError, TimedOutError
from daemon.cli.following import CONNECTED, follow
from daemon.cli.planning import counted
from daemon.cli.references import key_named, selected, unknown
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.spans import SPAN
from daemon.cli.states import holds, is_refused, is_seen, state_of

_CONDITIONS: Final = {"ready": "Ready", "synced": "Synced"}


@click.command(short_help="Wait until objects are ready.")
@click.argument("words", metavar="[KIND/NAME]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All objects; at least one must be there.")
@click.option("--for", "wanted", type=click.Choice(list(_CONDITIONS)), default="ready", show_default=True)
@click.option("--timeout", "span", type=SPAN, default="60s", show_default=True, metavar="DURATION")
@reaches_daemon
def wait(words: tuple[str, ...], wanted: str, span: float, *, every: bool) -> None:
    """Wait until objects are ready for what their files ask for now, however short ago they were saved.

    An object that does not exist yet is waited for, too: its file may just have been dropped.
    Exit code 7 when the time is over, 1 if a file is refused: then waiting does not help.
    """
    if bool(words) is every:
        raise click.UsageError("name objects, or give --all")
    here, deadline = session(), time.monotonic() + span
    waiting = _Waiting(here, words, _CONDITIONS[wanted])
    for frame in follow(here, deadline=deadline):
        if frame is CONNECTED:
            problems = _problems(here, deadline)
            waiting.look(here.known_objects())
            waiting.refuse(problems)
        elif frame.event == "object":
            waiting.hear(understood(thing, frame.data))
        if waiting.is_over:
            click.echo(here.out.say(Tone.GOOD, f"{counted(len(waiting.keys), 'object')} {wanted}"))
            return
    missing = waiting.missing()
    for line in missing:
        here.say(Tone.BUSY, line)
    raise TimedOutError(f"{counted(len(missing), 'object')} not {wanted} after {span:g} s")


def _problems(here: Session, deadline: float) -> tuple[FileProblem, ...]:
    """Let the daemon read the files, and return what is wrong with them; raise TimedOutError."""
    while not (source := here.source()).is_current:
        if time.monotonic() >= deadline:
            raise TimedOutError("the daemon cannot read the directory")
    if not source.healthy:
        here.say(Tone.BAD, f"{source.message or 'not read'}; the last good objects stay in force")
    return source.problems


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

    def refuse(self, problems: Sequence[FileProblem]) -> None:
        """Raise CommandError if a file that is waited for is refused: only a person can help there."""
        missing = {key for key in self.keys if key not in self._known}
        refused = [found for key in self.keys for found in self._line_of(key) if is_refused(found)]
        places = {(found.origin or "").rpartition(":")[0] for found in refused}
        keys = {None, *(found.key for found in refused)}
        theirs = [
            problem.rendered.rstrip()
            for problem in problems
            if not self._words or problem.key in missing or (problem.file in places and problem.key in keys)
        ]
        if refused or theirs:
            raise CommandError("\n".join(["refused, and the last good stays in force:", *theirs]))

    def _line_of(self, key: str) -> tuple[Thing, ...]:
        """Return the object, its owner, the owner's owner …, as far as they are there."""
        found = self._known.get(key)
        if found is None:
            return ()
        return (found, *(self._line_of(found.owner) if found.owner else ()))

    def hear(self, found: Thing) -> None:
        """Take in one object."""
        self._known[found.key] = found
        if not self._words:
            self.keys = tuple(self._known)
        if is_refused(found):
            self.refuse(self._here.source().problems)

    def _is_right(self, key: str) -> bool:
        """Whether the object is as wanted, and its owners have passed on what their files ask for."""
        line = self._line_of(key)
        return bool(line) and holds(line[0], self._condition) and all(map(is_seen, line[1:]))

    def _unseen_owner(self, key: str) -> Thing:
        return next(each for each in self._line_of(key)[1:] if not is_seen(each))

    @property
    def is_over(self) -> bool:
        """Whether all are as wanted; nobody is not all."""
        return bool(self.keys) and all(map(self._is_right, self.keys))

    def missing(self) -> list[str]:
        """Return a line for each object that is not as wanted."""
        lines = []
        for key in self.keys:
            found = self._known.get(key)
            if found is None:
                lines.append(f"{key}: there is no such object")
            elif not self._is_right(key):
                behind = found if not holds(found, self._condition) else self._unseen_owner(key)
                state = state_of(behind)
                head = key if behind is found else f"{key}: its owner {behind.key}"
                lines.append(f"{head}: {state.word}{f': {state.message}' if state.message else ''}")
        return lines or ["there are no objects"]
