"""What the evidence of an entry asks for: every branch of the rule."""

from datetime import datetime, timedelta

import pytest

from crds.evidence import Alarm, Cause, Detector, Evidence, Tally
from crds.release import Method
from reconcilers.release.analysis import Action, Judgement, judge, part, percent
from reconcilers.release.rule import Rule, SlowLimit, Slowness
from reconcilers.servers import Health
from tests.builders import START
from tests.builders_rule import Entry

RULE = Rule()


def an_alarm(cause: Cause, *, undecided_s: float = 0.0, onset_at: datetime = START) -> Alarm:
    apart = (0.0,) * 4 if cause is Cause.BOTH else ()
    return Alarm(since=START, onset_at=onset_at, cause=cause, undecided_s=undecided_s, apart=apart)


def evidence(
    alarm: Alarm | None = None, *, stable_up: bool | None = True, stable_probe: bool | None = None
) -> Evidence:
    detector = Detector(
        alarm=alarm,
        recent=Tally(requests=213, errors=11, stable_requests=220, stable_errors=1),
        total=Tally(requests=4000, errors=12, stable_requests=4100, stable_errors=2),
    )
    return Evidence(
        failing=detector,
        stable_up=stable_up,
        stable_probe=stable_probe,
        began_at=START,
        ticked_at=START + timedelta(seconds=60),
    )


def judged(found: Evidence, *, last_step_at: datetime | None = None, in_soak: bool = False) -> Judgement:
    return judge(found, RULE, last_step_at=last_step_at, in_soak=in_soak)


def test_nothing_known_asks_for_nothing() -> None:
    found = judged(Evidence())

    assert (found.action, found.reason, found.cause) == (Action.NONE, "", None)
    assert found.message == "none of 0 requests failed, limit 0.1 % (evidence 10^0.0 : 1, needed 10^3.3)"


def test_well_is_told_with_its_figures() -> None:
    found = judged(evidence())

    assert (found.action, found.reason) == (Action.NONE, "")
    assert found.total == Tally(requests=4000, errors=12, stable_requests=4100, stable_errors=2)
    assert found.message.startswith("0.3 % of 4000 requests failed, limit 0.1 % (evidence 10^")
    assert found.message.endswith("; stable 0.049 % of 4100")


class TestBesideStable:
    def test_the_candidate_alone_is_rolled_back(self) -> None:
        found = judged(evidence(an_alarm(Cause.CANDIDATE)))

        assert (found.action, found.reason, found.cause) == (
            Action.ROLL_BACK,
            "ErrorRate",
            Cause.CANDIDATE,
        )
        assert found.first_bad_at == START
        assert found.message.startswith("5.2 % of 213 requests failed, limit 0.1 % (evidence 10^")
        assert found.message.endswith("needed 10^3.3); stable 0.45 % of 220")

    def test_a_common_cause_is_held(self) -> None:
        found = judged(evidence(an_alarm(Cause.BOTH)))

        assert (found.action, found.reason, found.cause) == (Action.HOLD, "CommonCause", Cause.BOTH)
        assert "evidence" not in found.message
        assert found.message.endswith("stable 0.45 % of 220; stable as well: a common cause")

    @pytest.mark.parametrize(
        ("onset_s", "action"),
        [
            (-600, Action.HOLD),
            (-3, Action.HOLD),
            (-1, Action.ROLL_BACK),
            (0, Action.ROLL_BACK),
            (60, Action.ROLL_BACK),
            (61, Action.HOLD),
            (600, Action.HOLD),
        ],
    )
    def test_unless_a_step_of_the_release_was_just_before(self, onset_s: int, action: Action) -> None:
        alarm = an_alarm(Cause.BOTH, onset_at=START + timedelta(seconds=onset_s))

        found = judged(evidence(alarm), last_step_at=START)

        assert found.action is action
        assert (found.reason == "ErrorRate") is (action is Action.ROLL_BACK)

    @pytest.mark.parametrize(
        ("undecided_s", "action"), [(0, Action.NONE), (9.9, Action.NONE), (10, Action.ROLL_BACK)]
    )
    def test_undecided_for_ten_seconds_is_the_candidate(self, undecided_s: float, action: Action) -> None:
        found = judged(evidence(an_alarm(Cause.UNDECIDED, undecided_s=undecided_s)))

        assert (found.action, found.reason, found.cause) == (action, "ErrorRate", Cause.UNDECIDED)

    @pytest.mark.parametrize("cause", list(Cause))
    def test_without_a_stable_that_works_it_is_held(self, cause: Cause) -> None:
        found = judged(evidence(an_alarm(cause, undecided_s=60), stable_up=False))

        assert (found.action, found.reason) == (Action.HOLD, "StableDown")
        assert found.message.endswith("stable does not work either")

    def test_what_was_common_and_is_the_candidates_alone_now_is_rolled_back(self) -> None:
        alarm = an_alarm(Cause.BOTH).model_copy(update={"cause": Cause.CANDIDATE})

        found = judged(evidence(alarm))

        assert (found.action, found.reason) == (Action.ROLL_BACK, "ErrorRate")
        assert found.message.endswith("stable is well again, the candidate is not")

    def test_a_pair_that_does_not_answer_is_no_reason_to_keep_a_bad_candidate(self) -> None:
        assert judged(evidence(an_alarm(Cause.CANDIDATE), stable_up=None)).action is Action.ROLL_BACK


