"""psactl as a program: what it imports on its way, its real streams, and the programs that it becomes."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.builders_cli import a_status, an_object
from tests.fakes.recorded_daemon import RecordedDaemon, recorded_daemon

ROOT = Path(__file__).parents[2]
CODE = "from daemon.cli.main import main; main()"
HEAVY = ("pydantic", "aiohttp", "yaml", "rich", "structlog", "prometheus_client", "asyncio")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RecordedDaemon]:
    with recorded_daemon(tmp_path / "api.sock") as running:
        running.status = a_status()
        running.objects = [an_object(f"Container/{'x' * 40}", spec={"ctid": 103, "node": "pve1"})]
        yield running


def psactl(
    *arguments: str, options: tuple[str, ...] = (), cwd: Path = ROOT, **environ: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", *options, "-c", CODE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env=_environment(environ),
    )


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS"}}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", **extra}


def imported(said: str) -> set[str]:
    names = [line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("command", ["--help", "get", "plan", "wait"])
def test_nothing_heavy_is_imported_on_the_way(daemon: RecordedDaemon, command: str) -> None:
    arguments = ["wait", "--all"] if command == "wait" else [command]
    ran = psactl(*arguments, options=("-X", "importtime"), PSA_SOCKET=str(daemon.socket))

    assert ran.stdout
    assert "click" in imported(ran.stderr), "the list of imports was not understood"
    assert imported(ran.stderr).isdisjoint(HEAVY)


def test_the_socket_may_be_named_before_and_after_the_command(daemon: RecordedDaemon) -> None:
    first = psactl("--socket", str(daemon.socket), "get", PSA_SOCKET="/nowhere")
    second = psactl("get", "--socket", str(daemon.socket), PSA_SOCKET="/nowhere")

    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout != ""


def on_a_terminal(*arguments: str, **environ: str) -> str:
    """Return what psactl writes to a real terminal."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments], stdout=its, stderr=its, cwd=ROOT, env=_environment(environ)
    ) as process:
        os.close(its)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # Linux says EIO when the other end is closed
                break
        process.wait(timeout=30)
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colour_and_a_glyph_and_a_word(daemon: RecordedDaemon) -> None:
    said = on_a_terminal("get", PSA_SOCKET=str(daemon.socket))

    assert "\033[32m✔ Ready\033[0m" in said


def test_no_color_is_heard(daemon: RecordedDaemon) -> None:
    said = on_a_terminal("get", PSA_SOCKET=str(daemon.socket), NO_COLOR="1")

    assert "\033" not in said
    assert "✔ Ready" in said


def test_a_narrow_terminal_cuts_and_a_pipe_does_not(daemon: RecordedDaemon) -> None:
    narrow = on_a_terminal("get", PSA_SOCKET=str(daemon.socket), NO_COLOR="1", COLUMNS="48")
    piped = psactl("get", PSA_SOCKET=str(daemon.socket)).stdout

    assert max(map(len, narrow.splitlines())) <= 48
    assert "pve1" in piped
    assert "\033" not in piped


def test_a_terminal_without_utf_8_is_no_error(daemon: RecordedDaemon) -> None:
    ran = psactl("get", PSA_SOCKET=str(daemon.socket), PYTHONIOENCODING="latin-1")

    assert ran.returncode == 0
    assert "? Ready" in ran.stdout


def test_a_reader_that_leaves_is_no_traceback(daemon: RecordedDaemon) -> None:
    daemon.objects = [an_object(f"Container/c{number}") for number in range(3000)]
    with subprocess.Popen(
        [sys.executable, "-c", CODE, "get"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=_environment({"PSA_SOCKET": str(daemon.socket)}),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def lab_in(folder: Path, body: str) -> str:
    """Write a package `lab` of our own, and return the search path that finds it first."""
    (folder / "lab").mkdir()
    (folder / "lab" / "__init__.py").write_text('"""A lab."""\n')
    (folder / "lab" / "__main__.py").write_text(body)
    return f"{folder}:{ROOT}"


def test_lab_and_demo_pass_everything_on(tmp_path: Path) -> None:
    path = lab_in(tmp_path, "import sys\nprint(sys.argv[1:])\nsys.exit(9)\n")

    lab = psactl("lab", "up", "--dir", "x", "-h", "--", "-v", PYTHONPATH=path)
    demo = psactl("demo", "--keep", "--help", PYTHONPATH=path)

    assert (lab.returncode, lab.stdout) == (9, "['up', '--dir', 'x', '-h', '--', '-v']\n")
    assert (demo.returncode, demo.stdout) == (9, "['demo', '--keep', '--help']\n")


def test_a_folder_called_lab_where_the_user_stands_is_not_run(tmp_path: Path) -> None:
    lab_in(tmp_path, "print('a stranger')\n")

    assert "a stranger" not in psactl("lab", "--help", cwd=tmp_path).stdout


def test_without_the_lab_psactl_says_so(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").write_text('"""A lab without a program."""\n')

    ran = psactl("demo", PYTHONPATH=f"{tmp_path}:{ROOT}")

    assert ran.returncode == 1
    assert "the lab is not installed" in ran.stderr
