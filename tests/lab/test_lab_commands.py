import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.layout import Lab
from lab.numbers import is_taken, listening_numbers, lock_folder
from lab.processes import Process, identify, is_alive, marked, send
from lab.sight import Sight

PARTS = ("proxmox", "app", "haproxy")


def run(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "lab", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def up(folder: Path, *more: str) -> Lab:
    run("up", "--dir", str(folder), "--no-daemon", "--no-metrics", "--services", "1", *more)
    return Lab.open(folder)


@pytest.fixture
def folder(short_path: Path) -> Iterator[Path]:
    folder = short_path / "lab"
    yield folder
    for path in short_path.iterdir():
        if (path / "lab.json").exists():
            Lab.open(path).parts.end_all(grace_s=0.5)


@pytest.fixture
def lab(folder: Path) -> Lab:
    return up(folder)


def left_over(lab: Lab) -> list[str]:
    """Processes that name the lab's folder, by another way than the lab's own one, and its listeners."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and identify(int(entry.name)) is not None and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(lab.root) + b"/" in line:
                found.append(line.decode(errors="replace"))
    if lab.record.number in listening_numbers(Path("/proc/net/tcp").read_text()):
        found.append(f"listener in 127.{lab.record.number}.0.0/16")
    return found


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_up_status_and_down(lab: Lab) -> None:
    status = json.loads(run("status", "--dir", str(lab.root), "-o", "json").stdout)
    assert [part["name"] for part in status["parts"] if part["running"]] == [*PARTS]
    assert status["files"]["desired"] == str(lab.desired)
    for name in ("haproxy", "pve", "app"):
        assert Path(status["sockets"][name]).is_socket()
    assert lab.root.stat().st_mode & 0o777 == 0o755
    assert is_taken(lock_folder(), lab.record.number)
    assert left_over(lab)

    run("down", "--dir", str(lab.root))
    assert left_over(lab) == []
    assert not is_taken(lock_folder(), lab.record.number)
    after = run("status", "--dir", str(lab.root), "-o", "json", check=False)
    assert after.returncode == 1
    assert json.loads(after.stdout)["running"] is False


def test_the_table_of_status_names_every_part_and_where_users_come_in(lab: Lab) -> None:
    text = run("status", "--dir", str(lab.root)).stdout
    assert all(part in text for part in PARTS)
    assert f"http://127.{lab.record.number}.40.10:8080/" in text


def test_no_daemon_prints_the_command_that_starts_it(folder: Path) -> None:
    text = run("up", "--dir", str(folder), "--no-daemon", "--services", "0").stdout
    command = next(line for line in text.splitlines() if line.startswith("start the daemon: "))
    assert command.endswith(f"psa-reconciler --config {folder}/config.yaml")


def test_the_files_are_in_the_addresses_of_the_lab_and_valid(lab: Lab) -> None:
    texts = [path.read_text() for path in lab.desired.rglob("*.yaml")]
    assert any(f"127.{lab.record.number}.20.10/24" in text for text in texts)
    assert not any("10.0." in text for text in texts)
    program = Path(sys.executable).with_name("psactl")
    done = subprocess.run([program, "validate", lab.desired], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_token_is_for_its_owner_only(lab: Lab) -> None:
    assert lab.token.stat().st_mode & 0o777 == 0o600


def test_two_labs_at_once_have_nothing_in_common(folder: Path) -> None:
    one, two = up(folder), up(folder.with_name("two"))
    assert one.record.number != two.record.number
    Sight(one).haproxy.ask("set weight api_backend/blue 7")
    assert Sight(one).servers("api_backend")["blue"].weight == 7
    assert Sight(two).servers("api_backend")["blue"].weight == 100
    run("down", "--dir", str(one.root))
    assert left_over(one) == []
    assert len(two.parts.running()) == len(PARTS)
    run("down", "--dir", str(two.root))
    assert left_over(two) == []


@pytest.mark.parametrize("part", PARTS)
def test_down_leaves_nothing_after_a_kill_of_one_part(lab: Lab, part: str) -> None:
    victim = lab.parts.running()[part]
    assert send(victim, signal.SIGKILL)
    until(lambda: not is_alive(victim))
    run("down", "--dir", str(lab.root))
    assert left_over(lab) == []
    assert not is_taken(lock_folder(), lab.record.number)


def test_down_ends_what_is_stopped_and_what_no_pid_file_tells_of(lab: Lab) -> None:
    send(lab.parts.running()["app"], signal.SIGSTOP)
    for path in lab.record.run.glob("*.pid"):
        path.unlink()
    run("down", "--dir", str(lab.root))
    assert left_over(lab) == []
    assert marked(lab.record.mark) == frozenset()


def test_a_killed_up_leaves_nothing_that_down_does_not_find(folder: Path) -> None:
    starting = subprocess.Popen(
        [sys.executable, "-m", "lab", "up", "--dir", str(folder), "--no-daemon"],
        stdout=subprocess.DEVNULL,
    )
    with starting:
        until(lambda: (folder / "lab.json").exists() and bool(Lab.open(folder).parts.running()))
        starting.kill()
    lab = Lab.open(folder)
    run("down", "--dir", str(folder))
    assert left_over(lab) == []
    assert not is_taken(lock_folder(), lab.record.number)


def test_a_number_stays_taken_until_the_last_part_is_gone(lab: Lab) -> None:
    *first, last = lab.parts.running().values()
    for process in first:
        send(process, signal.SIGKILL)
        until(lambda process=process: not is_alive(process))  # type: ignore[misc]
    assert is_taken(lock_folder(), lab.record.number)
    send(last, signal.SIGKILL)
    until(lambda: not is_taken(lock_folder(), lab.record.number))


def test_a_pid_that_somebody_else_has_now_is_left_alone(lab: Lab) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        there = identify(stranger.pid)
        assert there is not None
        lab.parts.remember("app", Process(there.pid, there.started - 1))
        run("down", "--dir", str(lab.root))
        assert is_alive(there)
        stranger.kill()
    assert left_over(lab) == []


def test_a_second_up_in_the_same_folder_is_refused_and_harms_nothing(lab: Lab) -> None:
    before = lab.parts.running()
    again = run("up", "--dir", str(lab.root), "--no-daemon", check=False)
    assert again.returncode == 2
    assert "a lab runs in" in again.stderr
    assert "down --dir" in again.stderr
    assert lab.parts.running() == before


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    refused = run("up", "--dir", str(folder), "--no-daemon", check=False)
    assert refused.returncode == 2
    assert "neither empty nor a lab" in refused.stderr
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_folder_that_everybody_writes_is_refused_with_the_remedy(folder: Path) -> None:
    open_to_all = folder / "open"
    open_to_all.mkdir(parents=True)
    open_to_all.chmod(0o777)
    refused = run("up", "--dir", str(open_to_all / "lab"), "--no-daemon", "--services", "0", check=False)
    assert refused.returncode == 2
    assert "chmod" in refused.stderr
    assert left_over(Lab.open(open_to_all / "lab")) == []


def test_a_part_that_cannot_start_ends_the_others_and_says_why(folder: Path) -> None:
    lab = up(folder)
    run("down", "--dir", str(folder))
    # Its state is nonsense, so that the simulator does not come up.
    (folder / "pve" / "pve.json").write_text("{")
    failed = run("up", "--dir", str(folder), "--no-daemon", "--keep", check=False)
    assert failed.returncode == 2
    assert "proxmox ended before it was ready" in failed.stderr
    assert left_over(lab) == []
    assert not is_taken(lock_folder(), lab.record.number)


def test_a_lab_can_go_on_where_it_was(lab: Lab) -> None:
    (lab.desired / "mine.yaml").write_text("# mine\n")
    token = lab.token.read_text()
    run("down", "--dir", str(lab.root))
    kept = up(lab.root, "--keep")
    assert kept.record.number == lab.record.number
    assert (kept.desired / "mine.yaml").exists()
    assert kept.token.read_text() == token
    run("down", "--dir", str(lab.root))
    fresh = up(lab.root)
    assert not (fresh.desired / "mine.yaml").exists()


def test_a_folder_with_a_long_path_works_too(folder: Path) -> None:
    lab = up(folder / ("a-very-long-name-" * 5) / "lab")
    assert (lab.root / "run" / "haproxy.sock").is_socket()
    short = lab.record.run
    assert short != lab.root / "run"
    run("down", "--dir", str(lab.root))
    assert left_over(lab) == []
    assert not short.exists()


def test_status_of_a_folder_without_a_lab_is_one_line(folder: Path) -> None:
    done = run("status", "--dir", str(folder), check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "holds no lab" in done.stderr


def test_faults_reach_haproxy_and_the_simulator(lab: Lab) -> None:
    where = ("fault", "--dir", str(lab.root))
    run(*where, "weight", "api_backend/blue", "9")
    assert Sight(lab).servers("api_backend")["blue"].weight == 9
    run(*where, "haproxy", "reload")
    assert Sight(lab).servers("api_backend")["blue"].weight == 100
    unknown = run(*where, "weight", "api_backend/red", "9", check=False)
    assert unknown.returncode == 1
    assert "No such server" in unknown.stderr
    before = lab.parts.running()["haproxy"]
    run(*where, "haproxy", "restart")
    assert lab.parts.running()["haproxy"] != before
    run(*where, "haproxy", "kill")
    assert "haproxy" not in lab.parts.running()
    number = json.loads(run(*where, "proxmox", "slow", "seconds=0.01").stdout)["number"]
    run(*where, "clear", str(number))
    refused = run(*where, "clear", str(number), check=False)
    assert refused.returncode == 2
    assert f"no fault {number}" in refused.stderr


@pytest.mark.parametrize("group", [(), ("fault",)], ids=str)
def test_no_line_of_a_list_of_commands_is_cut(group: tuple[str, ...]) -> None:
    _, _, commands = run(*group, "--help").stdout.partition("\nCommands:\n")
    assert "up" in commands or "haproxy" in commands
    assert "..." not in commands


def test_the_help_of_faults_names_what_the_simulator_can_do() -> None:
    text = run("fault", "proxmox", "--help").stdout
    assert all(kind in text for kind in ("no_quorum", "node_down", "fail_task", "drop_reply", "lock"))
    assert "lab's folder is needed" in run("fault", "clear", check=False).stderr


def test_without_a_folder_the_variable_that_names_it_is_named() -> None:
    assert "Missing option '--dir' (env var: 'PSA_LAB_DIR')" in run("status", check=False).stderr
