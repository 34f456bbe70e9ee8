"""The cells of the simulation: what happens, how often it is tried, and what must come out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.sim_rule.world import Outcome, Scenario

#: The product's own horizon: watchMax, and a soak of 24 h with ticks of 10 s after ten minutes.
_PRODUCT_TICKS = 1800 + 600 + 8580
_CERTAIN = 0.995
_NINETY_FIVE = 0.95
#: From so many runs on, chance is no excuse.
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """What came out of the runs of one cell."""

    runs: int
    delays_s: tuple[float, ...]
    """Seconds from the onset to the rollback, ascending."""
    early: int
    """Rollbacks before the onset."""
    held: int
    """Runs whose first action was to hold."""
    alarmed: int
    """Runs with an alarm before the onset, or at all if there is no fault."""

    @property
    def found(self) -> float:
        return len(self.delays_s) / self.runs

    @property
    def mean_s(self) -> float:
        return sum(self.delays_s) / len(self.delays_s) if self.delays_s else math.nan

    @property
    def error_s(self) -> float:
        """Two standard errors of the mean."""
        n = len(self.delays_s)
        if n < 2:
            return math.inf
        return 2 * math.sqrt(sum((each - self.mean_s) ** 2 for each in self.delays_s) / (n - 1) / n)

    @property
    def p95_s(self) -> float:
        if not self.delays_s:
            return math.nan
        return self.delays_s[min(len(self.delays_s) - 1, math.ceil(_NINETY_FIVE * len(self.delays_s)) - 1)]


Verdict = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class Cell:
    """One row: ``quick`` and ``full`` are how many runs it takes."""

    group: str
    name: str
    scenario: Scenario
    quick: int
    full: int
    check: Callable[[Summary], Verdict]


def summed(scenario: Scenario, outcomes: Sequence[Outcome]) -> Summary:
    """Sum up the runs of one cell."""
    has_fault = scenario.fault is not None or scenario.is_dead or scenario.hangs
    onset = scenario.onset if has_fault else scenario.ticks
    rolled = [each.rolled_back for each in outcomes if each.rolled_back is not None]
    return Summary(
        runs=len(outcomes),
        delays_s=tuple(sorted((each - onset) * scenario.tick_s for each in rolled if each > onset)),
        early=sum(each <= onset for each in rolled),
        held=sum(
            each.held is not None and (each.rolled_back is None or each.held < each.rolled_back)
            for each in outcomes
        ),
        alarmed=sum(each.alarmed is not None and each.alarmed <= onset for each in outcomes),
    )


def upper_bound(events: int, runs: int) -> float:
    """Return the exact upper 95 % bound of a probability (Clopper-Pearson)."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        terms = (
            math.exp(
                math.lgamma(runs + 1)
                - math.lgamma(k + 1)
                - math.lgamma(runs - k + 1)
                + k * math.log(middle)
                + (runs - k) * math.log1p(-middle)
            )
            for k in range(events + 1)
        )
        low, high = (middle, high) if sum(terms) > 1 - _NINETY_FIVE else (low, middle)
    return high


def _times(summary: Summary) -> str:
    return f"found {summary.found:4.0%}  mean {summary.mean_s:5.1f}  p95 {summary.p95_s:3.0f}"


def _like(found: float, mean_s: float | None) -> Callable[[Summary], Verdict]:
    """Like the study: as often, the mean within 10 %, beside its rounding and the error of few runs."""

    def check(summary: Summary) -> Verdict:
        text = f"{_times(summary)}  (study {found:.0%}"
        spread = 2 * math.sqrt(found * (1 - found) / summary.runs) + 0.1 * min(found, 1 - found) + 0.005
        is_well = abs(summary.found - found) <= spread and not summary.early
        if mean_s is None:
            return f"{text})", is_well
        allowed = 0.1 * mean_s + 0.05 + (summary.error_s if summary.runs < 2000 else 0.0)
        return f"{text}, {mean_s:g})", is_well and abs(summary.mean_s - mean_s) <= allowed

    return check


