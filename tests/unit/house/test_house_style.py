"""The house style that no linter knows: sizes, names, and where an exception may be caught broadly."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("crds", "daemon", "lab", "metrics", "reconcilers")
FOLDERS = (*PACKAGES, "tests", "tools")
TEXT_FOLDERS = (".ci", "docs", "examples", "systemd")
PRODUCT = tuple(sorted(path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")))
EVERYTHING = tuple(sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")))

MODULE_WALL = 400
#: A table of texts or of plans does not become clearer in two files.
TEST_WALL = 450
FUNCTION_WALL = 45
#: Where everything may be caught: it logs, counts and backs off there.
BROAD = {"daemon/engine/controller.py"}
VAGUE_CLASS = re.compile(r"(Manager|Helper|Helpers|Util|Utils|Impl)$")
VAGUE_MODULE = re.compile(r"^(.*_)?(utils?|helpers?|common|misc|base|managers?)$")
BARE_IGNORE = re.compile(
    r"#\s*(type:\s*ignore(?!\[)|noqa(?!:\s*[A-Z]+\d)|pyright:\s*ignore(?!\[)|mypy:\s*ignore)"
)
#: Files that name where packages come from; only the public registry may stand there.
REGISTRY = re.compile(r"https?://[^\s\"'>)]*/simple\b|file:///[^\s\"'>)]*/simple\b")
PUBLIC_REGISTRY = "https://pypi.org/simple"


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def catches_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(each, ast.Name) and each.id in {"Exception", "BaseException"} for each in caught)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def all_text() -> Iterator[tuple[str, str]]:
    """Yield every text file of ours: the folders, and what lies in the root itself."""
    inside = [each for folder in (*FOLDERS, *TEXT_FOLDERS) for each in (ROOT / folder).rglob("*")]
    for path in (*inside, *ROOT.glob("*"), *ROOT.glob(".git*")):
        if path.is_file() and not path.is_symlink() and path.suffix not in {".pyc", ".png"}:
            yield name(path), path.read_text(errors="replace")


def test_the_rules_look_at_the_whole_product() -> None:
    assert len(PRODUCT) > 20
    assert {path.relative_to(ROOT).parts[0] for path in PRODUCT} == set(PACKAGES)


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_a_module_stays_below_the_wall(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= (MODULE_WALL if path in PRODUCT else TEST_WALL)


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    long = {
        each.name: each.end_lineno - each.lineno + 1
        for each in functions(path)
        if each.end_lineno is not None
    }
    assert {what: lines for what, lines in long.items() if lines > FUNCTION_WALL} == {}


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_a_module_says_what_it_holds(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "no module docstring"


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_names_are_nouns_of_the_theory(path: Path) -> None:
    vague = [node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    assert [each for each in vague if VAGUE_CLASS.search(each)] == []
    assert not VAGUE_MODULE.match(path.stem)


@pytest.mark.parametrize("path", [each for each in EVERYTHING if each.name == "__init__.py"], ids=name)
def test_an_init_is_a_docstring(path: Path) -> None:
    body = tree(path).body
    assert len(body) == 1, "import from where the thing lives"
    assert ast.get_docstring(tree(path))


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_everything_is_caught_in_one_place_only(path: Path) -> None:
    handlers = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler)]
    broad = [each.lineno for each in handlers if catches_everything(each)]
    assert broad == [] or name(path) in BROAD


def test_the_place_that_catches_everything_exists() -> None:
    for each in BROAD:
        handlers = [node for node in ast.walk(tree(ROOT / each)) if isinstance(node, ast.ExceptHandler)]
        assert any(catches_everything(handler) for handler in handlers), f"{each} is listed without need"


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_imports_are_absolute_and_hide_no_cycle(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
        if isinstance(node, ast.Name | ast.Attribute):
            spelled = node.id if isinstance(node, ast.Name) else node.attr
            assert spelled != "TYPE_CHECKING", f"line {node.lineno}: a cycle is a design error"


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_an_ignored_finding_is_named(path: Path) -> None:
    bare = [line for line, comment in comments(path.read_text()) if BARE_IGNORE.search(comment)]
    assert bare == []


def test_no_file_names_a_registry_of_this_machine() -> None:
    found = {
        (where, match)
        for where, text in all_text()
        for match in REGISTRY.findall(text)
        if match != PUBLIC_REGISTRY
    }
    assert found == set()


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("# type: ignore", True),
        ("# noqa", True),
        ("# noqa: E501", False),
        ("# type: ignore[arg-type]", False),
    ],
)
def test_the_rule_for_ignored_findings_knows_the_difference(*, line: str, bare: bool) -> None:
    assert bool(BARE_IGNORE.search(line)) is bare
