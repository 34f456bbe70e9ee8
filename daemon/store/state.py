"""The store's content as one immutable value, and how an operation changes it: pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from crds.meta import Condition, Key, canonical
from daemon.store.operations import (
    Apply,
    Ask,
    Assign,
    Begin,
    Event,
    Hear,
    Miss,
    Operation,
    Orphan,
    Record,
    Reply,
    Report,
    Resume,
    Settle,
    Suspend,
)
from reconcilers.contract import AnyResource, Intent, OutcomeKind, Request, Resource, Verdict

EMPTY: Mapping[Key, AnyResource] = MappingProxyType({})
#: Answered requests that are kept of each object, so that who asked can read the answer.
KEPT_ANSWERS: Final = 10


@dataclass(frozen=True, slots=True)
class State:
    """All that the store knows, but for old events and closed intents. Also the engine's ``View``."""

    objects: Mapping[Key, AnyResource] = field(default_factory=dict)
    owned: Mapping[Key, frozenset[Key]] = field(default_factory=dict)
    open_intents: Mapping[Key, tuple[Intent, ...]] = field(default_factory=dict)
    suspended: Mapping[Key, Suspend] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    last_events: Mapping[Key, Event] = field(default_factory=dict)
    next_intent: int = 1
    next_event: int = 1

    def get(self, key: Key) -> AnyResource | None:
        return self.objects.get(key)

    def list(self, kind: str) -> tuple[AnyResource, ...]:
        found = (resource for key, resource in self.objects.items() if key.kind == kind)
        return tuple(sorted(found, key=lambda resource: resource.key))

    def children(self, owner: Key) -> tuple[AnyResource, ...]:
        return tuple(self.objects[key] for key in sorted(self.owned.get(owner, ())))

    def intents(self, key: Key) -> tuple[Intent, ...]:
        return self.open_intents.get(key, ())

    def value(self, name: str) -> str | None:
        return self.values.get(name)

    def suspension(self, key: Key, now: datetime) -> Suspend | None:
        """Return who suspended the object and why, unless that has run out."""
        found = self.suspended.get(key)
        return found if found is not None and (found.until is None or now < found.until) else None


def merge_conditions(
    before: tuple[Condition, ...], verdicts: tuple[Verdict, ...], at: datetime
) -> tuple[Condition, ...]:
    """Lay *verdicts* over *before*; ``since`` moves only where the status flips. Sorted by type."""
    merged = {condition.type: condition for condition in before}
    for verdict in verdicts:
        old = merged.get(verdict.type)
        since = old.since if old is not None and old.status is verdict.status else at
        merged[verdict.type] = Condition(verdict.type, verdict.status, verdict.reason, verdict.message, since)
    return tuple(sorted(merged.values(), key=lambda condition: condition.type.value))


def advance(state: State, operation: Operation) -> State:
    """Return the state after *operation*; the very same object where nothing changes."""
    match operation:
        case Apply() | Orphan() | Report() | Ask() | Reply():
            return _with_object(state, _changed_object(state, operation))
        case Begin() | Settle() | Miss():
            return _with_intent(state, operation)
        case Record() | Hear():
            return _with_events(state, operation)
        case Suspend():
            return replace(state, suspended={**state.suspended, operation.key: operation})
        case Resume(key):
            kept = {other: value for other, value in state.suspended.items() if other != key}
            return state if key not in state.suspended else replace(state, suspended=kept)
        case Assign(name, value):
            same = state.values.get(name) == value
            return state if same else replace(state, values={**state.values, name: value})


def _changed_object(state: State, operation: Apply | Orphan | Report | Ask | Reply) -> AnyResource | None:
    old = state.objects.get(operation.key)
    if isinstance(operation, Apply):
        return _created(operation) if old is None else _applied(old, operation)
    if old is None:
        return None
    match operation:
        case Orphan(_, at):
            return old if old.orphaned_since else replace(old, orphaned_since=at)
        case Report():
            return _reported(old, operation)
        case Ask():
            return replace(old, requests=(*old.requests, _request(old, operation)))
        case Reply():
            return replace(old, requests=_answered(old.requests, operation))


def _request(old: AnyResource, asked: Ask) -> Request:
    number = old.requests[-1].id + 1 if old.requests else 1
    return Request(number, asked.verb, asked.actor, asked.at, asked.reason, asked.arguments)


def _answered(requests: tuple[Request, ...], reply: Reply) -> tuple[Request, ...]:
    """Write the answer to an open request, and forget the oldest answered ones."""
    said = tuple(
        replace(each, accepted=reply.accepted, answer=reply.message)
        if each.id == reply.request and each.answer is None
        else each
        for each in requests
    )
    kept = {each.id for each in [each for each in said if each.answer is not None][-KEPT_ANSWERS:]}
    return tuple(each for each in said if each.answer is None or each.id in kept)


