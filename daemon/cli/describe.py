"""psactl describe."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import click

from daemon.cli.blocks import pairs, section
from daemon.cli.client import PLAN_S
from daemon.cli.documents import data_option, document
from daemon.cli.facts import Happening, Thing, happenings, plans, understood
from daemon.cli.failures import CommandError
from daemon.cli.plan import told_of_one
from daemon.cli.references import selected
from daemon.cli.release.scene import KIND, scenes
from daemon.cli.release.story import Chapter, chapters
from daemon.cli.release.strip import shortened
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.spans import age, moment
from daemon.cli.states import condition_tone, state_of
from daemon.cli.timeline import event_line, in_order
from daemon.cli.values import shown

_EVENTS: Final = 10
_NO_STATUS: Final = frozenset({"conditions", "observedGeneration"})


@click.command(short_help="Tell all about one object.")
@click.argument("words", metavar="KIND/NAME | KIND NAME | NAME", nargs=-1, required=True)
@data_option
@reaches_daemon
def describe(words: tuple[str, ...], form: str | None) -> None:
    """Tell all about one object: where it comes from, how it is, what would be done, what happened."""
    here = session()
    objects = here.objects()
    chosen = selected(words, objects)
    if len(chosen) != 1:
        raise click.UsageError(f"{' '.join(words)} means {len(chosen)} objects: name one")
    found = chosen[0]
    events = here.client.get("events", object=found.key, limit=_EVENTS)
    if form is not None:
        whole = {"object": found.raw, "plan": _plan(here, found), "events": events}
        click.echo(document(whole, form))
        return
    now, screen = here.now(), here.out
    sections = [
        ("", _heading(found, screen, now)),
        ("Conditions", _conditions(found, screen, now)),
        *_chapters(here, found),
        ("Children", _children(found, objects, screen)),
        ("Plan", _plan_lines(here, found)),
        ("Events", _events(understood(happenings, events), screen, now)),
    ]
    here.warn_of_observe_mode()
    click.echo("\n\n".join(section(title, lines, screen) for title, lines in sections if lines))


def _chapters(here: Session, found: Thing) -> list[Chapter]:
    """Return what the kind reports: a release has a story, the others a few fields."""
    if found.kind != KIND:
        return [("Status", _status(found, here.out))]
    return list(chapters(scenes(here, [found.raw], here.client.get("status"))[0], here.out))


def _heading(found: Thing, screen: Screen, now: datetime) -> list[str]:
    state = state_of(found)
    since = f" for {age(state.since, now)}" if state.since else ""
    word = screen.paint(f"{state.tone.glyph} {state.word}", state.tone)
    facts = {
        "why": state.message,
        "file": found.origin or "",
        "owner": found.owner or "",
        "orphaned": moment(found.orphaned_since),
        "created": f"{moment(found.created_at)} ({age(found.created_at, now)} ago)",
        "generation": f"{found.generation}, looked at {found.observed_generation}",
        "uid": found.uid,
        "labels": ", ".join(f"{name}={value}" for name, value in found.labels.items()),
        "annotations": ", ".join(f"{name}={value}" for name, value in found.annotations.items()),
    }
    title = f"{screen.paint(found.key, Tone.TITLE)}  {word}{since}"
    return [title, *pairs([(name, text) for name, text in facts.items() if text], screen, "  ")]


def _conditions(found: Thing, screen: Screen, now: datetime) -> list[str]:
    inner = screen.inside
    told, lines = {state_of(found).message}, []
    for each in found.conditions:
        tone = condition_tone(each)
        head = f"{each.type:17}  {each.status:7}  {age(each.since, now):>4}  "
        # One sentence is often why several conditions are as they are: it stands here once.
        text = f"{each.reason}: {each.message}" if each.message and each.message not in told else each.reason
        told.add(each.message)
        first, *rest = inner.wrap(text, len(head) + 2)
        lines.append(f"{inner.paint(tone.glyph, tone)} {head}{first}")
        lines += [" " * (len(head) + 2) + line for line in rest]
    return lines


def _status(found: Thing, screen: Screen) -> list[str]:
    status = found.raw["status"]
    facts = [(name, _text(value)) for name, value in status.items() if name not in _NO_STATUS]
    return pairs([(name, text) for name, text in facts if text], screen.inside)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        texts = {name: _text(inner) for name, inner in value.items()}
        if any(", " in text for text in texts.values()):
            return "; ".join(f"{name}: {text}" for name, text in texts.items())
        return ", ".join(f"{name} {text}" for name, text in texts.items())
    if isinstance(value, list):
        return "; ".join(_text(inner) for inner in value)
    return shown(value)


def _children(found: Thing, objects: Sequence[Thing], screen: Screen) -> list[str]:
    by_key = {each.key: each for each in objects}
    width = max((len(key) for key in found.children), default=0)
    lines = []
    for key in found.children:
        child = by_key.get(key)
        state = state_of(child) if child is not None else None
        word = screen.paint(f"{state.tone.glyph} {state.word}", state.tone) if state else ""
        lines.append(f"{key:{width}}  {word}".rstrip())
    return lines


def _plan(here: Session, found: Thing) -> Any:
    return here.client.post("plan", {"objects": [found.key]}, PLAN_S)["plans"][0]


def _plan_lines(here: Session, found: Thing) -> list[str]:
    """Return what would be done; a daemon that cannot say it now does not spoil the rest."""
    try:
        planned = understood(plans, {"plans": [_plan(here, found)]})[0]
    except CommandError as exc:
        return [here.out.say(Tone.BAD, exc.message)]
    inner = here.out.inside
    lines, _ = told_of_one(planned, inner)
    block = "\n".join(lines).splitlines()
    return [line.removeprefix("  ") for line in block] or ["Nothing to do."]


def _events(found: Sequence[Happening], screen: Screen, now: datetime) -> list[str]:
    shown = map(shortened, in_order(found))
    return [event_line(each, screen.inside, now, names_object=False) for each in shown]
