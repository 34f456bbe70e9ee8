"""Our import roots are generic names; they must still be ours (ADR 0001)."""

import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROOTS = ("crds", "daemon", "metrics", "reconcilers")


@pytest.mark.parametrize("package", ROOTS)
def test_an_import_root_is_this_checkout(package: str) -> None:
    module = importlib.import_module(package)

    assert module.__file__ is not None, "a namespace package: somebody deleted __init__.py"
    assert [Path(each) for each in module.__path__] == [ROOT / package]


def test_the_wheel_holds_exactly_the_import_roots() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert sorted(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(ROOTS)
    assert "Private :: Do Not Upload" in settings["project"]["classifiers"]
