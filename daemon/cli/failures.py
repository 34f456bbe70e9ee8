"""What psactl says and returns when it cannot do what is asked."""

import contextlib
import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import IO, Any, ClassVar

import click

from daemon.cli.screen import Screen, Tone


class Exit(IntEnum):
    """Exit codes (DESIGN §11); ``diff`` and ``plan`` use the first three in their own sense."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    DENIED = 5
    TIMED_OUT = 7


class CommandError(click.ClickException):
    """The command ends here; *hint* is what to do about it."""

    exit_code: ClassVar[int] = Exit.FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Print message and hint on stderr."""
        screen = Screen.of(sys.stderr)
        click.echo(screen.say(Tone.BAD, self.message), file=file, err=True)
        if self.hint:
            click.echo(screen.say(Tone.PLAIN, self.hint, "  "), file=file, err=True)


class RefusedError(CommandError):
    """The daemon does not understand what is asked, or the caller chose something that cannot be."""

    exit_code = Exit.USAGE


class NotFoundError(CommandError):
    """There is no such object."""

    exit_code = Exit.NOT_FOUND


class UnreachableError(CommandError):
    """Nobody answers at the socket."""

    exit_code = Exit.UNREACHABLE


class DeniedError(CommandError):
    """The caller may not do this."""

    exit_code = Exit.DENIED


class TimedOutError(CommandError):
    """What was waited for did not come."""

    exit_code = Exit.TIMED_OUT


class ComparisonError(CommandError):
    """Nothing could be compared: diff and plan have one code for all that may go wrong."""

    exit_code = Exit.USAGE


@contextlib.contextmanager
def compared() -> Iterator[None]:
    """Turn each CommandError of the block into a ComparisonError."""
    try:
        yield
    except CommandError as exc:
        raise ComparisonError(exc.message, exc.hint) from exc


@contextlib.contextmanager
def steered() -> Iterator[None]:
    """Turn a missing daemon or object into exit code 2: 3 and 4 tell of a release itself."""
    try:
        yield
    except (NotFoundError, UnreachableError) as exc:
        raise RefusedError(exc.message, exc.hint) from exc
