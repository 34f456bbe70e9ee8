"""The phases of a release as a table: every legal move, every deadline and where it leads. Pure."""

import enum
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from crds.release import Phase


class Happening(enum.Enum):
    """What moves an attempt to another phase."""

    DONE = "done"
    """The phase's work is done."""
    NEXT_STEP = "next step"
    """The evidence suffices for the next step of the split."""
    NO_STABLE = "done, and there is no old version"
    FAILED = "failed"
    """A check or hook failed, or the candidate cannot be made."""
    BREACH = "limit broken"
    """The rule, a gate or an alert says that the candidate must go."""
    STOPPED = "stopped by a person"
    SUPERSEDED = "another version asked for"
    OVERDUE = "deadline"


_EARLY: Final = {
    Happening.FAILED: Phase.FAILED,
    Happening.STOPPED: Phase.FAILED,
    Happening.SUPERSEDED: Phase.FAILED,
    Happening.OVERDUE: Phase.FAILED,
}
_LIVE: Final = {
    Happening.BREACH: Phase.ROLLING_BACK,
    Happening.STOPPED: Phase.ROLLING_BACK,
    Happening.OVERDUE: Phase.ROLLING_BACK,
}

#: Phase → what happens → next phase. What is not here cannot happen.
MOVES: Final[Mapping[Phase, Mapping[Happening, Phase]]] = MappingProxyType({
    Phase.PENDING:          {Happening.DONE: Phase.PRE_CHECK, **_EARLY},
    Phase.PRE_CHECK:        {Happening.DONE: Phase.BACKUP, **_EARLY},
    Phase.BACKUP:           {Happening.DONE: Phase.MIGRATE, **_EARLY},
    Phase.MIGRATE:          {Happening.DONE: Phase.DEPLOY_CANDIDATE, **_EARLY},
    Phase.DEPLOY_CANDIDATE: {Happening.DONE: Phase.HEALTH_CHECK, **_EARLY},
    Phase.HEALTH_CHECK:     {Happening.DONE: Phase.SMOKE, **_EARLY},
    Phase.SMOKE:            {Happening.DONE: Phase.SPLIT, Happening.NO_STABLE: Phase.PROMOTE, **_EARLY},
    Phase.SPLIT:            {Happening.NEXT_STEP: Phase.SPLIT, Happening.DONE: Phase.WATCH,
                             Happening.SUPERSEDED: Phase.ROLLING_BACK, **_LIVE},
    Phase.WATCH:            {Happening.DONE: Phase.PROMOTE,
                             Happening.SUPERSEDED: Phase.ROLLING_BACK, **_LIVE},
    Phase.PROMOTE:          {Happening.DONE: Phase.VERIFY, Happening.SUPERSEDED: Phase.COMPLETED, **_LIVE},
    Phase.VERIFY:           {Happening.DONE: Phase.SOAK, Happening.SUPERSEDED: Phase.COMPLETED, **_LIVE},
    Phase.SOAK:             {Happening.DONE: Phase.COMPLETED, Happening.SUPERSEDED: Phase.COMPLETED, **_LIVE},
    Phase.ROLLING_BACK:     {Happening.DONE: Phase.ROLLED_BACK},
    Phase.COMPLETED:        {},
    Phase.FAILED:           {},
    Phase.ROLLED_BACK:      {},
})  # fmt: skip

#: How long a phase's own work may take; those with a time of the file's are not here.
DEADLINES: Final[Mapping[Phase, timedelta]] = MappingProxyType({
    Phase.PRE_CHECK: timedelta(minutes=10),
    Phase.DEPLOY_CANDIDATE: timedelta(minutes=30),
    Phase.HEALTH_CHECK: timedelta(minutes=5),
    Phase.SMOKE: timedelta(minutes=5),
    Phase.SPLIT: timedelta(minutes=1),
    Phase.PROMOTE: timedelta(minutes=1),
    Phase.VERIFY: timedelta(minutes=5),
})  # fmt: skip

#: What these phases will do one day; until then they say that they do nothing.
EMPTY: Final[Mapping[Phase, str]] = MappingProxyType({
    Phase.BACKUP: "this version makes no backup",
    Phase.MIGRATE: "this version migrates nothing",
})  # fmt: skip

ENDED: Final = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK})
#: Phases in which the candidate may have traffic, so that the rule watches it.
WATCHED: Final = frozenset({Phase.SPLIT, Phase.WATCH, Phase.PROMOTE, Phase.VERIFY, Phase.SOAK})
#: Phases in which the candidate has all traffic.
PROMOTED: Final = frozenset({Phase.PROMOTE, Phase.VERIFY, Phase.SOAK})


class IllegalMoveError(Exception):
    """There is no such move in the table."""

    def __init__(self, phase: Phase, happening: Happening) -> None:
        super().__init__(f"{phase.value}: there is no way out for {happening.value!r}")


def can(phase: Phase, happening: Happening) -> bool:
    """Whether *happening* moves an attempt that is in *phase*."""
    return happening in MOVES[phase]


def after(phase: Phase, happening: Happening) -> Phase:
    """Return the next phase; raise IllegalMoveError where the table has none."""
    try:
        return MOVES[phase][happening]
    except KeyError:
        raise IllegalMoveError(phase, happening) from None
