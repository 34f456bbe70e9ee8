"""What every command has: the daemon's socket, the screen and the clock."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from daemon.cli.client import DaemonClient
from daemon.cli.facts import (
    DaemonStatus,
    SourceState,
    Thing,
    daemon_status,
    source_state,
    things,
    understood,
)
from daemon.cli.screen import Screen, Tone

DEFAULT_SOCKET: Final = "/run/psa-reconciler/api.sock"
Command = TypeVar("Command", bound=Callable[..., Any])


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Session:
    """One run of psactl. *out* and *err* describe the two streams."""

    socket: Path = Path(DEFAULT_SOCKET)
    out: Screen = field(default_factory=Screen)
    err: Screen = field(default_factory=Screen)
    now: Callable[[], datetime] = _now

    @property
    def client(self) -> DaemonClient:
        """The daemon's API."""
        return DaemonClient(self.socket)

    def objects(self) -> tuple[Thing, ...]:
        """Return all objects, by kind and name, as the files ask for them now."""
        self.catch_up()
        return self.known_objects()

    def known_objects(self) -> tuple[Thing, ...]:
        """Return all objects as the daemon knows them."""
        return understood(things, self.client.get("objects"))

    def catch_up(self) -> None:
        """Let the daemon read the files before anything else is asked, and say what it did not take."""
        found = self.source()
        if not found.is_current:
            self.say(Tone.BUSY, "reading the directory takes long: what follows may be older than the files")
        elif not found.healthy:
            self.say(Tone.BAD, f"{found.message or 'not read'}; the last good objects stay in force")
        elif found.problems:
            files = len({problem.file for problem in found.problems})
            are = "1 file is" if files == 1 else f"{files} files are"
            self.say(Tone.BAD, f"{are} refused, the last good stays in force: psactl status shows why")

    def source(self) -> SourceState:
        """Let the daemon read the files now, and return what came of it."""
        return understood(source_state, self.client.post("catch-up", {}))

    def status(self) -> DaemonStatus:
        """Return how the daemon is."""
        return understood(daemon_status, self.client.get("status"))

    def say(self, tone: Tone, text: str) -> None:
        """Tell the person something that is no part of the output."""
        click.echo(self.err.say(tone, text), err=True)

    def warn_of_observe_mode(self) -> None:
        """Say that nothing is changed, if that is so (DESIGN §3)."""
        status = self.status()
        if status.mode == "Observe":
            self.say(Tone.HELD, f"mode {status.mode_text}")


def session() -> Session:
    """Return the session of the command that runs."""
    found = click.get_current_context().find_root().obj
    if not isinstance(found, Session):
        raise TypeError(f"the root context holds {found!r}")
    return found


def _set_socket(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        root = ctx.find_root()
        root.obj = replace(root.obj, socket=Path(value))


def socket_from_environment() -> Path:
    """Return PSA_SOCKET, or where the daemon's socket is by default."""
    return Path(os.environ.get("PSA_SOCKET") or DEFAULT_SOCKET)


#: ``--socket PATH``, before or after the command's name.
reaches_daemon: Final = click.option(
    "--socket",
    metavar="PATH",
    expose_value=False,
    callback=_set_socket,
    help=f"The daemon's socket; also PSA_SOCKET. Default {DEFAULT_SOCKET}.",
)
