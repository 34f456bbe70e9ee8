"""One release on one screen, in each of its phases: each text was looked at, at 80 columns."""

from datetime import timedelta
from typing import Any

import pytest

from crds.release import HoldExit, Phase, Shown
from crds.service import Color
from tests.builders_cli import a_condition, a_status
from tests.builders_cli_release import (
    RUNNING,
    SHOWN,
    a_hold,
    a_member,
    a_memo,
    a_release,
    a_split,
    ago,
    ahead,
    an_attempt,
    an_override,
    moves_to,
)
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl, show


def watched(shown: Shown = SHOWN, **attempt: Any) -> Any:
    return a_release(an_attempt(Phase.WATCH, **attempt), memo=a_memo(shown), conditions=RUNNING)


WATCHED = """\
psa-suite  1.1.0 → 1.2.3  ● Watch for 4m, attempt 2
  ✔ fine: 1.2.3 keeps its limits
  live  1.1.0 50%, 1.2.3 50%
  now   360 s to go; 409 more are needed
  next  at 12:06:00 UTC (in 6m) it is promoted, if the evidence suffices;
        watched until 12:26:00 UTC at most
  sees  with the candidates' part of today's traffic the watch can see error
        rates of 0.8% and more
  do    psactl release rollback psa-suite        all traffic back, at once
        psactl release pause psa-suite --for 2h  nothing moves forward

Phases
  ✔ PreCheck  ✔ Backup  ✔ Migrate  ✔ DeployCandidate  ✔ HealthCheck  ✔ Smoke
  ✔ Split  ● Watch  ○ Promote  ○ Verify  ○ Soak

Figures of psa-api-gateway
  ✔ errors    0.017% (2 of 12,003), limit 0.1%; stable 0.0083% (1 of 12,110)
  ✔ evidence  ██░░░░░░░░░░░░░░░░░░ 10^0.4 of 10^3.3 needed to act
  ✔ response  p50 12 ms, p95 143 ms of 200 ms, p99 310 ms
  ◌ missing   409 requests, about 21s at today's traffic
    rule      keeps the limit so far

Events
  11:54:04  ✔ Migrate → DeployCandidate
  11:54:05  ✔ DeployCandidate → HealthCheck
  11:54:06  ✔ HealthCheck → Smoke
  11:54:07  ✔ Smoke → Split
  11:54:08  ✔ Split → Watch

Services, and the candidate's share
  SERVICE          STABLE      CANDIDATE    ASKED  SEEN
  psa-api-gateway  blue 1.1.0  green 1.2.3  50%    50%
  psa-crm          blue 1.1.0  green 1.2.3
"""


