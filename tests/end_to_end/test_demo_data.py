"""What `make lab` shows on data services, by itself: the other scenes are test_demo's."""

import io
import tempfile
from pathlib import Path

import pytest

from lab.data_scenes import DataScenes
from lab.processes import marked
from lab.stage import Stage
from lab.start import Options, bring_up
from lab.story import Story

pytestmark = pytest.mark.slow


@pytest.mark.timeout(120)
def test_data_services_become_what_files_say_and_what_is_broken_by_hand_comes_back() -> None:
    out = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="psa-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        options = Options(Path(folder) / "lab", services=0, time_scale=0.1, data=True)
        lab = bring_up(options, daemon=True, say=lambda _line: None)
        try:
            story = Story(out)
            DataScenes(Stage(lab, story)).play()
        finally:
            lab.parts.end_all(grace_s=1)
    assert [(claim.text, claim.holds) for claim in story.claims] == [
        ("files become what data services hold", True),
        ("broken replication streams again", True),
        ("a wiped broker is whole again", True),
    ], out.getvalue()
    assert "make physical slot replica1 on primary" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert marked(lab.record.mark) == frozenset()
