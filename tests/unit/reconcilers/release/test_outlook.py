"""The end of a watch, the steps before it, and what a watch can see."""

from typing import Any

import pytest

from crds.evidence import Alarm, Cause, Detector, Evidence, Tally
from crds.release import Method
from reconcilers.release.outlook import (
    End,
    detectable_rate,
    outlook,
    requests_needed,
    step_outlook,
    watched_s,
)
from reconcilers.release.rule import Rule, SlowLimit
from tests.builders import START

RULE = Rule()


def entry(requests: int, errors: int = 0, stable: tuple[int, int] = (0, 0), **fields: Any) -> Evidence:
    total = Tally(requests=requests, errors=errors, stable_requests=stable[0], stable_errors=stable[1])
    return Evidence(failing=Detector(total=total), began_at=START, **fields)


def end(*entries: Evidence, rule: Rule = RULE) -> End:
    return outlook({f"entry-{at}": each for at, each in enumerate(entries)}, rule).end


@pytest.mark.parametrize(("requests", "expected"), [(458, End.NOT_ENOUGH), (459, End.PROMOTE)])
def test_459_clean_requests_promote(requests: int, expected: End) -> None:
    assert end(entry(requests)) is expected


@pytest.mark.parametrize(
    ("errors", "requests", "missing"),
    [(0, 0, 459), (0, 400, 59), (1, 400, 600), (1, 999, 1), (2, 1999, 1), (3, 2000, 1000)],
)
def test_it_says_how_many_requests_are_missing(errors: int, requests: int, missing: int) -> None:
    found = outlook({"gateway": entry(requests, errors)}, RULE)

    assert (found.end, found.reason, found.missing) == (End.NOT_ENOUGH, "NotEnoughTraffic", missing)
    assert f"{missing} more good requests are needed" in found.message
    assert found.message.startswith("no request came yet, limit 0.1 %") is (requests == 0)


@pytest.mark.parametrize(
    ("errors", "requests", "expected"),
    [
        (1, 1000, End.PROMOTE),
        (4, 4599, End.PROMOTE),
        (5, 4599, End.NOT_ENOUGH),
        (5, 4600, End.LIMIT_EXCEEDED),
    ],
)
def test_the_observed_rate_means_something_from_4600_requests_on(
    errors: int, requests: int, expected: End
) -> None:
    assert end(entry(requests, errors, (requests, 0))) is expected


@pytest.mark.parametrize(
    ("stable", "expected"),
    [((6000, 7), End.BLOCKED), ((6000, 6), End.LIMIT_EXCEEDED), ((100, 9), End.LIMIT_EXCEEDED)],
)
def test_a_stable_that_exceeds_the_limit_as_well_blocks(stable: tuple[int, int], expected: End) -> None:
    found = outlook({"gateway": entry(6000, 9, stable)}, RULE)

    assert found.end is expected
    assert found.reason == ("CommonCause" if expected is End.BLOCKED else "LimitExceeded")
    assert "0.15 % of 6000 requests failed, limit 0.1 %" in found.message


def test_entries_are_pooled() -> None:
    assert end(entry(230), entry(229)) is End.PROMOTE
    assert end(entry(3000, 4), entry(3000, 0)) is End.PROMOTE
    assert end(entry(3000, 7), entry(3000, 0)) is End.LIMIT_EXCEEDED


@pytest.mark.parametrize(("low_traffic", "expected"), [(False, End.NOT_ENOUGH), (True, End.PROMOTE)])
def test_every_entry_needs_its_minimum_unless_that_is_waived(*, low_traffic: bool, expected: End) -> None:
    found = outlook({"busy": entry(5000), "quiet": entry(60)}, Rule(low_traffic=low_traffic))

    assert found.end is expected
    assert found.missing == (0 if low_traffic else 40)


def test_low_traffic_waives_nothing_of_the_whole() -> None:
    assert end(entry(200), entry(3), rule=Rule(low_traffic=True)) is End.NOT_ENOUGH


@pytest.mark.parametrize(
    ("hidden", "expected"), [(0, End.PROMOTE), (5, End.PROMOTE), (6, End.BLOCKED), (400, End.BLOCKED)]
)
def test_what_haproxy_hid_must_keep_the_limit_too(hidden: int, expected: End) -> None:
    found = outlook({"gateway": entry(6000, 1, hidden=hidden)}, RULE)

    assert found.end is expected
    if expected is End.BLOCKED:
        assert found.reason == "Retries"
        assert found.message.startswith(f"HAProxy hid {hidden} failures in 6000 requests")


def test_one_retry_in_little_traffic_blocks() -> None:
    assert end(entry(900, 0, hidden=1)) is End.BLOCKED


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"down_s": 1.0, "down_reason": "its health check fails"}, "its health check fails"),
        ({"hang_s": 1.0, "excess_sessions": 31.0}, "31 requests hang"),
    ],
)
def test_nothing_moves_while_something_is_wrong(fields: dict[str, Any], what: str) -> None:
    entries = {"well": entry(9000), "ill": entry(9000, **fields)}

    for found in (outlook(entries, RULE), step_outlook(entries, RULE)):
        assert (found.end, found.reason, found.message) == (End.BLOCKED, "Unwell", f"ill: {what}")


@pytest.mark.parametrize("cause", list(Cause))
def test_nothing_moves_during_an_alarm(cause: Cause) -> None:
    alarmed = Detector(alarm=Alarm(since=START, onset_at=START, cause=cause))
    failing, slow = Evidence(failing=alarmed), entry(9000, slow=(alarmed,))

    assert end(failing) is End.BLOCKED
    assert end(slow) is End.BLOCKED


