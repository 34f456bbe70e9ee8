"""JSON as the daemon's API sends it."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = Any
SINCE = "2026-11-24T11:55:00Z"


def a_condition(kind: str, status: str, reason: str, message: str = "", since: str = SINCE) -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message, "since": since}


GOOD = (
    a_condition("Ready", "True", "AsAsked"),
    a_condition("Synced", "True", "NoDifference"),
    a_condition("Progressing", "False", "Idle"),
    a_condition("Stalled", "False", "Moving"),
)


def an_object(
    key: str = "Container/psa-redis",
    *,
    conditions: Sequence[Json] = GOOD,
    spec: Mapping[str, Json] | None = None,
    status: Mapping[str, Json] | None = None,
    children: Sequence[str] = (),
    observed: int = 1,
    generation: int = 1,
    **metadata: Json,
) -> Json:
    kind, name = key.split("/")
    return {
        "apiVersion": "psa.platform/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "uid": "0f" * 16,
            "generation": generation,
            "labels": {},
            "annotations": {},
            "owner": None,
            "origin": f"data/{name}.yaml:1",
            "createdAt": "2026-11-21T12:00:00Z",
            "orphanedSince": None,
            **metadata,
        },
        "spec": dict(spec or {}),
        "status": {"observedGeneration": observed, "conditions": list(conditions), **(status or {})},
        "children": list(children),
    }


def a_step(
    summary: str,
    *changes: tuple[str, str, str] | tuple[str, str, str, str],
    needs: str | None = None,
    allowed: bool = True,
    origin: str | None = None,
) -> Json:
    return {
        "summary": summary,
        "target": "CT 120 on pve",
        "class": "exclusive",
        "changes": [
            dict(zip(("path", "old", "new", "origin"), (*change, origin)[:4], strict=True))
            for change in changes
        ],
        "needs": needs,
        "allowed": allowed,
        "origin": origin,
    }


def a_plan(key: str, *steps: Json, **reasons: Json) -> Json:
    nothing = dict.fromkeys(("held", "waiting", "blocked", "foreign", "failed", "error", "dependencies"))
    return {"object": key, "steps": list(steps), **nothing, **reasons}


def an_event(number: int, key: str, reason: str, message: str = "", **rest: Json) -> Json:
    return {
        "id": number,
        "at": f"2026-11-24T11:59:{number:02}Z",
        "object": key,
        "reason": reason,
        "message": message,
        "warning": False,
        "count": 1,
        "actor": None,
        **rest,
    }


def a_status(**changes: Json) -> Json:
    return {
        "version": "0.1.0",
        "mode": "Enforce",
        "effectiveModeText": "Enforce: differences are removed",
        "startedAt": "2026-11-24T09:00:00Z",
        "paths": {"state": "/var/lib/psa-reconciler", "settings": "/etc/psa-reconciler/config.yaml"},
        "source": {"healthy": True, "message": "", "files": 3, "problems": []},
        "objects": {"total": 2, "ready": 2},
        "endpoints": [
            {"name": "edge", "system": "haproxy", "up": True, "breaker": False},
            {"name": "pve", "system": "proxmox", "up": True, "breaker": False},
        ],
        "queueDepth": 2,
        "commits": 7,
        **changes,
    }
