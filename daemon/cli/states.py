"""What an object's conditions say together, in one word and one sentence."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from daemon.cli.facts import Condition, Thing
from daemon.cli.release.phases import BROKEN, ENDED, Phase
from daemon.cli.screen import Tone
from daemon.cli.values import instant, line

#: Reasons that a person gave, or has to end.
_HELD: Final = frozenset({"Suspended", "ObserveMode", "Orphaned"})
#: Reasons that pass by themselves.
_PASSING: Final = frozenset({"Changing", "Waiting", "Running", "DependencyNotReady", "OutcomeUnknown"})
_ENDED: Final = frozenset(phase.value for phase in ENDED)
#: Of a release that has not ended, and does not go back.
_RUNNING: Final = frozenset(phase.value for phase in Phase if phase not in ENDED | BROKEN)
_UNKNOWN: Final = "Unknown"
#: Conditions whose True is bad news; the others' False is.
_BAD_WHEN_TRUE: Final = frozenset({"Degraded", "Drifted", "Stalled"})


@dataclass(frozen=True, slots=True)
class State:
    """One word with its tone, since when, and why."""

    word: str
    tone: Tone
    since: datetime | None
    message: str


def state_of(found: Thing) -> State:
    """Return the one thing that a reader must know of an object."""
    if found.orphaned_since is not None:
        return State("Orphaned", Tone.HELD, found.orphaned_since, "its file is gone; nothing is changed")
    ready = found.condition("Ready")
    if found.suspended is not None:
        return State("Suspended", Tone.HELD, None, found.suspended)
    if ready is None:
        return State("New", Tone.BUSY, found.created_at, "not looked at yet")
    if found.observed_generation < found.generation and not _is_told_why(found, ready):
        return State("Changed", Tone.BUSY, None, f"generation {found.generation} is not looked at yet")
    return _of_attempt(found, ready) or _by_conditions(found, ready)


def _of_attempt(found: Thing, ready: Condition) -> State | None:
    """Return the state of a release whose attempt runs, since its phase began; None for everything else."""
    attempt = found.raw["status"].get("attempt") if found.kind == "Release" else None
    if not attempt or attempt["phase"] in _ENDED:
        return None
    phase, since, hold = line(attempt["phase"]), instant(attempt["enteredAt"]), attempt.get("hold")
    if hold:
        return State("Held", Tone.HELD, since, line(f"{hold['reason']}: {hold['message']}"))
    message = ready.message.removeprefix(f"{line(attempt['version'])}: {phase}: ")
    if phase == "RollingBack":
        return State(phase, Tone.BAD, since, line(f"{attempt.get('reason')}: {attempt['message']}"))
    if ready.status == "True":
        return State("Ready", Tone.GOOD, since, message)
    return State("Releasing", Tone.NOW, since, message)


def _is_told_why(found: Thing, ready: Condition) -> bool:
    """Whether the conditions say why the newest generation was not looked at."""
    stalled = found.condition("Stalled")
    return ready.status == "Unknown" or (stalled is not None and stalled.status == "True")


def _by_conditions(found: Thing, ready: Condition) -> State:
    stalled, source = found.condition("Stalled"), found.condition("SourceValid")
    if stalled is not None and stalled.status == "True":
        return State(stalled.reason, Tone.BAD, stalled.since, stalled.message)
    if ready.status == "False":
        return State(ready.reason, _tone(ready.reason), ready.since, ready.message)
    if ready.status != "True":
        return State(_UNKNOWN, Tone.BUSY, ready.since, ready.message or ready.reason)
    if source is not None and source.status == "False":
        return State(
            "Ready", Tone.GOOD, ready.since, f"its file is refused, last good kept: {source.message}"
        )
    degraded = found.condition("Degraded")
    if degraded is not None and degraded.status == "True":
        return _degraded(degraded)
    return State("Ready", Tone.GOOD, ready.since, _hint(found))


def _degraded(condition: Condition) -> State:
    return State("Degraded", Tone.BAD, condition.since, condition.message)


def _hint(found: Thing) -> str:
    """Return what else is worth a word about an object that is Ready."""
    synced = found.condition("Synced")
    if synced is not None and synced.status != "True":
        return synced.message or synced.reason
    return ""


def _tone(reason: str) -> Tone:
    if reason in _HELD:
        return Tone.HELD
    return Tone.BUSY if reason in _PASSING else Tone.BAD


def problem_of(found: Thing) -> State | None:
    """Return what is wrong with an object as it was last seen; None if nothing is, or somebody holds it."""
    state, degraded = state_of(found), found.condition("Degraded")
    if state.tone is Tone.BAD or (state.word == _UNKNOWN and is_seen(found)):
        return state
    if state.tone is Tone.HELD or not is_seen(found) or degraded is None or degraded.status != "True":
        return None
    return _degraded(degraded)


def is_ready(found: Thing) -> bool:
    """Whether it works and matches the spec that is in force now."""
    return holds(found, "Ready")


def holds(found: Thing, kind: str) -> bool:
    """Whether the condition is True, for the spec that is in force now."""
    condition = found.condition(kind)
    return condition is not None and condition.status == "True" and is_seen(found)


def is_seen(found: Thing) -> bool:
    """Whether the spec that is in force now was looked at."""
    return found.observed_generation == found.generation


def is_refused(found: Thing) -> bool:
    """Whether its file is in error, and the last good spec in force."""
    source = found.condition("SourceValid")
    return source is not None and source.status == "False" and source.reason == "Refused"


def condition_tone(condition: Condition) -> Tone:
    """Return whether a condition is good news."""
    if condition.status not in {"True", "False"}:
        return Tone.BUSY
    if condition.type == "Progressing":
        return Tone.BUSY if condition.status == "True" else Tone.GOOD
    is_good = (condition.status == "False") is (condition.type in _BAD_WHEN_TRUE)
    if is_good:
        return Tone.GOOD
    return Tone.BUSY if condition.reason in _PASSING | _RUNNING else Tone.BAD
