"""psactl mode."""

import click

from daemon.cli.facts import daemon_status, understood
from daemon.cli.screen import Tone
from daemon.cli.session import reaches_daemon, session


@click.command(short_help="Show or set the mode, Enforce or Observe.")
@click.argument("wanted", metavar="[Enforce | Observe]", required=False)
@reaches_daemon
def mode(wanted: str | None) -> None:
    """Show or set the mode. Observe looks and tells, and changes nothing; setting it needs root.

    The stricter of this one and the settings' one counts.
    """
    here = session()
    if wanted is None:
        found = here.status()
    else:
        chosen = {"enforce": "Enforce", "observe": "Observe"}.get(wanted.lower())
        if chosen is None:
            raise click.UsageError(f"{wanted} is no mode: Enforce or Observe")
        found = understood(daemon_status, here.client.post("mode", {"mode": chosen}))
    tone = Tone.HELD if found.mode == "Observe" else Tone.GOOD
    click.echo(here.out.say(tone, found.mode_text))
