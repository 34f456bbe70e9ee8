"""What the faults of data services share: a command a system, a word a fault, and one that ends them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import click

from lab.given import with_lab
from lab.layout import Lab

WELL: Final = "well"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done to a system; ``do`` may return a line for people."""

    text: str
    do: Callable[[Lab], str | None]


def fault_command(name: str, purpose: str, actions: Mapping[str, Action]) -> click.Command:
    """Return ``fault NAME ACTION``, which explains all actions."""
    width = max(map(len, actions)) + 2
    table = "\n".join(f"{word:{width}}{action.text}" for word, action in actions.items())

    @click.command(name=name, short_help=purpose, help=f"{purpose}\n\n\b\n{table}\n")
    @click.argument("action", type=click.Choice([*actions]), metavar="ACTION")
    @with_lab
    def command(lab: Lab, action: str) -> None:
        if not lab.record.data:
            raise click.UsageError("the lab has no data services: start it with `up --data`")
        if told := actions[action].do(lab):
            click.echo(told)

    return command
