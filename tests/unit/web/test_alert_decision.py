"""What an alert leads to, case by case: who is rolled back, and why nobody else ever is."""

from collections.abc import Container, Mapping
from datetime import timedelta

import pytest

from crds.meta import Key
from crds.release import Phase, ReleaseStatus
from daemon.store.operations import Ask
from daemon.web.alert_decision import ACTOR, Decision, Releases, Result, decide, decide_all
from daemon.web.alert_message import Alert
from daemon.web.console import DAEMON
from reconcilers.contract import AnyResource
from reconcilers.release.phases import ENDED, WATCHED
from reconcilers.release.wishes import _trigger
from tests.builders import START
from tests.builders_alerts import (
    ASKS,
    DURING,
    GATEWAY,
    RELEASE,
    SPLIT_AT,
    a_release,
    a_state,
    an_alert,
    an_attempt,
    asked,
    key_of,
    later,
)
from tests.builders_release import a_request

BY_RELEASE = {**ASKS, "release": RELEASE}
BY_SERVICE = {**ASKS, "service": GATEWAY}
WATCHING = a_release(an_attempt())


def other(phase: Phase = Phase.SOAK, service: str = "psa-crm", number: int = 7) -> AnyResource:
    """Return another release that runs, of another service."""
    attempt = an_attempt(phase, number)
    members = {service: attempt.members[GATEWAY]}
    return a_release(attempt.model_copy(update={"members": members}), "other", services=(service,))


def decided(labels: Mapping[str, str], *releases: AnyResource, **alert: object) -> Decision:
    return decide(Releases.of(a_state(*releases)), an_alert(labels, **alert), START)


@pytest.mark.parametrize("phase", [each for each in Phase if each in WATCHED], ids=str)
@pytest.mark.parametrize("labels", [BY_RELEASE, BY_SERVICE, ASKS], ids=["release", "service", "neither"])
def test_a_firing_alert_rolls_back_the_one_release_that_it_is_about(
    phase: Phase, labels: Mapping[str, str]
) -> None:
    decision = decided(labels, a_release(an_attempt(phase)))
    assert decision.result is Result.ACTED
    assert decision.ask == Ask(
        key_of(),
        "rollback",
        "alertmanager",
        START,
        "PsaReleaseErrors: the candidate failed 12 requests",
        {"only": "traffic", "attempt": "3"},
    )
    record = decision.record(START, ACTOR)
    assert (record.key, record.reason, record.actor) == (key_of(), "AlertActed", "alertmanager")
    assert record.message.startswith("PsaReleaseErrors (")
    assert record.message.endswith("severity=critical): the rollback of attempt 3 is asked for")


def test_a_name_is_better_than_a_service_and_a_service_better_than_being_alone() -> None:
    labels = {**ASKS, "release": RELEASE, "service": "psa-crm"}
    assert decided(labels, WATCHING, other()).key == key_of()
    assert decided({**ASKS, "service": "psa-crm"}, WATCHING, other()).key == key_of("other")


@pytest.mark.parametrize(
    ("labels", "releases", "result", "key", "why"),
    [
        (ASKS, (WATCHING, other()), Result.AMBIGUOUS, DAEMON, "it may be about other, psa-suite"),
        (
            BY_SERVICE,
            (WATCHING, other(service=GATEWAY)),
            Result.AMBIGUOUS,
            DAEMON,
            "it may be about other, psa-suite",
        ),
        (ASKS, (), Result.UNKNOWN, DAEMON, "no release has a candidate with traffic"),
        (ASKS, (a_release(an_attempt(Phase.SMOKE)),), Result.UNKNOWN, DAEMON, "no release has a candidate"),
        ({**ASKS, "release": "psa"}, (WATCHING,), Result.UNKNOWN, DAEMON, "there is no such release"),
        ({**ASKS, "release": ""}, (WATCHING, other()), Result.AMBIGUOUS, DAEMON, "it may be about other"),
        ({**ASKS, "release": "PSA-suite"}, (WATCHING,), Result.UNKNOWN, DAEMON, "there is no such release"),
        ({**ASKS, "service": "psa-crm"}, (WATCHING,), Result.UNKNOWN, DAEMON, "no release has this service"),
        (BY_RELEASE, (a_release(None),), Result.EARLY, key_of(), "no attempt has begun"),
        (BY_SERVICE, (a_release(None),), Result.EARLY, key_of(), "no attempt has begun"),
    ],
)
def test_what_is_not_clearly_about_one_running_release_is_only_written_down(
    labels: Mapping[str, str], releases: tuple[AnyResource, ...], result: Result, key: Key, why: str
) -> None:
    decision = decided(labels, *releases)
    assert (decision.result, decision.key, decision.ask) == (result, key, None)
    assert why in decision.message
    assert decision.message.endswith(", so nothing is done")
    assert decision.warning is (result is Result.AMBIGUOUS)


