"""The mathematics against the figures of the study behind the rule (docs/adr/0007), and at its edges."""

import math

import pytest

from reconcilers.release.sequential import (
    RATIOS,
    Grid,
    apart_step,
    at_least,
    at_most,
    grid,
    grid_of,
    late_step,
    likeliest,
    log_mixture,
    log_of,
    mean,
    requests_to_exclude,
    requests_to_see,
    visible_rate,
)

LIMIT = 0.001
THE_STUDYS = grid_of(LIMIT, (0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9))


def most_requests(alternatives: Grid, errors: int, evidence: float) -> int:
    """Return within how many requests so many errors reach the evidence; 0: never."""
    return max(
        (
            n
            for n in range(errors, 8_000)
            if log_mixture(alternatives, errors, n - errors) >= math.log(evidence)
        ),
        default=0,
    )


@pytest.mark.parametrize(
    ("errors", "within"),
    [
        (2, 12), (3, 65), (4, 173), (5, 346), (6, 561), (7, 820), (8, 1112), (9, 1437), (10, 1803),
        (12, 2625), (15, 3960), (20, 6503),
    ],
)  # fmt: skip
def test_the_mixture_alarms_where_the_table_of_the_study_says(errors: int, within: int) -> None:
    assert most_requests(THE_STUDYS, errors, 1000) == within


@pytest.mark.parametrize(
    ("errors", "within"), [(2, 7), (3, 49), (4, 136), (5, 285), (6, 478), (10, 1607), (20, 6075)]
)
def test_our_own_alternatives_alarm_a_little_later_at_half_of_alpha(errors: int, within: int) -> None:
    assert most_requests(grid(LIMIT), errors, 2000) == within


@pytest.mark.parametrize(
    ("rate", "errors"), [(0.002, 10), (0.005, 5), (0.01, 3), (0.05, 2), (0.1, 2), (0.5, 2)]
)
def test_walds_test_needs_at_least_so_many_errors(rate: float, errors: int) -> None:
    upper = math.log((1 - 0.01) / 0.001)
    alone = grid_of(LIMIT, (rate,))

    assert log_mixture(alone, errors, 0) >= upper > log_mixture(alone, errors - 1, 0)


@pytest.mark.parametrize(
    ("rate", "clean"), [(0.05, 92), (0.01, 509), (0.005, 1148), (0.1, 45)], ids=["5%", "1%", "0.5%", "10%"]
)
def test_walds_lower_boundary_is_reached_after_so_many_clean_requests(rate: float, clean: int) -> None:
    alone = grid_of(LIMIT, (rate,))

    assert log_mixture(alone, 0, clean) <= math.log(0.01) < log_mixture(alone, 0, clean - 1)


@pytest.mark.parametrize(
    ("rate", "requests"), [(0.002, 17_859), (0.005, 1703), (0.01, 491), (0.05, 46.7), (0.1, 18.8), (0.5, 2.5)]
)
def test_no_rule_can_do_with_fewer_requests(rate: float, requests: float) -> None:
    assert requests_to_see(rate, LIMIT, 1e-3) == pytest.approx(requests, rel=0.005)


@pytest.mark.parametrize(
    ("share", "slower", "answers"), [(0.05, 0.1, 334), (0.05, 0.2, 49), (0.05, 0.5, 8), (0.01, 0.05, 167)]
)
def test_slow_answers_need_as_many_as_the_study_says(share: float, slower: float, answers: float) -> None:
    assert requests_to_see(slower, share, 1e-3) == pytest.approx(answers, rel=0.04)


@pytest.mark.parametrize(("errors", "requests"), [(0, 459), (1, 662), (2, 838), (3, 1001)])
def test_one_percent_is_excluded_by_so_many_requests(errors: int, requests: int) -> None:
    assert requests_to_exclude(errors, 0.01, 0.01) == requests
    assert at_most(errors, requests, 0.01) <= 0.01 < at_most(errors, requests - 1, 0.01)


@pytest.mark.parametrize(
    ("requests_per_s", "seconds", "rate"),
    [
        (0.1, 10, None), (0.1, 60, 0.25), (0.1, 600, 0.042), (0.1, 3600, 0.012), (0.1, 86400, 0.0025),
        (1, 10, 0.16), (1, 60, 0.042), (1, 600, 0.0089), (1, 3600, 0.0035), (1, 86400, 0.0014),
        (10, 10, 0.029), (10, 60, 0.0089), (10, 600, 0.0029), (10, 3600, 0.0017), (10, 86400, 0.0011),
        (100, 10, 0.0066), (100, 60, 0.0029), (100, 600, 0.0015), (100, 3600, 0.0012), (100, 86400, 0.001),
    ],
)  # fmt: skip
def test_what_a_watch_can_see_is_the_table_of_the_study(
    requests_per_s: float, seconds: int, rate: float | None
) -> None:
    seen = visible_rate(requests_per_s * seconds, LIMIT, 1e-3)

    assert seen == (None if rate is None else pytest.approx(rate, rel=0.06))


