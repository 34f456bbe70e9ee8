"""psactl release rollback, promote, pause, resume, abort and retry: ask, and say what became of it."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from daemon.cli.facts import understood
from daemon.cli.failures import CommandError, TimedOutError, steered
from daemon.cli.release.facts import Attempt, Release, Request, release
from daemon.cli.release.phases import Phase
from daemon.cli.release.scene import KIND, meant
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.spans import INSTANT, SPAN, end_of, lasting, moment

_ANSWER_S: Final = 10.0
"""How long an answer, and then the end of a rollback, is waited for."""
_PAUSE_S: Final = 0.1
Command = TypeVar("Command", bound=Callable[..., Any])


def _options(command: Command) -> Command:
    """Add what all of them have."""
    for option in (
        click.option("--reason", help="Why; the events keep it."),
        click.option(
            "--attempt", type=int, metavar="N", help="Only if attempt N runs. [default: the one now]"
        ),
        click.argument("name", required=False),
        reaches_daemon,
    ):
        command = option(command)
    return command


@click.command(short_help="All traffic back to the old version, at once.")
@_options
def rollback(name: str | None, attempt: int | None, reason: str | None) -> None:
    """Send all traffic back to the old version, at once and whatever the figures say.

    It asks nothing. The version is then in quarantine until another one is asked for, or it is retried.
    """
    _do("rollback", name, attempt, reason)


@click.command(short_help="Stop an attempt that is not promoted.")
@_options
def abort(name: str | None, attempt: int | None, reason: str | None) -> None:
    """Stop an attempt that is not promoted; traffic that it has goes back to the old version."""
    _do("abort", name, attempt, reason)


@click.command(short_help="Give the new version all traffic.")
@click.option("--force", is_flag=True, help="Even if a candidate is ill, or its evidence bad.")
@_options
def promote(name: str | None, attempt: int | None, reason: str | None, *, force: bool) -> None:
    """Give the new version all traffic without waiting for more evidence."""
    _do("promote", name, attempt, reason, **({"force": True} if force else {}))


@click.command(short_help="Let nothing move forward for a while.")
@click.option("--for", "span", type=SPAN, metavar="DURATION", help="How long, such as 2h; 4h if absent.")
@click.option("--until", "until", type=INSTANT, metavar="TIME", help="Until when.")
@_options
def pause(
    name: str | None, attempt: int | None, reason: str | None, span: float | None, until: datetime | None
) -> None:
    """Let nothing move forward for a while; it is still watched, and still rolled back if it breaks."""
    end = end_of(span, until, session().now())
    _do("pause", name, attempt, reason, **({"until": moment(end)} if end else {}))


@click.command(short_help="Let it go on.")
@_options
def resume(name: str | None, attempt: int | None, reason: str | None) -> None:
    """Let a release go on that a person paused, or that waits for a person."""
    _do("resume", name, attempt, reason)


@click.command(short_help="Try a version again that failed or was rolled back.")
@_options
def retry(name: str | None, attempt: int | None, reason: str | None) -> None:
    """Lift the quarantine of the version in the file, and try it again."""
    _do("retry", name, attempt, reason)


def _do(verb: str, name: str | None, attempt: int | None, reason: str | None, **arguments: object) -> None:
    """Ask for *verb* and print the answer; a refusal ends the command with code 1."""
    here = session()
    with steered():
        found = meant(here, name, verb)
        # The attempt that the person saw: an answer that comes late must not hit the next one.
        number = attempt if attempt is not None else found.attempt.number if found.attempt else None
        body = {"reason": reason or "", **arguments, **({} if number is None else {"attempt": number})}
        asked = here.client.post(f"release/{found.name}/{verb}", body)
        answer = _answer(here, found.name, _id(asked))
        if not answer.accepted:
            raise CommandError(answer.answer or "refused", f"psactl release status {found.name}")
        click.echo(here.out.say(Tone.GOOD, answer.answer or "accepted"))
        if verb in {"rollback", "abort"} and number is not None:
            _see_end(here, found.name, number)


def _id(asked: Any) -> int:
    return understood(lambda raw: int(raw["request"]), asked)


def _answer(here: Session, name: str, number: int) -> Request:
    """Return the request once it is answered; raise TimedOutError."""
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        found = _now(here, name).request(number)
        if found is not None and found.answer is not None:
            return found
        time.sleep(_PAUSE_S)
    text = f"asked, and not answered within {_ANSWER_S:g} s; it stays asked"
    hint = f"psactl release status {name}; is it suspended, is the mode Observe, or the daemon busy?"
    raise TimedOutError(text, hint)


def _now(here: Session, name: str) -> Release:
    return understood(release, here.client.get("objects", KIND, name))


def _see_end(here: Session, name: str, number: int) -> None:
    """Say when the old version has all traffic again; what takes longer goes on without us."""
    began, attempt = time.monotonic(), None
    while time.monotonic() - began < _ANSWER_S:
        attempt = next((each for each in _now(here, name).attempts if each.number == number), None)
        if attempt is None or not attempt.is_running:
            break
        time.sleep(_PAUSE_S)
    if attempt is None:
        return
    if attempt.is_running:
        here.say(Tone.BUSY, f"still {attempt.phase.value}: psactl release status {name} -w shows the rest")
    else:
        click.echo(here.out.say(Tone.GOOD, _ended(attempt, time.monotonic() - began)))


def _ended(attempt: Attempt, took_s: float) -> str:
    if attempt.phase is Phase.FAILED:
        return f"{attempt.version} is given up; {attempt.old_version or 'nothing'} was live all the time"
    return f"{attempt.old_version} has all traffic again, after {lasting(took_s)}"
