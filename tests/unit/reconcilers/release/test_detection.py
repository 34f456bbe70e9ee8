"""One share under test: when there is an alarm, since when, whose fault it is, and what bursts do."""

from datetime import timedelta

import pytest

from crds.evidence import Cause, Dispersion, Evidence, Tally
from crds.release import Method
from reconcilers.release.detection import classify, dispersed, error_trial, factor, slow_trials, strength
from reconcilers.release.rule import Rule, SlowLimit, Slowness
from tests.builders import START
from tests.builders_rule import Entry

Names = tuple[str, str]
LIMIT = 0.001


@pytest.fixture(params=[("green", "blue"), ("blue", "green")], ids=["to-green", "to-blue"])
def entry(request: pytest.FixtureRequest) -> Entry:
    """An entry that is counted, from either colour."""
    candidate, stable = request.param
    return Entry(candidate=candidate, stable=stable).began()


def cause(evidence: Evidence) -> Cause | None:
    return evidence.failing.alarm.cause if evidence.failing.alarm else None


def test_a_clean_candidate_raises_no_alarm(entry: Entry) -> None:
    assert cause(entry.ticks(600, 100)) is None


def test_errors_at_the_limit_raise_no_alarm(entry: Entry) -> None:
    for _ in range(200):
        entry.ticks(9, 100)
        entry.tick(100, 1)
        assert cause(entry.evidence) is None


@pytest.mark.parametrize(("requests", "alarms"), [(49, True), (50, False)])
def test_three_errors_within_49_requests_since_the_split_suffice(
    entry: Entry, *, requests: int, alarms: bool
) -> None:
    entry.ticks(2, 20, 1)
    entry.tick(requests - 40, 1, 0)

    assert (entry.evidence.failing.alarm is not None) is alarms


def test_a_fault_that_comes_later_is_found_as_quickly(entry: Entry) -> None:
    entry.ticks(600, 100, 0, 100, 0)
    seconds = 0
    while cause(entry.evidence) is None:
        entry.tick(100, 5, 100, 0)
        seconds += 1

    assert seconds <= 3


def test_the_onset_is_where_it_began(entry: Entry) -> None:
    entry.ticks(300, 100, 0, 100, 0)
    began = entry.now
    entry.ticks(3, 100, 5, 100, 0)

    alarm = entry.evidence.failing.alarm
    assert alarm is not None
    assert alarm.onset_at == began
    assert alarm.since == began + timedelta(seconds=2)
    assert entry.evidence.failing.recent == Tally(requests=300, errors=15, stable_requests=300)


def test_an_error_that_was_nothing_is_forgotten_by_the_onset(entry: Entry) -> None:
    entry.tick(100, 1)
    assert entry.evidence.failing.onset_at == START
    entry.ticks(6, 100)

    assert entry.evidence.failing.onset_at == entry.now
    assert entry.evidence.failing.recent == Tally()
    assert entry.evidence.failing.bad_ticks == 0


def test_stables_requests_alone_are_compared_too(entry: Entry) -> None:
    entry.tick(10, 1, 10, 0)
    entry.tick(0, 0, 30, 2)

    assert entry.evidence.failing.recent == Tally(requests=10, errors=1, stable_requests=40, stable_errors=2)


