"""What psactl says and returns when it cannot do what is asked."""

import contextlib
from collections.abc import Iterator
from enum import IntEnum
from typing import IO, Any

import click


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
    """The command ends here with this code; *hint* is what to do about it."""

    def __init__(self, message: str, hint: str | None = None, code: int = Exit.FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print message and hint on stderr."""
        click.echo(f"✖ {self.message}", file=file, err=True)
        if self.hint:
            click.echo(f"  {self.hint}", file=file, err=True)


class NotFoundError(CommandError):
    """There is no such object."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, Exit.NOT_FOUND)


class UnreachableError(CommandError):
    """Nobody answers at the socket."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, Exit.UNREACHABLE)


class DeniedError(CommandError):
    """The caller may not do this."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, Exit.DENIED)


class TimedOutError(CommandError):
    """What was waited for did not come."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, Exit.TIMED_OUT)


@contextlib.contextmanager
def every_failure_is(code: int) -> Iterator[None]:
    """Let each CommandError of the block end with *code*: diff and plan have one code for all of them."""
    try:
        yield
    except CommandError as exc:
        exc.exit_code = code
        raise
