"""One look after the other: when counting begins, what counts as watched, hanging, not working."""

from datetime import timedelta

import pytest

from crds.evidence import Tally
from reconcilers.release.rule import Rule, SlowLimit, Slowness
from reconcilers.release.watching import passed_over
from reconcilers.servers import Health
from tests.builders import START
from tests.builders_rule import Entry, FakeNode


def tally(*numbers: int) -> Tally:
    names = ("requests", "errors", "stable_requests", "stable_errors")
    return Tally(**dict(zip(names, numbers, strict=True)))


def test_nothing_is_counted_before_the_split_is_read_back() -> None:
    entry = Entry(is_read_back=False).began()
    entry.ticks(5, 10, 3, 10, 0)

    assert entry.evidence.began_at is None
    assert entry.evidence.failing.total == Tally()
    assert entry.evidence.watched_s == 0


def test_counting_begins_with_the_look_that_reads_the_split_back() -> None:
    entry = Entry(is_read_back=False).began()
    entry.tick(10, 3)
    entry.is_read_back = True
    entry.tick(10, 3)
    began = entry.now
    entry.tick(20, 1, 30, 2)

    assert entry.evidence.began_at == began
    assert entry.evidence.failing.total == tally(20, 1, 30, 2)
    assert entry.evidence.watched_s == 1


def test_counting_does_not_begin_while_no_node_answers() -> None:
    entry = Entry()
    entry.node.is_away = True

    assert entry.look(None).began_at is None


def test_the_first_tick_may_be_empty() -> None:
    entry = Entry().began()

    assert entry.tick(0, 0, 0, 0).failing.total == Tally()
    assert entry.judged().reason == ""


def test_a_node_that_was_away_when_counting_began_is_counted_from_its_return_on() -> None:
    other = FakeNode(socket="unix:///run/haproxy/2.sock")
    entry = Entry(is_read_back=False, others=(other,)).began()
    other.is_away = True
    entry.is_read_back = True
    entry.tick(0)
    other.add("blue", requests=10_000)
    other.is_away = False
    entry.tick(0)
    other.add("blue", requests=7)

    assert entry.tick(0, 0, 0, 0).failing.total.stable_requests == 10 + 7


@pytest.mark.parametrize("elapsed_s", [None, 3600.0, 15.0])
def test_what_came_during_a_gap_counts_and_its_time_does_not(elapsed_s: float | None) -> None:
    entry = Entry().began()
    entry.ticks(3)
    entry.node.add("green", requests=5000, errors_5xx=2)
    entry.now += timedelta(hours=1)
    entry.look(elapsed_s)

    assert entry.evidence.watched_s == 3
    assert entry.evidence.failing.total.requests == 5030
    assert entry.evidence.failing.total.errors == 2


def test_time_without_an_answer_is_not_watched() -> None:
    entry = Entry().began()
    entry.ticks(3)
    entry.node.is_away = True
    entry.ticks(4)
    entry.node.is_away = False
    entry.tick()

    assert entry.evidence.watched_s == 4
    assert entry.evidence.failing.total.requests == 80


def test_time_with_another_split_is_not_watched_but_errors_count() -> None:
    entry = Entry().began()
    entry.is_read_back = False
    entry.ticks(4, 10, 1, 10, 0)

    assert entry.evidence.watched_s == 0
    assert entry.evidence.failing.total.errors == 4


def test_looks_that_follow_each_other_closely_are_one_tick() -> None:
    entry = Entry().began()
    for _ in range(6):
        entry.tick(1, 1, 1, 0, seconds=0.25)

    assert entry.evidence.failing.bad_ticks == 1
    assert entry.evidence.failing.total == tally(4, 4, 4, 0)
    assert entry.evidence.watched_s == 1
    assert entry.evidence.pending_s == 0.5


def test_answers_of_looks_that_follow_closely_wait_for_their_tick() -> None:
    entry = Entry(rule=Rule(slow_limits=(SlowLimit(0.95, 200),))).began()
    for _ in range(6):
        entry.tick(1, seconds=0.25, slowness=(Slowness(3, 1, 2, 0),))

    assert entry.evidence.slow[0].total == tally(12, 4, 8, 0)
    assert entry.evidence.pending == (tally(6, 2, 4, 0),)


def test_where_the_log_tells_nothing_response_times_stay_unknown() -> None:
    entry = Entry(rule=Rule(slow_limits=(SlowLimit(0.95, 200),))).began()
    entry.ticks(20)

    assert entry.evidence.slow[0].total == Tally()
    assert entry.judged().reason == ""


