"""When the candidates first had traffic: what alerts are compared with."""

from datetime import timedelta

from crds.release import Phase
from tests.builders import START
from tests.builders_release import Scene, attempt_of

EARLIER = START - timedelta(minutes=3)


def test_the_split_is_when_the_candidates_first_had_traffic() -> None:
    attempt = attempt_of(Scene(Phase.SMOKE).plan())
    assert (attempt.phase, attempt.split_at, attempt.step_at) == (Phase.SPLIT, START, START)


def test_a_first_release_has_its_traffic_from_the_promotion_on() -> None:
    attempt = attempt_of(Scene(Phase.SMOKE, live=None).plan())
    assert (attempt.phase, attempt.split_at, attempt.step_at) == (Phase.PROMOTE, START, START)


def test_the_promotion_moves_the_last_change_of_traffic_and_not_the_first() -> None:
    scene = Scene(Phase.WATCH, attempt={"split_at": EARLIER, "step_at": EARLIER})
    attempt = attempt_of(scene.asked("promote", force="true"))
    assert (attempt.phase, attempt.split_at, attempt.step_at) == (Phase.PROMOTE, EARLIER, START)
