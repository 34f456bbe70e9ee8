"""What is told of a release afterwards: in describe, in its history, in a row of get."""

import json
from datetime import timedelta
from typing import Any

from crds.meta import canonical
from crds.release import Phase, Trigger
from tests.builders_cli import a_condition, a_plan
from tests.builders_cli_release import (
    NOON,
    RUNNING,
    SHOWN,
    a_check,
    a_hold,
    a_memo,
    a_quarantine,
    a_release,
    a_split,
    ago,
    an_attempt,
    moves_to,
)
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl

BROKE = "psa-api-gateway: 31 of 640 failed (4.8%), limit 0.1%"
CHECKS = (
    a_check("memory", "enough for pve1 4096 MiB"),
    a_check("smoke psa-crm", "exit 0", seconds=3.24),
)
BROKEN = an_attempt(
    Phase.ROLLED_BACK,
    began_at=ago(minutes=6),
    entered_at=ago(minutes=5, seconds=50),
    step_at=ago(minutes=5, seconds=53),
    first_bad_at=ago(minutes=5, seconds=52),
    decided_at=ago(minutes=5, seconds=51),
    ended_at=ago(minutes=5, seconds=50),
    reason="ErrorRate",
    message=BROKE,
    trigger=Trigger.RULE,
    checks=CHECKS,
)
FIRST = an_attempt(
    Phase.COMPLETED, number=1, version="1.1.0", began_at=ago(days=4), ended_at=ago(days=3), members={}
)
LAST = SHOWN.model_copy(update={"requests": 640, "errors": 31, "evidence": 12.2, "missing": None})
QUARANTINED = [
    a_condition(kind, truth, "Quarantined", "1.2.3 is in quarantine")
    for kind, truth in (("Ready", "False"), ("Stalled", "True"))
]
ASKED = {
    "id": 1,
    "verb": "promote",
    "actor": "uid 1000",
    "at": "2026-11-24T11:54:05Z",
    "reason": "hurry",
    "arguments": {},
    "accepted": False,
    "answer": "promote refused: in Smoke there is nothing to promote",
}


def broken(**rest: Any) -> Any:
    made = a_release(
        BROKEN,
        history=[BROKEN, FIRST],
        quarantine=[a_quarantine()],
        memo=a_memo(LAST),
        conditions=QUARANTINED,
        **rest,
    )
    made["metadata"]["requests"] = [ASKED]
    return made


STORY = """\
Release
  ✖ rolled back, ErrorRate: psa-api-gateway: 31 of 640 failed (4.8%), limit 0.1%
  ✖ 1.2.3 is in quarantine since attempt 2
  live  1.1.0, all traffic
  next  nothing by itself: another version in the file, or a retry
  do    psactl release retry psa-suite  try 1.2.3 again

Attempt 2
  version  1.1.0 → 1.2.3
  began    11:54:00 UTC
  ended    11:54:10 UTC, after 10s

  SERVICE          STABLE      CANDIDATE    ASKED
  psa-api-gateway  blue 1.1.0  green 1.2.3  0%
  psa-crm          blue 1.1.0  green 1.2.3

Checks
  ✔ memory                 enough for pve1 4096 MiB
  ✔ smoke psa-crm    3.2s  exit 0

Phases
  11:54:06  ✔ Smoke            1s
  11:54:07  ✔ Split            1s
  11:54:08  ✔ Watch            1s
  11:54:09  ✖ RollingBack      1s
  11:54:10  ✖ RolledBack

Figures of psa-api-gateway
  ✖ errors    4.8% (31 of 640), limit 0.1%; stable 0.0083% (1 of 12,110)
  ✖ evidence  ████████████████████ 10^12.2 of 10^3.3 needed to act
  ✔ response  p50 12 ms, p95 143 ms of 200 ms, p99 310 ms
    rule      keeps the limit so far

Post-mortem
  what   1.1.0 → 1.2.3 was rolled back
  why    ErrorRate: psa-api-gateway: 31 of 640 failed (4.8%), limit 0.1% [rule]
  when   began 11:54:00 UTC; bad since 11:54:08 UTC; decided 11:54:09 UTC, 1.0s
         later; over 11:54:10 UTC, 1.0s later
  users  31 of 640 requests to 1.2.3 failed (4.8%)
  next   live: 1.1.0, all traffic; 1.2.3 is not tried again by itself: another
         version in the file, or psactl release retry psa-suite

Asked of it
  ✖ 11:54:05 UTC  promote [uid 1000]: hurry → promote refused: in Smoke there is
    nothing to promote

In quarantine
  ✖ 1.2.3 since 11:59:00 UTC, attempt 2: ErrorRate: 3.1% of 640 failed

Earlier attempts
  #  VERSION  BEGAN         TOOK  OUTCOME
  1  1.1.0    20 Nov 12:00  1d    ✔ Completed"""


