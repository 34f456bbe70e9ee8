"""What the how-to about Alertmanager shows is what is shipped, and is understood by who it is for."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.settings_alerts import AlertSettings
from daemon.web.alert_decision import Result
from metrics.alerts import RESULTS
from tests.docs.markdown import ROOT, blocks

PAGE = ROOT / "docs/how-to/let-alertmanager-roll-back.md"
SHIPPED: Any = yaml.safe_load((ROOT / "metrics/alertmanager/alertmanager.yaml").read_text())
SNIPPETS: list[Any] = [yaml.safe_load(block.text) for block in blocks(PAGE) if block.info == "yaml"]


def the_one_with(key: str) -> Any:
    (found,) = [each for each in SNIPPETS if key in each]
    return found


def ran(tmp_path: Path, program: str, *arguments: str, snippet: object) -> None:
    command = shutil.which(program)
    assert command is not None, "make test installs it"
    file = tmp_path / "snippet.yaml"
    file.write_text(yaml.safe_dump(snippet))
    done = subprocess.run([command, *arguments, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_receiver_and_its_route_are_the_shipped_ones_and_amtool_takes_them(tmp_path: Path) -> None:
    shown = the_one_with("receivers")
    assert shown["receivers"][0] == SHIPPED["receivers"][0]
    assert shown["route"]["routes"][0] == SHIPPED["route"]["routes"][0]
    ran(tmp_path, "amtool", "check-config", snippet=shown)


def test_the_rule_is_one_of_prometheus(tmp_path: Path) -> None:
    ran(tmp_path, "promtool", "check", "rules", snippet=the_one_with("groups"))


@pytest.mark.parametrize("snippet", [each["alerts"] for each in SNIPPETS if "alerts" in each])
def test_the_settings_are_settings(snippet: object) -> None:
    assert AlertSettings.model_validate(snippet, strict=False).is_open


@pytest.mark.parametrize("result", RESULTS)
def test_every_result_is_explained(result: str) -> None:
    assert f"`{result}`" in PAGE.read_text()
    assert result in {each.value for each in Result} | {"dropped", "malformed", "unauthorized"}