@pytest.mark.parametrize(
    ("errors", "requests", "stable_errors", "stable_requests", "expected"),
    [
        (7, 100, 0, 100, Cause.CANDIDATE),
        (6, 100, 0, 100, Cause.UNDECIDED),
        (12, 100, 1, 100, Cause.CANDIDATE),
        (9, 100, 1, 100, Cause.UNDECIDED),
        (20, 100, 18, 100, Cause.BOTH),
        (50, 100, 8, 100, Cause.CANDIDATE),
        (3, 10, 2, 10, Cause.BOTH),
        (3, 10, 1, 10, Cause.UNDECIDED),
        (3, 2000, 2, 2000, Cause.UNDECIDED),
        (4, 100, 2, 100, Cause.BOTH),
        (4, 200, 2, 200, Cause.UNDECIDED),
        (2, 5, 0, 95, Cause.CANDIDATE),
        (60, 95, 0, 5, Cause.UNDECIDED),
        (100, 100, 0, 0, Cause.UNDECIDED),
        (0, 0, 50, 100, Cause.BOTH),
        (0, 0, 0, 0, Cause.UNDECIDED),
    ],
)
def test_whose_fault_it_is(
    errors: int, requests: int, stable_errors: int, stable_requests: int, expected: Cause
) -> None:
    tally = Tally(
        requests=requests, errors=errors, stable_requests=stable_requests, stable_errors=stable_errors
    )

    assert classify(tally, LIMIT, 1.0) is expected


def test_errors_that_come_in_bursts_need_to_be_more() -> None:
    tally = Tally(requests=100, errors=12, stable_requests=100)

    assert classify(tally, LIMIT, 1.0) is Cause.CANDIDATE
    assert classify(tally, LIMIT, 3.0) is Cause.UNDECIDED


def test_the_evidence_shown_is_the_one_that_is_nearer_to_its_alarm() -> None:
    trial = error_trial(Rule())
    late, split = Entry().began(), Entry().began()
    late.ticks(600, 100, 0, 100, 0)
    late.ticks(2, 100, 4, 100, 0)
    split.ticks(2, 20, 1, 20, 0)

    assert strength(late.evidence.failing, trial).log10_needed == pytest.approx(6.56, abs=0.01)
    assert strength(split.evidence.failing, trial).log10_needed == pytest.approx(3.3, abs=0.01)


def test_undecided_time_adds_up_and_ends_with_the_alarm(entry: Entry) -> None:
    entry.ticks(3, 3, 1, 3, 0)
    entry.ticks(4, 1, 0, 1, 0)
    alarm = entry.evidence.failing.alarm
    assert alarm is not None
    assert (alarm.cause, alarm.undecided_s) == (Cause.UNDECIDED, 5)

    assert cause(entry.ticks(10, 100, 0, 100, 0)) is None


def test_a_gap_is_no_undecided_time(entry: Entry) -> None:
    entry.ticks(2, 3, 1, 3, 0)
    entry.now += timedelta(hours=1)
    entry.look(None)

    alarm = entry.evidence.failing.alarm
    assert alarm is not None
    assert alarm.undecided_s == 0