class TestInSoak:
    @pytest.mark.parametrize("cause", list(Cause))
    @pytest.mark.parametrize(
        ("probe", "action", "reason"),
        [
            (True, Action.ROLL_BACK, "ErrorRate"),
            (False, Action.HOLD, "StableDown"),
            (None, Action.HOLD, "StableUnknown"),
        ],
    )
    def test_the_old_stables_probe_decides(
        self, cause: Cause, *, probe: bool | None, action: Action, reason: str
    ) -> None:
        found = judged(evidence(an_alarm(cause), stable_up=False, stable_probe=probe), in_soak=True)

        assert (found.action, found.reason) == (action, reason)

    def test_without_an_alarm_an_ill_old_stable_is_none_of_the_rules_business(self) -> None:
        assert judged(evidence(stable_probe=False), in_soak=True).action is Action.NONE


class TestWithoutStatistics:
    @pytest.mark.parametrize(
        ("field", "reason"), [({"down_reason": "it is DOWN on node 1"}, "CandidateDown"), ({}, "Hanging")]
    )
    @pytest.mark.parametrize(("seconds", "acts"), [(2.9, False), (3.0, True)])
    def test_three_seconds_are_enough(
        self, field: dict[str, str], reason: str, *, seconds: float, acts: bool
    ) -> None:
        name = "down_s" if field else "hang_s"
        found = judged(evidence().model_copy(update={name: seconds, **field}))

        assert (found.action is Action.ROLL_BACK, found.reason) == (acts, reason if acts else "")
        if acts:
            assert found.cause is Cause.CANDIDATE
            assert found.first_bad_at == START + timedelta(seconds=57)
            assert found.message.endswith("for 3 s")

    @pytest.mark.parametrize("field", ["down_s", "hang_s"])
    @pytest.mark.parametrize(
        ("stable_up", "probe", "in_soak", "action", "cause"),
        [
            (True, None, False, Action.ROLL_BACK, Cause.CANDIDATE),
            (False, None, False, Action.HOLD, Cause.BOTH),
            (None, None, False, Action.HOLD, Cause.UNDECIDED),
            (False, True, True, Action.ROLL_BACK, Cause.CANDIDATE),
            (True, False, True, Action.HOLD, Cause.BOTH),
            (True, None, True, Action.HOLD, Cause.UNDECIDED),
        ],
    )
    def test_there_must_be_a_way_back(
        self,
        field: str,
        *,
        stable_up: bool | None,
        probe: bool | None,
        in_soak: bool,
        action: Action,
        cause: Cause,
    ) -> None:
        found = evidence(stable_up=stable_up, stable_probe=probe).model_copy(update={field: 5.0})

        said = judged(found, in_soak=in_soak)

        assert (said.action, said.cause) == (action, cause)

    def test_the_message_says_what_was_seen(self) -> None:
        down = evidence().model_copy(
            update={"down_s": 4.0, "down_reason": "its container does not run", "hang_s": 9.0}
        )
        hung = evidence(stable_up=False).model_copy(update={"hang_s": 4.0, "excess_sessions": 41.6})

        assert judged(down).message == "the candidate does not work: its container does not run for 4 s"
        assert judged(hung).message == (
            "the candidate holds 42 requests more than it should for 4 s; stable does not work either"
        )

    @pytest.mark.parametrize("method", list(Method))
    def test_they_act_whatever_the_method(self, method: Method) -> None:
        entry = Entry(rule=Rule(method=method)).began()
        entry.node.health["green"] = Health.DOWN
        entry.ticks(3, 0, 0, 10, 0)

        assert entry.judged().action is Action.ROLL_BACK


def test_a_rollback_goes_before_a_hold_and_a_hold_before_nothing() -> None:
    common = evidence(an_alarm(Cause.BOTH))
    undecided = evidence(an_alarm(Cause.UNDECIDED), stable_up=None)

    assert judged(common.model_copy(update={"hang_s": 3.0})).reason == "Hanging"
    assert judged(undecided.model_copy(update={"hang_s": 3.0})).reason == "Hanging"
    assert judged(undecided).action is Action.NONE


