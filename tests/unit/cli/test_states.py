"""The one thing that a reader must know of an object, where several are true."""

from tests.builders_cli import GOOD, a_condition, an_object
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl

REFUSED = "GET nodes/pve1/lxc: connection refused"
UNSEEN = (
    a_condition("Ready", "Unknown", "ObserveFailed", REFUSED),
    a_condition("Stalled", "False", "ObserveFailed"),
)
WRONG = (
    a_condition("Ready", "False", "UnknownEndpoint", "there is no endpoint pvee"),
    a_condition("Stalled", "True", "UnknownEndpoint", "there is no endpoint pvee"),
)
PAUSE = {"until": "2026-11-24T14:00:00Z", "reason": "disk swap", "actor": "uid 0"}


def test_an_object_that_nobody_could_look_at_says_why(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(conditions=UNSEEN, observed=0)]
    assert terminal("get").out == (
        "CONTAINER  STATE      FOR  MESSAGE\n"
        "psa-redis  ◌ Unknown  5m   GET nodes/pve1/lxc: connection refused\n"
    )


def test_an_object_that_will_never_work_as_asked_says_why_before_its_first_look(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    daemon.objects = [an_object(conditions=WRONG, observed=0)]
    assert "✖ UnknownEndpoint" in terminal("get").out
    assert "there is no endpoint pvee" in terminal("wait", "ct/psa-redis", "--timeout", "0s").err


def test_a_change_that_is_not_looked_at_yet_says_so(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(conditions=GOOD, observed=1, generation=2)]
    assert "◌ Changed  generation 2 is not looked at yet" in terminal("get").out


def test_an_operators_suspension_says_why_until_when_and_by_whom(
    daemon: RecordedDaemon, terminal: Psactl
) -> None:
    daemon.objects = [an_object(suspended=PAUSE), an_object("Container/psa-two", spec={"suspend": True})]
    assert terminal("get").out == (
        "CONTAINER  STATE        MESSAGE\n"
        "psa-redis  ⏸ Suspended  disk swap, until 2026-11-24T14:00:00Z [uid 0]\n"
        "psa-two    ⏸ Suspended  its spec says suspend: true\n"
    )


def test_a_suspension_without_an_end_says_what_ends_it(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(suspended={**PAUSE, "until": None})]
    assert "⏸ Suspended  disk swap, until it is resumed [uid 0]" in terminal("get").out
