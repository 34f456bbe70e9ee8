"""A pipeline waits for one version: exit codes, and each change once."""

from collections.abc import Callable
from typing import Any

import pytest

from crds.release import Attempt, Phase
from tests.builders_cli import GOOD, a_condition, a_status
from tests.builders_cli_release import (
    NAME,
    NOON,
    RUNNING,
    a_hold,
    a_quarantine,
    a_release,
    ago,
    an_attempt,
)
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl
from tests.unit.cli.test_waiting import while_running

WAIT = ("release", "wait", NAME, "--timeout", "20s")
SOON = (*WAIT[:-1], "50ms")
STALLED = (*GOOD[1:-1], a_condition("Stalled", "True", "Quarantined", "1.2.3 is in quarantine"))
NOT_READY = (a_condition("Ready", "False", "Waiting", "attempt 3 begins"), *GOOD[1:])


def running(phase: Phase, **fields: Any) -> Any:
    return a_release(an_attempt(phase, **fields), conditions=RUNNING)


def ended(phase: Phase, **fields: Any) -> Attempt:
    return an_attempt(phase, ended_at=ago(minutes=1), reason="ErrorRate", message="31 of 640", **fields)


def told(daemon: RecordedDaemon, *objects: Any) -> Callable[[], None]:
    """Return what says these one after the other, once somebody listens and has looked."""

    def say() -> None:
        daemon.streams.get(timeout=5)
        daemon.wait_asked(f"/api/v1/objects/Release/{NAME}")
        for each in objects:
            daemon.say("object", each)

    return say