def _at_most(p95_s: float) -> Callable[[Summary], Verdict]:
    def check(summary: Summary) -> Verdict:
        is_well = summary.found >= _CERTAIN and summary.p95_s <= p95_s and not summary.early
        return f"{_times(summary)}  (p95 ≤ {p95_s:g})", is_well

    return check


def _no_later_than(mean_s: float, study_s: float) -> Callable[[Summary], Verdict]:
    def check(summary: Summary) -> Verdict:
        allowed = 1.1 * mean_s + 0.05 + (summary.error_s if summary.runs < 2000 else 0.0)
        return f"{_times(summary)}  (study {study_s:g})", summary.mean_s <= allowed

    return check


def _slack(share: float, runs: int) -> float:
    """Return what chance may do to a share in few runs; nothing in many."""
    return 2 * math.sqrt(share * (1 - share) / runs) if runs < _MANY else 0.0


def _held(least: float, study: str) -> Callable[[Summary], Verdict]:
    def check(summary: Summary) -> Verdict:
        share = summary.held / summary.runs
        text = f"held {share:.1%} ≥ {least:.0%}  (study {study})"
        return text, share >= least - _slack(least, summary.runs)

    return check


def _no_rollback(most: float, study: str) -> Callable[[Summary], Verdict]:
    def check(summary: Summary) -> Verdict:
        share = summary.early / summary.runs
        text = f"rolled back {share:.2%} ≤ {most:.1%}  (study {study})"
        return text, share <= most + _slack(most, summary.runs)

    return check


def _few_alarms(most: float) -> Callable[[Summary], Verdict]:
    def check(summary: Summary) -> Verdict:
        bound = upper_bound(summary.alarmed, summary.runs)
        text = f"alarms {summary.alarmed} in {summary.runs}, bound {bound:.1e} ≤ {most:.0e}"
        return text, bound <= most

    return check


def _none_at_all(summary: Summary) -> Verdict:
    return f"rolled back {summary.early} in {summary.runs}  (none)", not summary.early


#: Requests per second, the candidate's rate; the study's mean at the split, its share and mean after 300 s.
_STUDY = (
    (2, 0.005, 381, 0.016, None),
    (2, 0.01, 349, 0.11, 202),
    (2, 0.05, 81, 0.996, 95),
    (2, 0.5, 9.2, 1, 13.7),
    (20, 0.005, 234, 0.60, 195),
    (20, 0.01, 70, 1, 90),
    (20, 0.05, 10.3, 1, 14.8),
    (20, 0.5, 1.5, 1, 2.0),
    (200, 0.005, 24.9, 1, 35.4),
    (200, 0.01, 7.9, 1, 11.4),
    (200, 0.05, 1.5, 1, 1.9),
    (200, 0.5, 1.0, 1, 1.0),
)  # fmt: skip


def _row(per_s: float, what: str) -> str:
    return f"{per_s:3g}/s {what}"


def _late() -> list[Cell]:
    return [
        Cell(
            "late",
            _row(per_s, f"{fault:.1%}"),
            Scenario(per_s, fault=fault, onset=300),
            200,
            2000,
            _like(found, mean_s),
        )
        for per_s, fault, _, found, mean_s in _STUDY
    ]


def _at_split() -> list[Cell]:
    return [
        Cell(
            "split",
            _row(per_s, f"{fault:.1%}"),
            Scenario(per_s, fault=fault),
            200,
            2000,
            _no_later_than(late_s if late_s is not None and found == 1 else 1.25 * split_s, split_s),
        )
        for per_s, fault, split_s, found, late_s in _STUDY
    ]


def _soak() -> list[Cell]:
    rows = ((1, 0.05, 126), (1, 0.5, 13), (10, 0.01, 132), (10, 0.05, 18), (100, 0.005, 52), (100, 0.01, 19))
    return [
        Cell(
            "soak",
            _row(per_s, f"{fault:.1%}"),
            Scenario(
                per_s,
                fault=fault,
                onset=360,
                ticks=1500,
                tick_s=10.0,
                in_soak=True,
                horizon_ticks=8640,
            ),
            60,
            1000,
            _no_later_than(1.1 * study_s + 5, study_s),
        )
        for per_s, fault, study_s in rows
    ]


