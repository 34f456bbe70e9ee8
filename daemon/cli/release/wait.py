"""psactl release wait: for pipelines."""

import time
from typing import Final

import click

from daemon.cli.facts import thing, understood
from daemon.cli.failures import CommandError, NotFoundError, TimedOutError, steered
from daemon.cli.following import CONNECTED, follow
from daemon.cli.release.facts import Attempt, Hold, Release, release
from daemon.cli.release.live import interruptible
from daemon.cli.release.phases import Phase
from daemon.cli.release.scene import KIND, meant
from daemon.cli.release.view import sign_of
from daemon.cli.screen import Tone
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.shares import freeze, freeze_said
from daemon.cli.spans import SPAN, lasting
from daemon.cli.states import holds, is_refused, is_seen, state_of

_REACHED: Final = {
    "promoted": frozenset({Phase.SOAK, Phase.COMPLETED}),
    "completed": frozenset({Phase.COMPLETED}),
}


class RolledBackError(CommandError):
    """The version was rolled back, or failed before it had traffic."""

    exit_code = 3


class HeldError(CommandError):
    """It does not move until a person acts, or what is missing comes."""

    exit_code = 4


@click.command(short_help="Wait until a version is promoted, for a pipeline.")
@click.argument("name", required=False)
@click.option("--version", "version", metavar="V", help="Version to wait for; the file's if absent.")
@click.option(
    "--for",
    "wanted",
    type=click.Choice(list(_REACHED)),
    default="promoted",
    show_default=True,
    help="promoted: it has all traffic and is verified. completed: the soak is over, too.",
)
@click.option("--timeout", "span", type=SPAN, default="1h", show_default=True, metavar="DURATION")
@click.option("--through-holds", is_flag=True, help="Go on waiting while it is held.")
@reaches_daemon
def wait(name: str | None, version: str | None, wanted: str, span: float, *, through_holds: bool) -> None:
    """Wait for the version that the file asks for now, however short ago it was saved.

    Each change is printed once, with its time in UTC. Exit code 0 promoted (or completed), 1 the file is
    refused, 3 rolled back, failed or in quarantine, 4 held, 7 the time is over; 2 usage or no daemon.
    """
    here = session()
    with steered(), interruptible(here):
        name = (name or meant(here, None, "wait").name).rpartition("/")[2]
        following = _Following(here, name, version, wanted, through_holds=through_holds)
        for frame in follow(here, deadline=time.monotonic() + span):
            if frame is CONNECTED:
                following.look()
            elif frame.event == "object" and understood(thing, frame.data).key == f"{KIND}/{name}":
                following.hear(understood(release, frame.data))
            if following.is_over:
                return
        hint = f"it goes on: psactl release status {name}"
        raise TimedOutError(f"{name}: {following.at} after {span:g} s", hint)


