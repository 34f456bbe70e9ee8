"""psactl release history."""

from collections.abc import Sequence
from datetime import datetime

import click

from daemon.cli.documents import document, output_option
from daemon.cli.failures import steered
from daemon.cli.release.facts import Attempt, attempts_as_told
from daemon.cli.release.scene import KIND, meant
from daemon.cli.release.view import sign_of
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import reaches_daemon, session
from daemon.cli.spans import lasting, moment
from daemon.cli.table import Cell, Row, table


@click.command(short_help="List the attempts of a release.")
@click.argument("name", required=False)
@output_option
@reaches_daemon
def history(name: str | None, form: str | None) -> None:
    """List the attempts of a release, the newest first."""
    here = session()
    with steered():
        found = meant(here, name, "history")
        if form in {"json", "yaml"}:
            click.echo(document(attempts_as_told(here.client.get("objects", KIND, found.name)), form))
        elif found.attempts:
            is_wide = form == "wide"
            screen = here.out.uncut if is_wide else here.out
            click.echo("\n".join(told(found.attempts, screen, here.now(), is_wide=is_wide)))
        else:
            click.echo("no attempts", err=True)


def told(attempts: Sequence[Attempt], screen: Screen, now: datetime, *, is_wide: bool) -> list[str]:
    """Return a table of the attempts."""
    extra = ("FROM", "BAD SINCE", "DECIDED", "TRIGGER") if is_wide else ()
    headings = ("#", "VERSION", "BEGAN", "TOOK", "OUTCOME", *extra, "REASON")
    return table(headings, [_row(each, now, is_wide=is_wide) for each in attempts], screen)


def _row(attempt: Attempt, now: datetime, *, is_wide: bool) -> Row:
    sign = sign_of(attempt)
    took = lasting(((attempt.ended_at or now) - attempt.began_at).total_seconds())
    began = moment(attempt.began_at) if is_wide else f"{attempt.began_at:%d %b %H:%M}"
    bad, decided = moment(attempt.first_bad_at), moment(attempt.decided_at)
    more = (Cell(attempt.old_version), Cell(bad), Cell(decided), Cell(attempt.trigger or ""))
    return (
        Cell(str(attempt.number)),
        Cell(attempt.version),
        Cell(began),
        Cell(took),
        Cell(sign.text, sign.tone),
        *(more if is_wide else ()),
        Cell(_why(attempt), Tone.FAINT),
    )


def _why(attempt: Attempt) -> str:
    if attempt.hold is not None:
        return f"{attempt.hold.reason}: {attempt.hold.message}"
    if attempt.reason is None:
        return ""
    return f"{attempt.reason}: {attempt.message}" if attempt.message else attempt.reason
