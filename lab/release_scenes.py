"""The demo's releases: a good one goes live through trouble, bad ones go back by the rule and by an alert."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lab.control import call_now
from lab.stage import NotSeenError, Stage, Tally, after, text

_RELEASE: Final = "Release/psa-suite"
_FILE: Final = Path("release.yaml")
_GATEWAY: Final = "psa-api-gateway"
_RATE: Final = 200
_ALERT_RATE: Final = 400
_BAD_SHARE: Final = 0.05
_PATIENCE_S: Final = 45.0

_TEXT: Final = """\
apiVersion: psa.platform/v1
kind: Release
metadata: {name: psa-suite}
spec:
  version: 1.1.0
  services: [psa-api-gateway, psa-crm, psa-tickets]
  checks: [unit, audit]            # hooks of the settings, before anything is changed
  smoke: [smoke]                   # against the new version's own address
  split: [50]
  watch: 8s                        # the demo's: 10m by default
  soak: 3s                         # the demo's: 24h by default
  minHealthy: 2s                   # the demo's: 10s by default
  errorRate: {limit: 0.1%}
"""


class ReleaseScenes:
    """One showing, on a platform that stands at 1.0.0."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._story = stage.story
        self._sight = stage.sight

    def play(self) -> None:
        """Show all scenes; NotSeenError where it makes no sense to go on."""
        self.good()
        self.bad()
        self.why_not()
        if self._stage.lab.record.metrics:
            self.by_alert()

    def good(self) -> None:
        """Release a good version under load, while HAProxy is reloaded and the daemon killed."""
        stage, story = self._stage, self._story
        story.title("A release goes live under load, through a reload and a kill -9")
        stage.let_users_in(_RATE)
        (stage.lab.desired / _FILE).write_text(_TEXT)
        story.say(f"release.yaml says version 1.1.0; users send {_RATE} requests a second")
        seconds = self._reached("the watch to begin", "Watch")
        story.say(
            f"{after(seconds)}: hooks passed, three green containers run and are healthy, HAProxy sends half"
            f" of the users there: {stage.shown()}"
        )
        pid = self._sight.haproxy.reload()
        back = stage.within(lambda: self._shares() == {"blue": 50, "green": 50})
        story.say(f"HAProxy is reloaded (pid {pid}); {after(back)} it has blue 50, green 50 again")
        attempt = self._attempt()
        killed = stage.kill_daemon()
        story.say(f"the daemon is killed (pid {killed}) and started again (pid {stage.start_daemon()})")
        done = self._reached("1.1.0 to be promoted", "Soak", "Completed")
        same = self._attempt() == attempt
        story.say(f"{after(done)} 1.1.0 has all traffic: {stage.shown()}. It is still attempt {attempt}:")
        story.quote(self._event("Evidence"))
        tally = stage.see_users_off()
        story.claim(
            "a good version goes live under load",
            f"{tally.failed} of {tally.sent} requests failed",
            holds=tally.failed == 0 and tally.sent > _RATE and self._who(tally) == {"1.0.0", "1.1.0"},
        )
        story.claim(
            "through a HAProxy reload and a kill -9",
            f"weights back after {text(back)}, the same attempt went on",
            holds=back is not None and same and self._shares() == {"blue": 0, "green": 100},
        )

    def bad(self) -> None:
        """Release a version that fails 5 % of its requests."""
        stage, story = self._stage, self._story
        story.title("A bad release rolls back by itself")
        self._reached("1.1.0 to be completed", "Completed")
        order = {"service": _GATEWAY, "version": "1.2.0", "fault": {"error_rate": _BAD_SHARE}}
        call_now(stage.lab.socket("app"), "POST", "/lab/fault", order)
        stage.let_users_in(_RATE)
        stage.edit(_FILE, "version: 1.1.0", "version: 1.2.0")
        story.say(
            "release.yaml says 1.2.0; what nobody knows: it fails 5 % of its requests. The limit is 0.1 %"
        )
        self._reached("the watch to begin", "Watch", "RolledBack")
        story.say(f"hooks and health are well, and half of the users go there: {stage.shown()}")
        seconds = self._reached("1.2.0 to be rolled back", "RolledBack")
        story.say(f"{after(seconds)} all users are back on 1.1.0: {stage.shown()}. The decision:")
        story.quote(self._attempt_text("message"))
        tally = stage.see_users_off()
        bad = {row.version: row.count for row in tally.failed_by}
        sent = sum(row.count for row in tally.served_by if row.version == "1.2.0") + bad.get("1.2.0", 0)
        story.say(
            f"users sent {tally.sent} requests. 1.2.0 (candidate) had {sent} of them and failed"
            f" {bad.get('1.2.0', 0)}; 1.1.0 (stable) failed {bad.get('1.1.0', 0)}"
        )
        span = self._span(tally)
        story.claim(
            "a bad version rolls back by itself",
            f"{tally.failed} of {tally.sent} requests failed, first to last in {span:.1f} s",
            holds=set(bad) == {"1.2.0"}
            and tally.failed < _RATE
            and self._shares() == {"blue": 0, "green": 100},
        )
        decided = self._attempt_text("message")
        evidence = re.search(r"[\d.]+ % of \d+ requests failed", decided)
        story.claim(
            "the decision says what it stands on",
            f"{evidence[0] if evidence else decided}, limit 0.1 %",
            holds=evidence is not None and "limit 0.1 %" in decided and "evidence" in decided,
        )

    def why_not(self) -> None:
        """Ask why the file is not followed, and mend it."""
        stage, story = self._stage, self._story
        stage.within(lambda: "Quarantined" in stage.psactl("diff").stdout)
        done = stage.psactl("diff")
        story.say(f"psactl diff says why the file is not followed (exit code {done.returncode}):")
        story.quote(done.stdout)
        story.claim(
            "it is not tried again by itself",
            "1.2.0 is in quarantine",
            holds="Quarantined" in done.stdout and "psactl release retry" in done.stdout,
        )
        stage.edit(_FILE, "version: 1.2.0", "version: 1.1.0")
        stage.within(lambda: not self._sight.unready())
        story.say("release.yaml says 1.1.0 again; psactl release history:")
        story.quote(stage.psactl("release", "history", "psa-suite").stdout)

    def by_alert(self) -> None:
        """Release a bad version that only Prometheus and Alertmanager judge."""
        stage, story = self._stage, self._story
        story.title("An alert takes a version back, too")
        order = {"service": _GATEWAY, "version": "1.3.0", "fault": {"error_rate": _BAD_SHARE}}
        call_now(stage.lab.socket("app"), "POST", "/lab/fault", order)
        stage.let_users_in(_ALERT_RATE)
        stage.edit(_FILE, "watch: 8s ", "watch: 1m ")
        stage.edit(_FILE, "limit: 0.1%", "limit: 0.1%, method: off")
        stage.edit(_FILE, "version: 1.1.0", "version: 1.3.0")
        story.say(
            "release.yaml says 1.3.0, as bad as 1.2.0, and errorRate: {method: off}: the daemon itself does"
            " not judge; Prometheus and Alertmanager do, with the rules of metrics/rules"
        )
        stage.needed("1.3.0 to be tried", lambda: self._attempt_text("version") == "1.3.0", _PATIENCE_S)
        self._reached("the watch to begin", "Watch", "RolledBack")
        story.say(f"half of the users go there: {stage.shown()}")
        seconds = self._reached("1.3.0 to be rolled back", "RolledBack")
        story.say(f"{after(seconds)} Alertmanager has called, and all users are back: {stage.shown()}")
        story.quote(self._attempt_text("message"))
        tally = stage.see_users_off()
        story.claim(
            "an alert rolls a version back",
            f"by PsaReleaseErrors, {text(seconds)} after its first users",
            holds=self._attempt_text("trigger") == "alert"
            and {row.version for row in tally.failed_by} == {"1.3.0"}
            and self._shares() == {"blue": 0, "green": 100},
        )
        stage.edit(_FILE, ", method: off", "")
        stage.edit(_FILE, "watch: 1m ", "watch: 8s ")
        stage.edit(_FILE, "version: 1.3.0", "version: 1.1.0")
        stage.within(lambda: not self._sight.unready())

    def _status(self) -> Mapping[str, object]:
        found = self._sight.objects().get(_RELEASE, {}).get("status")
        attempt = found.get("attempt") if isinstance(found, Mapping) else None
        return attempt if isinstance(attempt, Mapping) else {}

    def _reached(self, what: str, *phases: str) -> float:
        """Wait until the attempt is in one of *phases*; if that takes too long, show where it is."""
        try:
            return self._stage.needed(what, lambda: self._attempt_text("phase") in phases, _PATIENCE_S)
        except NotSeenError:
            self._story.quote(self._stage.psactl("release", "status", "psa-suite").stdout)
            raise

    def _attempt(self) -> object:
        return self._status().get("number")

    def _attempt_text(self, name: str) -> str:
        return str(self._status().get(name, ""))

    def _event(self, word: str) -> str:
        reasons = self._sight.reasons(_RELEASE)
        return next((message for reason, message in reversed(reasons) if reason == word), "")

    def _shares(self) -> Mapping[str, int]:
        return {
            name: seen.weight if seen.state == "ready" else 0 for name, seen in self._stage.servers().items()
        }

    @staticmethod
    def _who(tally: Tally) -> set[str]:
        return {row.version for row in tally.served_by}

    @staticmethod
    def _span(tally: Tally) -> float:
        if tally.first_bad is None or tally.last_bad is None:
            return 0.0
        return tally.last_bad.after_s - tally.first_bad.after_s
