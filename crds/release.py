"""Release: a version for a set of services in lockstep, rolled back when it breaks its limits."""

import enum
from datetime import datetime, timedelta
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from crds.evidence import Clinging, Evidence
from crds.gates import GateMemo, Gates
from crds.meta import Claim, Model, ObjectName, Spec
from crds.quantity import Duration, Share
from crds.service import Color, Version

HookName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Percent = Annotated[int, Field(strict=True, ge=1, le=99)]

#: How much longer than ``watch`` it may take while evidence is missing.
_PATIENCE: Final = 3


class Promotion(enum.Enum):
    """Who says that the candidate may have all traffic."""

    AUTO = "auto"
    MANUAL = "manual"


class Method(enum.Enum):
    """How the error rate is judged."""

    SEQUENTIAL = "sequential"
    """As soon as the evidence suffices, with one false rollback in a thousand releases at most."""
    THRESHOLD = "threshold"
    """As soon as more than the limit failed, of at least minRequests."""
    OFF = "off"
    """Not at all: alerts and what needs no statistics are left."""


class RestartStable(enum.Enum):
    """Whether the stable containers are restarted after a rollback."""

    IF_UNHEALTHY = "ifUnhealthy"
    ALWAYS = "always"
    NEVER = "never"


class ErrorRate(Model):
    """Which share of the candidate's requests may fail, and how that is judged."""

    limit: Share = 0.001
    """What users of the candidate may see at most."""
    method: Method = Method.SEQUENTIAL
    """How it is judged."""
    min_requests: Annotated[int, Field(strict=True, ge=1, le=10_000_000)] = 100
    """Requests that each entry's candidate must have had before it is promoted."""
    low_traffic: bool = False
    """Promote an entry that had fewer; the whole set still needs its evidence."""


class ResponseTime(Model):
    """How long answers may take; each is a limit that this share of the answers keeps."""

    p50: Duration | None = None
    """Half of the answers."""
    p95: Duration | None = None
    """95 of 100 answers."""
    p99: Duration | None = None
    """99 of 100 answers."""


def _ascending(steps: tuple[int, ...]) -> tuple[int, ...]:
    if list(steps) != sorted(set(steps)):
        raise ValueError("the steps must rise, such as [5, 25, 50]")
    return steps


Steps = Annotated[tuple[Percent, ...], Field(min_length=1, max_length=10), AfterValidator(_ascending)]


def _all_different(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]} stands here twice")
    return names


