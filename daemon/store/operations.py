"""What one transaction can say. The store applies it to the newest state; what changes nothing is dropped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crds.meta import Key, Model, Origin, Spec
from reconcilers.contract import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Apply:
    """The object shall exist with this spec; ``uid`` is for a new one. Changed specs count generations."""

    key: Key
    uid: str
    spec: Spec
    at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: Key | None = None
    origin: Origin | None = None
    lines: Mapping[str, int] = field(default_factory=dict)


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


Operation = Apply | Orphan | Report | Begin | Settle | Miss | Record | Suspend | Resume | Assign


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
