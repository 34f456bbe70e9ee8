"""How a release ends, on one screen of 80 columns: rolled back, failed, soaking, completed."""

from datetime import timedelta
from typing import Any

from crds.release import Phase, Trigger
from tests.builders_cli import a_condition
from tests.builders_cli_release import (
    FIRST,
    RUNNING,
    SHOWN,
    a_check,
    a_memo,
    a_quarantine,
    a_release,
    ago,
    an_attempt,
    moves_to,
)
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl, show

BROKE = "psa-api-gateway: 31 of 640 failed (4.8%), limit 0.1%"
BROKEN: dict[str, Any] = {
    "reason": "ErrorRate",
    "message": BROKE,
    "trigger": Trigger.RULE,
    "step_at": ago(minutes=9),
    "decided_at": ago(minutes=7, seconds=1),
}
BACK = (Phase.ROLLING_BACK, "ErrorRate", BROKE)
LAST = SHOWN.model_copy(update={"requests": 640, "errors": 31, "evidence": 12.2, "missing": None, "asked": 0})
ALL = SHOWN.model_copy(
    update={"asked": 100, "observed": 100, "missing": None, "stable_requests": 0, "stable_errors": 0}
)


GOING_BACK = """\
psa-suite  1.1.0 → 1.2.3  ✖ RollingBack for 1s, attempt 2
  ✖ rolling back, ErrorRate: psa-api-gateway: 31 of 640 failed (4.8%), limit
    0.1%
  live  1.1.0 50%, 1.2.3 50%
  next  all traffic back to 1.1.0, then 1.2.3 is closed
  do    psactl describe Release/psa-suite  the whole story

Phases
  ✔ PreCheck  ✔ Backup  ✔ Migrate  ✔ DeployCandidate  ✔ HealthCheck  ✔ Smoke
  ✔ Split  ✖ Watch  ● RollingBack  ○ RolledBack

Figures of psa-api-gateway
  ✖ errors    4.8% (31 of 640), limit 0.1%; stable 0.0083% (1 of 12,110)
  ✖ evidence  ████████████████████ 10^12.2 of 10^3.3 needed to act
  ✔ response  p50 12 ms, p95 143 ms of 200 ms, p99 310 ms
    rule      keeps the limit so far

Events
  11:54:07  ✔ Smoke → Split
  11:54:08  ✔ Split → Watch
  11:54:09  ✖ Watch → RollingBack, ErrorRate: psa-api-gateway: 31 of 640 failed
              (4.8%), limit 0.1%

Services, and the candidate's share
  SERVICE          STABLE      CANDIDATE    ASKED  SEEN
  psa-api-gateway  blue 1.1.0  green 1.2.3  0%     ◌ 50%
  psa-crm          blue 1.1.0  green 1.2.3
"""