class TestResponseTimes:
    rule = Rule(slow_limits=(SlowLimit(0.95, 200), SlowLimit(0.99, 1500)))

    def test_a_limit_that_is_broken_is_named(self) -> None:
        entry = Entry(rule=self.rule).began()
        for _ in range(40):
            entry.tick(slowness=(Slowness(10, 0, 10, 0), Slowness(10, 2, 10, 0)))

        found = entry.judged()

        assert (found.action, found.reason) == (Action.ROLL_BACK, "ResponseTime")
        assert "20 % of 400 answers took longer than 1500 ms, limit 1 % (evidence 10^" in found.message
        assert found.total.requests == 400
        assert found.evidence.log10_evidence > found.evidence.log10_needed

    @pytest.mark.parametrize("method", list(Method))
    def test_they_are_judged_whatever_the_method_of_the_error_rate(self, method: Method) -> None:
        entry = Entry(rule=Rule(method=method, slow_limits=(SlowLimit(0.5, 100),))).began()
        for _ in range(30):
            entry.tick(slowness=(Slowness(10, 10, 10, 0),))

        assert entry.judged().reason == "ResponseTime"

    def test_both_slow_is_a_common_cause(self) -> None:
        entry = Entry(rule=self.rule).began()
        for _ in range(60):
            entry.tick(slowness=(Slowness(10, 3, 10, 3), Slowness(10, 0, 10, 0)))

        assert (entry.judged().action, entry.judged().reason) == (Action.HOLD, "CommonCause")


class TestWholeStories:
    @pytest.mark.parametrize("candidate", ["green", "blue"])
    @pytest.mark.parametrize(
        ("errors", "stable_errors", "action", "seconds"),
        [(5, 0, Action.ROLL_BACK, 2), (10, 0, Action.ROLL_BACK, 2), (2, 2, Action.HOLD, 2)],
    )
    def test_either_colour_is_judged_by_its_role(
        self, candidate: str, errors: int, stable_errors: int, *, action: Action, seconds: int
    ) -> None:
        entry = Entry(candidate=candidate, stable="blue" if candidate == "green" else "green").began()
        entry.ticks(120)
        took = 0
        while entry.judged().action is Action.NONE:
            entry.tick(10, errors, 10, stable_errors)
            took += 1

        assert (entry.judged().action, took) == (action, seconds)

    @pytest.mark.parametrize("candidate", ["green", "blue"])
    def test_a_stable_that_is_bad_alone_is_no_reason_to_do_anything(self, candidate: str) -> None:
        entry = Entry(candidate=candidate, stable="blue" if candidate == "green" else "green").began()
        entry.ticks(60, 10, 0, 10, 9)

        assert (entry.judged().action, entry.judged().reason) == (Action.NONE, "")

    def test_the_threshold_acts_as_soon_as_it_may(self) -> None:
        entry = Entry(rule=Rule(method=Method.THRESHOLD)).began()
        entry.ticks(7, 10, 1)
        entry.ticks(2)
        assert entry.judged().action is Action.NONE
        entry.tick()

        assert entry.judged().action is Action.ROLL_BACK
        assert entry.judged().message == "7 % of 100 requests failed, limit 0.1 %; stable 0 % of 100"

    def test_off_says_the_figures_and_does_nothing(self) -> None:
        entry = Entry(rule=Rule(method=Method.OFF)).began()
        entry.ticks(60, 10, 10)

        assert entry.judged().action is Action.NONE
        assert entry.judged().message == "100 % of 600 requests failed, limit 0.1 %; stable 0 % of 600"

    def test_a_candidate_that_is_dead_is_rolled_back_in_five_seconds_though_users_see_nothing(self) -> None:
        entry = Entry().began()
        entry.ticks(30)
        entry.node.health["green"] = Health.DOWN
        seconds = 0
        while entry.judged().action is Action.NONE:
            seconds += 1
            entry.tick(0, 0, 20, 0)

        assert (entry.judged().action, entry.judged().reason) == (Action.ROLL_BACK, "CandidateDown")
        assert seconds <= 5

    def test_a_first_release_that_breaks_in_its_soak_is_held(self) -> None:
        entry = Entry(stable=None, weights=(100, 0), in_soak=True).began()
        entry.ticks(10, 20, 10)

        assert (entry.judged().action, entry.judged().reason) == (Action.HOLD, "StableUnknown")

    def test_a_fault_after_the_promotion_is_rolled_back_to_the_old_stable(self) -> None:
        entry = Entry().began()
        entry.ticks(600)
        entry.weights, entry.in_soak, entry.probes["stable_probe"] = (100, 0), True, True
        entry.node.health["blue"] = Health.DOWN
        entry.ticks(30, 20, 0, 0, 0)
        seconds = 0
        while entry.judged().action is Action.NONE:
            seconds += 1
            entry.tick(20, 1, 0, 0)

        assert (entry.judged().action, entry.judged().reason) == (Action.ROLL_BACK, "ErrorRate")
        assert seconds <= 10


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.00021, "0.021 %"), (0.052, "5.2 %"), (0.0999, "10 %"), (0.1, "10 %"), (0.999, "100 %")],
)
def test_shares_have_two_digits(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_part_of_nothing_is_none() -> None:
    assert (part(0, 0), part(1, 3)) == ("none of 0", "33 % of 3")
