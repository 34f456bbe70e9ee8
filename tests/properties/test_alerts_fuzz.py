"""Whatever comes in as an alert: it is decided on or refused, never an accident, and memory stays bounded."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from crds.release import Phase
from daemon.store import alerts as alerts_module
from daemon.store.database import Database
from daemon.store.operations import Apply, Report
from daemon.store.store import Store
from daemon.web.alert_decision import ACTOR, Releases, Result, decide_all
from daemon.web.alert_inbox import AlertInbox
from daemon.web.alert_message import Alert, Message, MessageError, harmless, read_message
from metrics.alerts import RESULTS, AlertMetrics
from tests.builders import START
from tests.builders_alerts import GATEWAY, RELEASE, SPLIT_AT, a_release, a_state, an_attempt, key_of
from tests.simulation.ports import InlineExecutor

TEXTS = st.one_of(
    st.text(max_size=40), st.sampled_from(["", RELEASE, "other", GATEWAY, "rollback", "firing", "resolved"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
LABELS = st.dictionaries(
    st.sampled_from(["alertname", "release", "service", "psa_action", "severity"]), TEXTS, max_size=5
)
INSTANTS = st.sampled_from(
    [SPLIT_AT.isoformat(), START.isoformat(), "2026-11-24T10:00:00Z", "2026-11-24T13:00:00.123456789+01:00"]
)
ALERTS = st.fixed_dictionaries(
    {"status": st.sampled_from(["firing", "resolved"]), "labels": LABELS, "startsAt": INSTANTS},
    optional={
        "annotations": st.dictionaries(st.sampled_from(["summary", "x"]), TEXTS, max_size=2),
        "fingerprint": st.sampled_from(["1", "2", "3", "4"]),
        "endsAt": JSON,
        "more": JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"version": st.just("4"), "alerts": st.lists(ALERTS, max_size=5)},
    optional={"truncatedAlerts": st.integers(0, 3), "groupLabels": JSON, "more": JSON},
)


def bent(message: dict[str, Any], path: list[int], value: object) -> object:
    """Return the message with one thing in it replaced by anything."""
    copy = json.loads(json.dumps(message))
    inner: Any = copy
    for step in path:
        keys: Any = sorted(inner) if isinstance(inner, dict) else range(len(inner)) if inner else ()
        if not keys:
            break
        key = keys[step % len(keys)]
        if step % 3 == 0 or not isinstance(inner[key], dict | list):
            inner[key] = value
            break
        inner = inner[key]
    return copy


def read(data: bytes) -> Message | None:
    """Return the message, None where it is refused with words."""
    try:
        return read_message(data)
    except MessageError:
        return None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    assert read(data) is None


@given(JSON)
def test_any_json_is_a_message_or_refused(value: object) -> None:
    read(json.dumps(value).encode())


@given(MESSAGES, st.lists(st.integers(0, 99), min_size=1, max_size=5), JSON)
def test_a_message_with_anything_wrong_in_it_is_a_message_or_refused(
    message: dict[str, Any], path: list[int], value: object
) -> None:
    found = read(json.dumps(bent(message, path, value)).encode())
    for alert in found.alerts if found is not None else ():
        assert alert.mark()
        assert alert.title.isprintable()


@given(st.text(), st.integers(1, 50))
def test_foreign_text_is_one_short_line(text: str, longest: int) -> None:
    shown = harmless(text, longest)
    assert shown.isprintable()
    assert len(shown) <= longest
    assert harmless(shown, longest) == shown


PHASES = st.one_of(st.none(), st.sampled_from(list(Phase)))


@given(st.lists(ALERTS, max_size=6), PHASES, PHASES)
def test_every_alert_has_one_decision_and_every_attempt_is_asked_for_once(
    alerts: list[dict[str, Any]], first: Phase | None, second: Phase | None
) -> None:
    read_alerts = [Alert.model_validate_json(json.dumps(each)) for each in alerts]
    phases = {RELEASE: first, "other": second}
    state = a_state(
        *(a_release(an_attempt(phase) if phase else None, name) for name, phase in phases.items())
    )
    decisions = decide_all(Releases.of(state), [(each, ACTOR) for each in read_alerts], (), START)
    assert len(decisions) == len(alerts)
    asks = [each.ask for each in decisions if each.ask is not None]
    assert len({ask.key for ask in asks}) == len(asks)
    for alert, decision in zip(read_alerts, decisions, strict=True):
        record = decision.record(START, ACTOR)
        assert record.message.isprintable()
        assert len(record.message) <= 500
        assert (decision.ask is not None) is (decision.result is Result.ACTED)
        if decision.ask is not None:
            assert alert.status == "firing"
            assert alert.labels["psa_action"] == "rollback"
            assert alert.starts_at >= SPLIT_AT
            assert phases[decision.key.name] in {
                Phase.SPLIT,
                Phase.WATCH,
                Phase.PROMOTE,
                Phase.VERIFY,
                Phase.SOAK,
            }


class StillClock:
    """It is always the same moment."""

    now = staticmethod(lambda: START)
    monotonic = staticmethod(lambda: 0.0)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def fed(path: Path, rounds: list[list[dict[str, Any]]], registry: CollectorRegistry) -> Store:
    """Feed the inbox of a daemon that is started anew for each round, all of a round's messages at once."""
    metrics = AlertMetrics(registry)
    store = Store(Database(path), InlineExecutor())
    release = a_release(an_attempt())
    await store.commit([
        Apply(key_of(), release.uid, release.spec, START),
        Report(key_of(), START, (), 1, release.status),
    ])  # fmt: skip
    for messages in rounds:
        store.close()
        store = Store(Database(path), InlineExecutor())
        inbox = AlertInbox(store, StillClock(), metrics)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(inbox.run())
            async with asyncio.TaskGroup() as senders:
                for message in messages:
                    senders.create_task(
                        inbox.take(Message.model_validate_json(json.dumps(message)), "alertmanager", 100)
                    )
            running.cancel()
    return store


@settings(max_examples=60, deadline=None)
@given(rounds=st.lists(st.lists(MESSAGES, max_size=4), min_size=1, max_size=3))
def test_each_alert_is_written_once_whoever_sends_it_how_often_and_across_restarts(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[dict[str, Any]]]
) -> None:
    registry = CollectorRegistry()
    path = tmp_path_factory.mktemp("alerts") / "state.db"
    store = asyncio.run(fed(path, rounds, registry))
    sent = [
        Alert.model_validate_json(json.dumps(alert)).mark()
        for messages in rounds
        for message in messages
        for alert in message["alerts"]
    ]
    events = [event for event in store.events(None, limit=1000) if event.reason != "AlertsTruncated"]
    counted = {
        result: registry.get_sample_value("psa_alerts_total", {"result": result}) for result in RESULTS
    }
    assert len(events) == len(set(sent)) == len(store.alert_memory())
    assert sum(value or 0 for value in counted.values()) == len(sent)
    assert counted["duplicate"] == len(sent) - len(set(sent))
    assert counted["acted"] == len(store.state.objects[key_of()].requests) <= 1
    store.close()


def test_a_hundred_thousand_alerts_leave_no_more_in_memory_than_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alerts_module, "KEPT_ALERTS", 500)
    sizes: list[int] = []
    memory = alerts_module.AlertMemory(())
    for number in range(0, 100_000, 100):
        heard = memory.hear([f"mark {number + each}" for each in range(100)], (), START)
        memory.heard(heard)
        sizes.append(len(memory))
    assert max(sizes) == 500
    assert "mark 99999" in memory
    assert "mark 99499" not in memory
