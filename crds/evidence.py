"""Evidence: what a release has counted at one entry, and what its detectors make of it.

The small counts are dataclasses: some twenty are made each second and entry, seven times faster than models.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydantic import ConfigDict, Field

from crds.meta import Model


class Cause(enum.Enum):
    """Who seems to be the reason for what is wrong."""

    CANDIDATE = "candidate"
    """Stable is well, or much better."""
    BOTH = "both"
    """Stable is bad as well: something behind both, or a step of the release."""
    UNDECIDED = "undecided"
    """Too little has come since it began to tell."""


class Mark(Model):
    """The last reading of one server on one HAProxy process: what comes next is counted from here."""

    socket: str
    """Address of the HAProxy."""
    server: str
    """Name of the server."""
    pid: int
    """The process; another one began at 0."""
    requests: int
    """Requests that were sent to it, or should have been."""
    errors: int
    """Those whose user saw an error, or would have."""
    hidden: int
    """Retries and redispatches: errors that HAProxy hid from users."""
    vanished: int = 0
    """Requests that ended without an answer and without a trace, the most that were seen."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What both roles had in the same time: requests and errors, or answers and slow ones."""

    __pydantic_config__: ClassVar[ConfigDict] = Model.model_config

    requests: int = 0
    """The candidate's."""
    errors: int = 0
    """Those of the candidate's that failed."""
    stable_requests: int = 0
    """The stable colour's."""
    stable_errors: int = 0
    """Those of the stable colour's that failed."""


@dataclass(frozen=True, slots=True)
class Dispersion:
    """How unevenly errors come to one colour, from one tick to the next."""

    __pydantic_config__: ClassVar[ConfigDict] = Model.model_config

    errors: int = 0
    """All of them."""
    squares: int = 0
    """Sum of the squared differences between one tick and the next."""
    bursts: int = 0
    """Ticks with more of them than the one before."""
    last: int = 0
    """Errors of the last tick."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sufficient statistics of the test since the split, divided by the dispersion tick by tick."""

    __pydantic_config__: ClassVar[ConfigDict] = Model.model_config

    errors: float = 0.0
    """Failed."""
    clean: float = 0.0
    """Did not fail."""


class Alarm(Model):
    """What is wrong with a share, and whose fault it seems to be."""

    since: datetime
    """When it was noticed."""
    onset_at: datetime
    """When it began, as far as can be told."""
    cause: Cause
    """Whose fault it seems to be."""
    undecided_s: float = 0.0
    """How long that could not be told."""
    quiet_s: float = 0.0
    """Of a common cause: how long the candidate has been well."""
    patience_s: float = 0.0
    """Of a common cause: how long that must be for it to be over."""
    apart: tuple[float, ...] = ()
    """Of a common cause: evidence that it has become the candidate's alone, one number an alternative."""


class Detector(Model):
    """One share under test: of requests that failed, or of answers slower than a limit."""

    total: Tally = Tally()
    """Since the split was read back."""
    sums: Sums = Sums()
    """The same for the test since the split."""
    late: tuple[float, ...] = ()
    """Evidence of a fault that came later (Shiryaev-Roberts), one number an alternative."""
    cusum: float = 0.0
    """Evidence since the estimated onset."""
    onset_at: datetime | None = None
    """Estimated onset: when ``cusum`` was last 0."""
    recent: Tally = Tally()
    """Since the onset."""
    before: Sums = Sums()
    """``sums`` at the onset."""
    bad_ticks: int = 0
    """Ticks with errors since the onset; one that failed as a whole counts twice."""
    dispersion: Dispersion = Dispersion()
    """Of the stable colour's errors: bursts are weaker evidence."""
    alarm: Alarm | None = None
    """What is wrong."""


class Evidence(Model):
    """One entry's evidence, carried from tick to tick and over restarts."""

    marks: tuple[Mark, ...] = ()
    """Last readings."""
    began_at: datetime | None = None
    """When counting began: the split was read back."""
    ticked_at: datetime | None = None
    """When it was last looked at."""
    pending_s: float = 0.0
    """Time since then that was too short for a tick of its own."""
    pending: tuple[Tally, ...] = ()
    """Answers of that time, one a limit."""
    is_read_back: bool = False
    """Whether the split was as asked when it was last looked at."""
    weight: int = 0
    """The candidate's weight that was asked for then."""
    before_step: Tally = Tally()
    """What had come when the split was last read back anew."""
    watched_s: float = 0.0
    """How long it was really watched; a gap does not count."""
    failing: Detector = Detector()
    """Requests that failed."""
    slow: tuple[Detector, ...] = ()
    """Answers that were too slow, one detector a limit."""
    slow_ms: tuple[float, ...] = ()
    """Those limits, in milliseconds."""
    hidden: int = 0
    """The candidate's failures that HAProxy did not count as errors, since the split was read back."""
    rate: float = 0.0
    """The candidate's requests per second, lately."""
    usual_sessions: float | None = None
    """Requests that both colours held together while nothing hung."""
    excess_sessions: float = 0.0
    """Requests that the candidate holds beyond what it should."""
    hang_s: float = 0.0
    """How long that has been too many."""
    down_s: float = 0.0
    """How long the candidate has not worked."""
    down_both_s: float = 0.0
    """How long of that stable did not work either, or had worked again for a moment only."""
    down_reason: str = ""
    """What shows that."""
    stable_up: bool | None = None
    """Whether a server of the stable colour is UP; None is unknown."""
    stable_probe: bool | None = None
    """Whether the old stable colour answered well when it was last asked; None is unknown."""


class Clinging(Model):
    """Who still comes to the old version after the promotion: clients that a cookie binds."""

    requests: int = 0
    """The old version's requests at the last look, of all entries."""
    pids: dict[str, int] = Field(default_factory=dict)
    """The HAProxy processes of that look, by socket."""
    looks: int = 0
    """Looks at which more had come, since the drain is all but over and these processes run."""
