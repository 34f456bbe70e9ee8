"""Whoever saves a file and asks at once hears of what was saved, from the daemon as it is installed."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.layout import Lab
from lab.processes import marked
from lab.sight import Sight
from lab.start import Options, bring_up

PSACTL = str(Path(sys.executable).with_name("psactl"))
CRM = Path("services") / "psa-crm.yaml"
SIZES = (5120, 6144, 7168, 8192, 9216, 10240)


@pytest.fixture
def lab(short_path: Path) -> Iterator[Lab]:
    lab = bring_up(Options(short_path / "lab", services=3, time_scale=0.1), daemon=True, say=print)
    assert psactl(lab, "wait", "--all", "--timeout", "60s").returncode == 0
    yield lab
    lab.parts.end_all(grace_s=1)
    assert marked(lab.record.mark) == frozenset()


def psactl(lab: Lab, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [PSACTL, "--socket", str(lab.socket("api")), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)


def save(lab: Lab, old: str, new: str) -> None:
    """Write the file where it lies, as many editors do."""
    path = lab.desired / CRM
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


@pytest.mark.timeout(180)
def test_wait_and_diff_right_after_an_edit_mean_what_was_just_saved(lab: Lab) -> None:
    sight = Sight(lab)
    for size, key in zip(SIZES, ("Service/psa-crm", "Container/psa-crm-blue") * 3, strict=True):
        save(lab, r"memory: \S+", f"memory: {size}Mi")
        waited = psactl(lab, "wait", key, "--timeout", "20s")
        assert (waited.returncode, sight.containers()[101].config["memory"]) == (0, str(size)), waited

    assert psactl(lab, "mode", "observe").returncode == 0
    for size in SIZES[:3]:
        save(lab, r"memory: \S+", f"memory: {size}Mi")
        found = psactl(lab, "diff")
        assert (found.returncode, f"memory: 10Gi → {size // 1024}Gi" in found.stdout) == (1, True), found


@pytest.mark.timeout(180)
def test_wait_right_after_a_broken_edit_fails_with_its_place(lab: Lab) -> None:
    save(lab, "memory:", "memroy:")
    for words in (["Service/psa-crm"], ["Container/psa-crm-blue"], ["--all"]):
        waited = psactl(lab, "wait", *words, "--timeout", "20s")
        assert waited.returncode == 1
        assert "services/psa-crm.yaml:18:5: error: spec.container" in waited.stderr
        assert 'did you mean "memory"?' in waited.stderr
    assert "psactl status shows why" in psactl(lab, "get").stderr

    save(lab, "memroy:", "memory:")
    assert psactl(lab, "wait", "--all", "--timeout", "20s").returncode == 0
