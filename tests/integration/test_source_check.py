"""What ``psactl validate`` says of real files, without a daemon and whoever may write them."""

import subprocess
import sys
from pathlib import Path

import pytest

from daemon.sources.check import check_paths
from tests.builders_source import container_yaml, put

ROOT = Path(__file__).parents[2]


def test_files_and_directories_are_checked_together(tmp_path: Path) -> None:
    put(tmp_path / "d" / "a.yaml", container_yaml())
    put(tmp_path / "b.txt", container_yaml("psa-crm", 210))
    snapshot = check_paths([tmp_path / "d", tmp_path / "b.txt"])
    assert [problem.file for problem in snapshot.problems] == [f"{tmp_path}/b.txt", f"{tmp_path}/d/a.yaml"]
    assert snapshot.files == 2
    assert f"Container/psa-redis ({tmp_path}/d/a.yaml:6)" in snapshot.problems[0].message


def test_a_file_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", container_yaml())
    snapshot = check_paths([tmp_path, tmp_path / "a.yaml"])
    assert (snapshot.problems, len(snapshot.objects)) == ((), 1)


def test_files_are_named_as_the_user_named_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "d" / "a.yaml", container_yaml(cores=0))
    monkeypatch.chdir(tmp_path)
    assert check_paths([Path("d")]).problems[0].rendered.startswith("d/a.yaml:9:10: error: spec.cores: ")
    assert check_paths([Path()]).problems[0].rendered.startswith("d/a.yaml:9:10: ")


def test_owner_and_mode_do_not_matter(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", container_yaml())
    (tmp_path / "a.yaml").chmod(0o666)
    tmp_path.chmod(0o777)
    assert check_paths([tmp_path]).problems == ()


def test_a_young_file_without_a_last_newline_is_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(container_yaml().rstrip())
    assert check_paths([tmp_path]).problems == ()


def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(10_000_000)
    paths = [tmp_path / "empty", tmp_path / "big.yaml", tmp_path / "gone.yaml"]
    assert [problem.message for problem in check_paths(paths).problems] == [
        "the file has 10000000 bytes: at most 262144 (256 KiB) are read; split the file",
        f"{tmp_path}/empty holds no *.yaml or *.yml file: an empty directory says nothing",
        "there is no such file or directory",
    ]


def test_a_hostile_file_does_not_end_the_command(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", "[" * 200_000)
    assert check_paths([tmp_path]).problems[0].message == "more than 32 levels inside each other"


def test_checking_imports_neither_the_engine_nor_a_transport() -> None:
    program = (
        "import sys, daemon.sources.check\n"
        "heavy = {'aiohttp', 'structlog', 'watchfiles', 'daemon.engine', 'daemon.store', 'reconcilers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert said.stdout.strip() == "[]"