@pytest.mark.parametrize(
    ("errors", "requests", "rate", "probability"),
    [
        (1, 100, 0.001, 0.095), (1, 500, 0.0005, 0.22), (2, 1000, 0.001, 0.264), (3, 2000, 0.0005, 0.080),
        (6, 5000, 0.002, 0.934), (11, 10_000, 0.0005, 0.0137), (101, 100_000, 0.001, 0.473),
        (101, 100_000, 0.0005, 1.549e-10), (7, 7, 0.5, 1 / 128), (5, 5, 0.5, 1 / 32),
    ],
)  # fmt: skip
def test_binomial_tails_are_exact(errors: int, requests: int, rate: float, probability: float) -> None:
    assert at_least(errors, requests, rate) == pytest.approx(probability, rel=0.02)
    assert at_least(errors, requests, rate) + at_most(errors - 1, requests, rate) == pytest.approx(1)


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 0.93])
def test_binomial_tails_are_the_sum_of_their_terms(rate: float) -> None:
    terms = [math.comb(40, k) * rate**k * (1 - rate) ** (40 - k) for k in range(41)]

    assert [at_least(k, 40, rate) for k in range(41)] == pytest.approx([sum(terms[k:]) for k in range(41)])


@pytest.mark.parametrize(
    ("errors", "requests", "rate", "probability"),
    [
        (0, 0, 0.5, 1.0),
        (1, 0, 0.5, 0.0),
        (0, 9, 0.0, 1.0),
        (3, 9, 0.0, 0.0),
        (9, 9, 1.0, 1.0),
        (10, 9, 0.5, 0.0),
    ],
)
def test_binomial_tails_have_edges(errors: int, requests: int, rate: float, probability: float) -> None:
    assert at_least(errors, requests, rate) == probability


def test_a_hundred_million_requests_are_no_trouble() -> None:
    n = 10**8
    at_the_limit, at_half = log_mixture(grid(LIMIT), n * LIMIT, n * (1 - LIMIT)), n // 2000

    assert at_the_limit < 0
    assert log_mixture(grid(LIMIT), at_half, n - at_half) < -1000
    assert log_mixture(grid(LIMIT), n // 100, n - n // 100) > 1e6
    assert at_least(50_000, n, 0.0005) == pytest.approx(0.5, abs=0.001)
    assert at_least(n // 10, n, LIMIT) == 0.0
    assert requests_to_exclude(100_000, 0.01, 0.01) == pytest.approx(1.007e7, rel=0.001)


def test_an_outage_of_a_day_and_the_quiet_after_it_stay_finite() -> None:
    late: tuple[float, ...] = ()
    for _ in range(100):
        late = late_step(grid(LIMIT), late, 10_000_000, 0)
    assert all(0 < each < math.inf for each in late)
    assert mean(late) > 1e290
    for _ in range(100):
        late = late_step(grid(LIMIT), late, 0, 10_000_000)

    assert mean(late) == 0.0
    assert log_of(mean(late)) < -100


def test_a_tick_without_requests_only_lets_time_pass() -> None:
    assert late_step(grid(LIMIT), (), 0, 0) == (1.0,) * 12
    assert mean(late_step(grid(LIMIT), (1.0,) * 12, 0, 0)) == pytest.approx(2.0)


def test_shiryaev_roberts_is_the_recursion_of_the_study() -> None:
    alone = grid_of(LIMIT, (0.01,))
    ratio = (0.01 / LIMIT) ** 2 * ((1 - 0.01) / (1 - LIMIT)) ** 8

    (once,) = late_step(alone, (), 2, 8)
    (twice,) = late_step(alone, (once,), 2, 8)

    assert once == pytest.approx(ratio)
    assert twice == pytest.approx((ratio + 1) * ratio)


@pytest.mark.parametrize("limit", [0.0001, 0.001, 0.01, 0.05, 0.3, 0.5, 0.8, 0.94, 0.99])
def test_every_limit_has_alternatives_between_itself_and_one(limit: float) -> None:
    alternatives = grid(limit)

    assert alternatives.rates
    assert all(limit < rate < 1 for rate in alternatives.rates)
    assert all(gain > 0 > loss for gain, loss in zip(alternatives.gains, alternatives.losses, strict=True))
    assert alternatives.onset_gain > 0 > alternatives.onset_loss


@pytest.mark.parametrize("limit", [0.0001, 0.001, 0.01, 0.05])
def test_alternatives_are_multiples_of_the_limit(limit: float) -> None:
    multiples = [round(rate / limit, 3) for rate in grid(limit).rates]

    assert multiples == [
        each for each in (1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 900) if each * limit < 0.95
    ]


@pytest.mark.parametrize(("errors", "clean"), [(0, 0), (0, 500), (3, 20), (7, 5000), (1000, 3)])
def test_the_likeliest_alternative_bounds_the_mixture(errors: int, clean: int) -> None:
    best, mixed = likeliest(grid(LIMIT), errors, clean), log_mixture(grid(LIMIT), errors, clean)

    assert best - math.log(12) <= mixed <= best + 1e-9


def test_errors_on_the_candidate_alone_drift_apart_and_common_ones_do_not() -> None:
    alone = common = (0.0,) * len(RATIOS)
    for _ in range(20):
        alone = apart_step(alone, 0.5, 1, 0)
        common = apart_step(common, 0.5, 1, 1)

    assert mean(alone) > 1e5
    assert mean(common) < 10


@pytest.mark.parametrize("theta", [0.0, 1.0])
def test_where_only_one_role_has_traffic_nothing_is_learned_of_the_difference(theta: float) -> None:
    assert apart_step((3.0, 4.0, 5.0, 6.0), theta, 9, 9) == (3.0, 4.0, 5.0, 6.0)


def test_with_less_traffic_an_error_on_the_candidate_says_more() -> None:
    assert (
        mean(apart_step((), 0.05, 3, 0)) > mean(apart_step((), 0.5, 3, 0)) > mean(apart_step((), 0.95, 3, 0))
    )