def test_each_change_is_printed_once_and_the_soak_is_success(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    daemon.objects = [running(Phase.PRE_CHECK, entered_at=ago(seconds=50))]
    then = told(
        daemon,
        running(Phase.PRE_CHECK, entered_at=ago(seconds=50)),
        a_release(an_attempt(Phase.FAILED), name="psa-other"),
        running(Phase.SPLIT, entered_at=ago(seconds=40), step_at=ago(seconds=40)),
        running(Phase.SPLIT, entered_at=ago(seconds=40), step_at=ago(seconds=35), step=1),
        running(Phase.WATCH, entered_at=ago(seconds=30)),
        running(Phase.SOAK, entered_at=ago(seconds=2), promoted_at=ago(seconds=4)),
    )

    ran = while_running(terminal, *WAIT, then=then)

    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
11:59:10  ● PreCheck, attempt 2: 1.1.0 → 1.2.3
11:59:20  ● Split, attempt 2: 1.1.0 → 1.2.3
11:59:25  ● Split, step 2
11:59:30  ● Watch, attempt 2: 1.1.0 → 1.2.3
11:59:58  ● Soak, attempt 2: 1.1.0 → 1.2.3
✔ 1.2.3 is promoted, 5m 56s after it began
"""
    )


def test_completed_waits_for_the_end_of_the_soak(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [running(Phase.SOAK, promoted_at=ago(minutes=1))]
    done = a_release(an_attempt(Phase.COMPLETED, ended_at=NOON))

    ran = while_running(terminal, *WAIT, "--for", "completed", then=told(daemon, done))

    assert ran.code == 0
    assert ran.out.endswith("✔ 1.2.3 was promoted, 6m after it began\n")


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.FAILED])
def test_a_version_that_is_given_up_is_code_3(daemon: RecordedDaemon, terminal: Psactl, phase: Phase) -> None:
    daemon.objects = [running(Phase.WATCH)]

    ran = while_running(terminal, *WAIT, then=told(daemon, a_release(ended(phase))))

    word = "failed" if phase is Phase.FAILED else "was rolled back"
    assert ran.code == 3
    assert ran.err == f"✖ 1.2.3 {word}, ErrorRate: 31 of 640\n  psactl describe Release/psa-suite\n"


HELD = running(Phase.WATCH, hold=a_hold("NotEnoughTraffic", "409 are missing"))


def test_a_hold_is_code_4(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [HELD]

    ran = terminal(*WAIT)

    assert ran.code == 4
    assert ran.out == "11:58:00  ⏸ Watch is held, NotEnoughTraffic: 409 are missing\n"
    assert ran.err.startswith("✖ held, NotEnoughTraffic: 409 are missing\n")


def test_a_long_reason_of_a_hold_is_wrapped_beside_its_time(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [running(Phase.WATCH, hold=a_hold("NotEnoughTraffic", "more requests are needed " * 5))]

    lines = terminal(*WAIT).out.splitlines()

    assert len(lines) > 1
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith(" " * 12) for line in lines[1:])


def test_a_hold_may_be_waited_through(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [HELD]

    ran = while_running(
        terminal, *WAIT, "--through-holds", then=told(daemon, HELD, running(Phase.SOAK, promoted_at=NOON))
    )

    assert ran.code == 0
    assert ran.out.count("is held") == 1


def test_a_freeze_is_a_hold(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [running(Phase.WATCH)]
    frozen = {"until": "2026-11-24T18:00:00Z", "reason": "black friday", "actor": "uid 0"}
    daemon.status = a_status(freeze=frozen)

    ran = terminal(*WAIT)

    assert ran.code == 4
    assert "✖ frozen until 18:00:00 UTC (in 6h): black friday [uid 0]\n" in ran.err


def test_a_version_in_quarantine_is_not_waited_for(daemon: RecordedDaemon, terminal: Psactl) -> None:
    before = an_attempt(Phase.COMPLETED, number=3, version="1.2.4")
    for release in (
        a_release(ended(Phase.ROLLED_BACK), quarantine=[a_quarantine()], conditions=STALLED),
        a_release(before, quarantine=[a_quarantine()], conditions=STALLED),
    ):
        daemon.objects = [release]
        assert terminal(*WAIT).code == 3


def test_an_obstacle_that_a_person_must_remove_is_code_4(daemon: RecordedDaemon, terminal: Psactl) -> None:
    missing = a_condition("Stalled", "True", "ServiceMissing", "there is no Service psa-crm")
    daemon.objects = [a_release(conditions=[a_condition("Ready", "False", "ServiceMissing"), missing])]

    ran = terminal(*WAIT)

    assert ran.code == 4
    assert ran.err == "✖ no attempt begins, ServiceMissing: there is no Service psa-crm\n"


def test_the_attempt_of_a_version_just_asked_for_is_waited_for(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    old = an_attempt(Phase.ROLLED_BACK, number=1, version="1.2.2")
    # What was said of the file before says nothing of the one that is there now.
    quarantined = a_condition("Stalled", "True", "Quarantined", "1.2.2 is in quarantine")
    daemon.objects = [a_release(old, conditions=[*NOT_READY, quarantined], generation=2, observed=1)]
    then = told(daemon, running(Phase.PRE_CHECK), running(Phase.SOAK, promoted_at=NOON))

    ran = while_running(terminal, *WAIT, then=then)

    assert ran.code == 0
    assert ran.err == "◌ no attempt at 1.2.3 yet: generation 2 is not looked at yet\n"
    assert ("POST", "/api/v1/catch-up", {}) in daemon.asked, "the file is read first"


def test_a_retry_that_was_accepted_is_waited_for(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [a_release(ended(Phase.ROLLED_BACK), conditions=NOT_READY)]
    third = an_attempt(Phase.SOAK, number=3, promoted_at=NOON)

    ran = while_running(terminal, *WAIT, then=told(daemon, a_release(third, history=[ended(Phase.FAILED)])))

    assert ran.code == 0
    assert "attempt 2 ended as RolledBack; the next one may begin" in ran.err


@pytest.mark.parametrize(
    ("release", "arguments", "ended_as"),
    [
        (a_release(), (), (0, "✔ 1.2.3 is live\n")),
        (
            a_release(
                an_attempt(Phase.COMPLETED, version="1.2.4", number=3),
                history=[an_attempt(Phase.COMPLETED, ended_at=NOON)],
            ),
            (),
            (0, "✔ 1.2.3 is live\n"),
        ),
        (
            a_release(
                an_attempt(Phase.COMPLETED, version="1.2.4", number=3),
                history=[an_attempt(Phase.COMPLETED, ended_at=NOON)],
                spec={"version": "1.2.4"},
            ),
            ("--version", "1.2.3"),
            (0, "✔ 1.2.3 was promoted, 6m after it began\n"),
        ),
        (
            a_release(ended(Phase.ROLLED_BACK), spec={"version": "1.2.4"}),
            ("--version", "1.2.3"),
            (3, ""),
        ),
        (a_release(spec={"version": "1.2.4"}), ("--version", "1.2.3"), (7, "")),
    ],
    ids=["live", "live again", "long ago", "given up", "never"],
)
def test_a_version_of_the_past_is_judged_by_its_own_attempt(
    daemon: RecordedDaemon, terminal: Psactl, release: Any, arguments: tuple[str, ...], ended_as: Any
) -> None:
    daemon.objects = [release]

    ran = terminal(*SOON, *arguments)

    assert (ran.code, ran.out) == ended_as


def test_a_refused_file_is_no_success_of_the_last_good_one(daemon: RecordedDaemon, terminal: Psactl) -> None:
    refused = a_condition("SourceValid", "False", "Refused", "a.yaml:7: unknown field")
    daemon.objects = [a_release(conditions=(*GOOD, refused))]

    ran = terminal(*WAIT)

    assert ran.code == 1
    assert "a.yaml:7: unknown field" in ran.err


def test_a_release_whose_file_was_just_dropped_is_waited_for(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    ran = while_running(terminal, *WAIT, then=told(daemon, running(Phase.SOAK, promoted_at=NOON)))

    assert ran.code == 0
    assert "there is no Release/psa-suite yet" in ran.err


def test_a_new_release_whose_file_is_refused_is_not(daemon: RecordedDaemon, terminal: Psactl) -> None:
    problem = {
        "file": "a.yaml",
        "line": 1,
        "column": 1,
        "message": "x",
        "rendered": "a.yaml:1:1: error: x\n",
        "object": f"Release/{NAME}",
    }
    daemon.status = a_status(source={"healthy": True, "message": "", "files": 1, "problems": [problem]})

    ran = terminal(*WAIT)

    assert (ran.code, ran.err) == (1, "✖ its file is refused:\na.yaml:1:1: error: x\n")


def test_the_time_is_over_and_the_release_goes_on(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [running(Phase.WATCH)]

    ran = terminal(*SOON)

    assert ran.code == 7
    assert ran.err == (
        "✖ psa-suite: Watch, attempt 2 at 1.2.3 after 0.05 s\n  it goes on: psactl release status psa-suite\n"
    )


def test_a_restart_of_the_daemon_does_not_end_the_wait(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [running(Phase.WATCH)]

    def then() -> None:
        daemon.streams.get(timeout=5)
        daemon.wait_asked(f"/api/v1/objects/Release/{NAME}")
        daemon.objects = [running(Phase.SOAK, promoted_at=NOON)]
        daemon.hang_up()

    ran = while_running(terminal, *WAIT, then=then)

    assert ran.code == 0
    assert "trying again" in ran.err