class ReleaseSpec(Spec):
    """A version for a set of services."""

    version: Version
    """Version that all services of the set shall run."""
    services: Annotated[
        tuple[ObjectName, ...], Field(min_length=1, max_length=64), AfterValidator(_all_different)
    ]
    """Services that take the version together."""
    split: Steps = (50,)
    """Candidate's percentage of the traffic, step by step; it is watched at the last one."""
    watch: Duration = timedelta(minutes=10)
    """How long the candidate is watched at the last step."""
    watch_max: Duration | None = None
    """How long at most while evidence is missing; three times watch if it is left out."""
    soak: Duration = timedelta(hours=24)
    """How long the old version stays, warm, as the way back."""
    supersede_soak: bool = False
    """Let a new version begin while the last one soaks; otherwise it waits."""
    promotion: Promotion = Promotion.AUTO
    """Who promotes."""
    error_rate: ErrorRate = ErrorRate()
    """Limit of the error rate."""
    response_time: ResponseTime = ResponseTime()
    """Limits of the response time; without one it is only shown."""
    gates: Gates = Gates()
    """What must be well behind both versions, in data services: bad or unknown figures hold the release."""
    checks: Annotated[tuple[HookName, ...], AfterValidator(_all_different)] = ()
    """Hooks before anything is changed, in this order; the first failure ends the release."""
    smoke: Annotated[tuple[HookName, ...], AfterValidator(_all_different)] = ()
    """Hooks against each candidate's own address before it has traffic."""
    verify: Annotated[tuple[HookName, ...], AfterValidator(_all_different)] = ()
    """Hooks against each candidate's own address once it has all traffic."""
    min_healthy: Duration = timedelta(seconds=10)
    """How long the candidates must be healthy without a break before they are used."""
    drain: Duration = timedelta(seconds=60)
    """How long requests of the old version may take to end after the promotion."""
    hold_for: Duration = timedelta(minutes=30)
    """How long bad evidence waits for a person before the release is rolled back."""
    hold_for_evidence: Duration = timedelta(hours=4)
    """How long missing evidence, or a manual promotion, waits for a person before it is rolled back."""
    restart_stable: RestartStable = RestartStable.IF_UNHEALTHY
    """Whether the stable containers are restarted after a rollback."""
    replace_adopted: bool = False
    """Replace an idle slot's container that was not made by us."""

    @model_validator(mode="after")
    def _has_time(self) -> Self:
        if self.watch_max is not None and self.watch_max < self.watch:
            raise ValueError("watchMax is shorter than watch")
        return self

    @property
    def longest_watch(self) -> timedelta:
        """How long the watch may take."""
        return self.watch_max if self.watch_max is not None else self.watch * _PATIENCE

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Claim the services: each belongs to one release."""
        places = enumerate(self.services)
        return tuple(Claim(f"the version of {each}", ("spec", "services", str(at))) for at, each in places)


class Phase(enum.Enum):
    """Where an attempt is; the moves between them are a table (reconcilers/release/phases.py)."""

    PENDING = "Pending"
    PRE_CHECK = "PreCheck"
    BACKUP = "Backup"
    MIGRATE = "Migrate"
    DEPLOY_CANDIDATE = "DeployCandidate"
    HEALTH_CHECK = "HealthCheck"
    SMOKE = "Smoke"
    SPLIT = "Split"
    WATCH = "Watch"
    PROMOTE = "Promote"
    VERIFY = "Verify"
    SOAK = "Soak"
    COMPLETED = "Completed"
    FAILED = "Failed"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


class HoldExit(enum.Enum):
    """What ends a hold that nobody ends."""

    ROLL_BACK = "rollback"
    RESUME = "resume"
    STAY = "stay"
    """Nothing: it pages again."""


class Hold(Model):
    """Why nothing moves forward; the rule, gates, alerts and a rollback still act."""

    reason: str
    """One CamelCase word."""
    message: str
    """What is wrong or missing, with its figures."""
    since: datetime
    """When it began."""
    by: str
    """Who holds: the rule, or a person."""
    until: datetime
    """When it ends by itself, or pages again."""
    exit: HoldExit
    """What happens then."""


class Trigger(enum.Enum):
    """What ended an attempt."""

    RULE = "rule"
    ALERT = "alert"
    PERSON = "person"
    DEADLINE = "deadline"
    CHECK = "check"
    SPEC = "spec"


class Member(Model):
    """One service's part in an attempt; the roles are fixed at its start."""

    candidate: Color
    """Colour that takes the new version."""
    stable: Color | None = None
    """Colour that has the traffic; absent at a first release."""
    stable_version: str | None = None
    """Version of the stable colour."""
    is_entry: bool = False
    """Whether it stands behind a backend of HAProxy."""


class Check(Model):
    """The result of one check or hook of an attempt."""

    name: str
    """What was checked."""
    passed: bool
    """Whether it was well."""
    message: str
    """What was found."""
    seconds: float = 0.0
    """How long it took."""


class Attempt(Model):
    """One run at a version."""

    number: int
    """Counts the release's attempts from 1."""
    version: str
    """Version that is released."""
    fingerprint: str
    """Digest of the version and its templates: what a quarantine is about."""
    began_at: datetime
    """When it began."""
    members: dict[str, Member]
    """The services with their roles."""
    phase: Phase = Phase.PENDING
    """Where it is."""
    entered_at: datetime
    """When it came into its phase."""
    step: int = 0
    """Split step, from 0."""
    step_at: datetime | None = None
    """When it last changed traffic."""
    split_at: datetime | None = None
    """When the candidates first had traffic: what began before cannot be their doing."""
    promoted_at: datetime | None = None
    """When the candidates got all traffic."""
    is_closed: bool = False
    """Whether the old version is in maintenance, because clients clung to it after the promotion."""
    ended_at: datetime | None = None
    """When it ended."""
    hold: Hold | None = None
    """Why it does not move forward."""
    checks: tuple[Check, ...] = ()
    """Results so far."""
    reason: str | None = None
    """Why it failed or was rolled back: one CamelCase word."""
    message: str = ""
    """The same as a sentence with its evidence."""
    trigger: Trigger | None = None
    """What ended it."""
    first_bad_at: datetime | None = None
    """Estimated begin of what was wrong."""
    decided_at: datetime | None = None
    """When it was decided to roll back."""

    @property
    def entries(self) -> dict[str, Member]:
        """Return the services that stand behind a backend."""
        return {name: member for name, member in self.members.items() if member.is_entry}

    @property
    def has_stable(self) -> bool:
        """Whether there is a way back: what users reach had a colour that was live before."""
        carriers = self.entries or self.members
        return all(member.stable is not None for member in carriers.values())


