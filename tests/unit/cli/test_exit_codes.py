"""Each way of failing has its own code and says what to do."""

import errno
import io
import json
import socket
import sys
from pathlib import Path

import pytest

from daemon.cli.client import DaemonClient, unreachable
from daemon.cli.failures import CommandError, UnreachableError
from daemon.cli.session import Session
from tests.builders_cli import a_condition, a_plan, a_status, a_step, an_object
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl, run

KEY = "Container/psa-redis"


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (a_plan(KEY), 0),
        (a_plan(KEY, dependencies="waits for Container/x"), 0),
        (a_plan(KEY, foreign="carries no stamp of ours"), 0),
        (a_plan(KEY, a_step("start CT 103")), 1),
        (a_plan(KEY, waiting="CT 103 is locked (backup)"), 1),
        (a_plan(KEY, failed="task failed: no space"), 1),
        (a_plan(KEY, blocked={"reason": "Shrink", "message": "a disk never shrinks"}), 1),
        (a_plan(KEY, error="GET /cluster/resources: 595"), 2),
    ],
)
@pytest.mark.parametrize("command", ["plan", "diff"])
def test_plan_and_diff_say_by_code_whether_something_is_left(
    daemon: RecordedDaemon, terminal: Psactl, command: str, plan: object, code: int
) -> None:
    daemon.plans = [plan]

    ran = terminal(command)

    assert ran.code == code
    assert ran.out.splitlines()[-1].startswith("Nothing to do.") is (code == 0)


@pytest.mark.parametrize(("command", "code"), [("plan", 2), ("diff", 2), ("get", 4), ("status", 4)])
def test_without_a_daemon_psactl_says_where_it_looked(terminal: Psactl, command: str, code: int) -> None:
    ran = terminal(command)

    assert ran.code == code
    assert "there is no socket" in ran.err
    assert "PSA_SOCKET" in ran.err
    assert ran.out == ""


def test_a_socket_that_a_dead_daemon_left_is_no_daemon(terminal: Psactl, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "api.sock"))

    ran = terminal("get")

    assert ran.code == 4
    assert "nobody listens any more" in ran.err


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_no_socket_is_said_so(session: Session, tmp_path: Path, what: str) -> None:
    place = tmp_path / "odd"
    place.mkdir() if what == "folder" else place.touch()

    ran = run(session, "--socket", str(place), "get")

    assert ran.code == 4
    assert ran.err == f"✖ {place} is no socket\n  --socket PATH or PSA_SOCKET names the daemon's\n"


def test_a_path_that_is_too_long_for_a_socket_is_said_so(session: Session) -> None:
    ran = run(session, "--socket", f"/{'x' * 107}", "get")

    assert ran.code == 4
    assert "a socket's path has 107 bytes at most" in ran.err


class FakeTerminal(io.StringIO):
    """A terminal without colour."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_what_went_wrong_is_wrapped_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")

    CommandError("the attempt is held: " + "more good requests are needed " * 3, "wait " * 20).show()

    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("✖ the attempt is held")
    assert len(lines) > 3
    assert all(len(line) <= 60 for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])


def test_a_socket_that_may_not_be_opened_is_denied_and_names_the_group() -> None:
    found = unreachable(Path("/run/api.sock"), PermissionError(errno.EACCES, "Permission denied"), 1.0)

    assert found.exit_code == 5
    assert found.hint is not None
    assert "psa" in found.hint


def test_a_daemon_that_hangs_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "api.sock"))
        silent.listen()
        with pytest.raises(UnreachableError, match=r"no answer within 0\.05 s"):
            DaemonClient(tmp_path / "api.sock", answer_s=0.05).get("status")


def test_what_needs_more_rights_is_denied_with_the_hint(daemon: RecordedDaemon, terminal: Psactl) -> None:
    error = {
        "code": "NotAdmin",
        "message": "uid 1000 may not do this",
        "hint": "root and the daemon's user may",
    }
    daemon.refusals["/api/v1/mode"] = (403, {"error": error})

    ran = terminal("mode", "observe")

    assert ran.code == 5
    assert ran.err == "✖ uid 1000 may not do this\n  root and the daemon's user may\n"


def test_an_object_that_is_not_there_is_not_found(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY)]

    ran = terminal("describe", "ct/psa-rdis")

    assert ran.code == 3
    assert ran.err == "✖ there is no Container/psa-rdis\n  did you mean Container/psa-redis?\n"


def test_an_answer_of_another_release_is_said_so(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [{"kind": "Container"}]

    ran = terminal("get")

    assert ran.code == 1
    assert "does not fit this psactl" in ran.err


def test_an_answer_that_is_no_json_is_an_error(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.refusals["/api/v1/objects"] = (200, b"<html>")

    ran = terminal("get")

    assert ran.code == 1
    assert "no JSON" in ran.err


def test_a_broken_daemon_fails_the_command(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.refusals["/api/v1/objects"] = (
        503,
        {"error": {"code": "Stopping", "message": "it stops", "hint": None}},
    )

    assert terminal("get").code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("gett",),
        ("get", "--nonsense"),
        ("reconcile",),
        ("reconcile", "--all", "psa-redis"),
        ("wait",),
        ("wait", "--all", "--timeout", "60"),
        ("mode", "Enforced"),
        ("suspend", "psa-redis"),
        ("describe", "ct"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    daemon: RecordedDaemon, terminal: Psactl, arguments: tuple[str, ...]
) -> None:
    daemon.objects = [an_object(KEY), an_object("Container/psa-crm")]

    ran = terminal(*arguments)

    assert ran.code == 2
    assert ran.out == ""


def test_a_misspelled_command_is_guessed(terminal: Psactl) -> None:
    assert "did you mean describe?" in terminal("descirbe").err


@pytest.mark.parametrize("mode", ["Enforce", "Observe"])
@pytest.mark.parametrize("command", ["get", "plan", "diff"])
def test_observe_mode_is_said_beside_every_answer(
    daemon: RecordedDaemon, terminal: Psactl, command: str, mode: str
) -> None:
    daemon.objects = [an_object(KEY)]
    daemon.status = a_status(mode=mode, effectiveModeText=f"{mode}, by an operator: nothing is changed")

    ran = terminal(command)

    assert ("nothing is changed" in ran.err) is (mode == "Observe")


def test_data_stays_whole_and_parses(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [an_object(KEY, conditions=[a_condition("Ready", "False", "X", "long " * 50)])]
    daemon.status = a_status(mode="Observe")

    assert json.loads(terminal("get", "-o", "json").out) == daemon.objects
    assert json.loads(terminal("get", KEY, "-o", "json").out) == daemon.objects[0]
    assert json.loads(terminal("status", "-o", "json").out) == daemon.status
    assert "kind: Container" in terminal("get", KEY, "-o", "yaml").out
