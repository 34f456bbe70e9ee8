"""What commands share: the lab that ``--dir`` names, and the form of what they print."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, Final, ParamSpec

import click

from lab.layout import Lab

P = ParamSpec("P")
FOLDER_TYPE: Final = click.Path(file_okay=False, path_type=Path)
#: The lab's folder, as ``root``.
FOLDER: Final = click.option(
    "--dir",
    "root",
    type=FOLDER_TYPE,
    required=True,
    envvar="PSA_LAB_DIR",
    show_envvar=True,
    help="The lab's folder; `make lab` has .lab.",
)
#: The form, as ``output``.
OUTPUT: Final = click.option(
    "-o", "output", type=click.Choice(["table", "json"]), default="table", help="Format."
)


def with_lab(command: Callable[Concatenate[Lab, P], None]) -> Callable[P, None]:
    """Give the command the lab of ``fault --dir``; without one there is still its help."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        lab = click.get_current_context().obj
        if not isinstance(lab, Lab):
            raise click.UsageError("the lab's folder is needed: fault --dir DIR …, or PSA_LAB_DIR")
        command(lab, *args, **kwargs)

    return wrapped
