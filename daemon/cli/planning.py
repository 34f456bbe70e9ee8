"""What plan and diff have in common: the question, and what they say beside and after steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.cli.client import PLAN_S
from daemon.cli.facts import Planned, Thing, plans, understood
from daemon.cli.failures import Exit
from daemon.cli.references import selected
from daemon.cli.screen import Screen, Tone
from daemon.cli.session import Session
from daemon.cli.states import State, problem_of
from daemon.cli.table import Cell, columns, line


@dataclass(frozen=True, slots=True)
class Asked:
    """The daemon's plans, as they came and as they are understood, and all objects as it knows them."""

    answer: Any
    plans: tuple[Planned, ...]
    objects: tuple[Thing, ...]


def ask(here: Session, words: Sequence[str]) -> Asked:
    """Let the daemon look at the objects that *words* mean, and plan."""
    objects = here.objects()
    names = [found.key for found in selected(words, objects)] if words else None
    answer = here.client.post("plan", {"objects": names}, PLAN_S)
    return Asked(answer, understood(plans, answer), objects)


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


def outcome(planned: Sequence[Planned]) -> int:
    """Return the exit code: 0 no step is left, 1 something is left, 2 something could not be looked at."""
    if any(found.error for found in planned):
        return Exit.USAGE
    return Exit.OK if all(found.is_settled for found in planned) else Exit.FAILED


def counted(count: int, noun: str) -> str:
    """Return ``1 step`` or ``2 steps``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def closing(asked: Asked, count: int, noun: str, screen: Screen) -> list[str]:
    """Return the last lines: what is left in all, and what no step mends."""
    total, problems = _total(asked.plans, count, noun), _problems(asked)
    if not problems:
        return [screen.say(Tone.PLAIN, total or "Nothing to do.")]
    is_one = len(problems) == 1
    have, name = (
        ("object has a problem", problems[0][0]) if is_one else ("objects have problems", "KIND/NAME")
    )
    text = f"{len(problems)} {have} that no step mends; psactl describe {name} tells more:"
    rows = [
        (Cell(key), Cell(state.word, state.tone), Cell(state.message, Tone.FAINT)) for key, state in problems
    ]
    widths = columns(rows)
    return [
        *([screen.say(Tone.PLAIN, total)] if total else []),
        screen.say(Tone.PLAIN, text),
        *(f"  {line(row, widths, screen.inside)}" for row in rows),
    ]


def _problems(asked: Asked) -> list[tuple[str, State]]:
    """Return the objects about which nothing is to be done, and what is wrong with them all the same."""
    silent = {
        found.key
        for found in asked.plans
        if not found.steps and not obstacles(found, Screen(), tells_verbs=True)
    }
    known = [(found.key, problem_of(found)) for found in asked.objects if found.key in silent]
    return [(key, state) for key, state in known if state is not None]


def _total(planned: Sequence[Planned], count: int, noun: str) -> str:
    """Return what is left in all, empty if nothing is."""
    changing = sum(bool(found.steps) for found in planned)
    blind = sum(bool(found.error) for found in planned)
    stuck = sum(not found.is_settled and not found.steps and not found.error for found in planned)
    said = [f"{counted(count, noun)} on {counted(changing, 'object')}"] if changing else []
    said += [f"{counted(stuck, 'object')} waiting or blocked"] if stuck else []
    said += [f"{counted(blind, 'object')} could not be looked at"] if blind else []
    return f"{', '.join(said)}." if said else ""
