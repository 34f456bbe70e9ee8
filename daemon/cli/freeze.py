"""psactl freeze and thaw."""

from datetime import datetime

import click

from daemon.cli.screen import Tone
from daemon.cli.session import reaches_daemon, session
from daemon.cli.spans import INSTANT, SPAN, end_of, moment, until


@click.command(short_help="Stop all releases from moving forward.")
@click.option("--for", "span", type=SPAN, metavar="DURATION", help="How long, such as 8h.")
@click.option(
    "--until", "end", type=INSTANT, metavar="TIME", help="Until when, such as 2026-11-30T08:00:00Z."
)
@click.option("--reason", required=True, help="Why; everybody who looks at a release sees it.")
@reaches_daemon
def freeze(span: float | None, end: datetime | None, reason: str) -> None:
    """Stop all releases from moving forward, until then.

    What runs is still watched, and still rolled back if it breaks. A new freeze replaces the last one.
    """
    here = session()
    now = here.now()
    found = end_of(span, end, now)
    if found is None:
        raise click.UsageError("say until when: --for DURATION or --until TIME")
    here.client.post("freeze", {"until": moment(found), "reason": reason})
    text = f"frozen until {until(found, now)}: no release moves forward; psactl thaw ends it"
    click.echo(here.out.say(Tone.HELD, text))


@click.command(short_help="Let releases move forward again.")
@click.option("--reason", help="Why; the events keep it.")
@reaches_daemon
def thaw(reason: str | None) -> None:
    """Let releases move forward again."""
    here = session()
    here.client.post("thaw", {"reason": reason or ""})
    click.echo(here.out.say(Tone.GOOD, "releases move forward again"))
