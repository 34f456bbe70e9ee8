"""What a tired person must know first: is it fine, who is live, what comes next, what can be done. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from daemon.cli.release.facts import Attempt, Hold, Release
from daemon.cli.release.phases import DEADLINES_S, PROMOTED, SHARED, Phase
from daemon.cli.release.scene import Scene
from daemon.cli.screen import Tone
from daemon.cli.shares import freeze_said, override_said
from daemon.cli.spans import clock, lasting, until
from daemon.cli.states import holds, state_of

#: From here on the evidence is worth a worried look, as a share of what a rollback needs.
_WORRYING: Final = 0.5
_WHOLE: Final = 100
#: Who holds where no person does.
_RULE: Final = "the rule"


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence and what it means."""

    tone: Tone
    text: str


def verdict(scene: Scene) -> Said:
    """Say in one sentence whether it is fine."""
    attempt = scene.release.attempt
    if attempt is None:
        state = state_of(scene.release.thing)
        return Said(state.tone, state.message or f"{state.word}: nothing was released yet")
    if attempt.hold is not None:
        return Said(Tone.HELD, _held(attempt.hold, scene.now))
    if attempt.is_broken:
        return _broken(scene.release, attempt)
    if attempt.is_before_traffic:
        return Said(Tone.NOW, f"being prepared; {_untouched(attempt)}")
    if attempt.phase is Phase.COMPLETED:
        return Said(Tone.GOOD, f"done: {attempt.version} is live")
    return _served(scene, attempt)


def _is_left_behind(release: Release, attempt: Attempt) -> bool:
    """Whether the last attempt broke, and the file asks for what is live by now."""
    is_other = attempt.is_broken and not attempt.is_running and attempt.version != release.wish.version
    return is_other and holds(release.thing, "Ready")


def _untouched(attempt: Attempt) -> str:
    return f"users see {attempt.old} as before" if attempt.old else "nothing is live yet"


def _held(hold: Hold, now: datetime) -> str:
    since = f" for {lasting((now - hold.since).total_seconds())}" if hold.since else ""
    return f"held{since}, {hold.reason}: {hold.message}"


def _broken(release: Release, attempt: Attempt) -> Said:
    if _is_left_behind(release, attempt):
        what = "failed" if attempt.phase is Phase.FAILED else "was rolled back"
        return Said(Tone.GOOD, f"{release.wish.version} is live, as asked; {attempt.version} {what}")
    heads = {Phase.ROLLING_BACK: "rolling back", Phase.ROLLED_BACK: "rolled back", Phase.FAILED: "failed"}
    why = f"{attempt.reason}: {attempt.message}" if attempt.message else attempt.reason or "no reason given"
    return Said(Tone.BAD, f"{heads[attempt.phase]}, {why}")


def _served(scene: Scene, attempt: Attempt) -> Said:
    """Say how an attempt is whose candidate has traffic."""
    worst = max(scene.release.figures.items(), key=lambda each: each[1].strength, default=None)
    limit = scene.release.wish.limit
    if worst is not None and worst[1].strength >= _WORRYING:
        return Said(Tone.BAD, f"worrying: the evidence against {attempt.version} grows at {worst[0]}")
    above = [name for name, each in scene.release.figures.items() if each.ratio > limit]
    if above and attempt.phase in SHARED:
        text = f"above its limit at {', '.join(above)}, but too few requests to decide"
        return Said(Tone.BUSY, text)
    if attempt.phase in SHARED and not any(each.requests for each in scene.release.figures.values()):
        return Said(Tone.NOW, f"{attempt.version} had no request yet")
    if attempt.phase in {Phase.PROMOTE, Phase.VERIFY}:
        return Said(Tone.NOW, f"promoted: {attempt.version} is verified under all traffic")
    return Said(Tone.GOOD, f"fine: {attempt.version} keeps its limits")


def live(scene: Scene) -> str:
    """Say which version users see."""
    attempt = scene.release.attempt
    if attempt is None:
        return ""
    old, new = attempt.old, attempt.version
    shares = {scene.candidate_percent(part) for part in attempt.entries}
    if None in shares or not shares:
        shares = {_WHOLE if attempt.phase in PROMOTED | {Phase.COMPLETED} else 0}
    if len(shares) > 1:
        each = (f"{part.service} {scene.candidate_percent(part)}%" for part in attempt.entries)
        return f"{new} has {', '.join(each)}"
    share = shares.pop() or 0
    if share in {0, _WHOLE}:
        version = new if share else old
        return f"{version}, all traffic" if version else "nothing yet"
    return f"{old or 'stable'} {_WHOLE - share}%, {new} {share}%"