def _common() -> list[Cell]:
    rows = (
        (2, 0.2, 0.85, "88 %"),
        (20, 0.2, 0.97, "98.5 %"),
        (200, 0.2, 0.97, "97.7 %"),
        (200, 0.02, 0.97, "97.7 %"),
        (20, 0.02, 0.90, "-"),
    )
    cells = [
        Cell(
            "common",
            _row(per_s, f"{rate:.0%} of both"),
            Scenario(per_s, fault=rate, stable_fault=rate, onset=300, ticks=420),
            300,
            2000,
            _held(least, study),
        )
        for per_s, rate, least, study in rows
    ]
    healed = [
        Cell(
            "common",
            _row(per_s, f"{rate:.0%}, stable heals"),
            Scenario(per_s, fault=rate, stable_fault=rate, onset=300, ticks=900, stable_heals=361),
            60,
            500,
            _at_most(60 + later_s),
        )
        for per_s, rate, later_s in ((20, 0.2, 30), (200, 0.02, 30))
    ]
    return cells + healed


def _bursts() -> list[Cell]:
    rows = (
        (20, 2, 0.0003, 0.127, "12.7 %"),
        (20, 5, 0.0003, 0.17, "17 %"),
        (200, 5, 0.0003, 0.7, "70 %"),
        (200, 5, 0.0009, 0.98, "98 %"),
    )
    unknown = [
        Cell(
            "bursts",
            _row(per_s, f"{rate:.2%} in {burst:g}s"),
            Scenario(per_s, healthy=rate, burst=burst),
            200,
            2000,
            _no_rollback(most, study),
        )
        for per_s, burst, rate, most, study in rows
    ]
    known = [
        Cell(
            "bursts",
            _row(per_s, f"{rate:.2%} in {burst:g}s, known"),
            Scenario(per_s, healthy=rate, burst=burst, learned_bursts=20),
            200,
            2000,
            _no_rollback(0.02, study),
        )
        for per_s, burst, rate, study in (
            (20, 2, 0.0009, "1.6 %"),
            (20, 5, 0.0009, "0.05 %"),
            (200, 5, 0.0003, "0.6 %"),
            (200, 5, 0.0009, "2.1 %"),
        )
    ]
    return unknown + known


def _quiet() -> list[Cell]:
    at_limit = [
        Cell(
            "limit",
            _row(per_s, "0.1% exactly"),
            Scenario(per_s, healthy=0.001),
            2400,  # one alarm in as many is still within the bound
            5000,
            _few_alarms(2e-3),
        )
        for per_s in (20, 200)
    ]
    healthy = [
        Cell("healthy", _row(per_s, "0.03%"), Scenario(per_s), 600, 10_000, _none_at_all)
        for per_s in (2, 20, 200)
    ]
    return at_limit + healthy


def _targets() -> list[Cell]:
    rows = (
        (40, Scenario(40, fault=0.5), "50% of 20/s", 4),
        (40, Scenario(40, fault=0.05), "5% of 20/s", 25),
        (400, Scenario(400, fault=0.01), "1% of 200/s", 20),
        (40, Scenario(40, is_dead=True), "dead, 20/s", 5),
        (400, Scenario(400, is_dead=True), "dead, 200/s", 5),
        (40, Scenario(40, hangs=True), "hangs, 20/s", 5),
        (400, Scenario(400, hangs=True), "hangs, 200/s", 5),
    )
    return [
        Cell(
            "targets",
            name,
            Scenario(
                scenario.per_s,
                fault=scenario.fault,
                is_dead=scenario.is_dead,
                hangs=scenario.hangs,
                onset=300,
                horizon_ticks=_PRODUCT_TICKS,
            ),
            200,
            1000,
            _at_most(p95_s),
        )
        for _, scenario, name, p95_s in rows
    ]


def all_cells() -> list[Cell]:
    """Return every cell, in the order in which they are printed."""
    return [*_targets(), *_late(), *_at_split(), *_common(), *_bursts(), *_soak(), *_quiet()]
