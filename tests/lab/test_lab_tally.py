from datetime import UTC, datetime

from lab.tally import NOBODY, Bad, Tally, who_served

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
GOOD, BAD = ("psa-api-gateway", "blue", "1.1.0"), ("psa-api-gateway", "green", "1.2.0")


def _tally() -> Tally:
    tally = Tally(sent=6)
    tally.answer(200, GOOD, at_s=0.1, took_s=0.010)
    tally.answer(500, BAD, at_s=1.25, took_s=0.020)
    tally.answer(503, NOBODY, at_s=1.5, took_s=0.030)
    tally.fail("timed out", at_s=6.5)
    tally.answer(200, BAD, at_s=6.75, took_s=0.040)
    tally.answer(404, GOOD, at_s=7.0, took_s=0.050)
    return tally


def test_failed_requests_are_told_by_who_failed() -> None:
    assert _tally().failed_by == {(BAD, "500"): 1, (NOBODY, "503"): 1, (NOBODY, "timed out"): 1}
    assert _tally().failed == 3


def test_a_mistake_of_the_client_is_no_failure() -> None:
    tally = _tally()
    assert tally.statuses[404] == 1
    assert tally.served_by == {GOOD: 2, BAD: 1}


def test_the_first_and_the_last_bad_answer_have_their_time() -> None:
    tally = _tally()
    assert tally.first_bad == Bad(1.25, "500", BAD)
    assert tally.last_bad == Bad(6.5, "timed out", NOBODY)
    data = tally.as_data(START)
    assert data["startedAt"] == "2026-03-01T12:00:00.000+00:00"
    assert data["firstBad"] == {
        "at": "2026-03-01T12:00:01.250+00:00",
        "afterS": 1.25,
        "what": "500",
        "service": "psa-api-gateway",
        "color": "green",
        "version": "1.2.0",
    }


def test_without_a_bad_answer_there_is_neither_a_first_nor_a_last_one() -> None:
    tally = Tally(sent=1)
    tally.answer(200, GOOD, at_s=0, took_s=0.001)
    data = tally.as_data(START)
    assert (data["firstBad"], data["lastBad"], data["failedBy"]) == (None, None, [])
    assert "bad answer" not in tally.table(START)


def test_the_series_has_a_row_for_each_second_with_answers() -> None:
    data = _tally().as_data(START, series=True)
    assert data["series"] == [
        {
            "second": 0,
            "answered": 1,
            "failed": 0,
            "slowestMs": 10.0,
            "servedBy": {"psa-api-gateway blue 1.1.0": 1},
        },
        {"second": 1, "answered": 2, "failed": 2, "slowestMs": 30.0, "servedBy": {}},
        {
            "second": 6,
            "answered": 1,
            "failed": 1,
            "slowestMs": 40.0,
            "servedBy": {"psa-api-gateway green 1.2.0": 1},
        },
        {
            "second": 7,
            "answered": 1,
            "failed": 0,
            "slowestMs": 50.0,
            "servedBy": {"psa-api-gateway blue 1.1.0": 1},
        },
    ]
    assert "series" not in _tally().as_data(START)


def test_the_table_says_who_failed_and_from_when_to_when() -> None:
    text = _tally().table(START)
    assert text.splitlines()[0] == "6 requests, 5 answered, 3 failed"
    assert "psa-api-gateway green 1.2.0: 500" in text
    assert "no application: timed out" in text
    assert "first bad answer after 1.25 s, 2026-03-01T12:00:01.250+00:00" in text
    assert "last bad answer after 6.50 s" in text
    assert "latency p50 30.0 ms, p95 50.0 ms, p99 50.0 ms" in text


def test_who_served_stands_in_the_head() -> None:
    assert who_served(b"http/1.1 500 x\r\nx-served-by: psa-crm green 1.2.0\r\ncontent-length: 0") == (
        "psa-crm", "green", "1.2.0"
    )  # fmt: skip
    assert who_served(b"http/1.1 503 service unavailable\r\ncontent-length: 0") == NOBODY
    assert who_served(b"http/1.1 200 ok\r\nx-served-by: somebody") == NOBODY
