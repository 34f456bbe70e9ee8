"""psactl status."""

from collections.abc import Iterator
from typing import Any

import click

from daemon.cli.documents import data_option, document
from daemon.cli.facts import DaemonStatus, EndpointState, daemon_status, understood
from daemon.cli.planning import counted
from daemon.cli.release.facts import Attempt
from daemon.cli.release.outlook import verdict
from daemon.cli.release.scene import KIND, Scene, scenes
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.shares import freeze, freeze_said, override_said, shares
from daemon.cli.spans import age, lasting


@click.command(short_help="Show how the daemon is.")
@data_option
@reaches_daemon
def status(form: str | None) -> None:
    """Show the daemon's mode, directory and endpoints, how many objects are ready, and what releases do."""
    here = session()
    here.source()
    raw = here.client.get("status")
    if form is not None:
        click.echo(document(raw, form))
        return
    found = understood(daemon_status, raw)
    up = age(found.started_at, here.now())
    click.echo(f"psa-reconciler {found.version}, up {up}")
    lines = [*told(found, here.out), *release_lines(here, raw)]
    click.echo("\n".join(lines))


def told(found: DaemonStatus, screen: Screen) -> list[str]:
    """Return a line a fact, each with its sign."""
    mode = Tone.HELD if found.mode == "Observe" else Tone.GOOD
    objects = Tone.GOOD if found.ready == found.total else Tone.BUSY
    return [
        screen.say(mode, f"mode       {found.mode_text}", "  "),
        *source_lines(found, screen),
        screen.say(objects, f"objects    {found.ready} of {found.total} ready", "  "),
        *(screen.say(*endpoint_said(each), "  ") for each in found.endpoints),
    ]


def release_lines(here: Session, raw: Any) -> list[str]:
    """Return a line for a freeze, for each override, and for each release that runs or is not as asked."""
    return ["\n".join(_fact(*each, here.out)) for each in _of_releases(here, raw)]


def _of_releases(here: Session, raw: Any) -> Iterator[tuple[Tone, str, str]]:
    now, frozen = here.now(), understood(freeze, raw)
    if frozen is not None and now < frozen.until:
        yield Tone.HELD, "releases", freeze_said(frozen, now)
    for each in here.client.get("objects", "TrafficSplit"):
        split = understood(shares, each)
        found = split.overridden(now)
        if found is not None:
            yield Tone.HELD, "traffic", override_said(split.service, found, now)
    for scene in scenes(here, here.client.get("objects", KIND), raw):
        said, attempt = verdict(scene), scene.release.attempt
        if said.tone is Tone.BAD or (attempt is not None and attempt.is_running):
            yield said.tone, "release", f"{_gist(scene, attempt)}: {said.text}"


def _gist(scene: Scene, attempt: Attempt | None) -> str:
    if attempt is None:
        return f"{scene.release.name} {scene.release.wish.version}"
    since = lasting((scene.now - attempt.entered_at).total_seconds())
    return f"{scene.release.name} {attempt.versions}, {attempt.phase.value} for {since}"


def _fact(tone: Tone, name: str, text: str, screen: Screen) -> Iterator[str]:
    """Yield a line with its sign and name, and what does not fit below the text."""
    head = f"{name:9}  "
    first, *rest = screen.wrap(text, len(head) + 4)
    yield f"  {screen.paint(f'{tone.glyph} ', tone)}{head}{first}"
    yield from (f"{' ' * (len(head) + 4)}{line}" for line in rest)


def source_lines(found: DaemonStatus, screen: Screen) -> list[str]:
    """Return how the watched directory is, with each problem in it."""
    if not found.source_healthy:
        text = f"directory  {found.source_message or 'not read'}; the last good objects stay in force"
        return [screen.say(Tone.BAD, text, "  ")]
    if not found.problems:
        return [screen.say(Tone.GOOD, f"directory  {counted(found.files, 'file')}, no problem", "  ")]
    text = f"directory  {counted(found.files, 'file')}, {counted(len(found.problems), 'problem')}"
    lines = [screen.say(Tone.BAD, text, "  ")]
    for problem in found.problems:
        lines += [f"      {line}".rstrip() for line in problem.rendered.splitlines()]
    return lines


def endpoint_said(each: EndpointState) -> tuple[Tone, str]:
    """Return whether an outside system answers."""
    if each.up is None:
        return Tone.BUSY, f"endpoint   {each.name} ({each.system}): not asked yet"
    if each.up:
        return Tone.GOOD, f"endpoint   {each.name} ({each.system}): answers"
    kept = "; looked at less often" if each.breaker_open else ""
    return Tone.BAD, f"endpoint   {each.name} ({each.system}): does not answer{kept}"
