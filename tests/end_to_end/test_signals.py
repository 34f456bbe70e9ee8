"""What the daemon does at SIGHUP and SIGTERM, and what it then says of itself."""

import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.control import call_now
from lab.layout import Lab
from lab.processes import is_alive, marked, send
from lab.sight import wait_until
from lab.start import Options, bring_up
from tests.builders_source import container_yaml


@pytest.fixture
def lab(short_path: Path) -> Iterator[Lab]:
    lab = bring_up(Options(short_path / "lab", services=0, time_scale=0.1), daemon=True, say=print)
    yield lab
    lab.parts.end_all(grace_s=1)
    assert marked(lab.record.mark) == frozenset()


def reload(lab: Lab, mode: str) -> None:
    """Write the mode into the settings, and let the daemon read them again."""
    settings = lab.root / "config.yaml"
    kept = re.sub(r"(?m)^mode: .*\n", "", settings.read_text())
    settings.write_text(f"mode: {mode}\n{kept}")
    assert send(lab.parts.running()["daemon"], signal.SIGHUP)


def mode_text(lab: Lab) -> object:
    status = call_now(lab.socket("api"), "GET", "/api/v1/status")
    assert isinstance(status, dict)
    return status["effectiveModeText"]


def exposition(lab: Lab) -> str:
    listen = re.search(r"(?m)^ *listen: \"?([^\"\n]+)", (lab.root / "config.yaml").read_text())
    assert listen is not None
    with urllib.request.urlopen(f"http://{listen[1]}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def metric(lab: Lab, name: str) -> float:
    found = re.search(rf"(?m)^{name} (\S+)$", exposition(lab))
    assert found is not None
    return float(found[1])


def test_a_file_that_selects_an_endpoint_of_another_type_is_refused(lab: Lab) -> None:
    (lab.desired / "wrong.yaml").write_text(container_yaml().replace("endpoint: pve", "endpoint: edge"))

    def problems() -> list[str]:
        status = call_now(lab.socket("api"), "GET", "/api/v1/status")
        assert isinstance(status, dict)
        return [each["message"] for each in status["source"]["problems"]]

    said = 'spec.endpoint: the endpoint "edge" is of type haproxy, proxmox is needed; allowed: pve'
    assert wait_until(lambda: problems() == [said], 5) is not None, problems()
    assert call_now(lab.socket("api"), "GET", "/api/v1/objects") == []


def test_metrics_say_of_no_counter_when_it_was_made(lab: Lab) -> None:
    names = set(re.findall(r"(?m)^(psa_\w+)", exposition(lab)))
    assert {"psa_reconcile_total", "psa_reconcile_duration_seconds_bucket"} <= names
    assert [name for name in names if name.endswith("_created")] == []


def test_sighup_takes_the_settings_mode_or_keeps_the_old_one_and_sigterm_ends_in_peace(lab: Lab) -> None:
    said = "Enforce: differences are removed"
    assert mode_text(lab) == said
    assert metric(lab, "psa_mode_enforce") == 1

    reload(lab, "Observe")
    said = "Observe, by the settings: nothing is changed"
    assert wait_until(lambda: mode_text(lab) == said, 5) is not None
    assert wait_until(lambda: metric(lab, "psa_mode_enforce") == 0, 5) is not None

    reload(lab, "Obsreve")
    assert wait_until(lambda: metric(lab, "psa_config_last_reload_successful") == 0, 5) is not None
    assert mode_text(lab) == said
    assert 'did you mean \\"Observe\\"?' in lab.parts.tail("daemon", lines=50)

    reload(lab, "Enforce")
    assert wait_until(lambda: metric(lab, "psa_mode_enforce") == 1, 5) is not None
    call_now(lab.socket("api"), "POST", "/api/v1/mode", {"mode": "Observe"})
    assert mode_text(lab) == "Observe, by an operator: nothing is changed"
    assert wait_until(lambda: metric(lab, "psa_mode_enforce") == 0, 5) is not None

    daemon = lab.parts.running()["daemon"]
    assert send(daemon, signal.SIGTERM)
    began = time.monotonic()
    assert wait_until(lambda: not is_alive(daemon), 5) is not None
    assert time.monotonic() - began < 3
    assert "daemon.stopped" in lab.parts.tail("daemon", lines=3)
    assert not lab.socket("api").exists()
