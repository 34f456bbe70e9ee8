import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.layout import Lab, LabError
from lab.monitoring import is_wanted, monitoring_urls, start_monitoring
from lab.parts import Parts
from lab.processes import Process, marked, send
from lab.sight import wait_until
from lab.start import Options, prepare, start_again, take_down
from lab.status import status_of


@pytest.fixture
def lab(short_path: Path) -> Iterator[Lab]:
    """A lab of which nothing runs but Prometheus and Alertmanager."""
    made, lock = prepare(Options(short_path / "lab", services=0, metrics=True), lambda _line: None)
    start_monitoring(made, keep_open=(lock,))
    os.close(lock)
    yield made
    made.parts.end_all(grace_s=1)


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the lab's own
        return json.load(answer)


def targets(lab: Lab) -> list[Any]:
    found = asked(f"{monitoring_urls(lab)['prometheus']}api/v1/targets")["data"]["activeTargets"]
    assert isinstance(found, list)
    return found


def sockets_of(process: Process) -> set[str]:
    """Return the local addresses, as /proc has them, at which a process listens."""
    links = [str(path.readlink()) for path in Path(f"/proc/{process.pid}/fd").iterdir() if path.is_symlink()]
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:")}
    rows = [
        line.split()
        for name in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[9] in inodes and row[3] in {"0A", "07"}}


def test_prometheus_watches_the_daemon_by_the_shipped_rules_and_tells_alertmanager(lab: Lab) -> None:
    urls = monitoring_urls(lab)
    # Found a moment after Prometheus is ready.
    assert wait_until(lambda: bool(targets(lab)), 20) is not None
    assert [(each["labels"]["job"], each["scrapeInterval"]) for each in targets(lab)] == [
        ("psa-reconciler", "1s")
    ]
    groups = asked(f"{urls['prometheus']}api/v1/rules")["data"]["groups"]
    assert {"psa-recording", "psa-releases", "psa-daemon"} <= {group["name"] for group in groups}
    assert {group["interval"] for group in groups} == {1}
    told = asked(f"{urls['alertmanager']}api/v2/status")["config"]["original"]
    assert f"http://127.{lab.record.number}.0.1:9633/webhooks/alertmanager" in told
    assert str(lab.alert_token) in told
    assert lab.alert_token.stat().st_mode & 0o777 == 0o600


def test_both_listen_at_addresses_of_the_lab_and_nowhere_else(lab: Lab) -> None:
    for name, process in lab.parts.running().items():
        port = {"prometheus": 9090, "alertmanager": 9093}[name]
        assert sockets_of(process) == {f"0100{lab.record.number:02X}7F:{port:04X}"}


def test_status_says_where_they_are(lab: Lab) -> None:
    found = status_of(lab)
    urls = found["urls"]
    assert isinstance(urls, dict)
    assert urls["prometheus"] == f"http://127.{lab.record.number}.0.1:9090/"
    assert urls["alertmanager"] == f"http://127.{lab.record.number}.0.1:9093/"


def test_one_that_was_killed_is_started_again_and_down_ends_both_without_their_pid_files(lab: Lab) -> None:
    first = lab.parts.running()["prometheus"]
    send(first, signal.SIGKILL)
    lab.parts.end("prometheus")
    start_again(lab, "prometheus")
    assert lab.parts.running()["prometheus"] != first
    for path in lab.record.run.glob("*.pid"):
        path.unlink()
    assert len(marked(lab.record.mark)) == 2
    take_down(lab.root)
    assert marked(lab.record.mark) == frozenset()
    assert not Parts(lab.record.run, lab.log, lab.record.mark).running()


def test_without_the_programs_a_lab_says_what_to_install_and_starts_without_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_wanted(None, said.append)
    assert "apt-get install prometheus prometheus-alertmanager" in said[0]
    assert not is_wanted(asked=False, say=said.append)
    with pytest.raises(LabError, match="apt-get install prometheus"):
        is_wanted(asked=True, say=said.append)
    assert len(said) == 1
