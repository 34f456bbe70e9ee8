"""A real minute in which nothing is to do: the daemon looks, and neither writes nor changes anything."""

import re
import time
import urllib.request
from pathlib import Path

import pytest

from lab.control import call_now
from lab.layout import Lab
from lab.sight import Sight, wait_until
from lab.start import Options, bring_up
from lab.wiring import daemon_address

# A minute, and the tenth that a poll interval of 60 s may be longer: each container must have its look.
QUIET_S = 68


def metrics(lab: Lab, name: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{daemon_address(lab)}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {labels: float(value) for labels, value in re.findall(rf"(?m)^{name}\{{(.*)\}} (\S+)$", text)}


def written(lab: Lab) -> dict[str, object]:
    """Return everything that grows when something is written or changed."""
    status = call_now(lab.socket("api"), "GET", "/api/v1/status")
    assert isinstance(status, dict)
    return {
        "commits": status["commits"],
        "events": call_now(lab.socket("api"), "GET", "/api/v1/events?limit=1000"),
        "effects": metrics(lab, "psa_effects_total"),
        "proxmox": Sight(lab).changes(),
        "haproxy": Sight(lab).servers("api_backend"),
        "files": {path.name: path.stat().st_mtime_ns for path in lab.state.iterdir()},
    }


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_in_sixty_quiet_seconds_it_looks_and_neither_writes_nor_changes_anything(short_path: Path) -> None:
    lab = bring_up(Options(short_path / "lab", services=3, time_scale=0.1), daemon=True, say=print)
    try:
        assert wait_until(lambda: not Sight(lab).unready(), 60) is not None
        time.sleep(3)
        before, passes = written(lab), metrics(lab, "psa_reconcile_total")
        time.sleep(QUIET_S)
        assert written(lab) == before
        after = metrics(lab, "psa_reconcile_total")
        moved = {
            labels: after[labels] - passes[labels] for labels in after if after[labels] != passes[labels]
        }
        assert {labels.rpartition("result=")[2] for labels in moved} == {'"unchanged"'}
        assert moved['kind="TrafficSplit",result="unchanged"'] >= QUIET_S * 0.9
        assert moved['kind="Container",result="unchanged"'] >= 7, "each container was looked at"
    finally:
        lab.parts.end_all(grace_s=1)
