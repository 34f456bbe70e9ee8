"""A page that is looked at anew all the time: redrawn on a terminal, a line for each change elsewhere."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final

import click

from daemon.cli.failures import UnreachableError
from daemon.cli.release.outlook import live, verdict
from daemon.cli.release.scene import Scene
from daemon.cli.release.view import sign_of
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import Session
from daemon.cli.spans import clock

_ENTER: Final = "\033[?1049h\033[?25l\033[?7l"
"""Another page of the terminal, without cursor, long lines cut."""
_LEAVE: Final = "\033[?7h\033[?25h\033[?1049l"
_HOME: Final = "\033[H"
_CLEAR_LINE: Final = "\033[2K"
"""Before the text: behind it, it would take the last column of a full line away."""
_END_OF_PAGE: Final = "\033[J"
_INTERRUPTED: Final = 130

Look = Callable[[], Sequence[Scene]]
Draw = Callable[[Sequence[Scene], Screen], str]


@contextlib.contextmanager
def interruptible(here: Session) -> Iterator[None]:
    """End the block at Ctrl-C, and say that nothing else ended."""
    try:
        yield
    except KeyboardInterrupt:
        here.say(Tone.PLAIN, "psactl ends; the release goes on")
        raise click.exceptions.Exit(_INTERRUPTED) from None


def redraw(here: Session, look: Look, draw: Draw, every_s: float) -> None:
    """Draw what *look* finds until Ctrl-C, then leave the last page in the terminal's memory."""
    page = ""
    try:
        with _other_page():
            while True:
                page, foot = _page(here, look, draw, page)
                _show(page, foot, _screen(here))
                time.sleep(every_s)
    finally:
        click.echo(page)


def _page(here: Session, look: Look, draw: Draw, last: str) -> tuple[str, str]:
    """Return the page and what stands below it; while nobody answers the last page stays."""
    now = clock(here.now(), here.now())
    try:
        scenes = look()
    except UnreachableError as exc:
        screen = _screen(here)
        return last, f"{screen.paint(f'✖ {now}: {exc.message}; the page is old', Tone.BAD)}"
    attempts = [scene.release.attempt for scene in scenes]
    goes_on = any(attempt is not None and attempt.is_running for attempt in attempts)
    foot = f"{now}, Ctrl-C ends this page" + ("; the release goes on" if goes_on else "")
    return draw(scenes, _screen(here)), foot


def _screen(here: Session) -> Screen:
    """Return the terminal as it is now; it may have been resized."""
    return Screen.of(sys.stdout) if sys.stdout.isatty() else here.out


def _show(page: str, foot: str, screen: Screen) -> None:
    rows = screen.rows or 0
    lines = page.splitlines()[: max(rows - 2, 1)]
    lines += ["", screen.paint(foot, Tone.FAINT)]
    sys.stdout.write(_HOME + "\n".join(f"{_CLEAR_LINE}{line}" for line in lines) + _END_OF_PAGE)
    sys.stdout.flush()


@contextlib.contextmanager
def _other_page() -> Iterator[None]:
    """Use the terminal's second page, and give the first one back however the block ends."""
    before = signal.signal(signal.SIGTERM, _terminated)
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def changes(here: Session, look: Look, every_s: float) -> None:
    """Print a line whenever a release changes: phase, hold, share of the traffic, obstacles."""
    told: dict[str, object] = {}
    is_lost = False
    while True:
        try:
            scenes, is_lost = look(), False
        except UnreachableError as exc:
            if not is_lost:
                here.say(Tone.BUSY, f"{exc.message}; trying again")
            scenes, is_lost = (), True
        for scene in scenes:
            state = _state(scene)
            if told.get(scene.release.name) != state:
                told[scene.release.name] = state
                click.echo(one_line(scene, here.out))
        time.sleep(every_s)


def _state(scene: Scene) -> object:
    attempt = scene.release.attempt
    if attempt is None:
        return verdict(scene)
    hold = attempt.hold.reason if attempt.hold else None
    is_frozen = scene.freeze is not None
    return attempt.number, attempt.phase, attempt.step, hold, live(scene), is_frozen, verdict(scene).tone


def one_line(scene: Scene, screen: Screen) -> str:
    """Return a release as one line with its time."""
    attempt, said = scene.release.attempt, verdict(scene)
    head = f"{scene.now:%H:%M:%S}  "
    if attempt is None:
        return f"{head}{screen.say(said.tone, f'{scene.release.name}: {said.text}')}"
    sign = sign_of(attempt)
    parts = [f"{scene.release.name}  {attempt.versions}  {sign.text}", live(scene), said.text]
    text = "; ".join(part for part in parts if part)
    first, *rest = screen.wrap(text, len(head) + 2)
    mark = screen.paint(said.tone.glyph or sign.tone.glyph, said.tone)
    return "\n".join([f"{head}{mark} {first}", *(f"{' ' * (len(head) + 2)}{line}" for line in rest)])
