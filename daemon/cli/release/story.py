"""The story of a release's attempts, for who asks afterwards: checks, phases, figures, post-mortem. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from daemon.cli.blocks import pairs
from daemon.cli.facts import Happening
from daemon.cli.release.facts import Attempt, Check, Release, Request
from daemon.cli.release.figures import figure_lines, percent
from daemon.cli.release.history import told
from daemon.cli.release.outlook import commands, live
from daemon.cli.release.phases import Phase
from daemon.cli.release.scene import Scene
from daemon.cli.release.strip import moves
from daemon.cli.release.view import command_lines, gist, roles
from daemon.cli.screen import Screen, Tone
from daemon.cli.spans import clock, lasting

#: What the daemon writes where nobody gave one.
_NO_REASON: Final = "no reason given"
Chapter = tuple[str, list[str]]


def chapters(scene: Scene, screen: Screen) -> Iterator[Chapter]:
    """Yield titles with their lines; empty chapters are the reader's to leave out."""
    release, inner = scene.release, screen.inside
    others = [each for each in commands(scene) if not each[0].startswith("psactl describe")]
    lines = "\n".join([*gist(scene, screen), *command_lines(others, screen)]).splitlines()
    yield "Release", [line.removeprefix("  ") for line in lines]
    if release.attempt is not None:
        yield from _of_attempt(scene, release.attempt, inner)
    yield "Asked of it", list(_requests(release.requests, inner, scene.now))
    yield "In quarantine", list(_quarantine(release, inner, scene.now))
    if len(release.attempts) > 1:
        yield "Earlier attempts", told(release.attempts[1:], inner, scene.now, is_wide=False)


def _of_attempt(scene: Scene, attempt: Attempt, screen: Screen) -> Iterator[Chapter]:
    release = scene.release
    yield (
        f"Attempt {attempt.number}",
        [*_facts(attempt, screen, scene.now), "", *roles(scene, attempt, screen)],
    )
    yield "Checks", list(_checks(attempt.checks, screen))
    yield "Phases", list(_phases(attempt, scene.events, scene.now, screen))
    for name, figures in sorted(release.figures.items()):
        yield f"Figures of {name}", list(figure_lines(figures, release.wish, screen))
    if attempt.is_broken and not attempt.is_running:
        yield "Post-mortem", pairs(list(_post_mortem(scene, attempt)), screen)


def _facts(attempt: Attempt, screen: Screen, now: datetime) -> list[str]:
    ended = clock(attempt.ended_at, now) if attempt.ended_at else ""
    took = lasting(((attempt.ended_at or now) - attempt.began_at).total_seconds())
    facts = [
        ("version", attempt.versions),
        ("began", clock(attempt.began_at, now)),
        ("ended", f"{ended}, after {took}" if ended else f"not yet; it runs for {took}"),
        ("promoted", clock(attempt.promoted_at, now) if attempt.promoted_at else ""),
    ]
    return pairs([(name, text) for name, text in facts if text], screen)


def _checks(found: Sequence[Check], screen: Screen) -> Iterator[str]:
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        tone = Tone.GOOD if each.passed else Tone.BAD
        took = f"{each.seconds:.1f}s" if each.seconds else ""
        head = f"{each.name:{width}}  {took:>6}  "
        first, *rest = screen.wrap(each.message, len(head) + 2)
        yield f"{screen.paint(tone.glyph, tone)} {head}{first}".rstrip()
        yield from (f"{' ' * (len(head) + 2)}{line}" for line in rest)


def _phases(attempt: Attempt, events: Sequence[Happening], now: datetime, screen: Screen) -> Iterator[str]:
    """Yield a line a phase with its begin and how long it took, as far as the events are still there."""
    found = list(moves(attempt, events))
    ends = [event.at for event, _, _ in found[1:]]
    for (event, _, phase), end in zip(found, [*ends, None], strict=True):
        if event.at is None:
            continue
        is_last = end is None
        took = (
            "" if is_last and not attempt.is_running else lasting(((end or now) - event.at).total_seconds())
        )
        tone = _tone(attempt, phase, is_last=is_last)
        name = f"{phase.value:15}" if took else phase.value
        yield f"{event.at:%H:%M:%S}  {screen.paint(f'{tone.glyph} {name}', tone)}  {took}".rstrip()


def _tone(attempt: Attempt, phase: Phase, *, is_last: bool) -> Tone:
    if phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED}:
        return Tone.BAD
    if is_last and attempt.is_running:
        return Tone.HELD if attempt.hold is not None else Tone.NOW
    return Tone.GOOD


def _post_mortem(scene: Scene, attempt: Attempt) -> Iterator[tuple[str, str]]:
    """Yield five lines: what, why, when, users, next."""
    release, now = scene.release, scene.now
    trigger = f" [{attempt.trigger}]" if attempt.trigger else ""
    word = "failed before it had traffic" if attempt.phase is Phase.FAILED else "was rolled back"
    yield "what", f"{attempt.versions} {word}"
    yield "why", f"{attempt.reason or 'no reason given'}: {attempt.message or 'not said'}{trigger}"
    yield "when", _when(attempt, now)
    yield "users", _users(release, attempt)
    again = f"another version in the file, or psactl release retry {release.name}"
    yield "next", f"live: {live(scene)}; {attempt.version} is not tried again by itself: {again}"


def _when(attempt: Attempt, now: datetime) -> str:
    parts = [f"began {clock(attempt.began_at, now)}"]
    bad, decided, ended = attempt.first_bad_at, attempt.decided_at, attempt.ended_at
    if bad is not None:
        parts.append(f"bad since {clock(bad, now)}")
    if decided is not None:
        after = f", {_seconds(bad, decided)} later" if bad is not None else ""
        parts.append(f"decided {clock(decided, now)}{after}")
    if ended is not None:
        after = f", {_seconds(decided, ended)} later" if decided is not None else ""
        parts.append(f"over {clock(ended, now)}{after}")
    return "; ".join(parts)


def _seconds(since: datetime | None, end: datetime) -> str:
    return "" if since is None else f"{max((end - since).total_seconds(), 0.0):.1f}s"


def _users(release: Release, attempt: Attempt) -> str:
    if attempt.step_at is None:
        return "nobody saw it: the candidate never had traffic"
    requests = sum(each.requests for each in release.figures.values())
    errors = sum(each.errors for each in release.figures.values())
    if not requests:
        counted = bool(release.figures)
        return f"no request came to {attempt.version}" if counted else "how many saw it was not counted"
    rate = percent(errors / requests)
    return f"{errors:,} of {requests:,} requests to {attempt.version} failed ({rate})"


def _requests(found: Sequence[Request], screen: Screen, now: datetime) -> Iterator[str]:
    for each in found:
        at = clock(each.at, now) if each.at is not None else ""
        tone = Tone.BUSY if each.answer is None else Tone.GOOD if each.accepted else Tone.BAD
        why = f": {each.reason}" if each.reason not in {"", _NO_REASON} else ""
        yield screen.say(tone, f"{at}  {each.verb} [{each.actor}]{why} → {each.answer or 'not answered yet'}")


def _quarantine(release: Release, screen: Screen, now: datetime) -> Iterator[str]:
    for each in release.quarantine:
        since = f" since {clock(each.at, now)}" if each.at is not None else ""
        yield screen.say(Tone.BAD, f"{each.version}{since}, attempt {each.attempt}: {each.reason}")
