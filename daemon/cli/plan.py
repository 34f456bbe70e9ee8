"""psactl plan."""

import click

from daemon.cli.documents import data_option, document
from daemon.cli.facts import Planned, PlannedStep
from daemon.cli.failures import compared
from daemon.cli.planning import Asked, ask, closing, obstacles, outcome
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import reaches_daemon, session


@click.command(short_help="Show what would be done now, and what is in the way.")
@click.argument("words", metavar="[KIND | KIND/NAME | NAME]...", nargs=-1)
@data_option
@reaches_daemon
@click.pass_context
def plan(ctx: click.Context, words: tuple[str, ...], form: str | None) -> None:
    """Look at the real things anew and show what would be done. Nothing is changed.

    Exit code 0: nothing to do; 1: steps, or something waits or is blocked; 2: an error. Problems that no
    step mends are named, and do not count.
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
    """Return the plans as numbered sentences, and lines that sum them up."""
    lines, number = [], 0
    for planned in asked.plans:
        said, number = told_of_one(planned, screen, number)
        lines += [screen.paint(planned.key, Tone.TITLE), *said] if said else []
    return [*lines, *([""] if lines else []), *closing(asked, number, "step", screen)]


def told_of_one(planned: Planned, screen: Screen, number: int = 0) -> tuple[list[str], int]:
    """Return the lines of one plan and the number of its last step; the first is *number* + 1."""
    lines = []
    for step in planned.steps:
        number += 1
        lines += _sentence(step, number, screen)
    return [*lines, *obstacles(planned, screen, tells_verbs=False)], number


def _sentence(step: PlannedStep, number: int, screen: Screen) -> list[str]:
    head = f"{number:4}. "
    where = f" ({step.origin})" if step.origin else ""
    first, *rest = screen.wrap(f"{step.summary}{where}", len(head))
    lines = [head + first, *(" " * len(head) + line for line in rest)]
    if step.needs is not None:
        lines.append(_verb(step.needs, step, screen, " " * len(head)))
    return lines


def _verb(verb: str, step: PlannedStep, screen: Screen, indent: str) -> str:
    if step.allowed:
        return screen.say(Tone.BAD, f"destructive: {verb}, which spec.allow has", indent)
    return screen.say(Tone.BAD, f"destructive: needs allow: [{verb}]", indent)
