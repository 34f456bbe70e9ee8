"""A release on one screen: pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from daemon.cli.blocks import pairs, section
from daemon.cli.facts import Happening
from daemon.cli.release.facts import Attempt, Part, Release
from daemon.cli.release.figures import figure_lines
from daemon.cli.release.gates import gate_lines
from daemon.cli.release.outlook import Said, coming, commands, live, obstacles, verdict, waited_for
from daemon.cli.release.phases import Phase
from daemon.cli.release.scene import Scene
from daemon.cli.release.strip import shortened, strip
from daemon.cli.screen import Screen, Tone
from daemon.cli.spans import lasting
from daemon.cli.states import state_of
from daemon.cli.table import Cell, table
from daemon.cli.timeline import event_line

_EVENTS: Final = 5
_SERVICES: Final = 8
_TITLE_ROWS: Final = 2
"""Rows that a section takes beside its lines: an empty one, and its title."""
_FOOT_ROWS: Final = 2
"""Rows below the page where it is redrawn."""


def whole(scene: Scene, screen: Screen) -> str:
    """Return all that a person needs to know of one release; what may be cut off comes last."""
    parts = ["\n".join(summary(scene, screen)), *_sections(scene, screen)]
    rows = sum(part.count("\n") + _TITLE_ROWS for part in parts)
    events, attempt = _happened(scene, screen, rows), scene.release.attempt
    if events:
        parts.append(section("Events", events, screen))
    if attempt is not None:
        some = _some_roles(scene, attempt, screen.inside)
        parts.append(section("Services, and the candidate's share", some, screen))
    return "\n\n".join(parts)


def summary(scene: Scene, screen: Screen) -> list[str]:
    """Return the heading, and the lines of the gist with what can be done."""
    return [heading(scene, screen), *gist(scene, screen), *command_lines(commands(scene), screen)]


def gist(scene: Scene, screen: Screen) -> list[str]:
    """Return the lines that say whether it is fine, who is live, what comes next."""
    said = [verdict(scene), *obstacles(scene)]
    lines = [*(screen.say(each.tone, each.text, "  ") for each in said)]
    facts = [("live", live(scene)), ("now", waited_for(scene)), ("next", coming(scene))]
    if scene.release.attempt is not None and scene.release.attempt.phase is Phase.WATCH:
        facts.append(("sees", scene.release.visible))
    named = pairs([(f"{name:4}", text) for name, text in facts if text], screen, "  ")
    return [*lines, *named]


def command_lines(found: Sequence[tuple[str, str]], screen: Screen) -> Iterator[str]:
    """Yield the commands under each other, each with what it does behind it."""
    width = max((len(command) for command, _ in found), default=0)
    for index, (command, what) in enumerate(found):
        head = f"  {'do' if index == 0 else '':4}  {command:{width}}  "
        first, *rest = screen.wrap(what, len(head))
        yield f"{head}{screen.paint(first, Tone.FAINT)}"
        yield from (f"{' ' * len(head)}{screen.paint(line, Tone.FAINT)}" for line in rest)


def heading(scene: Scene, screen: Screen) -> str:
    """Return name, versions, phase and for how long."""
    release, attempt = scene.release, scene.release.attempt
    name = screen.paint(release.name, Tone.TITLE)
    if attempt is None:
        state = state_of(release.thing)
        word = screen.paint(f"{state.tone.glyph} {state.word}", state.tone)
        return f"{name}  {release.wish.version}  {word}"
    sign = sign_of(attempt)
    state_text = screen.paint(f"{sign.tone.glyph} {sign.text}", sign.tone)
    since = lasting((scene.now - attempt.entered_at).total_seconds())
    return f"{name}  {attempt.versions}  {state_text} for {since}, attempt {attempt.number}"


def sign_of(attempt: Attempt) -> Said:
    """Return an attempt's phase and what it means."""
    if attempt.hold is not None:
        return Said(Tone.HELD, attempt.phase.value)
    match attempt.phase:
        case Phase.COMPLETED:
            return Said(Tone.GOOD, attempt.phase.value)
        case Phase.FAILED | Phase.ROLLED_BACK | Phase.ROLLING_BACK:
            return Said(Tone.BAD, attempt.phase.value)
        case _:
            return Said(Tone.NOW, attempt.phase.value)


def _sections(scene: Scene, screen: Screen) -> Iterator[str]:
    release, attempt = scene.release, scene.release.attempt
    if attempt is None:
        return
    yield section("Phases", strip(attempt, scene.events, screen.inside), screen)
    for name, figures in sorted(release.figures.items()):
        yield section(f"Figures of {name}", list(figure_lines(figures, release.wish, screen.inside)), screen)
    if release.gates:
        yield section("Gates", list(gate_lines(release.gates, screen.inside, scene.now)), screen)


def roles(scene: Scene, attempt: Attempt, screen: Screen) -> list[str]:
    """Return a table of the services with their roles and what the candidate has of their traffic."""
    headings = ("SERVICE", "STABLE", "CANDIDATE", "ASKED", "SEEN")
    parts = sorted(attempt.parts, key=lambda part: (not part.is_entry, part.service))
    return table(headings, [_row(scene, attempt, part) for part in parts], screen)


def _some_roles(scene: Scene, attempt: Attempt, screen: Screen) -> list[str]:
    lines = roles(scene, attempt, screen)
    more = len(lines) - 1 - _SERVICES
    if more <= 0:
        return lines
    return [*lines[: 1 + _SERVICES], f"… and {more} more: psactl describe Release/{scene.release.name}"]


def _row(scene: Scene, attempt: Attempt, part: Part) -> tuple[Cell, ...]:
    stable = f"{part.stable} {part.stable_version or ''}".rstrip() if part.stable else "-"
    asked, seen = _percentages(scene.release, scene, part)
    roles = (Cell(part.service), Cell(stable), Cell(f"{part.candidate} {attempt.version}"))
    tone = Tone.PLAIN if asked == seen or not seen else Tone.BUSY
    return (*roles, Cell(asked), Cell(seen, tone))


def _percentages(release: Release, scene: Scene, part: Part) -> tuple[str, str]:
    """Return what is asked for the candidate and what is seen; empty where that is not known."""
    figures = release.figures.get(part.service)
    if figures is not None and release.attempt is not None and release.attempt.is_running:
        return f"{figures.asked}%", "?" if figures.observed is None else f"{figures.observed}%"
    share = scene.candidate_percent(part)
    return ("" if share is None else f"{share}%"), ""


def _happened(scene: Scene, screen: Screen, used: int) -> list[str]:
    """Return the last events, as many as the screen has room for; at least the last one."""
    room = _EVENTS if screen.rows is None else screen.rows - used - _TITLE_ROWS - _FOOT_ROWS
    count = min(max(room, 1), _EVENTS)
    return [_event(each, scene, screen) for each in scene.events[-count:]]


def _event(found: Happening, scene: Scene, screen: Screen) -> str:
    return event_line(shortened(found), screen.inside, scene.now, names_object=False)
