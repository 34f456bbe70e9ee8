"""psactl reconcile, suspend and resume."""

from datetime import timedelta

import click

from daemon.cli.facts import Thing
from daemon.cli.references import selected
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.spans import SPAN, moment


def _chosen(here: Session, words: tuple[str, ...], *, every: bool) -> tuple[Thing, ...]:
    if bool(words) is every:
        raise click.UsageError("name objects, or give --all")
    return selected(words, here.objects())


@click.command(short_help="Look at objects now, whatever the back-off says.")
@click.argument("words", metavar="[KIND/NAME]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All objects.")
@reaches_daemon
def reconcile(words: tuple[str, ...], *, every: bool) -> None:
    """Look at objects now, whatever the back-off says; psactl wait tells when they are ready."""
    here = session()
    for found in _chosen(here, words, every=every):
        here.client.post("reconcile", {"object": found.key})
        click.echo(here.out.say(Tone.GOOD, f"{found.key} is looked at now"))
    here.warn_of_observe_mode()


@click.command(short_help="Leave objects alone for a while.")
@click.argument("words", metavar="KIND/NAME...", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; the events keep it.")
@click.option(
    "--for", "span", type=SPAN, metavar="DURATION", help="How long, such as 2h; until resumed if absent."
)
@reaches_daemon
def suspend(words: tuple[str, ...], reason: str, span: float | None) -> None:
    """Leave objects alone: they are still looked at, and nothing is changed."""
    here = session()
    until = moment(here.now() + timedelta(seconds=span)) if span is not None else None
    for found in _chosen(here, words, every=False):
        here.client.post("suspend", {"object": found.key, "until": until, "reason": reason})
        end = f"until {until}" if until else "until psactl resume"
        click.echo(here.out.say(Tone.HELD, f"{found.key} is suspended {end}"))


@click.command(short_help="Reconcile suspended objects again.")
@click.argument("words", metavar="KIND/NAME...", nargs=-1, required=True)
@reaches_daemon
def resume(words: tuple[str, ...]) -> None:
    """Reconcile suspended objects again."""
    here = session()
    for found in _chosen(here, words, every=False):
        here.client.post("resume", {"object": found.key})
        click.echo(here.out.say(Tone.GOOD, f"{found.key} is reconciled again"))
    here.warn_of_observe_mode()