def test_what_came_while_a_person_had_the_traffic_is_left_out() -> None:
    entry = Entry().began()
    before = entry.ticks(3)
    entry.node.add("green", requests=500, errors_5xx=400, retries=7)
    entry.evidence = passed_over(entry.evidence, entry.sample(), entry.now)
    entry.tick(20, 1)

    assert entry.evidence.failing.total == tally(50, 1, 40, 0)
    assert entry.evidence.hidden == 0
    assert entry.evidence.watched_s == before.watched_s + 1


@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_a_step_begins_a_count_of_its_own_even_if_it_is_read_back_at_once(seconds: float) -> None:
    entry = Entry(weights=(5, 95)).began()
    entry.ticks(4)
    entry.weights = (25, 75)
    entry.tick(10, seconds=seconds)
    at_step = entry.evidence.failing.total
    entry.ticks(3)

    assert entry.evidence.before_step == at_step
    assert at_step.requests == 50
    assert entry.evidence.failing.total.requests == 80


def test_a_reload_begins_a_count_of_its_own() -> None:
    entry = Entry().began()
    entry.ticks(4)
    entry.is_read_back = False
    entry.tick()
    entry.is_read_back = True
    entry.tick()

    assert entry.evidence.before_step.requests == 60


def test_stables_unevenness_is_learned_before_the_split() -> None:
    entry = Entry(is_read_back=False, weights=(0, 100)).began()
    for _ in range(3):
        entry.tick(0, 0, 100, 4)
        entry.tick(0, 0, 100, 0)
    entry.is_read_back = True
    entry.tick(0, 0, 100, 0)
    learned = entry.evidence.failing.dispersion

    assert (learned.errors, learned.bursts, learned.squares) == (12, 3, 6 * 16)
    assert entry.evidence.failing.total == Tally()