def test_what_is_watched_says_that_it_is_fine_and_how_to_go_back(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    release = a_release(
        an_attempt(Phase.WATCH),
        memo=a_memo(),
        conditions=RUNNING,
        visible="with the candidates' part of today's traffic the watch can see error rates of 0.8% and more",
    )
    show(daemon, release, events=moves_to(Phase.WATCH))

    assert terminal("release", "status").out == WATCHED


def test_bad_figures_are_marked_before_the_rule_decides(daemon: RecordedDaemon, terminal: Psactl) -> None:
    bad = {"errors": 31, "evidence": 2.1, "p95_ms": 260.0, "observed": None, "says": "31 of 12,003 failed"}
    show(daemon, watched(SHOWN.model_copy(update=bad)))

    out = terminal("release", "status").out

    assert "  ✖ worrying: the evidence against 1.2.3 grows at psa-api-gateway\n" in out
    assert (
        """\
  ✖ errors    0.26% (31 of 12,003), limit 0.1%; stable 0.0083% (1 of 12,110)
  ✖ evidence  ████████████░░░░░░░░ 10^2.1 of 10^3.3 needed to act
  ✖ response  p50 12 ms, p95 260 ms of 200 ms, p99 310 ms
"""
        in out
    )
    assert "green 1.2.3  50%    ◌ ?\n" in out, "HAProxy does not say what it has"


def test_few_errors_of_few_requests_are_no_alarm(daemon: RecordedDaemon, terminal: Psactl) -> None:
    show(daemon, watched(SHOWN.model_copy(update={"requests": 40, "errors": 1})))
    assert "  ◌ above its limit at psa-api-gateway, but too few requests to decide\n" in (
        terminal("release", "status").out
    )
    show(daemon, watched(SHOWN.model_copy(update={"requests": 0, "errors": 0, "evidence": 0.0})))
    assert "  ● 1.2.3 had no request yet\n" in terminal("release", "status").out
    assert "  ◌ errors    no request yet, limit 0.1%; stable" in terminal("release", "status").out


def test_before_the_split_it_says_that_users_notice_nothing(daemon: RecordedDaemon, terminal: Psactl) -> None:
    says = a_condition("Ready", "False", "DeployCandidate", "1.2.3: DeployCandidate: CT 1100 is created")
    attempt = an_attempt(Phase.DEPLOY_CANDIDATE, for_=timedelta(seconds=42))
    show(
        daemon, a_release(attempt, conditions=[says]), percent=0, events=moves_to(Phase.DEPLOY_CANDIDATE)[2:]
    )

    assert (
        terminal("release", "status", "psa-suite").out
        == """\
psa-suite  1.1.0 → 1.2.3  ● DeployCandidate for 42s, attempt 2
  ● being prepared; users see 1.1.0 as before
  live  1.1.0, all traffic
  now   CT 1100 is created
  next  if it is not through by 12:29:18 UTC it fails; nothing was touched
  do    psactl release abort psa-suite           end it; users notice nothing
        psactl release pause psa-suite --for 2h  nothing moves forward

Phases
  ✔ PreCheck  ✔ Backup  ✔ Migrate  ● DeployCandidate  ○ HealthCheck  ○ Smoke
  ○ Split  ○ Watch  ○ Promote  ○ Verify  ○ Soak

Events
  11:54:03  ✔ Backup → Migrate
  11:54:04  ✔ Migrate → DeployCandidate

Services, and the candidate's share
  SERVICE          STABLE      CANDIDATE    ASKED
  psa-api-gateway  blue 1.1.0  green 1.2.3  0%
  psa-crm          blue 1.1.0  green 1.2.3
"""
    )


def test_the_split_tells_its_steps(daemon: RecordedDaemon, terminal: Psactl) -> None:
    figures = SHOWN.model_copy(update={"asked": 25, "observed": 25})
    release = a_release(
        an_attempt(Phase.SPLIT, step=1), memo=a_memo(figures), spec={"split": [5, 25, 50]}, conditions=RUNNING
    )
    show(daemon, release, percent=25)

    out = terminal("release", "status").out

    assert "  live  1.1.0 75%, 1.2.3 25%\n" in out
    assert "  next  step 2 of 3; then 50% as the evidence allows, then it is watched for 10m\n" in out


@pytest.mark.parametrize(
    ("hold", "said"),
    [
        (
            a_hold("NotEnoughTraffic", "2,190 of 2,599 requests, 409 are missing"),
            """\
  ⏸ held for 2m, NotEnoughTraffic: 2,190 of 2,599 requests, 409 are missing
  live  1.1.0 50%, 1.2.3 50%
  next  at 15:40:00 UTC (in 3h 40m) it rolls back, unless the hold is over
        before
  do    psactl release rollback psa-suite  all traffic back, at once
        psactl release promote psa-suite   all traffic to 1.2.3

Phases
""",
        ),
        (
            a_hold("AwaitingPromotion", "kept by 12,003 requests", until=ahead(hours=30)),
            """\
  ⏸ held for 2m, AwaitingPromotion: kept by 12,003 requests
  live  1.1.0 50%, 1.2.3 50%
  next  at 2026-11-25 18:00 UTC (in 1d 6h) it rolls back, unless the hold is
        over before
  do    psactl release rollback psa-suite  all traffic back, at once
        psactl release promote psa-suite   all traffic to 1.2.3

Phases
""",
        ),
        (
            a_hold("Paused", "paused by uid 1000: a graph", by="uid 1000", exit=HoldExit.RESUME),
            """\
  ⏸ held for 2m, Paused: paused by uid 1000: a graph
  live  1.1.0 50%, 1.2.3 50%
  next  at 15:40:00 UTC (in 3h 40m) it goes on by itself
  do    psactl release rollback psa-suite  all traffic back, at once
        psactl release resume psa-suite    go on

Phases
""",
        ),
        (
            a_hold("CommonCause", "stable fails as well", exit=HoldExit.STAY),
            """\
  ⏸ held for 2m, CommonCause: stable fails as well
  live  1.1.0 50%, 1.2.3 50%
  next  it stays so; at 15:40:00 UTC (in 3h 40m) it pages again
  do    psactl release rollback psa-suite  all traffic back, at once
        psactl release promote psa-suite   all traffic to 1.2.3

Phases
""",
        ),
    ],
    ids=lambda each: getattr(each, "reason", ""),
)
def test_a_hold_says_why_until_when_and_what_then(
    daemon: RecordedDaemon, terminal: Psactl, hold: Any, said: str
) -> None:
    show(daemon, watched(hold=hold))

    out = terminal("release", "status").out

    assert out.startswith(f"psa-suite  1.1.0 → 1.2.3  ⏸ Watch for 4m, attempt 2\n{said}")
    assert "  ✔ Split  ⏸ Watch  ○ Promote" in out


def test_a_freeze_and_an_override_are_shown_with_their_ends(daemon: RecordedDaemon, terminal: Psactl) -> None:
    show(daemon, watched(), override=an_override())
    frozen = {"until": "2026-11-24T18:00:00Z", "reason": "black friday", "actor": "uid 0"}
    daemon.status = a_status(freeze=frozen)

    out = terminal("release", "status").out

    assert (
        """\
  ⏸ frozen until 18:00:00 UTC (in 6h): black friday [uid 0]
  ⏸ psa-api-gateway's traffic is set by hand, blue 100, green 0, until 12:30:00
    UTC (in 30m): odd errors [uid 0]
  live  1.1.0, all traffic
  next  nothing moves forward until 18:00:00 UTC (in 6h); a rollback still does
  do    psactl release rollback psa-suite        all traffic back, at once
        psactl release pause psa-suite --for 2h  nothing moves forward
        psactl thaw                              end the freeze
        psactl traffic clear psa-api-gateway     end the override
"""
        in out
    )


def test_what_is_observed_suspended_or_without_a_file_says_so(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    pause = {"until": None, "reason": "disk swap", "actor": "uid 0"}
    release = a_release(an_attempt(Phase.WATCH), suspended=pause, orphanedSince="2026-11-24T11:00:00Z")
    show(daemon, release)
    daemon.status = a_status(mode="Observe", effectiveModeText="Observe, by an operator: nothing is changed")

    ran = terminal("release", "status")

    assert ran.err == ""
    assert (
        """\
  ⏸ mode Observe, by an operator: nothing is changed
  ⏸ its file is gone: what runs goes on to its end, nothing new begins
  ⏸ suspended: disk swap, until it is resumed [uid 0]
"""
        in ran.out
    )


def test_what_is_over_is_not_shown(daemon: RecordedDaemon, terminal: Psactl) -> None:
    show(daemon, watched(), override=an_override(until="2026-11-24T11:59:00Z"))
    daemon.status = a_status(freeze={"until": "2026-11-24T11:00:00Z", "reason": "x", "actor": "uid 0"})

    assert "⏸" not in terminal("release", "status").out


def test_a_release_that_cannot_begin_says_what_is_in_the_way(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    missing = "there is no Service psa-crm"
    conditions = [a_condition(kind, truth, "ServiceMissing", missing) for kind, truth in STALLED]
    daemon.objects = [a_release(conditions=conditions)]

    assert (
        terminal("release", "status").out
        == """\
psa-suite  1.2.3  ✖ ServiceMissing
  ✖ there is no Service psa-crm
  do    psactl describe Release/psa-suite  the whole story
"""
    )


STALLED = (("Ready", "False"), ("Stalled", "True"))


def test_figures_of_another_attempt_are_not_shown(daemon: RecordedDaemon, terminal: Psactl) -> None:
    show(daemon, a_release(an_attempt(Phase.WATCH), memo=a_memo(attempt=1)))
    assert "Figures" not in terminal("release", "status").out


def test_several_releases_are_shown_in_short(daemon: RecordedDaemon, terminal: Psactl) -> None:
    ended = an_attempt(Phase.ROLLED_BACK, ended_at=ago(minutes=4), reason="ErrorRate", message="31 of 640")
    running = a_release(an_attempt(Phase.WATCH), name="psa-b", conditions=RUNNING)
    daemon.objects = [a_release(ended, name="psa-a"), running, a_split(50, 50)]

    out = terminal("release", "status").out

    assert [line for line in out.splitlines() if line.startswith("psa-")] == [
        "psa-a  1.1.0 → 1.2.3  ✖ RolledBack for 4m, attempt 2",
        "psa-b  1.1.0 → 1.2.3  ● Watch for 4m, attempt 2",
    ]
    assert "Phases" not in out
    assert "Phases" in terminal("release", "status", "psa-b").out


def test_a_large_set_is_cut_and_several_old_versions_have_one_name(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    members = {f"psa-{number:02}": a_member(version=f"1.0.{number % 2}") for number in range(20)}
    members["psa-api-gateway"] = a_member(stable=Color.GREEN, is_entry=True)
    show(daemon, a_release(an_attempt(Phase.WATCH, members=members), conditions=RUNNING), percent=60)

    out = terminal("release", "status").out

    assert "  … and 13 more: psactl describe Release/psa-suite\n" in out
    assert "  psa-api-gateway  green 1.1.0  blue 1.2.3   40%\n" in out, "green is stable here"
    assert "  live  the old versions 60%, 1.2.3 40%\n" in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_pipe_gets_whole_lines_and_data_is_whole(daemon: RecordedDaemon, pipe: Psactl) -> None:
    show(daemon, watched(hold=a_hold("NotEnoughTraffic", "409 are missing")))

    out = pipe("release", "status").out

    assert "it rolls back, unless the hold is over before\n" in out
    assert '"attempt": {' in pipe("release", "status", "psa-suite", "-o", "json").out
    assert "  memo:" in pipe("release", "status", "-o", "yaml").out
