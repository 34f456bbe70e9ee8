"""What a reconciler is to the engine: ``observe → plan → apply`` over frozen values. No I/O, no kind."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from crds.meta import Condition, ConditionType, Key, Model, Origin, Spec, Truth, Verb

SpecT = TypeVar("SpecT", bound=Spec)
SeenT = TypeVar("SeenT")
ActionT = TypeVar("ActionT")


class TransientError(Exception):
    """The outside did not do it this time: retried with back-off. An outcome may be unknown.

    ``retry_after_s`` is what the outside asked for, if it did: it is not tried again before.
    """

    def __init__(self, *args: object, retry_after_s: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after_s = retry_after_s


class NotSentError(TransientError):
    """The outside refused, or was never reached: it surely did not happen."""


class PermanentError(Exception):
    """The outside will never do it as asked: Stalled until the spec changes.

    ``reason`` is CamelCase and goes into the condition. Without ``asked_outside`` only files of our own were
    read: that is done again soon, for it can annoy nobody.
    """

    def __init__(self, message: str, *, reason: str, asked_outside: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.asked_outside = asked_outside


@dataclass(frozen=True, slots=True)
class Request:
    """What a person or an alert asked of one object. ``id`` counts the object's requests from 1.

    ``verb`` is one word of the kind's own, such as ``rollback``; ``answer`` is None while it is open.
    """

    id: int
    verb: str
    actor: str
    at: datetime
    reason: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    accepted: bool = False
    answer: str | None = None

    def asks(self, actor: str, name: str) -> bool:
        """Whether it is what the object *actor* asked for under *name*, answered or not (``Ask``)."""
        return (self.actor, self.arguments.get("name")) == (actor, name)


@dataclass(frozen=True, slots=True)
class Resource(Generic[SpecT]):
    """An object as the store has it: desired state and what is known about it.

    ``uid`` is 32 hex digits; ``generation`` counts changes of the spec from 1; instants are UTC.
    ``status`` is the kind's own status model, None before the first look. ``memo`` is what the kind wrote
    down for itself: it may change each second, wakes nobody, and outlives the process.
    """

    key: Key
    uid: str
    generation: int
    spec: SpecT
    created_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: Key | None = None
    origin: Origin | None = None
    lines: Mapping[str, int] = field(default_factory=dict)
    """Line of each field in the file, by its dotted path (``spec.memory``)."""
    orphaned_since: datetime | None = None
    """Since when its file, or its owner's declaration, is gone."""
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    status: Model | None = None
    memo: Model | None = None
    requests: tuple[Request, ...] = ()
    """What was asked of it, oldest first: all that is open, and the last answered ones."""
    held: tuple[str, str] | None = None
    """Reason and message of what forbids changes in this pass; who writes ``Amend`` must obey."""

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return the condition of that type, or None if nothing was said yet."""
        return next((found for found in self.conditions if found.type is kind), None)

    def is_ready(self) -> bool:
        """Whether it works and matches the spec that is in force now."""
        ready = self.condition(ConditionType.READY)
        return (
            ready is not None and ready.status is Truth.TRUE and self.observed_generation == self.generation
        )

    def where(self, path: str) -> Origin | None:
        """Return the file and line that asked for the field at *path*, or for its nearest parent."""
        if self.origin is None:
            return None
        while path not in self.lines and "." in path:
            path = path.rpartition(".")[0]
        return Origin(self.origin.file, self.lines.get(path, self.origin.line))


AnyResource = Resource[Spec]


class StepClass(enum.Enum):
    """How the engine guards a step against a crash or a lost answer (DESIGN §4)."""

    ABSOLUTE = "absolute"
    """Sets a value: after an unknown outcome, observing again tells all. No journal row."""
    EXCLUSIVE = "exclusive"
    """Must not happen twice: intent row before, result row after."""
    ONCE = "once"
    """Leaves no trace to observe: an unknown outcome is held for a person."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field's difference, for people: ``memory 4Gi → 6Gi``."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Step(Generic[ActionT]):
    """One mutation of the outside. It carries all that ``apply`` needs.

    ``target`` names the real thing (``CT 100 on pve``); ``summary`` is the sentence that people read;
    ``needs`` is the destructive verb that ``spec.allow`` must have; ``deadline`` is how long the call and the
    task behind it may take, and decides when "it did not happen" may be concluded.
    """

    action: ActionT
    step_class: StepClass
    target: str
    summary: str
    changes: tuple[Change, ...] = ()
    needs: Verb | None = None
    origin: Origin | None = None
    deadline: timedelta = timedelta(seconds=60)
    independent: bool = False
    """Nothing behind it builds on it: if it is refused for good, it is left out and the others go on."""
    errand: bool = False
    """Work that is due or was asked for, such as a hook: the object is as its spec says all the same."""


class OutcomeKind(enum.Enum):
    """How a journalled step ended."""

    RUNNING = "running"
    """Begun; ``reference`` names what to follow."""
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """No answer: observing decides."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ``apply`` knows at its end; ``reference`` is the outside's name of the work, such as a UPID."""

    kind: OutcomeKind = OutcomeKind.DONE
    reference: str | None = None
    message: str = ""


DONE = Outcome()


