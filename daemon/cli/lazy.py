"""A group of commands that imports each only to run it."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from daemon.sources.nearest import nearest


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: ``module:attribute`` below daemon.cli, and its line in the help."""

    where: str
    help: str


Sections = Mapping[str, Mapping[str, Entry]]


class LazyGroup(click.Group):
    """A group that imports a command only to run it, and writes its help from the table."""

    def __init__(self, *arguments: Any, sections: Sections, **settings: Any) -> None:
        """Make a group of the commands of *sections*, by the titles of the help."""
        super().__init__(*arguments, **settings)
        self.sections = sections
        self.entries = {name: entry for section in sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order of the help."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, None for an unknown name."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.where.partition(":")
        found: click.Command = getattr(importlib.import_module(f"daemon.cli.{module}"), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first argument, or say which one may be meant."""
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            close = nearest(args[0], self.entries)
            ctx.fail(f"there is no command {args[0]}" + (f": did you mean {close}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in section.items()], col_max=12)
