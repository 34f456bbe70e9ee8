"""The list of situations: every number is there, and every test that it names exists."""

import ast
import re
from functools import cache

import pytest

from tests.docs.markdown import ROOT

DOCUMENT = ROOT / "docs" / "explanation" / "release-scenarios.md"
TEXT = DOCUMENT.read_text()
FILES = dict(re.findall(r"`([A-Z])` is\s+`([^`]+)`", TEXT))
ROWS = {int(number): row for number, row in re.findall(r"^\| (\d+) \| (.+) \|$", TEXT, re.MULTILINE)}
NAMED = sorted(set(re.findall(r"`([A-Z]|[\w./]+\.py)::(\w+)`", TEXT)))


@cache
def functions_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(
        each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_situation_has_its_row() -> None:
    assert list(ROWS) == list(range(1, 66))


@pytest.mark.parametrize("number", list(ROWS))
def test_a_situation_is_played_or_it_is_said_why_not(number: int) -> None:
    assert "::" in ROWS[number] or "left: " in ROWS[number]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: str(part)[-60:])
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    assert name in functions_in(FILES.get(file, file))


def test_the_files_that_the_list_is_about_are_named_as_a_whole() -> None:
    there = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/simulation/releases").glob("test_*.py")
    }
    assert set(FILES.values()) == there
