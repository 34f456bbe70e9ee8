"""psactl against a recorded daemon, in this process, on a terminal of 80 columns without colour."""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.main import psactl
from daemon.cli.screen import Screen
from daemon.cli.session import Session
from tests.builders_cli import a_status
from tests.builders_cli_release import a_split
from tests.fakes.recorded_daemon import RecordedDaemon, recorded_daemon

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
TERMINAL = Screen(width=80)
PIPE = Screen()


@dataclass(frozen=True)
class Ran:
    """How a run of psactl ended."""

    code: int
    out: str
    err: str


Psactl = Callable[..., Ran]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RecordedDaemon]:
    with recorded_daemon(tmp_path / "api.sock") as running:
        running.status = a_status()
        yield running


def run(session: Session, *arguments: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            psactl.main(arguments, prog_name="psactl", obj=session)
        except SystemExit as exc:
            code = int(exc.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return replace(Session(), socket=tmp_path / "api.sock", out=TERMINAL, err=TERMINAL, now=lambda: NOON)


@pytest.fixture
def terminal(session: Session) -> Psactl:
    return lambda *arguments: run(session, *arguments)


@pytest.fixture
def pipe(session: Session) -> Psactl:
    return lambda *arguments: run(replace(session, out=PIPE, err=PIPE), *arguments)


def show(
    daemon: RecordedDaemon, release: Any, *, percent: int = 50, events: Sequence[Any] = (), **split: Any
) -> None:
    """Let the daemon have one release, whose candidate green has so much of the gateway's traffic."""
    daemon.objects = [release, a_split(100 - percent, percent, **split)]
    daemon.events = list(events)
