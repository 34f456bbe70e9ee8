"""Waiting and watching: what comes over the stream decides, across restarts of the daemon."""

import threading
from collections.abc import Callable
from typing import Any

from crds.release import Phase
from tests.builders_cli import GOOD, a_condition, a_status, an_event, an_object
from tests.builders_cli_release import a_release, an_attempt
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl, Ran

KEY = "Container/psa-redis"
CHANGING = (a_condition("Ready", "False", "Changing", "start CT 103"),)


def while_running(psactl: Psactl, *arguments: str, then: Callable[[], Any]) -> Ran:
    """Run psactl beside *then*, which is called once the stream is open and gives what psactl waits for."""
    other = threading.Thread(target=then)
    other.start()
    try:
        return psactl(*arguments)
    finally:
        other.join()


def test_wait_ends_when_the_object_becomes_ready(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY, conditions=CHANGING)]

    def then() -> None:
        daemon.streams.get(timeout=5)
        daemon.beat()
        daemon.say("object", an_object("Container/other"))
        daemon.say("object", an_object(KEY))

    ran = while_running(terminal, "wait", KEY, "--timeout", "20s", then=then)

    assert (ran.code, ran.out) == (0, "✔ 1 object ready\n")


def test_ready_for_an_older_spec_is_not_ready(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY, generation=2, observed=1)]

    ran = terminal("wait", KEY, "--timeout", "50ms")

    assert ran.code == 7
    assert "generation 2 is not looked at yet" in ran.err


def test_wait_says_at_the_end_who_is_missing_and_why(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY), an_object("Container/psa-crm", conditions=CHANGING)]

    ran = terminal("wait", "--all", "--timeout", "50ms")

    assert ran.code == 7
    assert ran.err == "◌ Container/psa-crm: Changing: start CT 103\n✖ 1 object not ready after 0.05 s\n"


def test_an_object_whose_file_was_just_dropped_is_waited_for(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    def then() -> None:
        daemon.wait_asked("/api/v1/objects")
        daemon.say("object", an_object(KEY))

    ran = while_running(terminal, "wait", "ct/psa-redis", "--timeout", "20s", then=then)

    assert ran.code == 0
    assert "there is no Container/psa-redis yet" in ran.err


A_PROBLEM = {
    "file": "data/psa-redis.yaml",
    "line": 9,
    "column": 3,
    "message": 'spec: there is no field "memroy"',
    "rendered": 'data/psa-redis.yaml:9:3: error: spec: there is no field "memroy"\n 9 |   memroy: 2Gi\n',
    "object": KEY,
}
A_SOURCE = {"healthy": True, "message": "", "files": 3, "problems": [A_PROBLEM]}
REFUSED = a_condition("SourceValid", "False", "Refused", "data/psa-redis.yaml:9:3: error")


def test_a_refused_file_ends_the_wait_with_its_place(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY, conditions=(*GOOD, REFUSED)), an_object("Container/other")]
    daemon.status = a_status(source=A_SOURCE)

    assert terminal("wait", "Container/other", "--timeout", "20s").code == 0
    for words in ([KEY], ["--all"]):
        ran = terminal("wait", *words, "--timeout", "20s")
        assert ran.code == 1
        assert ran.err.startswith("✖ refused, and the last good stays in force:\ndata/psa-redis.yaml:9:3: er")
        assert " 9 |   memroy: 2Gi" in ran.err


def test_a_new_object_whose_file_is_refused_is_not_waited_for(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    daemon.objects = []
    daemon.status = a_status(source=A_SOURCE)

    ran = terminal("wait", KEY, "--timeout", "20s")

    assert ran.code == 1
    assert " 9 |   memroy: 2Gi" in ran.err


def test_a_file_that_is_broken_meanwhile_ends_the_wait(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY, conditions=CHANGING)]

    def then() -> None:
        daemon.streams.get(timeout=5)
        daemon.wait_asked("/api/v1/objects")
        daemon.status = a_status(source=A_SOURCE)
        daemon.say("object", an_object(KEY, conditions=(*GOOD, REFUSED)))

    ran = while_running(terminal, "wait", KEY, "--timeout", "20s", then=then)

    assert ran.code == 1
    assert " 9 |   memroy: 2Gi" in ran.err


