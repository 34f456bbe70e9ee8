"""psactl status."""

import click

from daemon.cli.documents import data_option, document
from daemon.cli.facts import DaemonStatus, EndpointState, daemon_status, understood
from daemon.cli.planning import counted
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import reaches_daemon, session
from daemon.cli.spans import age


@click.command(short_help="Show how the daemon is.")
@data_option
@reaches_daemon
def status(form: str | None) -> None:
    """Show the daemon's mode, its directory, its endpoints, and how many objects are ready."""
    here = session()
    raw = here.client.get("status")
    if form is not None:
        click.echo(document(raw, form))
        return
    found = understood(daemon_status, raw)
    up = age(found.started_at, here.now())
    click.echo(f"psa-reconciler {found.version}, up {up}")
    click.echo("\n".join(told(found, here.out)))


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