class _Following:
    """The attempt of one version, and how far it is."""

    def __init__(
        self, here: Session, name: str, version: str | None, wanted: str, *, through_holds: bool
    ) -> None:
        self._here = here
        self._name = name
        self._version = version
        self._wanted = wanted
        self._through_holds = through_holds
        self._told: object = None
        self._seen_running: int | None = None
        self.at = "there is no such release"
        self.is_over = False

    def look(self) -> None:
        """Let the daemon read the files, then look at the release."""
        problems = self._here.source().problems
        try:
            found = understood(release, self._here.client.get("objects", KIND, self._name))
        except NotFoundError as exc:
            refused = [each.rendered.rstrip() for each in problems if each.key == f"{KIND}/{self._name}"]
            if refused:
                raise CommandError("\n".join(["its file is refused:", *refused])) from exc
            self._wait(f"{exc.message} yet")
            return
        self.hear(found)

    def hear(self, found: Release) -> None:
        """Take in how the release is; raise what ends the wait badly."""
        if is_refused(found.thing):
            state = found.thing.condition("SourceValid")
            text = f"its file is refused, the last good stays in force: {state.message if state else ''}"
            raise CommandError(text, "psactl status shows the place")
        self._version = self._version or found.wish.version
        attempt = next((each for each in found.attempts if each.version == self._version), None)
        is_wanted = found.wish.version == self._version
        if attempt is None or (is_wanted and attempt is not found.attempt):
            self._before(found)
        elif attempt.is_running:
            self._during(attempt)
        elif attempt.is_broken:
            self._broken(found, attempt)
        else:
            self._done(f"{attempt.version} was promoted", attempt)

    def _before(self, found: Release) -> None:
        """Say why the version has no attempt yet, or needs none."""
        state = state_of(found.thing)
        if found.wish.version == self._version and holds(found.thing, "Ready"):
            self._done(f"{self._version} is live", None)
        elif quarantine := found.quarantined(str(self._version)):
            text = f"{self._version} is in quarantine since attempt {quarantine.attempt}: {quarantine.reason}"
            raise RolledBackError(text, f"psactl release retry {self._name}, or another version")
        elif _is_stalled(found) and is_seen(found.thing):
            raise HeldError(f"no attempt begins, {state.word}: {state.message}")
        else:
            self._wait(f"no attempt at {self._version} yet{f': {state.message}' if state.message else ''}")

    def _during(self, attempt: Attempt) -> None:
        hold = attempt.hold
        said = (attempt.number, attempt.phase, attempt.step, hold.reason if hold else None)
        if self._told != said:
            self._tell_of(attempt)
        self._told, self._seen_running = said, attempt.number
        self.at = f"{attempt.phase.value}, attempt {attempt.number} at {attempt.version}"
        if attempt.phase in _REACHED[self._wanted]:
            self._done(f"{attempt.version} is promoted", attempt)
        elif not self._through_holds:
            self._stop_at(hold)

    def _stop_at(self, hold: Hold | None) -> None:
        """Raise HeldError if the attempt is held, or everything is frozen."""
        hint = f"psactl release status {self._name}; --through-holds waits on"
        if hold is not None:
            raise HeldError(f"held, {hold.reason}: {hold.message}", hint)
        now, frozen = self._here.now(), understood(freeze, self._here.client.get("status"))
        if frozen is not None and now < frozen.until:
            raise HeldError(freeze_said(frozen, now), hint)

    def _tell_of(self, attempt: Attempt) -> None:
        sign, at = sign_of(attempt), attempt.entered_at
        text = f"{sign.text}, attempt {attempt.number}: {attempt.versions}"
        if attempt.hold is not None:
            at = attempt.hold.since or at
            text = f"{sign.text} is held, {attempt.hold.reason}: {attempt.hold.message}"
        elif attempt.step and attempt.phase is Phase.SPLIT:
            at, text = attempt.step_at or at, f"{sign.text}, step {attempt.step + 1}"
        head = f"{at:%H:%M:%S}  "
        click.echo(head + self._here.out.say(sign.tone, text, " " * len(head)).removeprefix(" " * len(head)))

    def _broken(self, found: Release, attempt: Attempt) -> None:
        """End badly, unless another attempt at the same version is about to begin."""
        is_final = attempt.number == self._seen_running or found.wish.version != self._version
        if is_final or (_is_stalled(found) and is_seen(found.thing)):
            why = f"{attempt.reason}: {attempt.message}" if attempt.message else attempt.reason or "no reason"
            word = "failed" if attempt.phase is Phase.FAILED else "was rolled back"
            raise RolledBackError(f"{attempt.version} {word}, {why}", f"psactl describe {KIND}/{self._name}")
        self._wait(f"attempt {attempt.number} ended as {attempt.phase.value}; the next one may begin")

    def _wait(self, why: str) -> None:
        self.at = why
        if self._told != why:
            self._told = why
            self._here.say(Tone.BUSY, why)

    def _done(self, text: str, attempt: Attempt | None) -> None:
        self.is_over = True
        took = ""
        if attempt is not None:
            ends = (attempt.promoted_at if self._wanted == "promoted" else None, attempt.ended_at)
            end = next((each for each in ends if each is not None), self._here.now())
            took = f", {lasting((end - attempt.began_at).total_seconds())} after it began"
        click.echo(self._here.out.say(Tone.GOOD, f"{text}{took}"))


def _is_stalled(found: Release) -> bool:
    stalled = found.thing.condition("Stalled")
    return stalled is not None and stalled.status == "True"
