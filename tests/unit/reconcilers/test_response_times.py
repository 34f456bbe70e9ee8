"""Response times: quantiles of the last minute, exact counts at limits, places for known servers only."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from metrics.responses import ResponseMetrics, Times
from reconcilers.response_times import BUCKETS_MS, Histogram, ResponseTimes, ServerTimes, slot_of


def a_clock_at(seconds: float) -> ResponseTimes:
    times = ResponseTimes(["edge"], lambda: seconds)
    times.confirm("edge", "api_backend", {"blue", "green"})
    return times


def fed(times: ResponseTimes, server: str, *milliseconds: int, at: float = 0.0) -> ServerTimes:
    found = times.of("edge")[f"api_backend/{server}".encode()]
    for each in milliseconds:
        found.add(each, slot_of(at))
    return found


def test_quantiles_are_as_exact_as_their_bins() -> None:
    times = a_clock_at(10)
    fed(times, "blue", *range(1, 1001))
    found = times.answers("edge", "api_backend", "blue", ())
    assert found is not None
    assert found.p50_ms is not None
    assert found.p95_ms is not None
    assert abs(found.p50_ms - 500) < 25
    assert abs(found.p95_ms - 950) < 48


def test_what_is_older_than_a_minute_is_in_no_quantile_and_still_counted() -> None:
    times = a_clock_at(100)
    fed(times, "blue", 900, at=10)
    fed(times, "blue", 5, at=99)
    found = times.answers("edge", "api_backend", "blue", ())
    assert found is not None
    assert found.answers == 2
    assert found.p99_ms is not None
    assert found.p99_ms < 10


def test_a_limit_counts_from_when_it_was_first_asked_for() -> None:
    times = a_clock_at(10)
    fed(times, "blue", 300)
    first = times.answers("edge", "api_backend", "blue", (200.0, 500.0))
    fed(times, "blue", 200, 201, 501)
    second = times.answers("edge", "api_backend", "blue", (200.0, 500.0))
    assert first is not None
    assert second is not None
    assert (first.exceeded, second.exceeded) == ((0, 0), (2, 1))


def test_only_servers_that_a_look_found_have_a_place() -> None:
    times = a_clock_at(10)
    assert times.answers("edge", "api_backend", "nobody", ()) is None
    assert times.answers("elsewhere", "api_backend", "blue", ()) is None
    times.confirm("edge", "api_backend", {"green"})
    assert times.answers("edge", "api_backend", "blue", ()) is None
    times.forget("edge", "api_backend")
    assert times.answers("edge", "api_backend", "green", ()) is None


def test_the_histogram_has_the_answers_within_each_bound() -> None:
    times = a_clock_at(10)
    fed(times, "blue", 10, 11, 5000, 5001)
    (blue,) = [each for each in times.histograms() if each.server == "blue"]
    assert dict(zip(BUCKETS_MS, blue.counts, strict=True)) == {
        10: 1, 50: 2, 100: 2, 500: 2, 1000: 2, 2000: 2, 5000: 3
    }  # fmt: skip
    assert (blue.answers, blue.sum_s) == (4, 10.022)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=300))
def test_a_quantile_is_within_a_bin_of_the_true_one(milliseconds: list[int]) -> None:
    times = a_clock_at(0)
    fed(times, "blue", *milliseconds)
    found = times.answers("edge", "api_backend", "blue", ())
    assert found is not None
    for share, quantile in ((0.5, found.p50_ms), (0.95, found.p95_ms), (0.99, found.p99_ms)):
        true = sorted(milliseconds)[math.ceil(share * len(milliseconds)) - 1]
        assert quantile is not None
        assert true * 0.95 - 1 <= quantile <= true * 1.05 + 1


@given(st.lists(st.integers(0, 2_000_000_000), max_size=50))
def test_every_answer_is_counted_once_however_long_it_took(milliseconds: list[int]) -> None:
    times = a_clock_at(0)
    times.answers("edge", "api_backend", "blue", (200.0,))
    blue = fed(times, "blue", *milliseconds)
    found = times.answers("edge", "api_backend", "blue", (200.0,))
    assert found is not None
    assert found.answers == len(milliseconds) == sum(blue.bins)
    assert found.exceeded == (sum(each > 200 for each in milliseconds),)


def test_limits_without_end_are_not_kept_without_end() -> None:
    times = a_clock_at(0)
    for limit in range(1000):
        times.answers("edge", "api_backend", "blue", (float(limit),))
    blue = fed(times, "blue", 5000)
    assert blue.exceeded((999.0,)) == (1,)
    assert len(blue._limits) <= 16


def exported(found: Histogram) -> Times:
    buckets = tuple((bound / 1000, count) for bound, count in zip(BUCKETS_MS, found.counts, strict=True))
    return Times(found.endpoint, found.backend, found.server, buckets, found.answers, found.sum_s)


def test_the_export_is_a_histogram_of_each_server_and_goes_with_it() -> None:
    times, registry = a_clock_at(0), CollectorRegistry()
    metrics = ResponseMetrics(registry, ["edge"], lambda: map(exported, times.histograms()))
    fed(times, "blue", 30, 60, 7000)
    labels = {"endpoint": "edge", "backend": "api_backend", "server": "blue"}
    found = {
        bound: registry.get_sample_value("psa_backend_response_seconds_bucket", {**labels, "le": bound})
        for bound in ("0.01", "0.05", "0.1", "0.5", "1", "2", "5", "+Inf")
    }
    assert [*found.values()] == [0, 1, 2, 2, 2, 2, 2, 3]
    assert registry.get_sample_value("psa_backend_response_seconds_sum", labels) == 7.09
    metrics.lines("edge", "foreign", 3)
    lines = {"endpoint": "edge", "result": "foreign"}
    assert registry.get_sample_value("psa_haproxy_log_lines_total", lines) == 3
    times.forget("edge", "api_backend")
    assert registry.get_sample_value("psa_backend_response_seconds_count", labels) is None
