"""psactl diff."""

import click

from daemon.cli.documents import data_option, document
from daemon.cli.facts import PlannedStep
from daemon.cli.failures import compared
from daemon.cli.planning import Asked, ask, closing, obstacles, outcome
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import reaches_daemon, session


@click.command(short_help="Show which fields are not as asked.")
@click.argument("words", metavar="[KIND | KIND/NAME | NAME]...", nargs=-1)
@data_option
@reaches_daemon
@click.pass_context
def diff(ctx: click.Context, words: tuple[str, ...], form: str | None) -> None:
    """Compare the real things with the files, field by field. Nothing is changed.

    Exit code 0: no difference; 1: differences, or something waits or is blocked; 2: an error. Problems that
    no step mends are named, and do not count.
    """
    here = session()
    with compared():
        here.warn_of_observe_mode()
        asked = ask(here, words)
    if form is not None:
        click.echo(document(asked.answer, form))
    else:
        click.echo("\n".join(told(asked, here.out)))
    ctx.exit(outcome(asked.plans))


def told(asked: Asked, screen: Screen) -> list[str]:
    """Return the differences of each object, and lines that sum them up."""
    lines, count = [], 0
    for planned in asked.plans:
        fields = [_field(step, screen) for step in planned.steps]
        count += sum(max(len(step.changes), 1) for step in planned.steps)
        said = [line for step in fields for line in step] + obstacles(planned, screen, tells_verbs=True)
        lines += [screen.paint(planned.key, Tone.TITLE), *said] if said else []
    return [*lines, *([""] if lines else []), *closing(asked, count, "difference", screen)]


def _field(step: PlannedStep, screen: Screen) -> list[str]:
    """Return a line a field; a step that changes no field is told by its sentence."""
    said = [
        (f"{change.path.removeprefix('spec.')}: {change.old} → {change.new}", change.origin)
        for change in step.changes
    ]
    lines = []
    for text, origin in said or [(step.summary, step.origin)]:
        first, *rest = screen.wrap(f"{text}  ({origin})" if origin else text, 4)
        lines += [f"  {first}", *(f"    {line}" for line in rest)]
    return lines
