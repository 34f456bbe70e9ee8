"""psactl traffic: a person takes a service's traffic into his hands, for a while."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import click

from daemon.cli.facts import things, understood
from daemon.cli.references import selected
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.shares import shares
from daemon.cli.spans import INSTANT, SPAN, end_of, moment, until

_COLORS: Final = ("blue", "green")
_HEAVIEST: Final = 256
"""HAProxy's own limit of a weight."""


@click.group(short_help="Set a service's traffic by hand, for a while.")
@reaches_daemon
def traffic() -> None:
    """Set a service's traffic by hand, for a while; releases hold meanwhile."""


@traffic.command("set", short_help="Set weights by hand, such as blue=100.")
@click.argument("service")
@click.argument("words", metavar="COLOR=WEIGHT...", nargs=-1, required=True)
@click.option("--for", "span", type=SPAN, metavar="DURATION", help="How long, such as 30m.")
@click.option(
    "--until", "end", type=INSTANT, metavar="TIME", help="Until when, such as 2026-11-30T08:00:00Z."
)
@click.option("--reason", required=True, help="Why; everybody who looks at the traffic sees it.")
@reaches_daemon
def set_(service: str, words: Sequence[str], span: float | None, end: datetime | None, reason: str) -> None:
    """Set weights by hand, such as blue=100: it has all traffic, and green none.

    One colour alone is a percentage, and the other has the rest; both are HAProxy's own weights. Weight 0
    is maintenance, which moves clients that cling to it, too. When the time is over the daemon's own record
    is in force again.
    """
    here = session()
    now = here.now()
    found = end_of(span, end, now)
    if found is None:
        raise click.UsageError("say until when: --for DURATION or --until TIME")
    weights = _weights(words)
    name = _service(here, service)
    asked = {"service": name, **weights, "until": moment(found), "reason": reason}
    percent = understood(shares, here.client.post("traffic", asked)).in_force(now)
    parts = ", ".join(f"{color} {percent[color]}%" for color in _COLORS)
    text = f"{name}: {parts} until {until(found, now)}; psactl traffic clear {name} ends it"
    click.echo(here.out.say(Tone.HELD, text))
    here.warn_of_observe_mode()


@traffic.command("clear")
@click.argument("service")
@click.option("--reason", help="Why; the events keep it.")
@reaches_daemon
def clear(service: str, reason: str | None) -> None:
    """Let the daemon's own record be in force again."""
    here = session()
    name = _service(here, service)
    here.client.post("traffic/clear", {"service": name, "reason": reason or ""})
    click.echo(here.out.say(Tone.GOOD, f"{name}: the traffic is the daemon's again"))
    here.warn_of_observe_mode()


def _weights(words: Sequence[str]) -> Mapping[str, int]:
    weights: dict[str, int] = {}
    for word in words:
        match = re.fullmatch(r"(blue|green)=(\d{1,3})", word)
        if match is None or int(match[2]) > _HEAVIEST:
            raise click.UsageError(f"{word!r} is not of the form blue=100, 0 to {_HEAVIEST}")
        if match[1] in weights:
            raise click.UsageError(f"{match[1]} stands here twice")
        weights[match[1]] = int(match[2])
    if len(weights) == len(_COLORS) and not any(weights.values()):
        raise click.UsageError("one colour must have traffic")
    return weights


def _service(here: Session, word: str) -> str:
    """Return the name of the service that is meant; raise NotFoundError with a guess."""
    found = understood(things, here.client.get("objects", "Service"))
    return selected([word if "/" in word else f"Service/{word}"], found)[0].name