def test_a_child_is_as_its_owners_file_asks_only_when_the_owner_was_looked_at(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    child = an_object("Container/psa-crm-blue", owner="Service/psa-crm")
    daemon.objects = [child, an_object("Service/psa-crm", generation=2, observed=1)]

    ran = terminal("wait", "Container/psa-crm-blue", "--timeout", "50ms")

    assert ran.code == 7
    assert "Container/psa-crm-blue: its owner Service/psa-crm: Changed" in ran.err
    daemon.objects = [child, an_object("Service/psa-crm", generation=2, observed=2)]
    assert terminal("wait", "Container/psa-crm-blue", "--timeout", "20s").code == 0


def test_a_directory_that_cannot_be_read_in_time_is_no_success(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    daemon.objects = [an_object(KEY)]
    daemon.is_current = False

    ran = terminal("wait", KEY, "--timeout", "50ms")

    assert (ran.code, ran.err) == (7, "✖ the daemon cannot read the directory\n")


def test_what_was_asked_for_files_that_say_more_is_told_so(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY)]
    for source, told in (
        (A_SOURCE, "✖ 1 file is refused, the last good stays in force: psactl status shows why\n"),
        (
            {**A_SOURCE, "healthy": False, "message": "/d does not exist"},
            "✖ /d does not exist; the last good",
        ),
    ):
        daemon.status = a_status(source=source)
        for command in ("get", "diff"):
            ran = terminal(command)
            assert (ran.code, ran.err[: len(told)]) == (0, told)


def test_nobody_is_not_all(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = []

    ran = terminal("wait", "--all", "--timeout", "50ms")

    assert ran.code == 7
    assert "there are no objects" in ran.err


def test_wait_survives_a_restart_of_the_daemon(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY, conditions=CHANGING)]

    def then() -> None:
        daemon.streams.get(timeout=5)
        daemon.wait_asked("/api/v1/objects")
        daemon.say("event", an_event(41, KEY, "StepDone"), 41)
        daemon.objects = [an_object(KEY)]
        daemon.hang_up()

    ran = while_running(terminal, "wait", KEY, "--timeout", "20s", then=then)

    assert ran.code == 0
    assert "trying again" in ran.err
    assert daemon.streams.get(timeout=5) == "41", "the second stream goes on after the last event"


def test_watched_events_are_printed_once_each(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY)]
    daemon.events = [an_event(1, KEY, "StepDone")]

    def then() -> None:
        daemon.streams.get(timeout=5)
        daemon.say("event", an_event(1, KEY, "StepDone"), 1)
        daemon.say("object", an_object(KEY))
        daemon.say("event", an_event(2, "Container/other", "StepDone"), 2)
        daemon.say("event", an_event(3, KEY, "Suspended"), 3)
        daemon.say("event", {"id": "no number"}, 4)

    ran = while_running(terminal, "events", KEY, "-w", then=then)

    assert ran.out == f"11:59:01  ✔ {KEY}  StepDone\n11:59:03  ✔ {KEY}  Suspended\n"
    assert ran.code == 1, "an answer that nobody understands ends the watch"


def test_watched_objects_are_printed_when_they_change(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY, conditions=CHANGING, spec={"ctid": 103})]

    def then() -> None:
        daemon.wait_asked("/api/v1/status")
        daemon.say("object", an_object(KEY, conditions=CHANGING))
        daemon.say("object", an_object("Service/psa-crm"))
        daemon.say("object", an_object(KEY))
        daemon.say("object", {})

    ran = while_running(terminal, "get", "ct", "-w", then=then)

    assert ran.out.splitlines() == [
        "CONTAINER  STATE       FOR  CT   MESSAGE",
        "psa-redis  ◌ Changing  5m   103  start CT 103",
        "12:00:00  ✔ Container/psa-redis: Ready",
    ]


def test_the_figures_of_a_release_are_no_news(daemon: RecordedDaemon, terminal: Psactl) -> None:
    def at(phase: Phase, says: str) -> Any:
        ready = a_condition("Ready", "False", phase.value, f"1.2.3: {phase.value}: {says}")
        return a_release(an_attempt(phase), conditions=[ready])

    daemon.objects = [at(Phase.SPLIT, "25 %: 60 more requests")]

    def then() -> None:
        daemon.wait_asked("/api/v1/status")
        daemon.say("object", at(Phase.SPLIT, "25 %: 1,059 more requests"))
        daemon.say("object", at(Phase.WATCH, "20 s to go"))
        daemon.say("object", at(Phase.WATCH, "19 s to go"))
        daemon.say("object", {})

    ran = while_running(terminal, "get", "rel", "-w", then=then)

    assert ran.out.splitlines()[2:] == ["12:00:00  ● Release/psa-suite: Releasing, Watch: 20 s to go"]
