import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.by_hand import OLD_REDIS
from lab.control import call_now
from lab.demo import run_demo
from lab.layout import Lab
from lab.monitoring import monitoring_urls
from lab.numbers import is_taken, lock_folder
from lab.processes import marked, send
from lab.scenes import Scenes
from lab.stage import Stage
from lab.start import Options, bring_up
from lab.story import Story

_CLAIMS = (
    "files become containers and traffic",
    "a file changes memory, without a restart",
    "a hand-edited weight is put back",
    "a HAProxy reload is put right",
    "a container stopped by hand runs again",
    "a broken file is refused with its place",
    "meanwhile the last good one is in force",
    "kill -9 of the daemon in the middle",
    "requests through HAProxy all the while",
    "a good version goes live under load",
    "through a HAProxy reload and a kill -9",
    "a bad version rolls back by itself",
    "the decision says what it stands on",
    "it is not tried again by itself",
    "an alert rolls a version back",
    "psactl diff: nothing to do",
)


def _demo(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lab", "demo", *arguments]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_shows_every_claim_and_what_is_kept_runs_on_until_a_second_one_ends_it(
    short_path: Path,
) -> None:
    folder = short_path / "lab"
    done = subprocess.run(
        _demo("--dir", str(folder), "--keep"), capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _shows_all(done.stdout)
    lab = Lab.open(folder)
    assert {*lab.parts.running()} == {"proxmox", "app", "haproxy", "daemon", "prometheus", "alertmanager"}
    for hint in (str(lab.desired), "sed -i", "bad.yaml", "/metrics", f"psactl lab down --dir {folder}"):
        assert hint in done.stdout
    for hint in (*monitoring_urls(lab).values(), "metrics/dashboards"):
        assert hint in done.stdout
    state = call_now(lab.socket("pve"), "GET", "/state")
    assert isinstance(state, dict)
    assert OLD_REDIS[0] in {each["vmid"] for each in state["containers"]}
    change = re.search(r"^ +(sed -i .+)$", done.stdout, re.MULTILINE)
    assert change is not None
    subprocess.run(change[1], shell=True, check=True)  # noqa: S602 - the hint as a user pastes it
    assert "memory: 8Gi" in (lab.desired / "services" / "psa-crm.yaml").read_text()
    with subprocess.Popen(_demo("--dir", str(folder)), stdout=subprocess.PIPE, text=True) as second:
        assert second.stdout is not None
        for line in second.stdout:
            if "the daemon is ready" in line:
                second.send_signal(signal.SIGINT)
        assert second.wait(60) == 1
    for ended in (lab, Lab.open(folder)):
        assert marked(ended.record.mark) == frozenset()
        assert not is_taken(lock_folder(), ended.record.number)


def _shows_all(output: str) -> None:
    seen = re.findall(r"^   ok   (.+?)  ", output, re.MULTILINE)
    assert tuple(seen) == _CLAIMS
    assert "memory 4096 → 6144 MiB, live, no restart" in output
    assert 'did you mean "memory"?' in output
    assert "Nothing to do." in output
    assert re.search(r"requests through HAProxy all the while +0 of \d{3,} failed", output)
    assert re.search(r"a good version goes live under load +0 of \d{4,} requests", output)
    table = output[: output.index("It is left running")]
    assert max(map(len, table.splitlines())) <= 80
    assert "\033" not in output


def test_a_daemon_that_changes_nothing_fails_the_demo(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PSA_MODE", "Observe")
    monkeypatch.setattr("lab.stage.PATIENCE_S", 3.0)
    assert run_demo(short_path / "lab", keep=False) == 1
    assert "waited 3 s for everything to be Ready, in vain" in capsys.readouterr().out
    assert marked(Lab.open(short_path / "lab").record.mark) == frozenset()


class _Blind(Scenes):
    """The scenes with a daemon that is stopped once the platform stands."""

    def open_the_doors(self) -> None:
        super().open_the_doors()
        self._stage.patience_s = 0.5
        send(self._lab.parts.running()["daemon"], signal.SIGSTOP)


def test_no_claim_holds_without_a_daemon(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = bring_up(Options(short_path / "lab", services=0, time_scale=0.1), daemon=True, say=print)
    story = Story()
    try:
        blind = _Blind(Stage(lab, story))
        blind.platform()
        blind.open_the_doors()
        monkeypatch.setattr("lab.control.call_now.__kwdefaults__", {"timeout_s": 0.5})
        blind.weight()
        blind.stopped_container()
    finally:
        lab.parts.end_all(grace_s=0.2)
    assert [claim.holds for claim in story.claims] == [True, False, False]
