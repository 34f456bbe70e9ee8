import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crds.service import Color
from lab.app_faults import AppFault
from lab.heavy import HeavyLoadError, run_heavy, tally_of
from lab.load import Target
from lab.tally import NOBODY
from tests.lab.app_sites import a_site, a_slot, served

START = datetime.fromtimestamp(1_795_621_985.0, UTC)
#: As wrk 4.1.0 of Debian 12 printed it.
OUTPUT = """Running 3s test @ http://127.46.40.10:8080/
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.49ms    1.61ms  18.98ms   88.61%
  56552 requests in 3.02s, 14.17MB read

{"requests": 56552, "seconds": 3.019453, "answers": [["200 psa-api-gateway blue 1.0.0", 55966], \
["502 ", 500], ["500 psa-api-gateway green 1.2.0", 86]], "connect": 0, \
"read": 5578, "write": 0, "timeout": 2, "firstBad": [1795621985.902570, "502 "], \
"lastBad": [1795621987.910739, "500 psa-api-gateway green 1.2.0"], \
"p50": 1.265000, "p95": 3.987000, "p99": 6.420000}
"""
GREEN = ("psa-api-gateway", "green", "1.2.0")


def test_what_wrk_counts_becomes_the_usual_tally() -> None:
    tally = tally_of(OUTPUT, START)
    assert tally.statuses == {200: 55_966, 502: 500, 500: 86}
    assert tally.failures == {"cut off": 5578, "timed out": 2}
    assert tally.sent == 56_552 + 5580
    assert tally.failed == 586 + 5580
    assert tally.served_by == {("psa-api-gateway", "blue", "1.0.0"): 55_966}
    assert tally.failed_by == {
        (NOBODY, "502"): 500,
        (GREEN, "500"): 86,
        (NOBODY, "cut off"): 5578,
        (NOBODY, "timed out"): 2,
    }
    assert tally.as_data(START)["latencyMs"] == {"p50": 1.265, "p95": 3.987, "p99": 6.42}


def test_the_first_and_the_last_bad_answer_are_told() -> None:
    data = tally_of(OUTPUT, START).as_data(START)
    assert data["firstBad"] == {
        "at": "2026-11-25T15:53:05.902+00:00",
        "afterS": 0.903,
        "what": "502",
        **dict.fromkeys(("service", "color", "version"), "?"),
    }
    assert data["lastBad"] == {
        "at": "2026-11-25T15:53:07.910+00:00",
        "afterS": 2.911,
        "what": "500",
        "service": "psa-api-gateway",
        "color": "green",
        "version": "1.2.0",
    }


def test_without_a_bad_answer_none_is_told() -> None:
    good = OUTPUT.replace("[1795621985.902570", "[0.000000").replace("[1795621987.910739", "[0.000000")
    tally = tally_of(good, START)
    assert (tally.first_bad, tally.last_bad) == (None, None)


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1:1 Connection refused", "{}", "{nope"])
def test_a_run_that_counted_nothing_says_what_wrk_said(output: str) -> None:
    with pytest.raises(HeavyLoadError, match="wrk counted nothing"):
        tally_of(output, START)


async def test_without_wrk_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HeavyLoadError, match="tools/setup wrk=wrk"):
        await run_heavy(Target("127.0.0.1", 1), 1, asyncio.Event())


async def test_wrk_sends_until_it_is_told_to_stop_and_tells_who_answered(number: int) -> None:
    site = a_site(a_slot(f"127.{number}.1.1", color=Color.GREEN), version="1.2.0")
    site.faults = (AppFault(error_rate=1, path="/bad"),)
    stopping = asyncio.Event()

    async def stop_after(requests: int) -> None:
        while site.requests < requests:
            await asyncio.sleep(0.01)
        stopping.set()

    async with served(site), asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(stop_after(2000))
        tally, started = await run_heavy(Target(site.slot.host, 3000), None, stopping, connections=4)
        bad, _ = await run_heavy(Target(site.slot.host, 3000, "/bad"), 1, asyncio.Event(), connections=4)
    assert tally.served_by.keys() == {GREEN}
    assert tally.statuses[200] >= 2000
    assert tally.failed == 0
    assert 0 < float(tally.percentiles["p50"]) <= tally.percentiles["p99"]
    assert abs((datetime.now(UTC) - started).total_seconds()) < 30
    assert bad.failed_by.keys() == {(GREEN, "500")}
    assert bad.first_bad is not None
    assert bad.last_bad is not None
    assert 0 <= bad.first_bad.at_s < bad.last_bad.at_s < 5