@pytest.mark.parametrize("phase", list(Phase), ids=str)
def test_without_traffic_an_attempt_is_early_or_late(phase: Phase) -> None:
    decision = decided(BY_RELEASE, a_release(an_attempt(phase)))
    over = ENDED | {Phase.ROLLING_BACK}
    expected = Result.ACTED if phase in WATCHED else Result.LATE if phase in over else Result.EARLY
    assert decision.result is expected
    assert (decision.ask is None) is (expected is not Result.ACTED)
    assert decision.key == key_of()


@pytest.mark.parametrize(
    ("starts_at", "result"),
    [
        (later(-0.001, SPLIT_AT), Result.EARLY),
        (later(0, SPLIT_AT), Result.ACTED),
        (later(3600, START), Result.ACTED),  # somebody's clock is ahead
        ("2026-11-24T12:58:30.123456789+01:00", Result.ACTED),
        ("2026-11-24T12:57:59+01:00", Result.EARLY),
    ],
)
def test_what_began_before_the_candidate_had_traffic_is_not_its_doing(starts_at: str, result: Result) -> None:
    decision = decided(BY_RELEASE, WATCHING, startsAt=starts_at)
    assert decision.result is result
    assert ("before attempt 3 had traffic at 11:58:00" in decision.message) is (result is Result.EARLY)


def test_a_later_step_of_the_split_or_the_promotion_does_not_make_an_alert_early() -> None:
    attempt = an_attempt(Phase.SOAK, step_at=START, promoted_at=START)
    assert decided(BY_RELEASE, a_release(attempt)).result is Result.ACTED


def test_an_attempt_of_an_older_version_counts_from_what_it_knows() -> None:
    assert decided(BY_RELEASE, a_release(an_attempt(split_at=None))).result is Result.ACTED
    early = an_attempt(split_at=None, step_at=DURING + timedelta(seconds=1))
    assert decided(BY_RELEASE, a_release(early)).result is Result.EARLY


@pytest.mark.parametrize("labels", [BY_RELEASE, ASKS, {"alertname": "HighMemory"}])
def test_an_end_undoes_nothing(labels: Mapping[str, str]) -> None:
    decision = decided(labels, WATCHING, status="resolved", endsAt=START.isoformat())
    assert (decision.result, decision.ask) == (Result.RESOLVED, None)


@pytest.mark.parametrize(
    ("labels", "key"),
    [
        ({"alertname": "HighMemory"}, DAEMON),
        ({"alertname": "HighMemory", "release": RELEASE}, key_of()),
        ({"alertname": "HighMemory", "service": GATEWAY}, key_of()),
        ({**BY_RELEASE, "psa_action": "Rollback"}, key_of()),
        ({**BY_RELEASE, "psa_action": "abort"}, key_of()),
        ({"alertname": "HighMemory", "service": "postgres"}, DAEMON),
    ],
)
def test_what_asks_for_nothing_is_filed_where_it_belongs(labels: Mapping[str, str], key: Key) -> None:
    decision = decided(labels, WATCHING)
    assert (decision.result, decision.key, decision.ask) == (Result.UNKNOWN, key, None)