class TestCommonCause:
    def test_it_is_held_for_as_long_as_both_are_bad(self, entry: Entry) -> None:
        entry.ticks(300)
        for _ in range(300):
            entry.tick(10, 2, 10, 2)
            entry.tick(10, 1, 10, 3)

        assert cause(entry.evidence) is Cause.BOTH

    def test_what_came_during_it_is_no_evidence_against_the_candidate(self, entry: Entry) -> None:
        clean = entry.ticks(300).failing.sums
        entry.ticks(60, 10, 2, 10, 2)

        assert entry.evidence.failing.sums == clean
        assert entry.evidence.failing.total.errors == 120

    def test_the_test_for_later_faults_begins_anew_with_it(self, entry: Entry) -> None:
        while cause(entry.evidence) is not Cause.BOTH:
            entry.tick(10, 2, 10, 2)

        assert entry.evidence.failing.late == ()

    @pytest.mark.parametrize("every", [5, 20])
    def test_a_weak_one_is_known_and_held_too(self, entry: Entry, every: int) -> None:
        seen = []
        for _ in range(200):
            entry.ticks(every - 1)
            entry.tick(10, 1, 10, 1)
            seen.append(cause(entry.evidence))
        first = seen.index(Cause.BOTH)

        assert first < 20
        assert set(seen[first:]) == {Cause.BOTH}

    def test_a_few_errors_of_the_candidates_do_not_make_it_its_own(self, entry: Entry) -> None:
        entry.ticks(60, 10, 2, 10, 2)

        assert cause(entry.ticks(12, 10, 1, 10, 0)) is Cause.BOTH
        assert cause(entry.ticks(12, 10, 1, 10, 0)) is Cause.CANDIDATE

    @pytest.mark.parametrize("part", [1, 9])
    def test_an_uneven_split_does_not_make_it_the_candidates(self, part: int) -> None:
        entry = Entry(weights=(part * 10, 100 - part * 10)).began()
        entry.ticks(10, part * 10, part * 2, (10 - part) * 10, (10 - part) * 2)
        assert cause(entry.evidence) is Cause.BOTH

        assert cause(entry.ticks(300, part * 10, part, (10 - part) * 10, 10 - part)) is Cause.BOTH

    def test_it_is_over_when_the_candidate_was_well_for_a_while(self, entry: Entry) -> None:
        entry.ticks(60, 10, 2, 10, 2)
        seconds = 0
        while cause(entry.evidence) is Cause.BOTH:
            entry.tick()
            seconds += 1

        assert 25 <= seconds <= 40
        assert cause(entry.ticks(60)) is None

    def test_a_weaker_one_needs_a_longer_while(self, entry: Entry) -> None:
        for _ in range(10):
            entry.ticks(9)
            entry.tick(10, 1, 10, 1)
        alarm = entry.evidence.failing.alarm
        assert alarm is not None
        assert alarm.cause is Cause.BOTH

        assert 60 <= alarm.patience_s <= 600

    def test_it_becomes_the_candidates_when_stable_is_well_again(self, entry: Entry) -> None:
        entry.ticks(60, 10, 2, 10, 2)
        seconds = 0
        while cause(entry.evidence) is Cause.BOTH:
            entry.tick(10, 2, 10, 0)
            seconds += 1

        assert cause(entry.evidence) is Cause.CANDIDATE
        assert seconds <= 12
        assert cause(entry.ticks(5, 10, 2, 10, 0)) is Cause.CANDIDATE

    def test_it_stays_a_common_cause_when_only_the_candidate_heals(self, entry: Entry) -> None:
        entry.ticks(60, 10, 2, 10, 2)
        seen = {cause(entry.tick(10, 0, 10, 2)) for _ in range(120)}

        assert seen == {Cause.BOTH, None}

    def test_a_new_fault_after_it_is_found_again(self, entry: Entry) -> None:
        entry.ticks(60, 10, 2, 10, 2)
        entry.ticks(120)
        onset = entry.now

        assert cause(entry.ticks(6, 10, 2, 10, 0)) is Cause.CANDIDATE
        alarm = entry.evidence.failing.alarm
        assert alarm is not None
        assert alarm.onset_at == onset

    def test_silence_does_not_end_it(self, entry: Entry) -> None:
        entry.ticks(60, 10, 2, 10, 2)

        assert cause(entry.ticks(1200, 0, 0, 0, 0)) is Cause.BOTH


