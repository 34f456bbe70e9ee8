"""docs/reference is what the models say, and the settings file shown there can be used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.settings import Settings, SettingsError, load_settings

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools/reference.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "word", ["**required**", "`Kind/name`", "such as `30s`, `10m`", "[Startup](#startup)", "`local`"]
)
def test_the_reference_tells_what_a_value_must_be(word: str) -> None:
    pages = (ROOT / "docs/reference/container.md").read_text() + (
        ROOT / "docs/reference/common.md"
    ).read_text()

    assert word in pages


def test_the_reference_shows_no_pattern_and_each_row_has_as_many_cells_as_its_head() -> None:
    for page in (ROOT / "docs/reference").glob("*.md"):
        cells = 0
        for line in page.read_text().splitlines():
            found = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert found == cells or not (found and cells), f"{page.name}: {line}"
            assert not re.search(r"^\|.*`\^", line), f"{page.name}: {line}"
            cells = found


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """Return the example with a token of ours; the file it names belongs to a real installation."""
    token = tmp_path / "pve.token"
    token.write_text("psa@pve!daemon=01234567-89ab-cdef-0123-456789abcdef\n")
    token.chmod(0o600)
    copy = tmp_path / "config.yaml"
    text = (ROOT / "examples/config.yaml").read_text()
    copy.write_text(text.replace("credential:pve.token", str(token)))
    return copy


def test_the_example_settings_are_accepted(example: Path) -> None:
    settings = load_settings(example, {}, {})

    assert {name: endpoint.type for name, endpoint in settings.endpoints.items()} == {
        "pve": "proxmox",
        "edge": "haproxy",
    }


def test_the_example_settings_repeat_the_defaults_where_they_decide_nothing(example: Path) -> None:
    settings = load_settings(example, {}, {})
    defaults = Settings()

    assert (settings.source, settings.state, settings.api) == (defaults.source, defaults.state, defaults.api)


def test_a_misspelled_setting_is_refused(example: Path) -> None:
    example.write_text(example.read_text().replace("sockets:", "socket:"))

    with pytest.raises(SettingsError, match="socket"):
        load_settings(example, {}, {})


@pytest.mark.parametrize("tool", ["phases", "exported", "dashboards"])
def test_what_is_generated_is_up_to_date(tool: str) -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / f"tools/{tool}.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
