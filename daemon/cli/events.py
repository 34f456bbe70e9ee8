"""psactl events."""

import json
from typing import Any

import click

from daemon.cli.documents import document, output_option
from daemon.cli.facts import happening, happenings, understood
from daemon.cli.following import CONNECTED, follow
from daemon.cli.references import key_named, selected
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.timeline import event_line, in_order


@click.command(short_help="Show what happened.")
@click.argument("word", metavar="[KIND/NAME | NAME]", required=False)
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The newest N."
)
@output_option
@click.option("-w", "--watch", is_flag=True, help="Go on with what happens.")
@reaches_daemon
def events(word: str | None, limit: int, form: str | None, *, watch: bool) -> None:
    """Show what happened, oldest first. Times are UTC."""
    here = session()
    key = None if word is None else _key(here, word)
    if watch:
        _watch(here, key, limit, form)
        return
    raw = _ask(here, key, limit)
    if form in {"json", "yaml"}:
        click.echo(document(raw, form))
        return
    for found in in_order(understood(happenings, raw)):
        click.echo(event_line(found, here.out, here.now()))
    if not raw:
        click.echo("no events", err=True)


def _key(here: Session, word: str) -> str:
    """Return the object that is meant; events of the daemon itself have no object."""
    if word.startswith("Daemon/"):
        return word
    key = key_named(word)
    found = selected([key or word], here.objects())
    if len(found) != 1:
        raise click.UsageError(f"{word} is a kind: name one object, or none for the events of all")
    return found[0].key


def _ask(here: Session, key: str | None, limit: int) -> Any:
    return here.client.get("events", limit=limit, **({"object": key} if key else {}))


def _watch(here: Session, key: str | None, limit: int, form: str | None) -> None:
    """Print the newest events, then each that comes, once."""
    last = 0
    for frame in follow(here):
        if frame is CONNECTED:
            raw = _ask(here, key, limit)
        elif frame.event == "event":
            raw = [frame.data]
        else:
            continue
        for each in raw:
            found = understood(happening, each)
            if found.id <= last or key not in {None, found.key}:
                continue
            last = found.id
            if form == "json":
                click.echo(json.dumps(each, ensure_ascii=False))
            elif form == "yaml":
                click.echo(f"---\n{document(each, form)}")
            else:
                click.echo(event_line(found, here.out, here.now()))
