"""Sequential tests on counts of errors: pure.

Rates are shares of requests; "evidence" is a likelihood ratio of "more than the limit" to "the limit".
All of it stays finite for any count: what is multiplied is kept as logarithms, or is capped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

#: Alternatives are these multiples of the limit, as far as they are below ``_HIGHEST``.
MULTIPLES: Final = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 900.0)
#: How many times worse than stable the candidate may be, once both are bad.
RATIOS: Final = (2.0, 5.0, 20.0, 100.0)
_HIGHEST: Final = 0.95
#: The onset is where a fault of this multiple of the limit would have begun: any above 1.8 times is found.
_ONSET: Final = 3.0
#: One step's logarithm and the evidence itself, capped where floats still multiply and add up safely.
_STEP_CAP: Final = 300.0
_CAP: Final = 1e300
#: Terms of a binomial tail below this part of its sum change nothing.
_NEGLIGIBLE: Final = 1e-17


@dataclass(frozen=True, slots=True)
class Grid:
    """The alternatives to a limit: what one error (gain) and one clean request (loss) say for each."""

    limit: float
    rates: tuple[float, ...]
    gains: tuple[float, ...]
    losses: tuple[float, ...]
    onset_gain: float
    onset_loss: float


@lru_cache(maxsize=256)
def grid(limit: float) -> Grid:
    """Return the alternatives to *limit*, a rate between 0 and 1; there is at least one."""
    rates = tuple(limit * each for each in MULTIPLES if limit * each < _HIGHEST)
    return grid_of(limit, rates or (halfway(limit),))


def grid_of(limit: float, rates: tuple[float, ...]) -> Grid:
    """Return these alternatives to *limit*, all above it, each with the same weight."""
    onset = limit * _ONSET if limit * _ONSET < _HIGHEST else rates[-1]
    return Grid(
        limit=limit,
        rates=rates,
        gains=tuple(math.log(rate / limit) for rate in rates),
        losses=tuple(math.log1p(-rate) - math.log1p(-limit) for rate in rates),
        onset_gain=math.log(onset / limit),
        onset_loss=math.log1p(-onset) - math.log1p(-limit),
    )


def halfway(limit: float) -> float:
    """Return the rate in the middle between a high limit and 1, where no multiple of it fits."""
    return (1 + limit) / 2


def log_mixture(alternatives: Grid, errors: float, clean: float) -> float:
    """Return ln of the mixture likelihood ratio since the start (mixture SPRT; Robbins, Ville's inequality).

    Whenever one looks, it exceeds 1/a with the probability a at most, as long as the rate keeps the limit.
    """
    terms = [
        gain * errors + loss * clean
        for gain, loss in zip(alternatives.gains, alternatives.losses, strict=True)
    ]
    highest, exp = max(terms), math.exp
    return highest + math.log(sum(exp(each - highest) for each in terms) / len(terms))


def likeliest(alternatives: Grid, errors: float, clean: float) -> float:
    """Return ln of the best single alternative: an upper bound of ``log_mixture``, and quicker."""
    return max(
        gain * errors + loss * clean
        for gain, loss in zip(alternatives.gains, alternatives.losses, strict=True)
    )


def late_step(alternatives: Grid, late: Sequence[float], errors: float, clean: float) -> tuple[float, ...]:
    """Return R after one more tick, one number an alternative: R ← (R + 1)·LR (Shiryaev-Roberts).

    The mean of R minus the ticks is a martingale while the rate is the limit: an alarm at c within T ticks
    has the probability T/c at most.
    """
    before = late if len(late) == len(alternatives.gains) else (0.0,) * len(alternatives.gains)
    exp, cap, top = math.exp, _STEP_CAP, _CAP
    return tuple(
        [
            min((each + 1.0) * exp(min(gain * errors + loss * clean, cap)), top)
            for each, gain, loss in zip(before, alternatives.gains, alternatives.losses, strict=True)
        ]
    )


def mean(late: Sequence[float]) -> float:
    """Return the mixture of what ``late_step`` or ``apart_step`` returned; 0 before the first tick."""
    return sum(late) / len(late) if late else 0.0


def log_of(evidence: float) -> float:
    """Return ln of *evidence*, a very low number for none at all."""
    return math.log(evidence) if evidence > 0 else -_STEP_CAP


def apart_step(
    apart: Sequence[float], theta: float, errors: float, stable_errors: float
) -> tuple[float, ...]:
    """Return the evidence after one more tick that errors have become the candidate's alone.

    With equal rates an error falls on the candidate with the probability *theta*, its part of the requests,
    whatever the common rate is; the alternatives are ``RATIOS`` (Shiryaev-Roberts as in ``late_step``).
    """
    before = apart if len(apart) == len(RATIOS) else (0.0,) * len(RATIOS)
    if not 0 < theta < 1:
        return tuple(before)
    steps = [
        errors * math.log(ratio / scale) - stable_errors * math.log(scale)
        for ratio, scale in [(ratio, ratio * theta + 1 - theta) for ratio in RATIOS]
    ]
    return tuple(
        min((each + 1.0) * math.exp(min(step, _STEP_CAP)), _CAP)
        for each, step in zip(before, steps, strict=True)
    )


def at_least(errors: int, requests: int, rate: float) -> float:
    """Return the exact probability of *errors* or more among *requests* at *rate* (binomial)."""
    if errors <= 0:
        return 1.0
    if errors > requests or rate <= 0:
        return 0.0
    if rate >= 1:
        return 1.0
    if errors <= requests * rate:
        return max(0.0, 1.0 - _tail(requests - errors + 1, requests, 1 - rate))
    return _tail(errors, requests, rate)


def at_most(errors: int, requests: int, rate: float) -> float:
    """Return the exact probability of *errors* or fewer among *requests* at *rate* (binomial)."""
    return at_least(requests - errors, requests, 1 - rate)


def _tail(errors: int, requests: int, rate: float) -> float:
    """Sum from *errors*, at or above the mean, outward; each term is the last one times a ratio below 1."""
    first = (
        math.lgamma(requests + 1)
        - math.lgamma(errors + 1)
        - math.lgamma(requests - errors + 1)
        + errors * math.log(rate)
        + (requests - errors) * math.log1p(-rate)
    )
    odds, term, total, at = rate / (1 - rate), 1.0, 0.0, errors
    while at <= requests and term > total * _NEGLIGIBLE:
        total += term
        term *= (requests - at) / (at + 1) * odds
        at += 1
    return min(1.0, math.exp(first + math.log(total)))


def requests_to_exclude(errors: int, rate: float, beta: float) -> int:
    """Return the fewest requests of which so few *errors* exclude *rate*, being wrong once in 1/*beta*."""
    low, high = errors, errors + 1
    while at_most(errors, high, rate) > beta:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at_most(errors, middle, rate) > beta else (low, middle)
    return high


def divergence(rate: float, limit: float) -> float:
    """Return the nats that one request at *rate* says against *limit* on average (Kullback-Leibler)."""
    failed = rate * math.log(rate / limit) if rate > 0 else 0.0
    return failed + ((1 - rate) * (math.log1p(-rate) - math.log1p(-limit)) if rate < 1 else 0.0)


def requests_to_see(rate: float, limit: float, alpha: float) -> float:
    """Return the requests that any rule needs on average to tell *rate* from *limit* at *alpha* (Wald)."""
    return math.log(1 / alpha) / divergence(rate, limit)


def visible_rate(requests: float, limit: float, alpha: float) -> float | None:
    """Return the smallest rate that *requests* can tell from *limit*; None if they are too few for any."""
    if requests <= 0 or requests_to_see(1.0, limit, alpha) >= requests:
        return None
    low, high = limit, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if divergence(middle, limit) * requests >= -math.log(alpha) else (middle, high)
        )
    return high
