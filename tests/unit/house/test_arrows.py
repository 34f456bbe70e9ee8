"""The import contracts name every kind that exists, and bite."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CONTRACTS: dict[str, dict[str, Any]] = {
    each["id"]: each
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
#: Everything under reconcilers/ that is a package and no kind.
NO_KIND = {"transports"}


def kinds() -> set[str]:
    found = {each.parent.name for each in (ROOT / "reconcilers").glob("*/__init__.py")}
    return {f"reconcilers.{each}" for each in found - NO_KIND}


@pytest.mark.parametrize(
    ("contract", "field"),
    [
        ("engine", "forbidden_modules"),
        ("kinds", "modules"),
        ("drivers", "source_modules"),
    ],
)
def test_a_contract_lists_every_kind(contract: str, field: str) -> None:
    listed = {each for each in CONTRACTS[contract][field] if each.startswith("reconcilers.")}

    assert listed - {"reconcilers.transports", "reconcilers.contract"} == kinds()


def test_every_slice_has_its_layers_and_no_further_module() -> None:
    slices = [each for name, each in CONTRACTS.items() if name.startswith("slice")]
    listed = [container for each in slices for container in each["containers"]]

    assert sorted(listed) == sorted(kinds())
    assert all(each["exhaustive"] for each in slices)


def test_every_module_that_calls_itself_pure_is_held_to_it() -> None:
    held = CONTRACTS["pure"]["source_modules"]
    say_so = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "reconcilers").rglob("*.py")
        if re.search(r"\bpure\b", path.read_text().splitlines()[0])
    ]

    assert say_so
    assert [each for each in say_so if each not in held and not each.endswith((".plan", ".model"))] == []


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(linter), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the sources in which a test may plant a violation."""
    for package in ("crds", "daemon", "lab", "metrics", "reconcilers"):
        for path in (ROOT / package).rglob("*.py"):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return tmp_path


@pytest.mark.parametrize(
    ("where", "line", "contract"),
    [
        ("crds/meta.py", "import daemon.ports", "lab -> daemon -> reconcilers -> crds | metrics"),
        ("reconcilers/contract.py", "import random", "decisions are pure"),
        ("reconcilers/container/plan.py", "import time", "decisions are pure"),
        ("reconcilers/container/plan.py", "import reconcilers.container.client", "decisions are pure"),
        ("reconcilers/split/model.py", "import reconcilers.split.client", "inside a slice"),
        ("reconcilers/service/observe.py", "import reconcilers.split.model", "kinds do not know each other"),
        ("reconcilers/split/client.py", "import requests", "drivers only behind their transport"),
        ("daemon/engine/gate.py", "import reconcilers.container.model", "the engine knows the contract"),
        ("daemon/store/lock.py", "import daemon.engine.gate", "inside daemon"),
        ("daemon/cli/main.py", "import daemon.store.lock", "psactl knows the kinds' models"),
    ],
)
def test_a_planted_violation_is_reported(copy: Path, where: str, line: str, contract: str) -> None:
    target = copy / where
    target.write_text(f"{target.read_text()}\n{line}\n")

    result = lint(copy)

    assert result.returncode == 1
    broken = [each for each in result.stdout.splitlines() if each.endswith("BROKEN")]
    assert any(each.startswith(contract) for each in broken), result.stdout


def test_a_seventh_file_in_a_slice_is_reported(copy: Path) -> None:
    (copy / "reconcilers/container/tools.py").write_text('"""A stray."""\n')

    result = lint(copy)

    assert result.returncode == 1
    assert "reconcilers.container.tools" in result.stdout
