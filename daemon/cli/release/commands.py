"""psactl release: the list of its commands."""

from typing import Final

import click

from daemon.cli.lazy import Entry, LazyGroup
from daemon.cli.session import reaches_daemon

SECTIONS: Final = {
    "See": {
        "status": Entry("release.status:status", "Show how a release is and what comes next; -w goes on."),
        "history": Entry("release.history:history", "List the attempts of a release."),
        "wait": Entry("release.wait:wait", "Wait until a version is promoted, for a pipeline."),
    },
    "Decide": {
        "rollback": Entry("release.verbs:rollback", "All traffic back to the old version, at once."),
        "promote": Entry("release.verbs:promote", "Give the new version all traffic."),
        "pause": Entry("release.verbs:pause", "Let nothing move forward for a while."),
        "resume": Entry("release.verbs:resume", "Let it go on."),
        "abort": Entry("release.verbs:abort", "Stop an attempt that is not promoted."),
        "retry": Entry("release.verbs:retry", "Try a version again that failed or was rolled back."),
    },
}


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    short_help="Follow and steer releases; roll back.",
    epilog="NAME may be left out where there is one release. Exit codes: 0 done, 1 refused, 2 usage, "
    "no such release or no daemon, 5 denied, 7 not in time. wait: 0 promoted, 3 rolled back or failed, "
    "4 held.",
)
@reaches_daemon
def release() -> None:
    """Follow and steer releases."""
