"""The table of a release's phases: what can happen where, and that nothing stands still for ever."""

from itertools import product

import pytest

from crds.release import Phase
from reconcilers.release.phases import (
    DEADLINES,
    EMPTY,
    ENDED,
    MOVES,
    PROMOTED,
    WATCHED,
    Happening,
    IllegalMoveError,
    after,
    can,
)

PAIRS = tuple(product(Phase, Happening))
RUNNING = tuple(phase for phase in Phase if phase not in ENDED)
#: Phases of which users may have seen something.
TOUCHED = WATCHED | {Phase.ROLLING_BACK}


def said(value: object) -> str:
    return getattr(value, "name", str(value))


def reachable(start: Phase) -> set[Phase]:
    found, open_ends = set[Phase](), [start]
    while open_ends:
        phase = open_ends.pop()
        if phase not in found:
            found.add(phase)
            open_ends += MOVES[phase].values()
    return found


@pytest.mark.parametrize(("phase", "happening"), PAIRS, ids=said)
def test_a_pair_is_in_the_table_or_says_that_it_is_not(phase: Phase, happening: Happening) -> None:
    if can(phase, happening):
        assert after(phase, happening) is MOVES[phase][happening]
        return
    with pytest.raises(IllegalMoveError) as caught:
        after(phase, happening)
    assert phase.value in str(caught.value)
    assert happening.value in str(caught.value)


def test_the_table_has_a_row_for_each_phase() -> None:
    assert set(MOVES) == set(Phase)


@pytest.mark.parametrize("phase", list(Phase), ids=said)
def test_an_end_has_no_way_out_and_everything_else_has_one(phase: Phase) -> None:
    assert (not MOVES[phase]) == (phase in ENDED)


@pytest.mark.parametrize("phase", RUNNING, ids=said)
def test_every_phase_comes_to_an_end(phase: Phase) -> None:
    assert reachable(phase) & ENDED


@pytest.mark.parametrize("phase", list(DEADLINES), ids=said)
def test_a_deadline_leads_somewhere(phase: Phase) -> None:
    assert can(phase, Happening.OVERDUE)


@pytest.mark.parametrize("phase", RUNNING, ids=said)
def test_a_phase_has_a_deadline_or_another_reason_not_to_last(phase: Phase) -> None:
    passes_at_once = phase is Phase.PENDING or phase in EMPTY
    times_of_the_file = {Phase.WATCH, Phase.SOAK}
    pages_until_it_is_done = {Phase.ROLLING_BACK}
    assert phase in DEADLINES or passes_at_once or phase in times_of_the_file | pages_until_it_is_done


@pytest.mark.parametrize("phase", RUNNING, ids=said)
def test_a_person_can_stop_it_wherever_it_is(phase: Phase) -> None:
    assert can(phase, Happening.STOPPED) or phase is Phase.ROLLING_BACK


@pytest.mark.parametrize("phase", RUNNING, ids=said)
def test_what_goes_wrong_leads_back_to_stable_once_users_may_have_seen_it(phase: Phase) -> None:
    bad = {Happening.FAILED, Happening.BREACH, Happening.STOPPED, Happening.OVERDUE} & set(MOVES[phase])
    ends = {MOVES[phase][each] for each in bad}
    if phase is Phase.ROLLING_BACK:
        assert ends == set()
    else:
        assert ends == {Phase.ROLLING_BACK if phase in TOUCHED else Phase.FAILED}


def test_only_watched_phases_can_break_a_limit() -> None:
    assert {phase for phase in Phase if can(phase, Happening.BREACH)} == WATCHED


def test_what_was_rolled_back_comes_from_a_rollback_only() -> None:
    before = {phase for phase in Phase if Phase.ROLLED_BACK in MOVES[phase].values()}
    assert before == {Phase.ROLLING_BACK}


def test_nothing_is_promoted_but_after_a_watch_or_where_there_is_nothing_to_compare_with() -> None:
    before = {
        (phase, happening)
        for phase, happening in PAIRS
        if can(phase, happening) and after(phase, happening) is Phase.PROMOTE
    }
    assert before == {(Phase.WATCH, Happening.DONE), (Phase.SMOKE, Happening.NO_STABLE)}


def test_before_the_promotion_another_version_may_always_be_asked_for() -> None:
    before = [phase for phase in RUNNING if phase not in PROMOTED | {Phase.ROLLING_BACK}]
    ends = {phase: after(phase, Happening.SUPERSEDED) for phase in before}
    assert all(end is Phase.ROLLING_BACK if phase in WATCHED else Phase.FAILED for phase, end in ends.items())


def test_the_good_way_goes_through_every_phase_of_the_design() -> None:
    way, phase = [Phase.PENDING], Phase.PENDING
    while Happening.DONE in MOVES[phase]:
        phase = after(phase, Happening.DONE)
        way.append(phase)
    assert [each.value for each in way] == [
        "Pending",
        "PreCheck",
        "Backup",
        "Migrate",
        "DeployCandidate",
        "HealthCheck",
        "Smoke",
        "Split",
        "Watch",
        "Promote",
        "Verify",
        "Soak",
        "Completed",
    ]