def _created(operation: Apply) -> AnyResource:
    return Resource(
        key=operation.key,
        uid=operation.uid,
        generation=1,
        spec=operation.spec,
        created_at=operation.at,
        labels=operation.labels,
        annotations=operation.annotations,
        owner=operation.owner,
        origin=operation.origin,
        lines=operation.lines,
    )


def _applied(old: AnyResource, operation: Apply) -> AnyResource:
    same_spec = old.spec == operation.spec or canonical(old.spec) == canonical(operation.spec)
    return replace(
        old,
        generation=old.generation if same_spec else old.generation + 1,
        spec=old.spec if same_spec else operation.spec,
        labels=operation.labels,
        annotations=operation.annotations,
        owner=operation.owner,
        origin=operation.origin,
        lines=operation.lines,
        orphaned_since=None,
    )


def _reported(old: AnyResource, operation: Report) -> AnyResource:
    return replace(
        old,
        observed_generation=operation.generation or old.observed_generation,
        conditions=merge_conditions(old.conditions, operation.verdicts, operation.at),
        status=old.status if operation.status is None else operation.status,
        memo=old.memo if operation.memo is None else operation.memo,
    )


def _with_object(state: State, resource: AnyResource | None) -> State:
    if resource is None or state.objects.get(resource.key) == resource:
        return state
    owned = state.owned
    if resource.owner is not None and resource.key not in owned.get(resource.owner, ()):
        owned = {**owned, resource.owner: owned.get(resource.owner, frozenset()) | {resource.key}}
    return replace(state, objects={**state.objects, resource.key: resource}, owned=owned)


def _with_intent(state: State, operation: Begin | Settle | Miss) -> State:
    if isinstance(operation, Begin):
        intent = Intent(
            id=state.next_intent,
            key=operation.key,
            generation=operation.generation,
            action=operation.action,
            target=operation.target,
            summary=operation.summary,
            begun_at=operation.at,
            deadline=operation.deadline,
            state=OutcomeKind.UNKNOWN,
        )
        rows = (*state.open_intents.get(operation.key, ()), intent)
        intents = {**state.open_intents, operation.key: rows}
        return replace(state, open_intents=intents, next_intent=state.next_intent + 1)
    found = find_intent(state, operation.intent)
    return state if found is None else _settled(state, found, operation)


def find_intent(state: State, number: int) -> Intent | None:
    """Return the open intent with that number, or None if it is closed."""
    rows = (intent for rows in state.open_intents.values() for intent in rows)
    return next((intent for intent in rows if intent.id == number), None)


def _settled(state: State, intent: Intent, operation: Settle | Miss) -> State:
    if isinstance(operation, Miss):
        after: Intent | None = replace(intent, absent_since=intent.absent_since or operation.at)
    elif operation.outcome.kind in {OutcomeKind.DONE, OutcomeKind.FAILED}:
        after = None
    else:
        reference = operation.outcome.reference or intent.reference
        after = replace(intent, state=operation.outcome.kind, reference=reference)
    rows = tuple(
        row
        for row in (after if other.id == intent.id else other for other in state.open_intents[intent.key])
        if row is not None
    )
    intents = {key: kept for key, kept in state.open_intents.items() if key != intent.key}
    if rows:
        intents[intent.key] = rows
    return state if intents == state.open_intents else replace(state, open_intents=intents)


def _with_events(state: State, operation: Record | Hear) -> State:
    if isinstance(operation, Hear):  # one copy for the whole batch
        events = heard_events(operation, state.next_event)
        heard = {**state.last_events, **{event.key: event for event in events}}
        return replace(state, last_events=heard, next_event=state.next_event + len(events))
    last = state.last_events.get(operation.key)
    said = (operation.reason, operation.message, operation.warning, operation.actor)
    if last is not None and (last.reason, last.message, last.warning, last.actor) == said:
        event = replace(last, at=operation.at, count=last.count + 1)
        return replace(state, last_events={**state.last_events, operation.key: event})
    told = {**state.last_events, operation.key: _event(state.next_event, operation)}
    return replace(state, last_events=told, next_event=state.next_event + 1)


def _event(number: int, record: Record) -> Event:
    return Event(
        id=number,
        at=record.at,
        key=record.key,
        reason=record.reason,
        message=record.message,
        warning=record.warning,
        count=1,
        actor=record.actor,
    )


def heard_events(hear: Hear, first: int) -> tuple[Event, ...]:
    """Return the events of alerts, numbered from *first*; none of them only counts up another one."""
    return tuple(_event(first + place, record) for place, record in enumerate(hear.records))
