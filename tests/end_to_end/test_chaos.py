"""Some rounds of ``make chaos``: random trouble at several places, and nobody who helps."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.layout import Lab
from lab.start import Options, bring_up
from tests.chaos.rounds import heal, play, troubles

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="psa-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        lab = bring_up(Options(Path(folder) / "lab", data=True), daemon=True, say=lambda _line: None)
        yield lab
        lab.parts.end_all(grace_s=2)


def test_after_random_trouble_all_is_as_asked_by_itself(lab: Lab) -> None:
    assert heal(lab)[1] == ""
    for trouble in itertools.islice(troubles(2026), 4):
        play(lab, trouble)
        took, wrong = heal(lab)
        assert wrong == "", f"after {took:.0f} s of {trouble}"
    assert "pass.panicked" not in (lab.root / "log/daemon.log").read_text()
