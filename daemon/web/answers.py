"""The store's values as the JSON of the API: pure."""

from datetime import datetime

from crds.meta import API_VERSION, canonical
from daemon.engine.passes import Look
from daemon.sources.snapshot import Problem
from daemon.store.operations import Event, Suspend
from reconcilers.contract import AnyResource, Plan, Request, Step

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Object = dict[str, Json]


def instant(value: datetime | None) -> str | None:
    """Return RFC 3339 text in UTC with seconds, None for None."""
    return None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")


def object_answer(
    resource: AnyResource, children: tuple[AnyResource, ...], suspension: Suspend | None = None
) -> Object:
    """Return an object as ``psactl get -o json`` shows it; *suspension* is an operator's."""
    conditions: list[Json] = [
        {
            "type": condition.type.value,
            "status": condition.status.value,
            "reason": condition.reason,
            "message": condition.message,
            "since": instant(condition.since),
        }
        for condition in resource.conditions
    ]
    status: Object = {"observedGeneration": resource.observed_generation, "conditions": conditions}
    status |= canonical(resource.status) if resource.status is not None else {}
    return {
        "apiVersion": API_VERSION,
        "kind": resource.key.kind,
        "metadata": {
            "name": resource.key.name,
            "uid": resource.uid,
            "generation": resource.generation,
            "labels": dict(resource.labels),
            "annotations": dict(resource.annotations),
            "owner": str(resource.owner) if resource.owner else None,
            "origin": str(resource.origin) if resource.origin else None,
            "createdAt": instant(resource.created_at),
            "orphanedSince": instant(resource.orphaned_since),
            "suspended": _suspension(suspension),
            "requests": [_request(request) for request in resource.requests],
        },
        "spec": canonical(resource.spec),
        "status": status,
        "memo": canonical(resource.memo) if resource.memo is not None else None,
        "children": [str(child.key) for child in children],
    }


def _suspension(found: Suspend | None) -> Object | None:
    if found is None:
        return None
    return {"until": instant(found.until), "reason": found.reason, "actor": found.actor}


def _request(asked: Request) -> Object:
    return {
        "id": asked.id,
        "verb": asked.verb,
        "actor": asked.actor,
        "at": instant(asked.at),
        "reason": asked.reason,
        "arguments": dict(asked.arguments),
        "accepted": asked.accepted,
        "answer": asked.answer,
    }


def event_answer(event: Event) -> Object:
    """Return an event."""
    return {
        "id": event.id,
        "at": instant(event.at),
        "object": str(event.key),
        "reason": event.reason,
        "message": event.message,
        "warning": event.warning,
        "count": event.count,
        "actor": event.actor,
    }


def problem_answer(problem: Problem) -> Object:
    """Return what is wrong with a file."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "rendered": problem.rendered,
        "object": str(problem.key) if problem.key else None,
    }


def plan_answer(resource: AnyResource, look: Look) -> Object:
    """Return what would be done about an object now, and what stands in the way."""
    plan = look.plan or Plan()
    hold = look.gated.hold
    return {
        "object": str(resource.key),
        "steps": [_step(resource, step, allowed=step in look.gated.steps) for step in plan.steps],
        "held": {"reason": hold.reason, "message": hold.message} if hold else None,
        "waiting": plan.waiting,
        "blocked": {"reason": plan.blocked[0], "message": plan.blocked[1]} if plan.blocked else None,
        "foreign": plan.foreign if not resource.spec.adopt else None,
        "failed": plan.failed,
        "error": str(look.error) if look.error is not None else None,
        "dependencies": look.waits_for.message if look.waits_for else None,
    }


def _step(resource: AnyResource, step: Step[object], *, allowed: bool) -> Object:
    return {
        "summary": step.summary,
        "target": step.target,
        "class": step.step_class.value,
        "changes": [
            {"path": c.path, "old": c.old, "new": c.new, "origin": _origin(resource, step, c.path)}
            for c in step.changes
        ],
        "needs": step.needs.value if step.needs else None,
        "allowed": allowed,
        "origin": str(step.origin) if step.origin else None,
    }


def _origin(resource: AnyResource, step: Step[object], path: str) -> str | None:
    """Return the line that asks for the field at *path*: its own if the file has it, else the step's."""
    found = resource.where(path) if path in resource.lines else step.origin
    return str(found) if found else None
