"""psactl version."""

import importlib.metadata

import click

from daemon.cli.documents import data_option, document
from daemon.cli.failures import CommandError
from daemon.cli.session import reaches_daemon, session


@click.command(short_help="Show the versions of psactl and of the daemon.")
@data_option
@reaches_daemon
def version(form: str | None) -> None:
    """Show the versions of psactl and of the daemon, if one answers."""
    here = session()
    own = importlib.metadata.version("psa-reconciler")
    try:
        daemon, why = here.status().version, ""
    except CommandError as exc:
        daemon, why = None, exc.message
    if form is not None:
        click.echo(document({"psactl": own, "daemon": daemon}, form))
        return
    click.echo(f"psactl  {own}")
    click.echo(f"daemon  {daemon}" if daemon else f"daemon  none ({why})")