@dataclass(frozen=True, slots=True)
class Intent:
    """An open row of the journal: an exclusive or once step that was begun and not closed.

    ``action`` is the name of the step's action class, ``absent_since`` when no trace of it was first found.
    """

    id: int
    key: Key
    generation: int
    action: str
    target: str
    summary: str
    begun_at: datetime
    deadline: timedelta
    state: OutcomeKind
    reference: str | None = None
    absent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Declare:
    """Write: this child shall exist with this spec. Children that are no longer declared become orphans."""

    key: Key
    spec: Spec
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Amend:
    """Write: an object that belongs to ``owner`` shall have this spec and these annotations from now on.

    It is made if it is not there. If it changed since it was seen, nothing of the plan is written, and the
    pass is made again. Its labels and its place in the file are the owner's.
    """

    key: Key
    spec: Spec
    annotations: Mapping[str, str]
    owner: Key


@dataclass(frozen=True, slots=True)
class Answer:
    """Write: what became of a request, for who asked."""

    request: int
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Write: another object is asked for something, and its next pass answers; the actor is who writes.

    What it was asked under this ``name`` before, answered or not, is not asked again. The gate does not see
    it: who writes it must obey ``held`` and ``allow``, and ask nothing when its own file is gone.
    """

    key: Key
    verb: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """Write: what became of an open intent."""

    intent: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class MarkAbsent:
    """Write: no trace of this intent's work was found for the first time."""

    intent: int


@dataclass(frozen=True, slots=True)
class Note:
    """Write: an event about the object, for people. ``reason`` is CamelCase."""

    reason: str
    message: str
    warning: bool = False


Write = Declare | Amend | Answer | Ask | Close | MarkAbsent | Note


class Urgency(enum.Enum):
    """How soon the next look, and the objects that a plan amends, must have their turn."""

    ORDINARY = "ordinary"
    RELEASE = "release"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a plan says about one condition; the engine adds the time."""

    type: ConditionType
    status: Truth
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Plan(Generic[ActionT]):
    """What follows from one look. An empty plan means: all is as asked.

    The engine derives Synced, Progressing, Drifted, Adopted, DependenciesReady and Stalled from what is here;
    a plan says ``Ready`` and ``Degraded`` itself where "no steps left" is not the whole truth.
    """

    steps: tuple[Step[ActionT], ...] = ()
    writes: tuple[Write, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    status: Model | None = None
    """The kind's status model; None leaves the last one."""
    memo: Model | None = None
    """What the kind writes down for itself; None leaves the last one."""
    urgency: Urgency = Urgency.ORDINARY
    recheck_after: timedelta | None = None
    """When to look again; None means after the poll interval. A duration, never "at once"."""
    waiting: str | None = None
    """What is being waited for (a lock, a running task): Progressing, nothing failed."""
    foreign: str | None = None
    """Why the real thing is not ours: steps wait for ``adopt: true``."""
    blocked: tuple[str, str] | None = None
    """Reason and message of what will not move until a person or the spec does something: Stalled."""
    failed: str | None = None
    """What failed outside since the last look: retried with back-off."""
    outlives_file: bool = False
    """Whether what was begun is brought to its end although the file is gone."""


class View(Protocol):
    """A read-only snapshot of the store."""

    def get(self, key: Key) -> AnyResource | None:
        """Return the object, or None."""
        ...

    def list(self, kind: str) -> tuple[AnyResource, ...]:
        """Return all objects of a kind, by name."""
        ...

    def children(self, owner: Key) -> tuple[AnyResource, ...]:
        """Return the objects that *owner* declared, orphans among them, by key."""
        ...

    def intents(self, key: Key) -> tuple[Intent, ...]:
        """Return the open intents of an object, oldest first."""
        ...

    def value(self, name: str) -> str | None:
        """Return a value of the daemon's own, such as ``freeze``; None if it was never set."""
        ...


@dataclass(frozen=True, slots=True)
class Secret:
    """A password or key; nothing that prints a value shows it."""

    value: str = field(repr=False)


class Secrets(Protocol):
    """The secrets that the settings name."""

    def read(self, name: str) -> Secret:
        """Return the secret as it is now; PermanentError SecretUnavailable if it cannot be had."""
        ...


class Reconciler(Protocol[SpecT, SeenT, ActionT]):
    """One kind. ``observe`` and ``apply`` may raise the two errors above; ``plan`` never raises."""

    kind: str
    poll_interval: timedelta
    pass_deadline: timedelta

    def endpoint(self, resource: Resource[SpecT]) -> str | None:
        """Return the endpoint whose bulkhead a pass of this object goes through; None for none."""
        ...

    async def observe(self, resource: Resource[SpecT], view: View) -> SeenT:
        """Look at the real thing; every fact is present, absent or unknown."""
        ...

    def plan(self, resource: Resource[SpecT], seen: SeenT, now: datetime) -> Plan[ActionT]:
        """Decide what to do: pure, synchronous, total."""
        ...

    async def apply(self, step: Step[ActionT]) -> Outcome:
        """Carry out one step."""
        ...

    def gone(self, key: Key) -> None:
        """Drop what is remembered and exported of an object that has left the store, seen before or not."""
        ...
