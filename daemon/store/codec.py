"""Objects, intents and events as rows of the database, and back."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from crds.kinds import KINDS, MEMOS, STATUSES
from crds.meta import Condition, ConditionType, Key, Model, Origin, Truth, canonical
from daemon.store.operations import Event
from reconcilers.contract import AnyResource, Intent, OutcomeKind, Request, Resource

Cell = str | int | float | None
Row = tuple[Cell, ...]

OBJECT_COLUMNS: Final = (
    "kind, name, uid, generation, spec, created_at, labels, annotations, owner, file, line, lines, "
    "orphaned_since, observed_generation, conditions, status, memo, requests"
)
INTENT_COLUMNS: Final = (
    "id, kind, name, generation, action, target, summary, begun_at, deadline, state, reference, absent_since"
)
EVENT_COLUMNS: Final = "id, at, kind, name, reason, message, warning, count, actor"


class UnreadableRowError(Exception):
    """A row of the database does not fit this version; the text names the object."""


def _text(value: Mapping[str, object] | list[object]) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def instant(text: Cell) -> datetime:
    """Return the instant of an ISO 8601 text, in UTC."""
    return datetime.fromisoformat(str(text)).astimezone(UTC)


def _optional_instant(text: Cell) -> datetime | None:
    return None if text is None else instant(text)


def _optional_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def object_row(resource: AnyResource) -> Row:
    """Return the row of *resource*, in the order of OBJECT_COLUMNS."""
    conditions: list[object] = [
        [c.type.value, c.status.value, c.reason, c.message, c.since.isoformat()] for c in resource.conditions
    ]
    return (
        resource.key.kind,
        resource.key.name,
        resource.uid,
        resource.generation,
        _text(canonical(resource.spec)),
        resource.created_at.isoformat(),
        _text(resource.labels),
        _text(resource.annotations),
        str(resource.owner) if resource.owner else None,
        resource.origin.file if resource.origin else None,
        resource.origin.line if resource.origin else None,
        _text(resource.lines),
        _optional_text(resource.orphaned_since),
        resource.observed_generation,
        _text(conditions),
        None if resource.status is None else _text(canonical(resource.status)),
        None if resource.memo is None else _text(canonical(resource.memo)),
        _text([_request_data(request) for request in resource.requests]),
    )


def _request_data(request: Request) -> list[object]:
    return [
        request.id,
        request.verb,
        request.actor,
        request.at.isoformat(),
        request.reason,
        dict(request.arguments),
        request.accepted,
        request.answer,
    ]


def object_from(row: Row) -> AnyResource:
    """Return the object of a row; raise UnreadableRowError where this version does not understand it."""
    key = Key(str(row[0]), str(row[1]))
    try:
        return _object_from(key, row)
    except (KeyError, ValueError) as exc:
        raise UnreadableRowError(f"{key} in the database does not fit this version: {exc}") from exc


def _object_from(key: Key, row: Row) -> AnyResource:
    spec = KINDS[key.kind].model_validate_json(str(row[4]), strict=False, by_alias=True, by_name=False)
    status, memo = _model(STATUSES, key, row[15]), _model(MEMOS, key, row[16])
    conditions = tuple(
        Condition(ConditionType(kind), Truth(truth), reason, message, instant(since))
        for kind, truth, reason, message, since in json.loads(str(row[14]))
    )
    return Resource(
        key=key,
        uid=str(row[2]),
        generation=int(row[3] or 0),
        spec=spec,
        created_at=instant(row[5]),
        labels=json.loads(str(row[6])),
        annotations=json.loads(str(row[7])),
        owner=Key.parse(str(row[8])) if row[8] is not None else None,
        origin=Origin(str(row[9]), int(row[10] or 0)) if row[9] is not None else None,
        lines=json.loads(str(row[11])),
        orphaned_since=_optional_instant(row[12]),
        observed_generation=int(row[13] or 0),
        conditions=conditions,
        status=status,
        memo=memo,
        requests=tuple(
            Request(number, verb, actor, instant(at), reason, arguments, accepted, answer)
            for number, verb, actor, at, reason, arguments, accepted, answer in json.loads(str(row[17]))
        ),
    )


def _model(models: Mapping[str, type[Model]], key: Key, text: Cell) -> Model | None:
    if text is None:
        return None
    return models[key.kind].model_validate_json(str(text), by_alias=True, by_name=False)


def intent_row(intent: Intent) -> Row:
    """Return the row of *intent*, in the order of INTENT_COLUMNS."""
    return (
        intent.id,
        intent.key.kind,
        intent.key.name,
        intent.generation,
        intent.action,
        intent.target,
        intent.summary,
        intent.begun_at.isoformat(),
        intent.deadline.total_seconds(),
        intent.state.value,
        intent.reference,
        _optional_text(intent.absent_since),
    )


def intent_from(row: Row) -> Intent:
    """Return the intent of a row."""
    return Intent(
        id=int(row[0] or 0),
        key=Key(str(row[1]), str(row[2])),
        generation=int(row[3] or 0),
        action=str(row[4]),
        target=str(row[5]),
        summary=str(row[6]),
        begun_at=instant(row[7]),
        deadline=timedelta(seconds=float(row[8] or 0.0)),
        state=OutcomeKind(row[9]),
        reference=None if row[10] is None else str(row[10]),
        absent_since=_optional_instant(row[11]),
    )


def event_row(event: Event) -> Row:
    """Return the row of *event*, in the order of EVENT_COLUMNS."""
    return (
        event.id,
        event.at.isoformat(),
        event.key.kind,
        event.key.name,
        event.reason,
        event.message,
        int(event.warning),
        event.count,
        event.actor,
    )


def event_from(row: Row) -> Event:
    """Return the event of a row."""
    return Event(
        id=int(row[0] or 0),
        at=instant(row[1]),
        key=Key(str(row[2]), str(row[3])),
        reason=str(row[4]),
        message=str(row[5]),
        warning=bool(row[6]),
        count=int(row[7] or 0),
        actor=None if row[8] is None else str(row[8]),
    )