def test_a_rollback_under_way_says_why_and_that_nothing_is_to_be_done(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    attempt = an_attempt(Phase.ROLLING_BACK, for_=timedelta(seconds=1), **BROKEN)
    show(daemon, a_release(attempt, memo=a_memo(LAST)), percent=0, events=moves_to(Phase.WATCH, BACK)[6:])

    assert terminal("release", "status").out == GOING_BACK


def rolled_back(**rest: Any) -> Any:
    attempt = an_attempt(Phase.ROLLED_BACK, for_=timedelta(minutes=7), ended_at=ago(minutes=7), **BROKEN)
    return a_release(attempt, memo=a_memo(LAST), **rest)


def test_what_was_rolled_back_says_that_it_is_not_tried_again(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    events = moves_to(Phase.WATCH, BACK, (Phase.ROLLED_BACK, "", ""))
    show(daemon, rolled_back(quarantine=[a_quarantine()]), percent=0, events=events)

    out = terminal("release", "status").out

    assert out.startswith("""\
psa-suite  1.1.0 → 1.2.3  ✖ RolledBack for 7m, attempt 2
  ✖ rolled back, ErrorRate: psa-api-gateway: 31 of 640 failed (4.8%), limit 0.1%
  ✖ 1.2.3 is in quarantine since attempt 2
  live  1.1.0, all traffic
  next  nothing by itself: another version in the file, or a retry
  do    psactl describe Release/psa-suite  the whole story
        psactl release retry psa-suite     try 1.2.3 again

Phases
  ✔ PreCheck  ✔ Backup  ✔ Migrate  ✔ DeployCandidate  ✔ HealthCheck  ✔ Smoke
  ✔ Split  ✖ Watch  ✔ RollingBack  ✔ RolledBack
""")


def test_where_it_broke_is_guessed_when_the_events_are_gone(daemon: RecordedDaemon, terminal: Psactl) -> None:
    show(daemon, rolled_back(), percent=0)
    assert "  ✔ Split  ✖ Watch  ✔ RollingBack  ✔ RolledBack\n" in terminal("release", "status").out


def test_going_back_in_the_file_is_all_that_is_to_be_done(daemon: RecordedDaemon, terminal: Psactl) -> None:
    show(daemon, rolled_back(spec={"version": "1.1.0"}), percent=0)

    out = terminal("release", "status").out

    assert out.startswith("""\
psa-suite  1.1.0 → 1.2.3  ✖ RolledBack for 7m, attempt 2
  ✔ 1.1.0 is live, as asked; 1.2.3 was rolled back
  live  1.1.0, all traffic
  do    psactl describe Release/psa-suite  the whole story

Phases
""")
    assert "release" not in terminal("status").out


def test_another_version_in_the_file_is_followed_after_a_rollback(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    show(daemon, rolled_back(spec={"version": "1.2.4"}, conditions=RUNNING), percent=0)

    out = terminal("release", "status").out

    assert "  next  the file asks for 1.2.4 by now\n" in out
    assert "retry" not in out


def test_a_failed_check_leaves_users_alone(daemon: RecordedDaemon, terminal: Psactl) -> None:
    why = "templates: not there: local:vztmpl/psa-crm_1.2.3_amd64.tar.zst"
    failed: dict[str, Any] = {
        "reason": "CheckFailed",
        "message": why,
        "trigger": Trigger.CHECK,
        "ended_at": ago(minutes=2),
    }
    attempt = an_attempt(Phase.FAILED, checks=(a_check("templates", why, passed=False),), **failed)
    show(daemon, a_release(attempt), percent=0, events=moves_to(Phase.PRE_CHECK, (Phase.FAILED, "X", why)))

    out = terminal("release", "status").out

    assert out.startswith("""\
psa-suite  1.1.0 → 1.2.3  ✖ Failed for 4m, attempt 2
  ✖ failed, CheckFailed: templates: not there:
    local:vztmpl/psa-crm_1.2.3_amd64.tar.zst
  live  1.1.0, all traffic
  next  nothing by itself: another version in the file, or a retry
  do    psactl describe Release/psa-suite  the whole story
        psactl release retry psa-suite     try 1.2.3 again

Phases
  ✖ PreCheck  ✖ Failed

Events
""")


def test_the_soak_says_how_long_the_way_back_stays(daemon: RecordedDaemon, terminal: Psactl) -> None:
    attempt = an_attempt(Phase.SOAK, for_=timedelta(hours=1), promoted_at=ago(hours=1))
    show(daemon, a_release(attempt, memo=a_memo(ALL, soaked_s=3600.0)), percent=100)

    out = terminal("release", "status").out

    assert out.startswith("""\
psa-suite  1.1.0 → 1.2.3  ● Soak for 1h, attempt 2
  ✔ fine: 1.2.3 keeps its limits
  live  1.2.3, all traffic
  next  at 2026-11-25 11:00 UTC (in 23h) it is completed; until then the way
        back stays warm
  do    psactl release rollback psa-suite  all traffic back, at once

Phases
  ✔ PreCheck  ✔ Backup  ✔ Migrate  ✔ DeployCandidate  ✔ HealthCheck  ✔ Smoke
  ✔ Split  ✔ Watch  ✔ Promote  ✔ Verify  ● Soak
""")


def test_a_completed_release_asks_nothing(daemon: RecordedDaemon, terminal: Psactl) -> None:
    attempt = an_attempt(Phase.COMPLETED, for_=timedelta(hours=40), ended_at=ago(hours=40))
    show(daemon, a_release(attempt), percent=100)

    assert (
        terminal("release", "status").out
        == """\
psa-suite  1.1.0 → 1.2.3  ✔ Completed for 1d 16h, attempt 2
  ✔ done: 1.2.3 is live
  live  1.2.3, all traffic

Phases
  ✔ PreCheck  ✔ Backup  ✔ Migrate  ✔ DeployCandidate  ✔ HealthCheck  ✔ Smoke
  ✔ Split  ✔ Watch  ✔ Promote  ✔ Verify  ✔ Soak  ✔ Completed

Services, and the candidate's share
  SERVICE          STABLE      CANDIDATE    ASKED
  psa-api-gateway  blue 1.1.0  green 1.2.3  100%
  psa-crm          blue 1.1.0  green 1.2.3
"""
    )


def test_a_first_release_has_no_split_and_no_way_back(daemon: RecordedDaemon, terminal: Psactl) -> None:
    attempt = an_attempt(Phase.VERIFY, members=FIRST, promoted_at=ago(minutes=4))
    show(daemon, a_release(attempt, memo=a_memo(ALL), conditions=RUNNING), percent=0)

    out = terminal("release", "status").out

    assert out.startswith("""\
psa-suite  1.2.3 (first release)  ● Verify for 4m, attempt 2
  ● promoted: 1.2.3 is verified under all traffic
  live  1.2.3, all traffic
""")
    assert "  ✔ Promote  ● Verify  ○ Soak\n" in out
    assert "Split" not in out
    assert "rollback" not in out


def test_a_version_that_waits_for_the_soak_says_so(daemon: RecordedDaemon, terminal: Psactl) -> None:
    says = "1.2.3: Soak: SoakRunning: the file asks for 1.2.4; 1.2.3 soaks until 2026-11-25 11:00 UTC"
    attempt = an_attempt(Phase.SOAK, promoted_at=ago(hours=1))
    soaking = a_condition("Ready", "True", "Soak", says)
    show(daemon, a_release(attempt, spec={"version": "1.2.4"}, conditions=[soaking]), percent=100)

    assert "  ⏸ the file asks for 1.2.4: SoakRunning:" in terminal("release", "status").out
