"""Releases where the platform is another one: two HAProxy nodes as a pair, and nothing live at the start."""

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.release import Phase
from lab.layout import Lab
from lab.start import start_haproxy
from tests.real_releases import CRM, GATEWAY, NEW, OLD, releases

SPLIT = "TrafficSplit/psa-api-gateway"


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_with_one_node_away_the_other_is_rolled_back_at_once_and_that_one_when_it_is_back(
    short_path: Path,
) -> None:
    with releases(short_path / "lab", haproxies=2) as lab:
        with lab.users(100, "--node", "1") as users:
            lab.ask_for(NEW, watch="60s")
            lab.wait_in(Phase.WATCH)
            assert lab.shares(node=1) == lab.shares(node=2) == (50, 50)
            lab.sight.haproxies[1].kill()
            time.sleep(1)
            assert lab.is_in(Phase.WATCH), "a node that is away is no fault of the candidate"
            lab.fault(GATEWAY, NEW, error_rate=0.5)
            attempt = lab.wait_in(Phase.ROLLED_BACK)
            assert attempt.reason == "ErrorRate"
            assert lab.shares(node=1) == (100, 0)
            assert "away" in str(lab.condition(SPLIT, "Degraded"))
            start_haproxy(lab.lab, node=2)
            took_s = lab.wait("node 2 to be put right", lambda: lab.shares(node=2) == (100, 0))
            assert took_s <= 1.5
        assert users.failed_by.keys() == {NEW}, users


def _without_anything_live(lab: Lab) -> None:
    """Let no service say which colour is live."""
    for path in (lab.desired / "services").glob("*.yaml"):
        documents: list[dict[str, Any]] = list(yaml.safe_load_all(path.read_text()))
        for document in documents:
            document["spec"].pop("initial", None)
        path.write_text(yaml.safe_dump_all(documents))


@pytest.mark.timeout(120)
def test_a_first_release_makes_what_it_needs_and_gets_all_traffic_without_a_split(short_path: Path) -> None:
    with releases(short_path / "lab", arrange=_without_anything_live, is_ready=False) as lab:
        lab.ask_for(OLD)
        attempt = lab.wait_in(Phase.COMPLETED)
        assert {name: member.stable for name, member in attempt.members.items()} == {GATEWAY: None, CRM: None}
        assert Phase.SPLIT.value not in lab.reasons()
        assert lab.shares() == (100, 0)
        lab.wait("everything to be Ready", lambda: not lab.sight.unready())