class TestBursts:
    @pytest.mark.parametrize(
        ("requests", "errors", "believed"),
        [(10, 3, 3), (10, 9, 3), (100, 9, 9), (100, 60, 10), (2000, 500, 200)],
    )
    def test_of_one_ticks_errors_a_part_counts(
        self, entry: Entry, requests: int, errors: int, believed: int
    ) -> None:
        sums = entry.tick(requests, errors).failing.sums

        assert (sums.errors, sums.clean) == (believed, requests - errors)

    @pytest.mark.parametrize(("requests", "errors"), [(10, 10), (100, 19), (10_000, 1900)])
    def test_one_tick_alone_is_no_alarm(self, entry: Entry, requests: int, errors: int) -> None:
        entry.ticks(60, requests, 0, requests, 0)

        assert cause(entry.tick(requests, errors, requests, 0)) is None

    def test_unless_much_of_much_failed(self, entry: Entry) -> None:
        entry.ticks(60, 100, 0, 100, 0)

        assert cause(entry.tick(100, 20, 100, 0)) is Cause.CANDIDATE

    def test_a_burst_that_is_over_ends_its_alarm_before_anything_is_done(self, entry: Entry) -> None:
        entry.ticks(60, 50, 0, 50, 0)
        entry.tick(50, 3, 50, 0)
        assert cause(entry.tick(50, 3, 50, 0)) is Cause.UNDECIDED

        assert cause(entry.ticks(5, 50, 0, 50, 0)) is None

    def test_an_alarm_that_stands_does_not_go_with_the_next_few_requests(self, entry: Entry) -> None:
        entry.ticks(60, 5, 0, 5, 0)
        while cause(entry.evidence) is None:
            entry.ticks(2, 5, 0, 5, 0)
            entry.tick(5, 1, 5, 0)
        entry.ticks(7, 5, 0, 5, 0)
        evidence = strength(entry.evidence.failing, error_trial(entry.rule))

        assert evidence.log10_needed - 1 < evidence.log10_evidence < evidence.log10_needed
        assert cause(entry.evidence) is Cause.UNDECIDED

    def test_an_uneven_stable_makes_the_same_errors_weaker(self) -> None:
        uneven = Dispersion(errors=500, squares=9000, bursts=100)
        even = Entry().began()
        other = Entry(
            evidence=Evidence(failing=Evidence().failing.model_copy(update={"dispersion": uneven}))
        ).began()

        strong = strength(even.ticks(5, 10, 1).failing, error_trial(even.rule)).log10_evidence
        weak = strength(other.ticks(5, 10, 1).failing, error_trial(even.rule)).log10_evidence

        assert weak < strong / 4

    def test_what_is_not_sequential_takes_errors_as_they_come(self) -> None:
        entry = Entry(rule=Rule(method=Method.THRESHOLD)).began()

        assert entry.tick(100, 60).failing.sums.errors == 60


class TestDispersion:
    def learned(self, *errors: int) -> Dispersion:
        found = Dispersion()
        for each in errors:
            found = dispersed(found, each)
        return found

    def test_without_errors_nothing_is_known(self) -> None:
        assert factor(self.learned(*[0] * 1000)) == 1

    @pytest.mark.parametrize("errors", [(1,), (0, 500, 0), (9, 7, 3, 0), (20,) * 60])
    def test_one_burst_says_nothing_however_large_or_long(self, errors: tuple[int, ...]) -> None:
        assert factor(self.learned(*errors)) == 1

    @pytest.mark.parametrize("bursts", [2, 3, 9])
    def test_it_is_never_more_than_the_number_of_bursts(self, bursts: int) -> None:
        assert factor(self.learned(*[0, 500, 0] * bursts)) == bursts

    def test_errors_one_by_one_are_even(self) -> None:
        assert factor(self.learned(*[0, 0, 1, 0] * 100)) == 1

    def test_bursts_of_five_are_believed_more_the_more_there_are(self) -> None:
        found = [factor(self.learned(*[0, 5, 0] * count)) for count in (5, 10, 30, 1000)]

        assert found == pytest.approx([3, 1 + 4 * 10 / 15, 1 + 4 * 30 / 35, 4.98], rel=0.01)

    def test_it_has_an_end(self) -> None:
        assert factor(self.learned(*[0, 900, 0] * 1000)) == 10

    def test_a_fault_that_begins_is_no_unevenness(self) -> None:
        assert factor(self.learned(*[0] * 300, *[20] * 300)) == pytest.approx(1, abs=0.1)

    def test_ever_less_than_one_there_is_not(self) -> None:
        assert factor(self.learned(*[3] * 50)) == 1

    def test_stables_own_bursts_are_learned_while_it_is_watched(self, entry: Entry) -> None:
        for _ in range(20):
            entry.ticks(9, 10, 0, 10, 0)
            entry.tick(10, 0, 10, 5)

        assert factor(entry.evidence.failing.dispersion) == pytest.approx(1 + 4 * 20 / 25, rel=0.05)


