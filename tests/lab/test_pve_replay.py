"""The simulator against recordings of a real Proxmox VE 8.4 and 9.2; -s shows the share."""

from pathlib import Path

import pytest

from lab.pve.replay import replay_file

RECORDINGS = Path(__file__).parent / "recordings"


@pytest.mark.parametrize(
    ("name", "covered", "share"),
    [("recordings-8.4.txt", 470, 0.99), ("recordings-9.2.txt", 32, 1.0)],
    ids=["version-8.4", "version-9.2"],
)
def test_the_simulator_answers_like_the_recorded_cluster(name: str, covered: int, share: float) -> None:
    report = replay_file(RECORDINGS / name)
    print(report)  # noqa: T201
    for mismatch in report.mismatches:
        asked = mismatch.exchange
        print(f"{asked.line}: {asked.method} {asked.path} {asked.params}: {mismatch.text[:300]}")  # noqa: T201
    assert report.covered >= covered
    assert report.share >= share
