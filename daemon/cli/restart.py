"""psactl restart."""

import time
from typing import Any, Final

import click

from daemon.cli.facts import understood
from daemon.cli.failures import CommandError, TimedOutError
from daemon.cli.references import selected
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.spans import SPAN
from daemon.cli.values import optional

_KIND: Final = "Container"
_PAUSE_S: Final = 0.2


@click.command(short_help="Restart a container, in order, once.")
@click.argument("word", metavar="CONTAINER")
@click.option("--reason", required=True, help="Why; the events keep it.")
@click.option(
    "--timeout",
    "span",
    type=SPAN,
    default="5m",
    show_default=True,
    metavar="DURATION",
    help="How long to wait for its end.",
)
@reaches_daemon
def restart(word: str, reason: str, span: float) -> None:
    """Let a running container shut down and start again, and wait for its end.

    Proxmox cuts the power of one that is not down within its shutdownTimeout: so its spec must have
    force-stop in allow. Exit code 1 if it is refused or fails, 7 when the time is over; it stays asked then.
    """
    here, deadline = session(), time.monotonic() + span
    found = selected((word,), here.objects())
    if [each.kind for each in found] != [_KIND]:
        raise click.UsageError(f"{word} is not one container")
    name = found[0].name
    asked = here.client.post(f"container/{name}/restart", {"reason": reason})
    number = understood(lambda raw: int(raw["request"]), asked)
    while (answer := _answer(here, name, number)) is None:
        if time.monotonic() > deadline:
            text = f"asked, and not answered within {span:g} s; it stays asked for a while"
            raise TimedOutError(text, f"psactl describe {_KIND}/{name}")
        time.sleep(_PAUSE_S)
    accepted, said = answer
    if not accepted:
        raise CommandError(f"{_KIND}/{name}: {said}")
    click.echo(here.out.say(Tone.GOOD, f"{_KIND}/{name} is {said}"))


def _answer(here: Session, name: str, number: int) -> tuple[bool, str] | None:
    """Return whether it was done and what was said, None while it is open."""
    return understood(lambda raw: _read(raw, number), here.client.get("objects", _KIND, name))


def _read(raw: Any, number: int) -> tuple[bool, str] | None:
    for each in raw["metadata"]["requests"]:
        said = optional(each.get("answer"))
        if each["id"] == number and said is not None:
            return each["accepted"] is True, said
    return None
