"""A few cells of the simulation (make sim-rule), small enough for every run of the tests."""

import pytest

from tests.sim_rule.__main__ import cost, run
from tests.sim_rule.cells import Cell, Summary, Verdict, all_cells, summed, upper_bound
from tests.sim_rule.world import Outcome, Scenario, play

CELLS = {f"{cell.group} {cell.name}": cell for cell in all_cells()}


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("targets 50% of 20/s", 20),
        ("targets dead, 20/s", 10),
        ("targets hangs, 200/s", 10),
        ("late  20/s 5.0%", 60),
        ("late 200/s 5.0%", 60),
        ("common  20/s 20% of both", 40),
        ("common  20/s 20%, stable heals", 10),
        ("bursts  20/s 0.09% in 5s, known", 25),
        ("healthy  20/s 0.03%", 25),
    ],
)
def test_a_cell_comes_out_as_it_must(name: str, runs: int) -> None:
    line, is_well = run(CELLS[name], runs)

    assert is_well, line


def test_no_line_is_wider_than_a_terminal_and_no_name_stands_twice() -> None:
    cells = all_cells()

    assert len(CELLS) == len(cells)
    for cell in cells:
        text, _ = cell.check(summed(cell.scenario, [Outcome(599, 300, 250)] * 20_000))
        assert len(f"{cell.name:22} {text}  FAIL") <= 80


def test_a_tick_costs_less_than_a_tenth_of_a_millisecond() -> None:
    line, is_well = cost()

    assert is_well, line


def test_the_same_seed_is_the_same_story() -> None:
    scenario = Scenario(20, fault=0.05, onset=30, ticks=90)

    assert play(scenario, "a") == play(scenario, "a")
    assert len({play(scenario, str(seed)) for seed in range(5)}) > 1


def test_a_cell_fails_where_the_rule_is_worse_than_it_must_be() -> None:
    def never(summary: Summary) -> Verdict:
        return f"{summary.mean_s:.0f} {summary.p95_s:.0f} {summary.found:.1f} {summary.early}", False

    cell = Cell("test", "one", Scenario(20, fault=0.5, onset=5, ticks=20), 4, 4, never)

    assert run(cell, 4) == (f"{'one':22} 2 3 1.0 0", False)


@pytest.mark.parametrize(
    ("events", "runs", "bound"), [(0, 5000, 6.0e-4), (3, 5000, 1.55e-3), (0, 1600, 1.87e-3)]
)
def test_the_upper_bound_is_clopper_pearsons(events: int, runs: int, bound: float) -> None:
    assert upper_bound(events, runs) == pytest.approx(bound, rel=0.01)
