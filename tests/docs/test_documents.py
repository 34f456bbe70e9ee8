"""The documents: links lead somewhere, blocks are of a known sort, the reference is what the models say."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from crds.kinds import FILE_KINDS
from tests.docs.markdown import ROOT, Block, anchors, blocks, documents, links

DOCUMENTS = documents()
BLOCKS = tuple(block for path in DOCUMENTS for block in blocks(path))
#: ``sh`` is run against a lab, ``sh make`` is looked up in the Makefile; the others are files and output.
INFOS = {"mermaid", "sh", "sh make", "sql", "text", "yaml"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_a_link_leads_to_something(path: Path) -> None:
    for target in links(path):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{target}: no such file"
        assert there.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_of_a_known_sort(block: Block) -> None:
    assert block.info in INFOS


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.info == "sh make"], ids=str)
def test_a_make_command_is_a_target(block: Block) -> None:
    make = shutil.which("make")
    assert make is not None
    for command in block.text.splitlines():
        words = command.split("#")[0].split()
        assert words[0] == "make"
        result = subprocess.run(
            [make, "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.info == "yaml"], ids=str)
def test_a_yaml_block_that_declares_something_is_valid(block: Block) -> None:
    for data in yaml.safe_load_all(block.text):
        if "kind" in data and data["kind"] in FILE_KINDS:
            FILE_KINDS[data["kind"]].model_validate(data["spec"])


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, open_ends = set(), [ROOT / "README.md"]
    while open_ends:
        path = open_ends.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        targets = [
            (path.parent / each.partition("#")[0]).resolve() for each in links(path) if "://" not in each
        ]
        open_ends += [each for each in targets if each.is_file()]
        open_ends += [each for target in targets if target.is_dir() for each in target.glob("*.md")]
    assert set(DOCUMENTS) <= reached
