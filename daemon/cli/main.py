"""psactl itself: the list of its commands. Each lives in a module that is imported only when it runs."""

import importlib
import sys
from dataclasses import dataclass
from typing import Any, Final

import click

from daemon.cli.screen import Screen
from daemon.cli.session import Session, reaches_daemon, socket_from_environment
from daemon.sources.nearest import nearest


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: ``module:attribute`` below daemon.cli, and its line in the help."""

    where: str
    help: str


SECTIONS: Final = {
    "Files": {
        "validate": Entry("validate:validate", "Check files and directories, without a daemon."),
        "diff": Entry("diff:diff", "Show which fields are not as asked."),
        "plan": Entry("plan:plan", "Show what would be done now, and what is in the way."),
    },
    "Objects": {
        "get": Entry("get:get", "List objects and how they are."),
        "describe": Entry("describe:describe", "Tell all about one object."),
        "events": Entry("events:events", "Show what happened."),
        "wait": Entry("wait:wait", "Wait until objects are ready."),
        "reconcile": Entry("change:reconcile", "Look at objects now, whatever the back-off says."),
        "suspend": Entry("change:suspend", "Leave objects alone for a while."),
        "resume": Entry("change:resume", "Reconcile suspended objects again."),
    },
    "Daemon": {
        "status": Entry("status:status", "Show how the daemon is."),
        "mode": Entry("mode:mode", "Show or set the mode, Enforce or Observe."),
        "doctor": Entry("doctor:doctor", "Check what the daemon needs, with remedies."),
        "version": Entry("version:version", "Show the versions of psactl and of the daemon."),
    },
    "Trying it out": {
        "demo": Entry("lab:demo", "Show the whole loop on a small platform on this machine."),
        "lab": Entry("lab:lab", "Run that platform: up, down, status, fault, load."),
    },
}
ENTRIES: Final = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class LazyGroup(click.Group):
    """A group that imports a command only to run it, and writes its help from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order of the help."""
        return list(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, None for an unknown name."""
        entry = ENTRIES.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.where.partition(":")
        found: click.Command = getattr(importlib.import_module(f"daemon.cli.{module}"), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first argument, or say which one may be meant."""
        if args and args[0] not in ENTRIES and not args[0].startswith("-"):
            close = nearest(args[0], ENTRIES)
            ctx.fail(f"there is no command {args[0]}" + (f": did you mean {close}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in section.items()], col_max=12)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 no daemon, 5 denied, 7 timed out. "
    "diff and plan: 0 nothing to do, 1 changes, 2 error.",
)
@reaches_daemon
@click.pass_context
def psactl(_ctx: click.Context) -> None:
    """Look at and steer the platform that psa-reconciler keeps as its files ask."""


def main() -> None:
    """Run psactl; exit codes are in failures.Exit."""
    for stream in (sys.stdout, sys.stderr):
        settings: Any = stream
        settings.reconfigure(errors="replace")  # a glyph must not break a terminal without UTF-8
    found = Session(socket_from_environment(), Screen.of(sys.stdout), Screen.of(sys.stderr))
    psactl.main(obj=found, prog_name="psactl")
