"""What Alertmanager sends, and releases for it to be about."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from crds.meta import Key
from crds.release import Attempt, Member, Phase, ReleaseSpec, ReleaseStatus
from crds.service import Color
from daemon.store.state import State
from daemon.web.alert_message import Alert
from reconcilers.contract import AnyResource, Request
from tests.builders import START, a_resource

RELEASE, GATEWAY = "psa-suite", "psa-api-gateway"
SPLIT_AT = START - timedelta(minutes=2)
DURING = START - timedelta(minutes=1)
#: The labels of the alert that rolls back, as metrics/rules has it.
ASKS: Mapping[str, str] = {"alertname": "PsaReleaseErrors", "psa_action": "rollback", "severity": "critical"}


def alert_json(labels: Mapping[str, str] = ASKS, **fields: object) -> dict[str, Any]:
    """Return one alert as Alertmanager 0.25 writes it; keywords are its own spelling."""
    return {
        "status": "firing",
        "labels": dict(labels),
        "annotations": {"summary": "the candidate failed 12 requests"},
        "startsAt": DURING.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": "9f3a5c0d1e2b4a67",
        **fields,
    }


def message_json(*alerts: Mapping[str, object], **fields: object) -> dict[str, Any]:
    """Return a whole message."""
    return {
        "version": "4",
        "groupKey": '{}/{psa_action="rollback"}:{alertname="PsaReleaseErrors"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "psa-reconciler",
        "groupLabels": {"alertname": "PsaReleaseErrors"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": [dict(alert) for alert in alerts],
        **fields,
    }


def an_alert(labels: Mapping[str, str] = ASKS, **fields: object) -> Alert:
    """Return one alert as it was read; keywords are Alertmanager's spelling."""
    return Alert.model_validate_json(json.dumps(alert_json(labels, **fields)))


def an_attempt(phase: Phase = Phase.WATCH, number: int = 3, **fields: object) -> Attempt:
    """Return an attempt of the gateway, from blue to green."""
    member = Member(candidate=Color.GREEN, stable=Color.BLUE, stable_version="1.0.0", is_entry=True)
    given: dict[str, object] = {
        "number": number,
        "version": "1.1.0",
        "fingerprint": "f",
        "members": {GATEWAY: member},
        "phase": phase,
        "began_at": START - timedelta(minutes=5),
        "entered_at": SPLIT_AT,
        "step_at": SPLIT_AT,
        "split_at": SPLIT_AT,
    }
    return Attempt.model_validate(given | fields)


def a_release(
    attempt: Attempt | None = None,
    name: str = RELEASE,
    requests: tuple[Request, ...] = (),
    services: tuple[str, ...] = (GATEWAY,),
) -> AnyResource:
    """Return a release with its last attempt."""
    made = a_resource(ReleaseSpec(version="1.1.0", services=services), name, "Release")
    return replace(made, status=ReleaseStatus(attempt=attempt), requests=requests)


def a_state(*releases: AnyResource) -> State:
    """Return a store's content that has these releases."""
    return State(objects={each.key: each for each in releases})


def asked(number: int, attempt: int, actor: str = "alertmanager", answer: str | None = None) -> Request:
    """Return a request for the rollback of an attempt."""
    return Request(number, "rollback", actor, START, "", {"attempt": str(attempt)}, answer=answer)


def key_of(name: str = RELEASE) -> Key:
    return Key("Release", name)


def later(seconds: float, than: datetime = DURING) -> str:
    return (than + timedelta(seconds=seconds)).isoformat()
