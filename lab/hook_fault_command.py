"""``python -m lab fault hook``: what is wrong with a release's hooks."""

from collections.abc import Mapping
from typing import Final

import click

from lab.given import with_lab
from lab.hooks.program import TROUBLES
from lab.layout import Lab
from lab.wiring import HOOKS

_WELL: Final = "well"
_HELP: Final = """
Let the hook NAME of a release be in TROUBLE, or well again.

\b
fail      ends with exit status 1
hang      waits
stubborn  waits, and ignores SIGTERM
flood     writes without an end
fork      ends well, and leaves a child that has its output
escape    the same, and the child is in a session of its own
crash     dies of a signal
slow      waits, then does its work
well      does its work
"""


@click.command(help=_HELP, short_help="Let a hook of a release be in trouble, or well again.")
@click.argument("name", type=click.Choice(HOOKS), metavar="NAME")
@click.argument("trouble", type=click.Choice([*TROUBLES, _WELL]), metavar="TROUBLE")
@click.option("--seconds", type=click.FloatRange(0), help="How long; ten minutes at most and by default.")
@with_lab
def hook(lab: Lab, name: str, trouble: str, seconds: float | None) -> None:
    """Let a hook be in trouble, or well again."""
    path = lab.hook_troubles / name
    if trouble == _WELL:
        path.unlink(missing_ok=True)
        return
    draft = path.with_suffix(".new")
    draft.write_text(trouble if seconds is None else f"{trouble} {seconds:g}")
    draft.replace(path)


def troubles_of(lab: Lab) -> Mapping[str, str]:
    """Return what is wrong with hooks, by their names."""
    found = {name: lab.hook_troubles / name for name in HOOKS}
    return {name: path.read_text() for name, path in found.items() if path.exists()}


def clear_hooks(lab: Lab) -> None:
    """Let all hooks be well."""
    for name in HOOKS:
        (lab.hook_troubles / name).unlink(missing_ok=True)
