"""psactl lab and psactl demo: programs of their own, with all arguments passed through."""

import importlib.util
import os
import sys
from typing import Final

import click

from daemon.cli.failures import CommandError

_AS_IS: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
"""Even --help is the other program's."""


def _become(arguments: tuple[str, ...]) -> None:
    """Become ``python -m lab``: its signals, its terminal and its exit code are then its own."""
    if not _has_lab():
        hint = "it is not part of the package: work in a checkout, with make demo"
        raise CommandError("the lab is not installed", hint)
    sys.stdout.flush()
    # -P: a folder `lab` where the user stands is not ours
    os.execv(sys.executable, [sys.executable, "-P", "-m", "lab", *arguments])  # noqa: S606 - no shell


def _has_lab() -> bool:
    try:
        return importlib.util.find_spec("lab.__main__") is not None
    except ModuleNotFoundError:
        return False


@click.command(short_help="Run that platform: up, down, status, fault, load.", context_settings=_AS_IS)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Run the lab's own program."""
    _become(arguments)


@click.command(short_help="Show the whole loop on a small platform on this machine.", context_settings=_AS_IS)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Run the demo of the lab's program."""
    _become(("demo", *arguments))
