"""An alert by curl rolls back, with errorRate off nothing else does; other alerts do nothing at all."""

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crds.release import Phase, Trigger
from lab.status import status_of
from tests.builders_alerts import ASKS, alert_json, message_json
from tests.real_releases import CRM, GATEWAY, NEW, NEWER, RELEASE, Releases, releases

_OFF = {"limit": "1%", "method": "off"}
_NAME = RELEASE.partition("/")[2]
_DAEMON = "Daemon/psa-reconciler"


def curl(lab: Releases, message: Mapping[str, object], token: str | None = None) -> tuple[int, Any]:
    """Send a message as a person would; return the status and what was answered."""
    found = status_of(lab.lab)
    urls, files = found["urls"], found["files"]
    assert isinstance(urls, dict)
    assert isinstance(files, dict)
    secret = token or Path(files["alertToken"]).read_text().strip()
    argv = ["/usr/bin/curl", "-sS", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {secret}"]
    argv += ["--json", json.dumps(message), str(urls["alerts"])]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def fired(ago_s: float = 0, fingerprint: str = "1", **labels: str) -> Mapping[str, object]:
    """Return a message with one alert that asks for a rollback, and began so many seconds ago."""
    began = datetime.now(UTC) - timedelta(seconds=ago_s)
    return message_json(alert_json({**ASKS, **labels}, startsAt=began.isoformat(), fingerprint=fingerprint))


def results(told: Mapping[str, Any]) -> list[str]:
    return [each["result"] for each in told["alerts"]]


def test_a_bad_candidate_that_nothing_else_judges_goes_back_when_an_alert_fires(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(100) as users:
        lab.ask_for(NEW, watch="60s", errorRate=_OFF)
        lab.wait_in(Phase.WATCH)
        lab.fault(GATEWAY, NEW, error_rate=0.2)
        lab.wait("users to see errors", lambda: lab.counts()["green"] > 100)
        assert lab.is_in(Phase.WATCH), "nothing judges the errors"
        message = fired(service=GATEWAY)

        status, told = curl(lab, message)
        assert (status, results(told)) == (200, ["acted"])
        attempt = lab.wait_in(Phase.ROLLED_BACK, number=1, seconds=10)
        assert (attempt.trigger, attempt.reason) == (Trigger.ALERT, "RollbackRequested")
        assert "PsaReleaseErrors: the candidate failed 12 requests" in attempt.message
        assert "alertmanager at 127." in attempt.message
        assert lab.shares() == (100, 0)

        # The same once more, by the other one of a pair; and a stranger's.
        assert results(curl(lab, message)[1]) == ["duplicate"]
        assert curl(lab, fired(service=GATEWAY), token="0" * 32)[0] == 401
        lab.wait("the stranger to be told of", lambda: "AlertRefused" in reasons(lab, _DAEMON))
        assert lab.reasons().count("AlertActed") == 1
        shown = lab.psactl("events", RELEASE).stdout
        assert "AlertActed" in shown
        assert "the rollback of attempt 1 is asked for" in shown
    assert users.failed_by.keys() == {NEW}, users


def reasons(lab: Releases, key: str) -> list[str]:
    return [reason for reason, _ in lab.sight.reasons(key)]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_alerts_that_are_early_late_resolved_or_unclear_move_nothing(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(50):
        lab.ask_for(NEW, watch="60s", errorRate=_OFF, promotion="manual", minHealthy="3s")
        lab.wait_in(Phase.DEPLOY_CANDIDATE, Phase.HEALTH_CHECK)
        assert results(curl(lab, fired(release=_NAME))[1]) == ["early"]
        lab.wait_in(Phase.WATCH)
        over = message_json(alert_json({**ASKS, "release": _NAME}, status="resolved", fingerprint="2"))
        asked = {
            "early": fired(3600, "3", release=_NAME),
            "resolved": over,
            "unknown": fired(0, "4", release="somebody-else"),
        }
        for result, message in asked.items():
            assert results(curl(lab, message)[1]) == [result]
        assert results(curl(lab, fired(0, "5", service="nobody"))[1]) == ["unknown"]
        assert lab.is_in(Phase.WATCH)
        assert lab.shares() == (50, 50)
        assert results(curl(lab, fired(0, "6", service=CRM))[1]) == ["acted"]
        lab.wait_in(Phase.ROLLED_BACK, seconds=10)
        assert results(curl(lab, fired(0, "7", service=CRM))[1]) == ["late"]
        lab.ask_for(NEWER, watch="60s", errorRate=_OFF)
        lab.wait_in(Phase.WATCH, number=2)
        # What still fires since the attempt before says nothing about this one.
        assert results(curl(lab, fired(600, "6", service=CRM))[1]) == ["early"]
        assert lab.is_in(Phase.WATCH, number=2)
        told = lab.reasons()
        assert [each for each in told if each == "AlertActed"] == ["AlertActed"]
        assert {"AlertEarly", "AlertLate", "AlertResolved"} <= set(told)
        assert "AlertUnknown" in reasons(lab, _DAEMON)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_what_was_answered_outlives_a_kill_of_the_daemon_and_is_acted_on(short_path: Path) -> None:
    with releases(short_path / "lab") as lab, lab.users(50):
        lab.ask_for(NEW, watch="60s", errorRate=_OFF)
        lab.wait_in(Phase.WATCH)
        lost = [fired(0, f"other-{number}", release="somebody-else") for number in range(40)]
        answered = [message for message in lost if curl(lab, message)[0] == 200]
        asked = fired(0, "1", service=GATEWAY)
        assert results(curl(lab, asked)[1]) == ["acted"]
        lab.stage.kill_daemon()
        lab.stage.start_daemon()
        lab.wait_in(Phase.ROLLED_BACK, number=1, seconds=20)
        assert lab.shares() == (100, 0)
        assert len(answered) == 40
        for message in [asked, *answered]:
            assert results(curl(lab, message)[1]) == ["duplicate"]
        assert lab.reasons().count("AlertActed") == 1
        assert reasons(lab, _DAEMON).count("AlertUnknown") == 40