class TestResponseTimes:
    rule = Rule(slow_limits=(SlowLimit(0.95, 200),))

    def answered(self, answers: int, slower: int, stable: tuple[int, int] = (0, 0)) -> Evidence:
        total = Tally(requests=answers, errors=slower, stable_requests=stable[0], stable_errors=stable[1])
        return entry(9000, slow=(Detector(total=total),))

    @pytest.mark.parametrize(
        ("answers", "slower", "expected"),
        [
            (6, 0, End.NOT_ENOUGH),
            (7, 0, End.PROMOTE),
            (1000, 50, End.PROMOTE),
            (1000, 51, End.LIMIT_EXCEEDED),
            (91, 9, End.NOT_ENOUGH),
        ],
    )
    def test_they_keep_their_limit_on_the_same_terms(self, answers: int, slower: int, expected: End) -> None:
        assert end(self.answered(answers, slower), rule=self.rule) is expected

    def test_a_slow_stable_blocks(self) -> None:
        assert end(self.answered(1000, 60, (1000, 70)), rule=self.rule) is End.BLOCKED

    @pytest.mark.parametrize("slow", [(), (Detector(),)])
    def test_without_a_log_nothing_is_known_and_nothing_promoted(self, slow: tuple[Detector, ...]) -> None:
        found = outlook({"gateway": entry(9000, slow=slow)}, self.rule)

        assert (found.end, found.reason) == (End.NOT_ENOUGH, "NoResponseTimes")
        assert found.message.startswith("no answer came yet, limit ")


def test_worse_goes_first() -> None:
    exceeded_and_few = (entry(6000, 20), entry(5))
    few_and_retried = (entry(6000, 0, hidden=50), entry(5))

    assert end(*exceeded_and_few) is End.LIMIT_EXCEEDED
    assert end(*few_and_retried) is End.NOT_ENOUGH


def test_off_promotes_whatever_the_error_rate_but_not_without_traffic() -> None:
    rule = Rule(method=Method.OFF)

    assert end(entry(100, 100), rule=rule) is End.PROMOTE
    assert end(entry(99), rule=rule) is End.NOT_ENOUGH


def test_a_promotion_says_on_what_it_rests() -> None:
    assert outlook({"gateway": entry(6000, 3)}, RULE).message == "0.05 % of 6000 requests failed, limit 0.1 %"


class TestSteps:
    @pytest.mark.parametrize(
        ("requests", "errors", "missing"), [(0, 0, 45), (44, 0, 1), (45, 0, 0), (45, 1, 45), (90, 1, 0)]
    )
    def test_ten_percent_must_be_excluded(self, requests: int, errors: int, missing: int) -> None:
        found = step_outlook({"gateway": entry(requests, errors)}, RULE)

        assert (found.end, found.missing) == (End.NOT_ENOUGH if missing else End.PROMOTE, missing)

    def test_only_what_came_since_the_last_step_counts(self) -> None:
        evidence = entry(1000, 3, before_step=Tally(requests=960, errors=3))

        assert step_outlook({"gateway": evidence}, RULE).missing == 5

    def test_entries_are_pooled(self) -> None:
        assert step_outlook({"one": entry(20), "two": entry(25)}, RULE).end is End.PROMOTE

    @pytest.mark.parametrize("limit", [0.0001, 0.01, 0.05, 0.4, 0.6, 0.95])
    def test_every_limit_has_its_boundary(self, limit: float) -> None:
        rule = Rule(limit=limit)
        missing = step_outlook({"gateway": entry(0)}, rule).missing

        assert 0 < missing < 500
        assert step_outlook({"gateway": entry(missing)}, rule).end is End.PROMOTE

    def test_off_asks_for_no_evidence(self) -> None:
        assert step_outlook({"gateway": entry(9, 9)}, Rule(method=Method.OFF)).end is End.PROMOTE


@pytest.mark.parametrize(
    ("requests_per_s", "seconds", "rate"), [(1, 600, 0.0089), (10, 600, 0.00286), (0.7, 600, 0.011)]
)
def test_the_plan_says_what_a_watch_can_see(requests_per_s: float, seconds: int, rate: float) -> None:
    assert detectable_rate(requests_per_s, seconds, RULE) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize("requests_per_s", [0, 0.001])
def test_too_little_traffic_sees_nothing(requests_per_s: float) -> None:
    assert detectable_rate(requests_per_s, 600, RULE) is None


def test_more_entries_see_less() -> None:
    alone, shared = detectable_rate(10, 600, RULE), detectable_rate(10, 600, Rule(entries=5))

    assert alone is not None
    assert shared is not None
    assert alone < shared


@pytest.mark.parametrize(
    ("limit", "errors", "needed"),
    [(0.001, 0, 459), (0.001, 1, 1000), (0.01, 0, 44), (0.05, 0, 7), (0.6, 0, 3)],
)
def test_the_plan_says_what_a_promotion_needs(limit: float, errors: int, needed: int) -> None:
    assert requests_needed(Rule(limit=limit), errors) == needed


def test_a_watch_is_as_long_as_its_shortest_entry() -> None:
    assert watched_s({"one": entry(1, watched_s=30.0), "two": entry(1, watched_s=7.5)}) == 7.5
    assert watched_s({}) == 0
