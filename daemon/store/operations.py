"""What one transaction can say. The store applies it to the newest state; what changes nothing is dropped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crds.meta import Key, Model, Origin, Spec
from reconcilers.contract import AnyResource, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Saw:
    """An object as a writer saw it; ``generation`` is 0 if there was none."""

    generation: int
    annotations: Mapping[str, str]

    @classmethod
    def of(cls, resource: AnyResource | None) -> "Saw":
        """Return what is compared of *resource*."""
        return cls(0, {}) if resource is None else cls(resource.generation, resource.annotations)


@dataclass(frozen=True, slots=True)
class Apply:
    """The object shall exist with this spec; ``uid`` is for a new one. Changed specs count generations.

    ``saw`` is what its writer decided on: if the object has another spec or other annotations by now, the
    whole transaction is refused. None takes any.
    """

    key: Key
    uid: str
    spec: Spec
    at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: Key | None = None
    origin: Origin | None = None
    lines: Mapping[str, int] = field(default_factory=dict)
    saw: Saw | None = None


@dataclass(frozen=True, slots=True)
class Orphan:
    """The object's file, or its owner's declaration, is gone since ``at``."""

    key: Key
    at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """What a pass found. ``generation`` is the one that it looked at, None when it saw nothing."""

    key: Key
    at: datetime
    verdicts: tuple[Verdict, ...]
    generation: int | None = None
    status: Model | None = None
    memo: Model | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A person or an alert wants something of the object; its next pass answers."""

    key: Key
    verb: str
    actor: str
    at: datetime
    reason: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request."""

    key: Key
    request: int
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class Begin:
    """An exclusive or once step is about to be carried out; its outcome is unknown until settled."""

    key: Key
    generation: int
    action: str
    target: str
    summary: str
    at: datetime
    deadline: timedelta


@dataclass(frozen=True, slots=True)
class Settle:
    """What is known of an intent now; DONE and FAILED close it."""

    intent: int
    outcome: Outcome
    at: datetime


@dataclass(frozen=True, slots=True)
class Miss:
    """No trace of the intent's work was found, for the first time at ``at``."""

    intent: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """An event. One that says the same as the object's last one only counts up. ``actor`` is who asked."""

    key: Key
    at: datetime
    reason: str
    message: str
    warning: bool = False
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Hear:
    """Alerts that were never heard of: each leaves an event of its own and a mark (``AlertMemory`` makes it).

    ``first`` is the number of the first mark; marks numbered up to ``forget`` are dropped.
    """

    at: datetime
    marks: tuple[str, ...]
    records: tuple[Record, ...]
    first: int
    forget: int


@dataclass(frozen=True, slots=True)
class Suspend:
    """A person wants the object left alone until ``until`` (UTC), or until resumed."""

    key: Key
    reason: str
    actor: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """The object is reconciled again."""

    key: Key


@dataclass(frozen=True, slots=True)
class Assign:
    """A value of the daemon's own, such as the mode that an operator set."""

    name: str
    value: str


Operation = (
    Apply | Orphan | Report | Ask | Reply | Begin | Settle | Miss | Record | Hear | Suspend | Resume | Assign
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object, for people. ``id`` only grows."""

    id: int
    at: datetime
    key: Key
    reason: str
    message: str
    warning: bool
    count: int
    actor: str | None
