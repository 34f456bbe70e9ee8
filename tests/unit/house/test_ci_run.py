""".ci/run: every part runs once, a failure anywhere fails it, and the closing lines come last."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAKE = """#!/bin/sh
for target; do :; done
case "$target" in test*) echo "=== 7 passed, 1 deselected in 0.07s ($target) ===";; esac
test "$target" != "{broken}"
"""


def run(folder: Path, broken: str) -> subprocess.CompletedProcess[str]:
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", folder / ".ci/run")
    program = folder / "make"
    program.write_text(MAKE.format(broken=broken))
    program.chmod(0o755)
    return subprocess.run(
        [str(folder / ".ci/run")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
    )


def test_all_parts_run_once_and_the_closing_lines_come_last(tmp_path: Path) -> None:
    result = run(tmp_path, broken="nothing")

    assert result.returncode == 0
    begun = [line for line in result.stdout.splitlines() if line.startswith("== make") and ": " not in line]
    assert begun == ["== make setup", "== make check", "== make test", "== make test-slow"]
    assert result.stdout.splitlines()[-3:-1] == [
        "make test: === 7 passed, 1 deselected in 0.07s (test) ===",
        "make test-slow: === 7 passed, 1 deselected in 0.07s (test-slow) ===",
    ]


@pytest.mark.parametrize("broken", ["setup", "check", "test", "test-slow"])
def test_a_failure_anywhere_fails_it(tmp_path: Path, broken: str) -> None:
    result = run(tmp_path, broken)

    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == f"failed: {broken}"