class TestHanging:
    @pytest.mark.parametrize(("per_s", "at_last"), [(10, 5), (100, 5), (2, 9)])
    def test_requests_that_get_no_answer_are_noticed(self, per_s: int, at_last: int) -> None:
        entry = Entry().began()
        entry.node.add("green", sessions=1)
        entry.node.add("blue", sessions=1)
        entry.ticks(60, per_s, 0, per_s, 0)
        seconds = 0
        while entry.judged().reason != "Hanging":
            seconds += 1
            entry.node.add("green", sessions=1 + seconds * per_s)
            entry.tick(0, 0, per_s, 0)

        assert seconds <= at_last
        assert entry.evidence.hang_s == 3

    @pytest.mark.parametrize(
        ("weights", "sessions", "stable_sessions", "excess"),
        [((50, 50), 40, 30, 10), ((10, 90), 40, 90, 30), ((90, 10), 90, 10, 0), ((5, 95), 0, 95, -5)],
    )
    def test_it_is_what_the_candidate_holds_beyond_its_part(
        self, weights: tuple[int, int], sessions: int, stable_sessions: int, excess: float
    ) -> None:
        entry = Entry(weights=weights).began()
        entry.node.add("green", sessions=sessions)
        entry.node.add("blue", sessions=stable_sessions)

        assert entry.tick().excess_sessions == pytest.approx(excess)

    def test_requests_in_the_queue_are_held_too(self) -> None:
        entry = Entry().began()
        entry.node.add("green", sessions=5, queued=20)

        assert entry.tick().excess_sessions == 25

    @pytest.mark.parametrize(("sessions", "hangs"), [(10, False), (11, True)])
    def test_ten_more_are_allowed_where_there_is_little_traffic(self, *, sessions: int, hangs: bool) -> None:
        entry = Entry().began()
        entry.node.add("green", sessions=sessions)

        assert (entry.tick(2).hang_s > 0) is hangs

    @pytest.mark.parametrize(("sessions", "hangs"), [(300, False), (301, True)])
    def test_three_seconds_of_requests_are_allowed(self, *, sessions: int, hangs: bool) -> None:
        entry = Entry().began()
        entry.ticks(30, 100, 0, 100, 0)
        entry.node.add("green", sessions=sessions)

        assert (entry.tick(100).hang_s > 0) is hangs

    def test_a_moment_of_waiting_is_forgotten(self) -> None:
        entry = Entry().began()
        entry.node.add("green", sessions=50)
        entry.ticks(2)
        entry.node.add("green", sessions=1)

        assert entry.tick().hang_s == 0

    def test_connections_that_move_over_at_the_promotion_are_no_hang(self) -> None:
        entry = Entry().began()
        entry.node.add("green", sessions=20)
        entry.node.add("blue", sessions=500)
        entry.ticks(120)
        entry.weights = (100, 0)
        entry.node.add("green", sessions=520)
        entry.node.add("blue", sessions=0)

        assert entry.ticks(5).hang_s == 0

    def test_with_all_traffic_it_is_compared_with_what_both_held_before(self) -> None:
        entry = Entry().began()
        entry.node.add("green", sessions=2)
        entry.node.add("blue", sessions=2)
        entry.ticks(30)
        entry.weights = (100, 0)
        entry.node.add("green", sessions=90)
        entry.node.add("blue", sessions=0)
        entry.ticks(3)

        assert entry.evidence.hang_s == 3
        assert entry.evidence.excess_sessions == pytest.approx(86)

    def test_what_the_old_stable_still_holds_counts_as_held(self) -> None:
        entry = Entry().began()
        entry.node.add("green", sessions=20)
        entry.node.add("blue", sessions=500)
        entry.ticks(60)
        entry.weights = (100, 0)
        entry.node.add("green", sessions=70)

        assert entry.tick().excess_sessions == pytest.approx(50)

    def test_growing_traffic_of_a_day_is_no_hang(self) -> None:
        entry = Entry(weights=(100, 0), in_soak=True).began()
        for second in range(3600):
            entry.node.add("green", sessions=second // 10)
            entry.tick(50, 0, 0, 0)

        assert entry.evidence.hang_s == 0

    def test_a_crowd_that_comes_all_at_once_is_no_hang(self) -> None:
        entry = Entry(weights=(100, 0), in_soak=True).began()
        entry.node.add("green", sessions=5)
        entry.ticks(60, 10, 0, 0, 0)
        entry.node.add("green", sessions=100)

        assert {entry.tick(200, 0, 0, 0).hang_s for _ in range(10)} == {0}

    def test_unknown_counts_change_nothing(self) -> None:
        entry = Entry().began()
        entry.node.add("green", sessions=50)
        before = entry.ticks(2)
        entry.node.is_away = True
        after = entry.ticks(5)

        assert (after.hang_s, after.excess_sessions) == (before.hang_s, before.excess_sessions) == (2, 50)


class TestNotWorking:
    @pytest.mark.parametrize(
        ("probes", "health", "reason"),
        [
            ({"is_running": False}, Health.UP, "its container does not run"),
            ({}, Health.DOWN, "it is DOWN on node 1"),
            ({"candidate_probe": False}, Health.UP, "its health check fails"),
            ({"candidate_probe": False, "stable_probe": True}, Health.UP, "its health check fails"),
            ({"candidate_probe": False, "stable_probe": False}, Health.UP, ""),
            ({"candidate_probe": True, "is_running": True}, Health.UP, ""),
            ({"candidate_probe": None, "is_running": None}, Health.DOUBTFUL, ""),
        ],
    )
    def test_any_of_three_looks_shows_it(
        self, probes: dict[str, bool | None], health: Health, reason: str
    ) -> None:
        entry = Entry().began()
        entry.probes = probes
        entry.node.health["green"] = health
        entry.ticks(2)

        assert entry.evidence.down_reason == reason
        assert entry.evidence.down_s == (2 if reason else 0)

    def test_a_good_look_ends_it(self) -> None:
        entry = Entry().began()
        entry.probes["is_running"] = False
        entry.ticks(2)
        entry.probes["is_running"] = True

        assert entry.tick().down_s == 0

    def test_a_look_that_tells_nothing_neither_ends_nor_feeds_it(self) -> None:
        entry = Entry().began()
        entry.probes["candidate_probe"] = False
        entry.ticks(2)
        entry.probes["candidate_probe"] = None
        entry.node.is_away = True

        assert entry.ticks(9).down_s == 2

    def test_a_gap_does_not_feed_it(self) -> None:
        entry = Entry().began()
        entry.probes["is_running"] = False
        entry.tick()
        entry.now += timedelta(minutes=5)

        assert entry.look(None).down_s == 1


def test_evidence_of_a_pair_stays_small() -> None:
    """It is written each second of a watch."""
    entry = Entry(others=(FakeNode(socket="unix:///run/haproxy/2.sock"),)).began()
    for second in range(400):
        entry.tick(137, int(second % 7 == 0), 131, int(second % 11 == 0))
    entry.ticks(20, 137, 9, 131, 8)

    assert entry.evidence.failing.alarm is not None
    assert len(entry.evidence.model_dump_json(by_alias=True)) <= 2000


def test_a_clock_that_jumps_changes_neither_what_is_watched_nor_what_must_last() -> None:
    entry = Entry().began()
    entry.probes["is_running"] = False
    entry.ticks(1)
    entry.now = START - timedelta(hours=1)
    entry.look(1.0)

    assert entry.evidence.watched_s == 2
    assert entry.evidence.down_s == 2
