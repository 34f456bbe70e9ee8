"""Response times: quantiles of the last minute, exact counts at limits, places for known servers only."""

from reconcilers.response_times import BUCKETS_MS, ResponseTimes, ServerTimes, slot_of


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
    times.keep_only(set())
    assert times.answers("edge", "api_backend", "green", ()) is None


def test_the_histogram_has_the_answers_within_each_bound() -> None:
    times = a_clock_at(10)
    fed(times, "blue", 10, 11, 5000, 5001)
    (blue,) = [each for each in times.histograms() if each.server == "blue"]
    assert dict(zip(BUCKETS_MS, blue.counts, strict=True)) == {
        10: 1, 50: 2, 100: 2, 500: 2, 1000: 2, 2000: 2, 5000: 3
    }  # fmt: skip
    assert (blue.answers, blue.sum_s) == (4, 10.022)
