"""Play made-up releases against the real decision rule, and compare with what must come out.

``python -m tests.sim_rule`` takes some minutes on two cores; ``--full`` makes all the runs that the rule's
figures ask for. Runs are seeded: the same call prints the same lines, but for the cost of a tick.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.sim_rule.cells import Cell, all_cells, summed
from tests.sim_rule.world import Outcome, Scenario, World, play

_CHUNK = 50
_MOST_US = 100.0
_TICKS = 20_000

Job = tuple[Scenario, str, int, int]
Spread = Callable[[Callable[[Job], list[Outcome]], Iterable[Job]], Iterable[list[Outcome]]]


def _chunk(job: Job) -> list[Outcome]:
    scenario, name, first, last = job
    return [play(scenario, f"{name} {at}") for at in range(first, last)]


def _jobs(cell: Cell, runs: int) -> Iterator[Job]:
    for first in range(0, runs, _CHUNK):
        yield cell.scenario, f"{cell.group} {cell.name}", first, min(runs, first + _CHUNK)


def run(cell: Cell, runs: int, spread: Spread = map) -> tuple[str, bool]:
    """Play a cell, and return its line and whether it came out as it must."""
    outcomes = [each for chunk in spread(_chunk, _jobs(cell, runs)) for each in chunk]
    text, is_well = cell.check(summed(cell.scenario, outcomes))
    return f"{cell.name:22} {text}", is_well


def cost() -> tuple[str, bool]:
    """Measure one look and one question, on a healthy entry as most of them are."""
    world = World(Scenario(200), "cost")
    began = time.process_time()
    for at in range(1, _TICKS + 1):
        world.tick(at)
        world.asked()
    micros = (time.process_time() - began) / _TICKS * 1e6
    return (
        f"{'one tick of one entry':22} {micros:.0f} us, making up the traffic included (at most 100)",
        micros <= _MOST_US,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim_rule", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all runs, about a quarter of an hour")
    parser.add_argument("--runs", type=int, help="so many runs of each cell")
    parser.add_argument("--cells", nargs="+", default=[], help="only cells whose group or name begins so")
    parser.add_argument("--jobs", type=int, default=2, choices=(1, 2), help="processes (2)")
    return parser.parse_args()


def main() -> int:
    """Return 0 if every cell came out as it must."""
    asked = _arguments()
    cells = [
        each
        for each in all_cells()
        if not asked.cells or any(f"{each.group} {each.name}".startswith(name) for name in asked.cells)
    ]
    failed, group = 0, ""
    with ProcessPoolExecutor(asked.jobs) as pool:
        for cell in cells:
            if cell.group != group:
                group = cell.group
                _say(f"-- {group}")
            runs = asked.runs or (cell.full if asked.full else cell.quick)
            failed += _told(run(cell, runs, pool.map))
    if not asked.cells:
        failed += _told(cost())
    _say(f"{failed} failed" if failed else "all as they must be")
    return 1 if failed else 0


def _told(result: tuple[str, bool]) -> int:
    line, is_well = result
    _say(f"{line}  {'ok' if is_well else 'FAIL'}")
    return 0 if is_well else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
