"""psactl get."""

import json
import re
from typing import Final

import click

from daemon.cli.documents import document, output_option
from daemon.cli.facts import Thing, thing, understood
from daemon.cli.following import CONNECTED, follow
from daemon.cli.listing import listing, text_at
from daemon.cli.references import means, selected
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.states import state_of

_FIGURES: Final = re.compile(r"\d+([.,]\d+)*")


@click.command(short_help="List objects and how they are.")
@click.argument("words", metavar="[KIND | KIND/NAME | NAME]...", nargs=-1)
@output_option
@click.option("-w", "--watch", is_flag=True, help="Go on: print each object again when it changes.")
@reaches_daemon
def get(words: tuple[str, ...], form: str | None, *, watch: bool) -> None:
    """List objects and how they are.

    Kinds have short names: ct (Container), es (Elasticsearch), lb (LoadBalancer), pg (PostgresCluster),
    rmq (RabbitMQ), redis (RedisInstance), rel (Release), svc (Service), split (TrafficSplit).
    """
    here = session()
    if watch:
        _watch(here, words, form)
        return
    chosen = selected(words, here.objects())
    here.warn_of_observe_mode()
    _print(here, chosen, form, is_one=len(words) == 1 and "/" in words[0])


def _print(here: Session, chosen: tuple[Thing, ...], form: str | None, *, is_one: bool) -> None:
    if form in {"json", "yaml"}:
        raw = [found.raw for found in chosen]
        click.echo(document(raw[0] if is_one else raw, form))
    elif chosen:
        is_wide = form == "wide"
        screen = here.out.uncut if is_wide else here.out
        click.echo("\n".join(listing(chosen, screen, here.now(), is_wide=is_wide)))
    else:
        click.echo("no objects", err=True)


def _watch(here: Session, words: tuple[str, ...], form: str | None) -> None:
    """Print what is there, then what changes; the words choose among objects that come later, too."""
    shown: dict[str, str] = {}
    for frame in follow(here):
        if frame is CONNECTED:
            found = selected(words, here.objects())
            here.warn_of_observe_mode()
            if not shown and form in {None, "wide"}:
                _print(here, found, form, is_one=False)
                shown = {each.key: _news(here, each) for each in found}
        elif frame.event == "object":
            found = tuple(each for each in [understood(thing, frame.data)] if means(words, each))
        else:
            continue
        for each in found:
            text = _news(here, each) if form in {None, "wide"} else _data(each, form)
            if _gist(each, shown.get(each.key, "")) != _gist(each, text):
                shown[each.key] = text
                click.echo(text if form in {"json", "yaml"} else f"{here.now():%H:%M:%S}  {text}")


def _gist(found: Thing, text: str) -> str:
    """Return what is news if it differs: the figures of a release change each second and are none."""
    return _FIGURES.sub("#", text) if found.kind == "Release" else text


def _news(here: Session, found: Thing) -> str:
    state = state_of(found)
    mark = here.out.paint(state.tone.glyph, state.tone)
    phase = text_at(found, "status", "attempt", "phase") if state.tone is Tone.NOW else ""
    word = f"{state.word}, {phase}" if phase else state.word
    said = f"{found.key}: {word}{f': {state.message}' if state.message else ''}"
    lines = here.out.wrap(said, len("00:00:00  ✔ "))
    return f"\n{' ' * 12}".join([f"{mark} {lines[0]}", *lines[1:]])


def _data(found: Thing, form: str | None) -> str:
    """Return a document of its own: a line of JSON, or YAML with its end."""
    return (
        json.dumps(found.raw, ensure_ascii=False) if form == "json" else f"---\n{document(found.raw, 'yaml')}"
    )
