"""psactl validate."""

from pathlib import Path

import click

from daemon.cli.failures import Exit
from daemon.cli.planning import counted
from daemon.cli.screen import Tone
from daemon.cli.session import session
from daemon.sources.check import check_paths


@click.command(short_help="Check files and directories, without a daemon.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def validate(ctx: click.Context, paths: tuple[Path, ...]) -> None:
    """Check files and directories as the daemon would, without one.

    They are checked together: two files must not declare one object or claim one real thing. Whether the
    daemon's settings have the endpoints and secrets that they name is not known here; psactl status tells.
    """
    here = session()
    found = check_paths(paths)
    for problem in found.problems:
        click.echo(problem.rendered.rstrip("\n"), err=True)
        click.echo(err=True)
    if found.unreadable is not None:
        here.say(Tone.BAD, found.unreadable)
    if found.problems or found.unreadable is not None:
        here.say(Tone.BAD, f"{counted(len(found.problems), 'problem')} in {counted(found.files, 'file')}")
        ctx.exit(Exit.FAILED)
    text = f"{counted(len(found.objects), 'object')} in {counted(found.files, 'file')}"
    click.echo(here.out.say(Tone.GOOD, text))
