"""What a person takes into his own hands, and for how long."""

import pytest

from crds.release import Phase
from tests.builders_cli import a_condition, a_status, an_object
from tests.builders_cli_release import GATEWAY, a_release, a_split, an_attempt, an_override
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl

SET = ("traffic", "set", GATEWAY)
WHY = ("--reason", "green errs")


@pytest.fixture
def platform(daemon: RecordedDaemon) -> RecordedDaemon:
    daemon.objects = [an_object(f"Service/{GATEWAY}"), an_object("Service/psa-crm"), a_split(50, 50)]
    return daemon


@pytest.mark.parametrize(
    ("words", "weights", "shares"),
    [
        (("blue=100",), {"blue": 100}, "blue 100%, green 0%"),
        (("green=10",), {"green": 10}, "blue 90%, green 10%"),
        (("blue=256", "green=256"), {"blue": 256, "green": 256}, "blue 50%, green 50%"),
    ],
)
def test_weights_are_set_for_a_while(
    platform: RecordedDaemon,
    terminal: Psactl,
    words: tuple[str, ...],
    weights: dict[str, int],
    shares: str,
) -> None:
    ran = terminal(*SET, *words, "--for", "30m", *WHY)

    end = "until 12:30:00 UTC (in 30m)"
    clear = f"psactl traffic clear {GATEWAY} ends it"
    assert (ran.code, " ".join(ran.out.split())) == (0, f"⏸ {GATEWAY}: {shares} {end}; {clear}")
    asked = {"service": GATEWAY, **weights, "until": "2026-11-24T12:30:00Z", "reason": "green errs"}
    assert platform.posted("/api/v1/traffic") == [asked]


def test_the_traffic_is_given_back(platform: RecordedDaemon, terminal: Psactl) -> None:
    assert terminal("traffic", "clear", f"svc/{GATEWAY}").out == (
        f"✔ {GATEWAY}: the traffic is the daemon's again\n"
    )
    assert platform.posted("/api/v1/traffic/clear") == [{"service": GATEWAY, "reason": ""}]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((*SET, "blue=100", *WHY), 2, "say until when: --for DURATION or --until TIME"),
        ((*SET, "blue=100", "--for", "30m"), 2, "--reason"),
        ((*SET, "red=100", "--for", "30m", *WHY), 2, "'red=100' is not of the form blue=100, 0 to 256"),
        ((*SET, "blue=300", "--for", "30m", *WHY), 2, "'blue=300' is not of the form"),
        ((*SET, "blue=1", "blue=2", "--for", "30m", *WHY), 2, "blue stands here twice"),
        ((*SET, "blue=0", "green=0", "--for", "30m", *WHY), 2, "one colour must have traffic"),
        (("traffic", "set", "psa-crn", "blue=1", "--for", "1m", *WHY), 3, "did you mean Service/psa-crm?"),
        (("freeze", "--reason", "x"), 2, "say until when"),
        (("freeze", "--for", "1h"), 2, "--reason"),
    ],
)
def test_what_is_not_clear_is_refused(
    platform: RecordedDaemon, terminal: Psactl, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = terminal(*arguments)

    assert ran.code == code
    assert said in ran.err
    assert platform.posted("/api/v1/traffic") == platform.posted("/api/v1/freeze") == []


def test_all_releases_are_frozen_and_thawed(daemon: RecordedDaemon, terminal: Psactl) -> None:
    assert terminal("freeze", "--until", "2026-11-30T08:00:00Z", "--reason", "holidays").out == (
        "⏸ frozen until 2026-11-30 08:00 UTC (in 5d 20h): no release moves forward;\n  psactl thaw ends it\n"
    )
    assert daemon.posted("/api/v1/freeze") == [{"until": "2026-11-30T08:00:00Z", "reason": "holidays"}]
    assert terminal("thaw", "--reason", "we are back").out == "✔ releases move forward again\n"
    assert daemon.posted("/api/v1/thaw") == [{"reason": "we are back"}]


def test_status_shows_freeze_overrides_and_what_runs(daemon: RecordedDaemon, terminal: Psactl) -> None:
    daemon.objects = [
        a_release(an_attempt(Phase.WATCH), name="psa-a"),
        a_release(an_attempt(Phase.COMPLETED), name="psa-b"),
        a_release(an_attempt(Phase.FAILED, reason="CheckFailed", message="no template"), name="psa-c"),
        a_release(name="psa-d"),
        a_release(
            name="psa-e",
            conditions=(a_condition("Ready", "False", "ServiceMissing", "there is no Service psa-crm"),),
        ),
        a_split(50, 50, override=an_override()),
    ]
    frozen = {"until": "2026-11-24T18:00:00Z", "reason": "black friday", "actor": "uid 0"}
    daemon.status = a_status(freeze=frozen, endpoints=[])

    assert (
        terminal("status").out
        == """\
psa-reconciler 0.1.0, up 3h
  ✔ mode       Enforce: differences are removed
  ✔ directory  3 files, no problem
  ✔ objects    2 of 2 ready
  ⏸ releases   frozen until 18:00:00 UTC (in 6h): black friday [uid 0]
  ⏸ traffic    psa-api-gateway's traffic is set by hand, blue 100, green 0,
               until 12:30:00 UTC (in 30m): odd errors [uid 0]
  ● release    psa-a 1.1.0 → 1.2.3, Watch for 4m: 1.2.3 had no request yet
  ✖ release    psa-c 1.1.0 → 1.2.3, Failed for 4m: failed, CheckFailed: no
               template
  ✖ release    psa-e 1.2.3: there is no Service psa-crm
"""
    )


def test_the_list_of_commands_has_whole_sentences(terminal: Psactl) -> None:
    _, _, commands = terminal("traffic", "--help").out.partition("Commands:")

    assert "set    Set weights by hand, such as blue=100.\n" in commands