def obstacles(scene: Scene) -> Iterator[Said]:
    """Say what else holds, or what is not followed."""
    release, now = scene.release, scene.now
    if scene.observing:
        yield Said(Tone.HELD, f"mode {scene.observing}")
    if scene.freeze is not None:
        yield Said(Tone.HELD, freeze_said(scene.freeze, now))
    for service in sorted({part.service for part in release.attempt.parts} if release.attempt else ()):
        found = scene.overridden(service)
        if found is not None:
            yield Said(Tone.HELD, override_said(service, found, now))
    yield from _not_followed(release)


def _not_followed(release: Release) -> Iterator[Said]:
    attempt, wanted = release.attempt, release.wish.version
    quarantine = release.quarantined(wanted)
    if quarantine is not None:
        yield Said(Tone.BAD, f"{wanted} is in quarantine since attempt {quarantine.attempt}")
    elif attempt is not None and attempt.version != wanted and not _is_left_behind(release, attempt):
        state = state_of(release.thing)
        yield Said(Tone.HELD, f"the file asks for {wanted}: {state.message or state.word}")
    if release.thing.orphaned_since is not None:
        yield Said(Tone.HELD, "its file is gone: what runs goes on to its end, nothing new begins")
    if release.thing.suspended is not None:
        yield Said(Tone.HELD, f"suspended: {release.thing.suspended}")


def waited_for(scene: Scene) -> str:
    """Say what the running phase waits for, in the daemon's words."""
    attempt, ready = scene.release.attempt, scene.release.thing.condition("Ready")
    if attempt is None or ready is None or not attempt.is_running or attempt.hold is not None:
        return ""
    if _end_of_standstill(scene, attempt) is not None:
        return ""
    return ready.message.removeprefix(f"{attempt.version}: {attempt.phase.value}: ")


def coming(scene: Scene) -> str:
    """Say what happens next by itself, and when."""
    attempt = scene.release.attempt
    if attempt is None:
        return ""
    if attempt.hold is not None:
        return _end_of_hold(attempt, attempt.hold, scene.now)
    standstill = _end_of_standstill(scene, attempt)
    if standstill is not None:
        return f"nothing moves forward until {until(standstill, scene.now)}; a rollback still does"
    return _COMING.get(attempt.phase, _deadline)(scene, attempt)


def _end_of_standstill(scene: Scene, attempt: Attempt) -> datetime | None:
    """Return when a freeze and all overrides are over, None if there is none."""
    if not attempt.is_running or attempt.phase is Phase.ROLLING_BACK:
        return None
    overrides = (scene.overridden(part.service) for part in attempt.parts)
    ends = [each.until for each in (scene.freeze, *overrides) if each is not None]
    return max(ends, default=None)


def _end_of_hold(attempt: Attempt, hold: Hold, now: datetime) -> str:
    end = until(hold.until, now) if hold.until else "some time"
    ends = "fails, stable untouched" if attempt.is_before_traffic else "rolls back"
    match hold.exit:
        case "resume":
            return f"at {end} it goes on by itself"
        case "stay":
            return f"it stays so; at {end} it pages again"
        case _:
            return f"at {end} it {ends}, unless the hold is over before"


def _end_of_watch(scene: Scene, attempt: Attempt) -> str:
    release, now = scene.release, scene.now
    watched_s = min((each.watched_s for each in release.figures.values()), default=0.0)
    latest = attempt.entered_at + timedelta(seconds=release.held_s + release.wish.longest_watch_s)
    left_s = release.wish.watch_s - watched_s
    who = "waits for your promotion" if release.wish.is_manual else "is promoted"
    if left_s > 0:
        end = until(now + timedelta(seconds=left_s), now)
        return f"at {end} it {who}, if the evidence suffices; watched until {clock(latest, now)} at most"
    if latest <= now:
        return f"it {who} as soon as the evidence suffices, else it is decided now"
    return f"it {who} as soon as the evidence suffices; watched until {until(latest, now)} at most"