class TestMethods:
    @pytest.mark.parametrize(
        ("errors", "requests", "alarms"),
        [(1, 99, False), (1, 100, True), (1, 999, True), (1, 1000, False), (2, 1999, True), (2, 2000, False)],
    )
    def test_the_threshold_is_the_observed_rate_from_a_minimum_on(
        self, *, errors: int, requests: int, alarms: bool
    ) -> None:
        entry = Entry(rule=Rule(method=Method.THRESHOLD)).began()
        entry.tick(errors, errors, 10, 0)
        entry.tick(requests - errors, 0, 10, 0)

        assert (entry.evidence.failing.alarm is not None) is alarms

    def test_the_threshold_sees_a_rate_that_no_onset_explains(self) -> None:
        entry = Entry(rule=Rule(method=Method.THRESHOLD, min_requests=12_000)).began()
        for _ in range(20):
            entry.tick(10, 1)
            entry.tick(690)

        assert entry.evidence.failing.bad_ticks == 0
        assert entry.evidence.failing.alarm is not None

    def test_the_threshold_knows_common_causes(self) -> None:
        entry = Entry(rule=Rule(method=Method.THRESHOLD)).began()
        entry.ticks(10, 10, 0, 10, 0)
        entry.ticks(2, 10, 2, 10, 2)
        assert cause(entry.evidence) is Cause.BOTH
        entry.ticks(60)

        assert cause(entry.evidence) is None

    def test_off_never_alarms(self) -> None:
        entry = Entry(rule=Rule(method=Method.OFF)).began()

        assert cause(entry.ticks(60, 10, 10, 10, 0)) is None

    def test_alpha_is_shared_by_entries_and_their_tests(self) -> None:
        alone, shared = Rule(), Rule(entries=2, slow_limits=(SlowLimit(0.95, 1), SlowLimit(0.99, 2)))

        assert error_trial(shared).needed == pytest.approx(6 * error_trial(alone).needed)
        assert [each.needed for each in slow_trials(shared)] == pytest.approx([12_000, 12_000])
        assert error_trial(alone).needed == pytest.approx(2000)
        assert error_trial(alone).needed_late == pytest.approx(2000 * alone.horizon_ticks)

    def test_a_limit_of_answers_leaves_its_rest_as_the_limit_of_the_test(self) -> None:
        rule = Rule(slow_limits=(SlowLimit(0.5, 1), SlowLimit(0.95, 1), SlowLimit(0.99, 2)))

        assert [each.limit for each in slow_trials(rule)] == [0.5, 0.05, 0.01]


class TestResponseTimes:
    def an_entry(self) -> Entry:
        return Entry(rule=Rule(slow_limits=(SlowLimit(0.95, 200),))).began()

    def test_more_slow_answers_than_allowed_raise_an_alarm(self) -> None:
        entry = self.an_entry()
        for _ in range(12):
            entry.tick(slowness=(Slowness(10, 4, 10, 0),))

        alarm = entry.evidence.slow[0].alarm
        assert alarm is not None
        assert alarm.cause is Cause.CANDIDATE

    def test_as_many_as_allowed_do_not(self) -> None:
        entry = self.an_entry()
        for _ in range(300):
            entry.tick(slowness=(Slowness(20, 1, 20, 1),))

        assert entry.evidence.slow[0].alarm is None

    @pytest.mark.parametrize("answers", [10, 100, 1000])
    def test_a_pause_of_two_seconds_does_not(self, answers: int) -> None:
        entry = self.an_entry()
        for _ in range(60):
            entry.tick(slowness=(Slowness(answers, 0, answers, 0),))
        for _ in range(2):
            entry.tick(slowness=(Slowness(answers, answers, answers, 0),))

        assert entry.evidence.slow[0].alarm is None
        entry.tick(slowness=(Slowness(answers, answers, answers, 0),))
        assert entry.evidence.slow[0].alarm is not None
