"""Every command of the documents is run, as it stands, against a lab."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.by_hand import OLD_REDIS, create_by_hand
from lab.layout import Lab
from lab.platform import VERSIONS
from tests.docs.markdown import ROOT, Block, blocks, documents

COMMANDS = {
    path: found for path in documents() if (found := [each for each in blocks(path) if each.info == "sh"])
}
HOW_TO = [path for path in COMMANDS if path.parent.name == "how-to"]
TUTORIAL = ROOT / "docs/tutorial.md"
#: Pages of half a minute: one breaks all that there is, the others wait for whole releases.
LENGTHY = {
    "break-the-lab.md": (pytest.mark.slow,),
    "release-a-version.md": (pytest.mark.slow,),
    "roll-back.md": (pytest.mark.slow,),
}
pytestmark = pytest.mark.timeout(180)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder that looks like a checkout in which `make lab` was called."""

    root: Path

    @property
    def lab(self) -> Path:
        return self.root / ".lab"

    def python(self, *arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, timeout=60)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PSA_")}
        return subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=self.root,
            env=kept | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    found = Checkout(tmp_path_factory.mktemp("docs"))
    (found.root / ".venv").symlink_to(Path(sys.executable).parents[1])
    found.python("-m", "lab", "up", "--dir", str(found.lab), "--services", "3", "--data")
    try:
        yield found
    finally:
        found.python("-m", "lab", "down", "--dir", str(found.lab), "--remove")


def script(found: list[Block]) -> str:
    return "\n".join(f"echo '## {block}' >&2\n{block.text}" for block in found)


def test_the_documents_have_commands() -> None:
    assert TUTORIAL in COMMANDS
    assert len(HOW_TO) == len(list((ROOT / "docs/how-to").glob("*.md")))
    assert COMMANDS.keys() == {TUTORIAL, *HOW_TO}, "a document with commands that no test runs"


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=LENGTHY.get(path.name, ())) for path in HOW_TO], ids=name
)
def test_the_commands_of_a_how_to_work(checkout: Checkout, path: Path) -> None:
    if path.name == "adopt-a-container.md":
        create_by_hand(Lab.open(checkout.lab), *OLD_REDIS)
    found = checkout.run(
        script(COMMANDS[path]),
        PATH=f"{checkout.root}/.venv/bin:{os.environ['PATH']}",
        PSA_SOCKET=f"{checkout.lab}/run/api.sock",
        DESIRED=f"{checkout.lab}/desired.d",
    )

    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}"


def test_a_how_to_releases_a_version_that_the_demo_leaves_untried() -> None:
    shown = {*re.findall(r"1\.\d\.0", (ROOT / "lab/release_scenes.py").read_text())}
    hinted = {*re.findall(r"version: (\d\.\d\.\d)", (ROOT / "lab/demo.py").read_text())}
    text = "\n".join(block.text for path in HOW_TO for block in COMMANDS[path])
    released = re.findall(r"^  version: (\S+)$", text, re.MULTILINE)
    assert len(released) == len({*released}) >= 3
    assert not {*released} & (shown | hinted)
    assert {*released} <= {*VERSIONS}


def test_the_tutorial_works_from_its_first_line_to_its_last(checkout: Checkout) -> None:
    *steps, last = COMMANDS[TUTORIAL]
    found = checkout.run(script(steps))

    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}"
    assert "refused, exit code" in found.stdout
    assert "memroy" in found.stdout + found.stderr
    assert "first.yaml:" in found.stdout + found.stderr
    assert last.text == "psactl lab down --dir .lab\n", "the lab's end is the fixture's"


def test_a_lab_is_ended_as_the_tutorial_says(tmp_path: Path) -> None:
    place = Checkout(tmp_path)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    place.python("-m", "lab", "up", "--dir", str(place.lab), "--services", "0", "--no-daemon")

    found = place.run(COMMANDS[TUTORIAL][-1].text, PATH=f"{tmp_path}/.venv/bin:{os.environ['PATH']}")

    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}"
    status = subprocess.run(
        [sys.executable, "-m", "lab", "status", "--dir", str(place.lab)],
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    assert status.returncode == 1, "it still runs"