def _next_step(scene: Scene, attempt: Attempt) -> str:
    steps = scene.release.wish.split
    rest = steps[attempt.step + 1 :]
    watched = f"it is watched for {lasting(scene.release.wish.watch_s)}"
    if not rest:
        return f"once HAProxy has {steps[-1]}%, {watched}" if steps else watched
    then = ", ".join(f"{step}%" for step in rest)
    at = f"step {attempt.step + 1} of {len(steps)}"
    return f"{at}; then {then} as the evidence allows, then {watched}"


def _end_of_soak(scene: Scene, attempt: Attempt) -> str:
    left_s = scene.release.wish.soak_s - scene.release.soaked_s
    end = scene.now + timedelta(seconds=max(left_s, 0.0))
    back = "; until then the way back stays warm" if attempt.has_stable else ""
    return f"at {until(end, scene.now)} it is completed{back}"


def _end_of_rollback(_scene: Scene, attempt: Attempt) -> str:
    return f"all traffic back to {attempt.old}, then {attempt.version} is closed"


def _after_the_end(scene: Scene, attempt: Attempt) -> str:
    if attempt.phase is Phase.COMPLETED or _is_left_behind(scene.release, attempt):
        return ""
    if scene.release.wish.version != attempt.version:
        return f"the file asks for {scene.release.wish.version} by now"
    return "nothing by itself: another version in the file, or a retry"


def _deadline(scene: Scene, attempt: Attempt) -> str:
    limit_s = DEADLINES_S.get(attempt.phase)
    if limit_s is None:
        return "it goes on at once"
    if attempt.phase is Phase.PROMOTE:
        limit_s += scene.release.wish.drain_s
    end = attempt.entered_at + timedelta(seconds=limit_s + scene.release.held_s)
    if attempt.is_before_traffic:
        return f"if it is not through by {clock(end, scene.now)} it fails; nothing was touched"
    return f"if it is not through by {clock(end, scene.now)} it rolls back"


_COMING: Final[Mapping[Phase, Callable[[Scene, Attempt], str]]] = MappingProxyType({
    Phase.SPLIT: _next_step,
    Phase.WATCH: _end_of_watch,
    Phase.SOAK: _end_of_soak,
    Phase.ROLLING_BACK: _end_of_rollback,
    Phase.COMPLETED: _after_the_end,
    Phase.FAILED: _after_the_end,
    Phase.ROLLED_BACK: _after_the_end,
})  # fmt: skip


def commands(scene: Scene) -> tuple[tuple[str, str], ...]:
    """Return the commands that make sense now, the most urgent first, each with what it does."""
    return tuple(_commands(scene))


def _commands(scene: Scene) -> Iterator[tuple[str, str]]:
    release, attempt = scene.release, scene.release.attempt
    name = release.name
    if attempt is None:
        yield f"psactl describe Release/{name}", "the whole story"
    elif attempt.is_running and attempt.phase is not Phase.ROLLING_BACK:
        yield from _of_running(attempt, name)
    elif attempt.is_broken:
        yield f"psactl describe Release/{name}", "the whole story"
        if not attempt.is_running and release.wish.version == attempt.version:
            yield f"psactl release retry {name}", f"try {attempt.version} again"
    if scene.freeze is not None:
        yield "psactl thaw", "end the freeze"
    for part in attempt.parts if attempt is not None else ():
        if scene.overridden(part.service):
            yield f"psactl traffic clear {part.service}", "end the override"


def _of_running(attempt: Attempt, name: str) -> Iterator[tuple[str, str]]:
    hold = attempt.hold
    if attempt.is_before_traffic:
        yield f"psactl release abort {name}", "end it; users notice nothing"
    elif attempt.has_stable:
        yield f"psactl release rollback {name}", "all traffic back, at once"
    if hold is not None and hold.by == _RULE and attempt.phase is Phase.WATCH:
        yield f"psactl release promote {name}", f"all traffic to {attempt.version}"
    elif hold is not None:
        yield f"psactl release resume {name}", "go on"
    elif attempt.phase not in PROMOTED:
        yield f"psactl release pause {name} --for 2h", "nothing moves forward"
