"""psactl itself: the list of its commands. Each lives in a module that is imported only when it runs."""

import sys
from typing import Any, Final

import click

from daemon.cli.lazy import Entry, LazyGroup
from daemon.cli.screen import Screen
from daemon.cli.session import Session, reaches_daemon, socket_from_environment

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
        "restart": Entry("restart:restart", "Restart a container, in order, once."),
    },
    "Releases": {
        "release": Entry("release.commands:release", "Follow and steer releases; roll back."),
        "traffic": Entry("traffic:traffic", "Set a service's traffic by hand, for a while."),
        "freeze": Entry("freeze:freeze", "Stop all releases from moving forward."),
        "thaw": Entry("freeze:thaw", "Let releases move forward again."),
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


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
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
