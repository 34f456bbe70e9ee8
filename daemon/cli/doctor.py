"""psactl doctor."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from daemon.cli.facts import DaemonStatus
from daemon.cli.failures import CommandError, Exit
from daemon.cli.machine import Check, check_machine
from daemon.cli.planning import counted
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session

_STATE: Final = "/var/lib/psa-reconciler"
_SETTINGS: Final = "/etc/psa-reconciler/config.yaml"


@click.command(short_help="Check what the daemon needs, with remedies.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    envvar="PSA_STATE",
    help=f"The state directory. Default: the daemon's own; {_STATE} where none answers.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="PSA_CONFIG",
    help=f"The settings. Default: the daemon's own; {_SETTINGS} where none answers.",
)
@reaches_daemon
@click.pass_context
def doctor(ctx: click.Context, state: Path | None, config: Path | None) -> None:
    """Check what the daemon needs. Each ✖ has its remedy; exit code 1 if there is one."""
    here = session()
    found = _asked(here)
    if isinstance(found, DaemonStatus):
        state, config = state or found.state, config or found.settings
    home, settings = Path(__file__).parents[2], config or Path(_SETTINGS)
    checks = [*check_machine(home, settings, state or Path(_STATE)), *_daemon(here, found)]
    for check in checks:
        click.echo(here.out.say(check.tone, check.text))
        if check.detail:
            click.echo(textwrap.indent(check.detail, "  "))
        if check.remedy:
            click.echo(here.out.say(Tone.PLAIN, f"→ {check.remedy}", "  "))
    ctx.exit(Exit.FAILED if any(check.tone is Tone.BAD for check in checks) else Exit.OK)


def _asked(here: Session) -> DaemonStatus | CommandError:
    try:
        return here.status()
    except CommandError as exc:
        return exc


def _daemon(here: Session, status: DaemonStatus | CommandError) -> Iterator[Check]:
    if isinstance(status, CommandError):
        yield Check(Tone.BAD, status.message, status.hint or "journalctl -u psa-reconciler")
        return
    yield Check(Tone.GOOD, f"the daemon answers at {here.socket}, version {status.version}")
    yield _mode(status)
    yield from _source(status)
    for each in status.endpoints:
        yield _endpoint(each.name, each.system, is_up=each.up)
    yield _objects(status)


def _mode(status: DaemonStatus) -> Check:
    if status.mode == "Observe":
        return Check(Tone.HELD, f"mode {status.mode_text}", "psactl mode Enforce, or mode in the settings")
    return Check(Tone.GOOD, f"mode {status.mode_text}")


def _source(status: DaemonStatus) -> Iterator[Check]:
    if not status.source_healthy:
        remedy = "make it readable again; until then the last good objects stay in force"
        yield Check(Tone.BAD, f"watched directory: {status.source_message or 'not read'}", remedy)
        return
    if not status.problems:
        yield Check(Tone.GOOD, f"watched directory: {counted(status.files, 'file')}, no problem")
    for problem in status.problems:
        text = f"{problem.file}:{problem.line}: {problem.message}"
        yield Check(Tone.BAD, text, "psactl status shows the place; psactl validate FILE checks a new one")


def _endpoint(name: str, system: str, *, is_up: bool | None) -> Check:
    if is_up is None:
        return Check(Tone.BUSY, f"endpoint {name} ({system}) was not asked yet")
    if is_up:
        return Check(Tone.GOOD, f"endpoint {name} ({system}) answers")
    remedy = "psactl events and journalctl -u psa-reconciler say why; its address is in the settings"
    return Check(Tone.BAD, f"endpoint {name} ({system}) does not answer", remedy)


def _objects(status: DaemonStatus) -> Check:
    text = f"objects: {status.ready} of {status.total} ready"
    if status.ready < status.total:
        return Check(Tone.BUSY, text, "psactl get shows which, psactl describe why")
    return Check(Tone.GOOD, text)
