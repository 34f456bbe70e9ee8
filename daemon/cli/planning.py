"""What plan and diff have in common: the question, and what they say beside steps."""

from collections.abc import Sequence
from typing import Any

from daemon.cli.client import PLAN_S
from daemon.cli.facts import Planned
from daemon.cli.failures import Exit
from daemon.cli.references import selected
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import Session


def ask(here: Session, words: Sequence[str]) -> Any:
    """Let the daemon look at the objects that *words* mean, and return its answer as it came."""
    objects = here.objects()
    names = [found.key for found in selected(words, objects)] if words else None
    return here.client.post("plan", {"objects": names}, PLAN_S)


def obstacles(found: Planned, screen: Screen, *, tells_verbs: bool) -> list[str]:
    """Return a line for each thing in the way of an object, a missing verb only if *tells_verbs*."""
    hold = None if found.held_reason == "NotAllowed" and not tells_verbs else _hold(found)
    said = [
        (found.error, Tone.BAD, "cannot be looked at: "),
        (found.failed, Tone.BAD, "failed, will be tried again: "),
        (found.blocked, Tone.BAD, "blocked: "),
        (found.waiting, Tone.BUSY, "waiting: "),
        (found.foreign, Tone.HELD, "not ours: "),
        (found.dependencies if found.steps else None, Tone.BUSY, "waiting: "),
        (hold, Tone.HELD, "held: "),
    ]
    return [screen.say(tone, f"{head}{text}", "  ") for text, tone, head in said if text]


def _hold(found: Planned) -> str | None:
    """Return why steps are held, unless another line says it already."""
    if found.foreign and found.held_reason == "AdoptionRequired":
        return "set adopt: true to take it over"
    return None if found.held == found.dependencies else found.held


def outcome(plans: Sequence[Planned]) -> int:
    """Return the exit code: 0 all is as asked, 1 something is left, 2 something could not be looked at."""
    if any(found.error for found in plans):
        return Exit.USAGE
    return Exit.OK if all(found.is_settled for found in plans) else Exit.FAILED


def counted(count: int, noun: str) -> str:
    """Return ``1 step`` or ``2 steps``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def closing(plans: Sequence[Planned], count: int, noun: str) -> str:
    """Return the last line: what is left in all."""
    changing = sum(bool(found.steps) for found in plans)
    blind = sum(bool(found.error) for found in plans)
    stuck = sum(not found.is_settled and not found.steps and not found.error for found in plans)
    said = [f"{counted(count, noun)} on {counted(changing, 'object')}"] if changing else []
    said += [f"{counted(stuck, 'object')} waiting or blocked"] if stuck else []
    said += [f"{counted(blind, 'object')} could not be looked at"] if blind else []
    return f"{', '.join(said)}." if said else "Nothing to do."