def test_describe_ends_with_a_post_mortem(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [broken(), a_split(100, 0)]
    daemon.plans = [a_plan("Release/psa-suite")]
    back = (Phase.ROLLING_BACK, "ErrorRate", BROKE)
    daemon.events = moves_to(Phase.WATCH, back, (Phase.ROLLED_BACK, "", ""))[5:]

    out = terminal("describe", "release", "psa-suite").out

    assert max(map(len, out.splitlines())) <= 80
    assert out[out.index("Release\n") : out.index("\n\nPlan\n")] == STORY


def test_a_running_attempt_has_no_post_mortem(daemon: RecordedDaemon, terminal: Psactl) -> None:
    attempt = an_attempt(Phase.WATCH, hold=a_hold("NotEnoughTraffic", "409 are missing"))
    daemon.objects = [a_release(attempt, memo=a_memo(), conditions=RUNNING), a_split(50, 50)]
    daemon.plans = [a_plan("Release/psa-suite")]
    daemon.events = moves_to(Phase.WATCH)

    out = terminal("describe", "psa-suite", "Release/psa-suite").out

    assert "Post-mortem" not in out
    assert "  ended    not yet; it runs for 6m\n" in out
    assert "  11:54:08  ⏸ Watch            5m 52s\n" in out


def test_describe_as_data_has_the_figures(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [broken()]
    daemon.plans = [a_plan("Release/psa-suite")]

    found = json.loads(terminal("describe", "release", "psa-suite", "-o", "json").out)

    assert found["object"]["memo"]["shown"]["psa-api-gateway"]["requests"] == 640


def test_the_history_is_a_row_an_attempt(daemon: RecordedDaemon, terminal: Psactl) -> None:
    running = an_attempt(Phase.WATCH, number=3, hold=a_hold("NotEnoughTraffic", "409 are missing"))
    daemon.objects = [a_release(running, history=[BROKEN, FIRST])]

    assert (
        terminal("release", "history").out
        == """\
#  VERSION  BEGAN         TOOK  OUTCOME       REASON
3  1.2.3    24 Nov 11:54  6m    ⏸ Watch       NotEnoughTraffic: 409 are missing
2  1.2.3    24 Nov 11:54  10s   ✖ RolledBack  ErrorRate: psa-api-gateway: 31 of…
1  1.1.0    20 Nov 12:00  1d    ✔ Completed
"""
    )


def test_the_wide_history_and_data_are_whole(daemon: RecordedDaemon, pipe: Psactl) -> None:
    daemon.objects = [broken()]

    row = pipe("release", "history", "-o", "wide").out.splitlines()[1]

    assert row.endswith(f"2026-11-24T11:54:08Z  2026-11-24T11:54:09Z  rule     ErrorRate: {BROKE}")
    told = json.loads(pipe("release", "history", "psa-suite", "-o", "json").out)
    assert told == [canonical(BROKEN), canonical(FIRST)], "each once"
    assert pipe("release", "history", "-o", "yaml").out.startswith("- number: 2\n")


def test_a_release_without_attempts_says_so(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [a_release()]
    assert terminal("release", "history").err == "no attempts\n"


def test_get_shows_a_row_a_release(daemon: RecordedDaemon, terminal: Psactl) -> None:
    def at(name: str, phase: Phase, says: str, **fields: Any) -> Any:
        ready = a_condition("Ready", "False", phase.value, f"1.2.3: {phase.value}: {says}")
        memo = a_memo(SHOWN.model_copy(update={"asked": 25, "observed": 25}))
        return a_release(an_attempt(phase, **fields), name=name, conditions=[ready], memo=memo)

    soaking = an_attempt(Phase.SOAK, for_=timedelta(hours=3), promoted_at=NOON)
    daemon.objects = [
        at("psa-a", Phase.SPLIT, "25 %: 40 requests"),
        at("psa-b", Phase.WATCH, "x", hold=a_hold("NotEnoughTraffic", "409 are missing")),
        at("psa-c", Phase.ROLLING_BACK, "x", reason="ErrorRate", message=BROKE),
        a_release(soaking, name="psa-d"),
        {**broken(), "metadata": {**broken()["metadata"], "name": "psa-e"}},
        a_release(name="psa-f", conditions=RUNNING),
    ]

    assert (
        terminal("get", "rel").out
        == """\
RELEASE  STATE          FOR  VERSION        PHASE        SHARE  MESSAGE
psa-a    ● Releasing    4m   1.1.0 → 1.2.3  Split        75/25  25 %: 40 reques…
psa-b    ⏸ Held         4m   1.1.0 → 1.2.3  Watch        75/25  NotEnoughTraffi…
psa-c    ✖ RollingBack  4m   1.1.0 → 1.2.3  RollingBack  100/0  ErrorRate: psa-…
psa-d    ✔ Ready        3h   1.1.0 → 1.2.3  Soak         0/100
psa-e    ✖ Quarantined  5m   1.1.0 → 1.2.3  RolledBack   100/0  1.2.3 is in qua…
psa-f    ◌ Waiting      5m   1.2.3                              360 s to go; 40…
"""
    )
