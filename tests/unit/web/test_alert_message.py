"""What Alertmanager sends is read strictly; what is none of its messages is refused with what was found."""

import json
from datetime import UTC, datetime

import pytest

from daemon.web.alert_message import DEEPEST, MessageError, harmless, read_message
from tests.builders_alerts import ASKS, alert_json, an_alert, message_json

#: As Alertmanager 0.25 sent it, one line shortened.
REAL = """{"receiver":"psa-reconciler","status":"firing","alerts":[{"status":"firing","labels":{
"alertname":"PsaReleaseErrors","psa_action":"rollback","release":"psa-suite","role":"candidate",
"service":"psa-api-gateway","severity":"critical"},"annotations":{"summary":"failed 12 requests"},
"startsAt":"2026-11-24T05:14:19.346123456Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p:9090/graph",
"fingerprint":"c1f1e9d0a8b73a2f"}],"groupLabels":{},"commonLabels":{},"commonAnnotations":{},
"externalURL":"http://a:9093","version":"4","groupKey":"{}:{}","truncatedAlerts":0}"""


def body(*alerts: object, **fields: object) -> bytes:
    return json.dumps({**message_json(), "alerts": list(alerts), **fields}).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(MessageError) as refused:
        read_message(data)
    return str(refused.value)


def test_a_message_of_alertmanager_is_read() -> None:
    message = read_message(REAL.encode())
    (alert,) = message.alerts
    assert message.truncated_alerts == 0
    assert alert.starts_at == datetime(2026, 11, 24, 5, 14, 19, 346123, tzinfo=UTC)
    assert alert.title == ("PsaReleaseErrors (release=psa-suite, service=psa-api-gateway, severity=critical)")
    assert alert.summary == "failed 12 requests"
    assert alert.mark() == "c1f1e9d0a8b73a2f 2026-11-24T05:14:19.346123+00:00 firing"


def test_both_of_a_pair_and_every_repetition_have_one_mark_and_the_end_has_its_own() -> None:
    first = an_alert(startsAt="2026-11-24T11:59:00.5Z")
    second = an_alert(
        startsAt="2026-11-24T12:59:00.500+01:00", endsAt="2026-11-24T13:00:00Z", generatorURL="http://other"
    )
    assert first.mark() == second.mark()
    assert an_alert(status="resolved").mark() == an_alert().mark("resolved") != an_alert().mark()
    assert an_alert(startsAt="2026-11-24T12:59:00.501+01:00").mark() != first.mark()


def test_who_sends_by_hand_may_leave_the_fingerprint_out() -> None:
    fields = {name: value for name, value in alert_json().items() if name != "fingerprint"}
    swapped = {**fields, "labels": dict(sorted(ASKS.items(), reverse=True))}
    other = {**fields, "labels": {**ASKS, "release": "psa-suite"}}
    marks = [read_message(body(each)).alerts[0].mark() for each in (fields, swapped, other)]
    assert marks[0] == marks[1] != marks[2]
    assert len(marks[0].split()[0]) == 16


def test_fields_that_later_versions_may_add_are_ignored() -> None:
    message = read_message(body(alert_json(newField={"deep": [1]}), routeID=7, newField=[{}]))
    assert message.alerts[0].name == "PsaReleaseErrors"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the body is no JSON: EOF while parsing a value at line 1 column 0"),
        (b"alerts=1", "the body is no JSON: expected value at line 1 column 1"),
        (b'{"version": "4", "alerts": [', "the body is no JSON: EOF while parsing a list at line 1"),
        (b"\xff\xfe{}", "the body is no JSON: expected value at line 1 column 1"),
        (b"null", "body: a mapping is needed, found nothing"),
        (b"[]", "body: a mapping is needed, found a list"),
        (b"{}", 'body: the field "version" is missing'),
        (body(version="3"), "body.version: \"3\" is not allowed; needed: '4'"),
        (body(version=4), "body.version: 4 is not allowed; needed: '4'"),
        (body(alerts=None), "body.alerts: a list is needed, found nothing"),
        (body("PsaReleaseErrors"), 'body.alerts[0]: a mapping is needed, found "PsaReleaseErrors"'),
        (body(alert_json(), {}), 'body.alerts[1]: the field "status" is missing'),
        (body(alert_json(status="FIRING")), 'body.alerts[0].status: "FIRING" is not allowed'),
        (body({**alert_json(), "labels": ["a"]}), "body.alerts[0].labels: a mapping is needed, found a list"),
        (body({**alert_json(), "labels": {"a": 5}}), "body.alerts[0].labels.a: text is needed, found 5"),
        (body(alert_json(startsAt=1764072859)), "body.alerts[0].startsAt: 1764072859 is not allowed"),
        (body(alert_json(startsAt="soon")), 'body.alerts[0].startsAt: "soon" is not allowed'),
        (body(alert_json(startsAt="2026-11-24")), 'body.alerts[0].startsAt: "2026-11-24" is not allowed'),
        (body(alert_json(startsAt="2026-11-24T05:14:19")), "needed: input should have timezone info"),
        (body(alert_json(startsAt="0001-01-01T00:00:00+14:00")), "an instant of this calendar is needed"),
        (body(alert_json(fingerprint="x" * 129)), "body.alerts[0].fingerprint: 129 characters are too many"),
        (body(truncatedAlerts=-1), "body.truncatedAlerts: -1 is too small: at least 0"),
        (body(truncatedAlerts=True), "body.truncatedAlerts: a whole number is needed, found true"),
        (b'{"version": "4", "alerts": [{"labels": {"a": "\\ud800"}}]}', "the body is no JSON"),
        (b'{"version": "4", "alerts": [{"labels": {"a": "\xff"}}]}', "the body is no JSON"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_was_found(data: bytes, said: str) -> None:
    assert said in refusal(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 250_000,
        b'{"a":' * 50_000,
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        body(x=json.loads("[" * DEEPEST + "]" * DEEPEST)),
        b'{"a": "\\\\", "b": ' + b"[" * DEEPEST,
    ],
)
def test_what_is_nested_too_deeply_is_not_even_parsed(data: bytes) -> None:
    assert refusal(data) == "the body is nested more than 20 deep"


def test_brackets_in_texts_are_no_nesting() -> None:
    text = '[{"' * 100 + "\\"
    (alert,) = read_message(body(alert_json(annotations={"summary": text}))).alerts
    assert alert.annotations["summary"] == text
    assert read_message(body(x=json.loads("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)))).alerts == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\r\nlines\tand more", "two lines and more"),
        ("\x1b[31mred\x1b[0m\x00\x07", "[31mred[0m"),
        ("\u202eevil\u2066\u200b", "evil"),
        ("größer als 5 %", "größer als 5 %"),
        ("0123456789012345678901234567890", "0123456789012345678…"),
        ("\n" * 500 + "late", ""),
    ],
)
def test_foreign_text_is_made_harmless(text: str, shown: str) -> None:
    assert harmless(text, 20) == shown
