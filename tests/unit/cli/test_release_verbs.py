"""What is asked of a release, and what its answer makes of the command."""

from typing import Any

import pytest

from crds.meta import canonical
from crds.release import Phase, ReleaseStatus
from tests.builders_cli_release import a_release, ago, an_attempt
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl

YES = "traffic goes back to stable"


@pytest.fixture
def watching(daemon: RecordedDaemon) -> RecordedDaemon:
    daemon.objects = [a_release(an_attempt(Phase.WATCH))]
    return daemon


def status(phase: Phase, **fields: Any) -> Any:
    return canonical(ReleaseStatus(attempt=an_attempt(phase, **fields)))


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (("promote", "--reason", "looks well"), {"reason": "looks well", "attempt": 2}),
        (("promote", "psa-suite", "--force"), {"reason": "", "force": True, "attempt": 2}),
        (("pause", "--for", "2h"), {"reason": "", "until": "2026-11-24T14:00:00Z", "attempt": 2}),
        (
            ("pause", "--until", "2026-11-24T16:00:00+02:00"),
            {"reason": "", "until": "2026-11-24T14:00:00Z", "attempt": 2},
        ),
        (("pause",), {"reason": "", "attempt": 2}),
        (("resume", "Release/psa-suite"), {"reason": "", "attempt": 2}),
        (("retry", "--attempt", "1"), {"reason": "", "attempt": 1}),
    ],
)
def test_a_wish_says_what_who_asks_has_seen(
    watching: RecordedDaemon, terminal: Psactl, arguments: tuple[str, ...], body: Any
) -> None:
    watching.answers = {arguments[0]: (True, "as you like")}

    ran = terminal("release", *arguments)

    assert (ran.code, ran.out, ran.err) == (0, "✔ as you like\n", "")
    assert watching.posted(f"/api/v1/release/psa-suite/{arguments[0]}") == [body]


def test_a_rollback_asks_nothing_and_tells_when_it_is_over(
    watching: RecordedDaemon, terminal: Psactl
) -> None:
    watching.answers = {"rollback": (True, YES)}
    watching.outcomes = {"rollback": status(Phase.ROLLED_BACK, ended_at=ago(seconds=0))}

    ran = terminal("release", "rollback")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"✔ {YES}\n✔ 1.1.0 has all traffic again, after 0s\n"
    assert ("POST", "/api/v1/catch-up", {}) not in watching.asked, "no file is read first: it is urgent"


def test_an_abort_says_that_nobody_noticed(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [a_release(an_attempt(Phase.PRE_CHECK))]
    daemon.answers = {"abort": (True, "the attempt ends; stable was not touched")}
    daemon.outcomes = {"abort": status(Phase.FAILED, ended_at=ago(seconds=0))}

    assert terminal("release", "abort", "psa-suite").out.splitlines()[1] == (
        "✔ 1.2.3 is given up; 1.1.0 was live all the time"
    )


def test_a_refusal_fails_the_command_with_the_daemons_sentence(
    watching: RecordedDaemon, terminal: Psactl
) -> None:
    watching.answers = {"promote": (False, "promote refused: CT 1100 is ill; --force promotes all the same")}

    ran = terminal("release", "promote")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("✖ promote refused: CT 1100 is ill; --force promotes all the same\n")


def test_a_wish_about_an_attempt_that_is_over_is_refused_at_once(
    watching: RecordedDaemon, terminal: Psactl
) -> None:
    error = {"code": "OtherAttempt", "message": "Release/psa-suite is at attempt 3", "hint": "look again"}
    watching.refusals["/api/v1/release/psa-suite/rollback"] = (409, {"error": error})

    ran = terminal("release", "rollback")

    assert (ran.code, ran.err) == (1, "✖ Release/psa-suite is at attempt 3\n  look again\n")


def test_what_is_not_answered_stays_asked(
    watching: RecordedDaemon, terminal: Psactl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.release.verbs._ANSWER_S", 0.15)

    ran = terminal("release", "resume")

    assert ran.code == 7
    assert "it stays asked" in ran.err
    assert watching.posted("/api/v1/release/psa-suite/resume")


def test_a_rollback_that_takes_its_time_is_left_to_itself(
    watching: RecordedDaemon, terminal: Psactl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.release.verbs._ANSWER_S", 0.15)
    watching.answers = {"rollback": (True, YES)}
    watching.outcomes = {"rollback": status(Phase.ROLLING_BACK)}

    ran = terminal("release", "rollback")

    assert (ran.code, ran.out) == (0, f"✔ {YES}\n")
    assert ran.err == "◌ still RollingBack: psactl release status psa-suite -w shows the rest\n"


@pytest.mark.parametrize(
    ("names", "arguments", "said"),
    [
        (["psa-suite"], ("rollback", "psa-siute"), "did you mean Release/psa-suite?"),
        (["psa-a", "psa-b"], ("rollback",), "  psactl release rollback psa-b\n"),
        ([], ("rollback",), "a file of kind Release in the watched directory makes one"),
        (["psa-suite"], ("pause", "--for", "2h", "--until", "2026-11-24T14:00:00Z"), "not both"),
        (["psa-suite"], ("pause", "--until", "2026-11-24T11:00:00Z"), "11:00:00 UTC is over: it is 12:00:00"),
        (["psa-suite"], ("pause", "--until", "2026-11-24T14:00:00"), "has no time zone"),
        (["psa-suite"], ("pause", "--until", "two"), "'two' is no time, such as 2026-11-24T18:00:00Z"),
        (["psa-suite"], ("rolback",), "there is no command rolback: did you mean rollback?"),
    ],
)
def test_what_cannot_be_meant_is_code_2_and_asks_nothing(
    daemon: RecordedDaemon, terminal: Psactl, names: list[str], arguments: tuple[str, ...], said: str
) -> None:
    daemon.objects = [a_release(an_attempt(Phase.WATCH), name=name) for name in names]

    ran = terminal("release", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert [path for method, path, _ in daemon.asked if method == "POST"] == []


def test_without_a_daemon_it_is_code_2_too(terminal: Psactl) -> None:
    for command in ("rollback", "status", "history", "wait"):
        ran = terminal("release", command, "psa-suite")
        assert ran.code == 2, "4 would mean that it is held"
        assert "there is no socket" in ran.err
