"""Waiting and watching: what comes over the stream decides, across restarts of the daemon."""

import threading
from collections.abc import Callable
from typing import Any

from tests.builders_cli import a_condition, an_event, an_object
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