def test_a_first_release_has_nothing_to_go_back_to_and_somebody_is_told() -> None:
    attempt = an_attempt(Phase.SOAK)
    member = attempt.members[GATEWAY].model_copy(update={"stable": None, "stable_version": None})
    first = attempt.model_copy(update={"members": {GATEWAY: member}})
    decision = decided(BY_RELEASE, a_release(first))
    assert (decision.result, decision.ask, decision.warning) == (Result.UNKNOWN, None, True)
    assert "there is nothing to go back to" in decision.message


@pytest.mark.parametrize(
    ("request_of", "result"),
    [
        (asked(1, 3), Result.LATE),
        (asked(1, 3, "alertmanager at 10.0.0.9"), Result.LATE),
        (asked(1, 3, answer="attempt 3 refused it"), Result.ACTED),
        (asked(1, 2), Result.ACTED),
        (asked(1, 3, "uid 0"), Result.ACTED),
        (a_request("pause", actor="alertmanager"), Result.ACTED),
    ],
)
def test_an_attempt_is_asked_for_once_by_alerts_and_never_left_to_others(
    request_of: object, result: Result
) -> None:
    release = a_release(an_attempt(), requests=(request_of,))  # type: ignore[arg-type]
    assert decided(BY_RELEASE, release).result is result


def in_turn(releases: Releases, *alerts: Alert, over: Container[str] = ()) -> list[Decision]:
    return list(decide_all(releases, [(alert, ACTOR) for alert in alerts], over, START))


def test_of_several_alerts_about_one_attempt_the_first_asks() -> None:
    alerts = [an_alert(BY_RELEASE, fingerprint=f"{number}") for number in range(3)]
    other_one = an_alert({**ASKS, "release": "other"}, fingerprint="9")
    found = in_turn(Releases.of(a_state(WATCHING, other())), *alerts, other_one)
    assert [each.result for each in found] == [Result.ACTED, Result.LATE, Result.LATE, Result.ACTED]
    assert [each.ask.key for each in found if each.ask is not None] == [key_of(), key_of("other")]
    assert "asked for already" in found[1].message


def test_an_alert_whose_end_came_first_rolls_nothing_back() -> None:
    begin, end = an_alert(BY_RELEASE), an_alert(BY_RELEASE, status="resolved")
    releases = Releases.of(a_state(WATCHING))
    assert [each.result for each in in_turn(releases, end, begin)] == [Result.RESOLVED] * 2
    assert [each.result for each in in_turn(releases, begin, end)] == [Result.ACTED, Result.RESOLVED]
    known = {end.mark()}
    assert in_turn(releases, begin, over=known)[0].result is Result.RESOLVED
    again = an_alert(BY_RELEASE, startsAt=later(30))
    assert in_turn(releases, again, over=known)[0].result is Result.ACTED


def test_the_release_knows_that_an_alert_triggered_it() -> None:
    decision = decided(BY_RELEASE, WATCHING)
    assert decision.ask is not None
    assert _trigger(a_request("rollback", actor=decision.ask.actor)).value == "alert"


def test_long_and_strange_labels_make_no_long_and_strange_events() -> None:
    labels = {
        **BY_RELEASE,
        "alertname": "x" * 5000,
        "service": "a\n\x1b[31m\u202eb" * 500,
        "release": RELEASE,
    }
    decision = decided(labels, WATCHING, annotations={"summary": "very\nlong " * 1000})
    record = decision.record(START, ACTOR)
    assert record.message.isprintable()
    assert len(record.message) <= 500
    assert decision.ask is not None
    assert decision.ask.reason.isprintable()
    assert len(decision.ask.reason) <= 400


def test_many_releases_are_named_in_part() -> None:
    releases = [a_release(an_attempt(), f"r{number}") for number in range(9)]
    assert "r0, r1, r2, r3, r4 and 4 more" in decided(ASKS, *releases).message


def test_a_release_that_was_never_looked_at_is_early() -> None:
    release = a_release(None)
    assert isinstance(release.status, ReleaseStatus)
    bare = type(release)(release.key, release.uid, 1, release.spec, START)
    assert decided(BY_RELEASE, bare).result is Result.EARLY
