"""Where neither colour works the candidate is not blamed, nor where HAProxy sees it recover a check later."""

from typing import Any

import pytest

from crds.evidence import Cause
from crds.release import Phase
from crds.service import Color
from reconcilers.release.analysis import Action
from reconcilers.servers import Health
from tests.builders_release import CRM, ILL, WELL, Scene, attempt_of, memo_of
from tests.builders_rule import Entry

COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)


def both_down(seconds: int = 5) -> Entry:
    """Return an entry neither of whose colours has worked for so long."""
    entry = Entry().began()
    entry.node.health = {"blue": Health.DOWN, "green": Health.DOWN}
    entry.probes = {"candidate_probe": False, "stable_probe": False}
    entry.ticks(seconds, 0, 0, 0, 0)
    return entry


def test_while_neither_works_it_is_held() -> None:
    said = both_down().judged()
    assert (said.action, said.reason, said.cause) == (Action.HOLD, "CandidateDown", Cause.BOTH)


@pytest.mark.parametrize("health", [Health.WAVERING, Health.DOUBTFUL])
def test_a_candidate_that_goes_down_some_checks_before_stable_is_not_blamed(health: Health) -> None:
    entry = Entry().began()
    entry.node.health = {"blue": health, "green": Health.DOWN}
    entry.ticks(5, 0, 0, 10, 0)
    assert entry.judged().action is Action.HOLD

    entry.node.health["blue"] = Health.DOWN
    entry.ticks(5, 0, 0, 0, 0)
    said = entry.judged()
    assert (said.action, said.cause) == (Action.HOLD, Cause.BOTH)


def test_stable_that_fails_a_single_check_keeps_a_dead_candidate_for_no_longer_than_that() -> None:
    entry = Entry().began()
    entry.node.health = {"blue": Health.WAVERING, "green": Health.DOWN}
    entry.ticks(2, 0, 0, 10, 0)
    entry.node.health["blue"] = Health.UP
    entry.ticks(2, 0, 0, 10, 0)
    assert entry.judged().action is Action.HOLD
    entry.tick(0, 0, 10, 0)
    assert entry.judged().action is Action.ROLL_BACK


def test_a_candidate_that_answers_is_given_the_time_until_haproxy_sees_it() -> None:
    entry = both_down()
    entry.node.health["blue"] = Health.UP
    entry.probes = {"candidate_probe": True, "stable_probe": True}
    entry.ticks(20, 0, 0, 10, 0)
    said = entry.judged()
    assert said.action is Action.HOLD
    assert "stable did not either, and only just works again" in said.message

    entry.node.health["green"] = Health.UP
    assert entry.tick().down_both_s == 0
    assert entry.judged().action is Action.NONE


def test_a_candidate_that_does_not_come_back_with_stable_is_left_after_three_seconds() -> None:
    entry = both_down()
    entry.node.health["blue"] = Health.UP
    entry.probes["stable_probe"] = True
    entry.ticks(2, 0, 0, 10, 0)
    assert entry.judged().action is Action.HOLD
    entry.tick(0, 0, 10, 0)
    assert entry.judged().action is Action.ROLL_BACK


def test_in_the_soak_the_old_versions_own_health_counts() -> None:
    entry = both_down()
    entry.weights, entry.in_soak = (100, 0), True
    entry.probes["stable_probe"] = True
    entry.ticks(2, 0, 0, 0, 0)
    assert entry.judged().action is Action.HOLD
    entry.tick(0, 0, 0, 0)
    assert entry.judged().action is Action.ROLL_BACK


def test_what_is_not_known_of_stable_is_not_taken_for_both() -> None:
    entry = Entry().began()
    entry.node.is_away = True
    entry.probes = {"candidate_probe": False}
    assert entry.ticks(4, 0, 0, 0, 0).down_both_s == 0


@COLORS
def test_behind_the_entry_only_the_time_counts_in_which_stable_is_well(live: Color) -> None:
    def seen(stable: Any, *, both_s: float) -> Any:
        memo = {"behind": {CRM: {"down_s": 6.0, "down_both_s": both_s, "down_reason": "it answers 503"}}}
        members = {1: {"probes": {live: stable, live.other: ILL}}}
        return Scene(Phase.WATCH, live, services=2, memo=memo, members=members).plan()

    still = seen(ILL, both_s=6.0)
    assert attempt_of(still).phase is Phase.WATCH
    assert memo_of(still).behind[CRM].down_both_s == 7.0
    recovered = seen(WELL, both_s=6.0)
    assert attempt_of(recovered).phase is Phase.WATCH
    assert memo_of(recovered).behind[CRM].down_both_s == 6.0
    assert attempt_of(seen(WELL, both_s=4.0)).phase is Phase.ROLLING_BACK