class Quarantined(Model):
    """A version that was rolled back: it is not tried again by itself."""

    fingerprint: str
    """Digest of the version and its templates."""
    version: str
    """The version."""
    attempt: int
    """The attempt that broke."""
    reason: str
    """Why, with its evidence."""
    at: datetime
    """Since when."""


class ReleaseStatus(Model):
    """Where a release is, and what became of the attempts before."""

    attempt: Attempt | None = None
    """The running attempt, or the last one."""
    history: tuple[Attempt, ...] = ()
    """Ended attempts, the newest first."""
    quarantine: tuple[Quarantined, ...] = ()
    """Versions that are not followed."""
    visible: str = ""
    """What the watch can see at today's traffic."""


class Shown(Model):
    """What people see of one entry, figures of the last second."""

    requests: int = 0
    """Candidate's requests since the split was read back."""
    errors: int = 0
    """How many of them failed."""
    stable_requests: int = 0
    """Stable's requests in the same time."""
    stable_errors: int = 0
    """How many of them failed."""
    evidence: float = 0.0
    """Power of ten by which a broken limit explains this better than a kept one."""
    needed: float = 0.0
    """Power of ten from which on it counts as broken."""
    missing: int | None = None
    """Requests that the promotion still needs; absent when it needs none, or when more would not help."""
    p50_ms: float | None = None
    """Candidate's response time that half of the last minute's answers kept."""
    p95_ms: float | None = None
    """The same for 95 of 100."""
    p99_ms: float | None = None
    """The same for 99 of 100."""
    asked: int = 0
    """Candidate's percentage of the traffic as asked."""
    observed: int | None = None
    """The same as seen in HAProxy; absent while it does not answer."""
    says: str = ""
    """The verdict of the last second as a sentence."""


class ReleaseMemo(Model):
    """What a release writes down each second while it watches."""

    attempt: int
    """The attempt that it belongs to."""
    entries: dict[str, Evidence] = Field(default_factory=dict)
    """Evidence of each entry."""
    behind: dict[str, Evidence] = Field(default_factory=dict)
    """The same of each service behind an entry: nothing is counted there, its health is all there is."""
    shown: dict[str, Shown] = Field(default_factory=dict)
    """Figures of each entry for people."""
    before: dict[str, tuple[int, float]] = Field(default_factory=dict)
    """First reading of each entry's requests in the pre-check, and the monotonic clock then."""
    rates: dict[str, float] = Field(default_factory=dict)
    """Requests per second of each entry before the release."""
    process: str = ""
    """Run of the daemon that made the last tick."""
    ticked_s: float = 0.0
    """Its monotonic clock at the last tick, in seconds."""
    ticked_at: datetime | None = None
    """The wall clock then."""
    held_s: float = 0.0
    """Seconds since the phase began, by the wall clock, that do not count against its deadline.

    It was held, a hook ran, the daemon was away, or the clock was set.
    """
    read_back_at: datetime | None = None
    """Since when HAProxy has what this phase asked for."""
    tries: dict[str, int] = Field(default_factory=dict)
    """How often a hook was begun, where that is more than once."""
    answers: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Last readings of response times by endpoint, backend and server: answers, then how many too slow."""
    healthy_since: datetime | None = None
    """Since when all candidates are healthy."""
    clinging: Clinging | None = None
    """Who still comes to the old version; absent before the promotion."""
    gates: dict[str, GateMemo] = Field(default_factory=dict)
    """What each gate is at, by its field in the file."""
    soaked_s: float = 0.0
    """Seconds of the soak that the daemon has really seen."""
    stable_since_rollback: dict[str, Evidence] = Field(default_factory=dict)
    """Evidence of each entry's stable colour since a rollback."""
    stable_ill_s: dict[str, float] = Field(default_factory=dict)
    """Seconds for which each service's stable colour has not answered well after a rollback."""
