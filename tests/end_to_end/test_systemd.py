"""Installed with `make install`, run by a real systemd: ready, reloaded, hung, killed, stopped, removed."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_systemd import CONFIG, TOKEN, UNIT, Machine, install, machines

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a systemd of its own"),
    pytest.mark.timeout(180),
]

_RELEASES = f"/opt/{UNIT}/releases"
_STATE = f"/var/lib/{UNIT}"
_DROP_IN = f"/run/systemd/system/{UNIT}.service.d/50-test.conf"
_SETTINGS = """\
mode: Observe
endpoints:
  pve: {type: proxmox, urls: ["https://127.0.0.1:1"], tokenFile: "credential:pve.token"}
"""
_OBJECT = """\
apiVersion: psa.platform/v1
kind: Container
metadata: {name: psa-redis}
spec: {endpoint: pve, ctid: 210, node: pve3, template: "local:vztmpl/psa-redis_7_amd64.tar.zst", cores: 2}
"""


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    with machines() as machine:
        install(machine)
        machine.run("useradd", "--user-group", "--groups", "psa", "alice")
        machine.run("useradd", "--user-group", "mallory")
        yield machine


@pytest.fixture
def machine(installed: Machine) -> Iterator[Machine]:
    """The machine with settings and one file, before the daemon's first start."""
    installed.configure(_SETTINGS)
    installed.write("/etc/psa-reconciler/desired.d/redis.yaml", _OBJECT)
    yield installed
    installed.systemctl("stop", UNIT)
    installed.run("rm", "-rf", _STATE, _DROP_IN)
    installed.systemctl("daemon-reload")
    installed.systemctl("reset-failed", check=False)


def as_user(machine: Machine, user: str, *argv: str) -> tuple[int, str]:
    found = machine.run("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *argv, check=False)
    return found.returncode, found.stdout + found.stderr


def owners(machine: Machine, *paths: str) -> list[str]:
    return machine.run("stat", "--format", "%A %U:%G %n", *paths).stdout.splitlines()


def start(machine: Machine) -> int:
    machine.systemctl("start", UNIT)
    return machine.pid()


def current(machine: Machine) -> str:
    return Path(machine.run("readlink", f"/opt/{UNIT}/current").stdout.strip()).name


def runs_from(machine: Machine) -> str:
    """Return the name of the release whose interpreter runs the daemon."""
    command = (machine.files / "proc" / str(machine.pid()) / "cmdline").read_bytes().split(b"\0")
    return Path(command[0].decode()).relative_to(_RELEASES).parts[0]


def processes(machine: Machine) -> set[str]:
    """Return the process ids of the daemon's unit, as the machine counts them."""
    group = machine.show("ControlGroup")
    found = machine.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs", check=False)
    return set(found.stdout.split())


def test_everything_that_is_installed_belongs_to_root_but_the_state(machine: Machine) -> None:
    start(machine)

    assert owners(
        machine,
        "/etc/psa-reconciler",
        "/etc/psa-reconciler/desired.d",
        "/etc/psa-reconciler/credentials",
        _STATE,
    ) == [
        "drwxr-xr-x root:root /etc/psa-reconciler",
        "drwxr-xr-x root:root /etc/psa-reconciler/desired.d",
        "drwx------ root:root /etc/psa-reconciler/credentials",
        f"drwx------ psa-reconciler:psa {_STATE}",
    ]
    assert owners(machine, f"/run/{UNIT}", f"/run/{UNIT}/api.sock") == [
        f"drwxr-x--- psa-reconciler:psa /run/{UNIT}",
        f"srw-rw---- psa-reconciler:psa /run/{UNIT}/api.sock",
    ]
    takers = ("-not", "-type", "l", "(", "-perm", "/022", "-or", "-not", "-user", "root", ")")
    assert machine.run("find", f"/opt/{UNIT}", "/usr/local", *takers).stdout == ""


def test_a_second_install_changes_nothing_and_leaves_settings_alone(machine: Machine) -> None:
    program = f"/opt/{UNIT}/current/venv/bin/psactl"
    before = (
        owners(machine, program, CONFIG),
        machine.run("stat", "--format", "%y %i", program, CONFIG).stdout,
    )

    said = install(machine)

    assert "was there already" in said
    assert "config.yaml is left as it is" in said
    after = owners(machine, program, CONFIG), machine.run("stat", "--format", "%y %i", program, CONFIG).stdout
    assert after == before
    assert (machine.files / CONFIG.lstrip("/")).read_text() == _SETTINGS


def test_it_is_ready_when_systemd_says_that_it_is_active(machine: Machine) -> None:
    start(machine)

    assert (machine.show("ActiveState"), machine.show("SubState")) == ("active", "running")
    assert machine.show("StatusText") == "1 files read"
    assert machine.show("WatchdogUSec") == "30s"
    doctor = machine.run("psactl", "doctor", check=False).stdout
    assert "mode Observe" in doctor
    assert "watched directory: 1 file, no problem" in doctor


def test_only_members_of_psa_may_ask_it(machine: Machine) -> None:
    start(machine)

    assert as_user(machine, "alice", "psactl", "status")[0] == 0
    code, said = as_user(machine, "mallory", "psactl", "status")
    assert code == 5, said
    assert as_user(machine, "alice", "cat", "/etc/psa-reconciler/credentials/pve.token")[0] != 0


def test_a_reload_takes_the_mode_or_says_why_not(machine: Machine) -> None:
    pid = start(machine)

    machine.write(CONFIG, _SETTINGS.replace("Observe", "Enforce"))
    machine.systemctl("reload", UNIT)
    machine.wait("Enforce", lambda: "mode.enforce" in machine.journal())
    machine.write(CONFIG, _SETTINGS.replace("Observe", "Obsreve"))
    machine.systemctl("reload", UNIT)

    machine.wait("a refusal", lambda: "the old settings stay in force" in machine.journal())
    status = json.loads(machine.run("psactl", "status", "-o", "json").stdout)
    assert status["mode"] == "Enforce"
    assert (machine.pid(), machine.is_active()) == (pid, True)


def test_settings_that_cannot_be_used_end_it_once_with_the_place(machine: Machine) -> None:
    machine.write(CONFIG, "mode: Obsreve\n")

    said = machine.run("systemctl", "start", UNIT, check=False)

    assert said.returncode != 0
    assert (machine.show("ActiveState"), machine.show("ExecMainStatus")) == ("failed", "78")
    assert machine.show("NRestarts") == "0"
    assert f"{CONFIG}:1:7: error:" in machine.journal()
    machine.configure(_SETTINGS)
    start(machine)


def test_without_its_token_it_says_where_to_put_it(machine: Machine) -> None:
    machine.run("rm", "/etc/psa-reconciler/credentials/pve.token")

    machine.run("systemctl", "start", UNIT, check=False)

    assert "put it into /etc/psa-reconciler/credentials, then restart" in machine.journal()


def test_the_token_is_where_only_the_daemon_sees_it(machine: Machine) -> None:
    pid = start(machine)

    credential = f"/run/credentials/{UNIT}.service/psa_pve.token"
    assert machine.run("cat", credential).stdout.strip() == TOKEN
    assert as_user(machine, "alice", "cat", credential)[0] != 0
    environment = (machine.files / "proc" / str(pid) / "environ").read_bytes()
    assert TOKEN.encode() not in environment
    assert TOKEN not in machine.journal(500)


def test_a_hang_is_ended_by_the_watchdog_and_started_again(machine: Machine) -> None:
    machine.write(_DROP_IN, "[Service]\nWatchdogSec=3\n")
    machine.systemctl("daemon-reload")
    pid = start(machine)

    machine.run("kill", "-STOP", str(pid))

    machine.wait("a new process", lambda: machine.pid() not in {0, pid} and machine.is_active(), 20)
    assert machine.show("NRestarts") == "1"
    journal = machine.journal(500)  # the traces of all threads are long
    assert "Watchdog timeout (limit 3s)" in journal
    assert "Fatal Python error: Aborted" in journal, "no trace of where it hung"
    assert "/asyncio/base_events.py" in journal


def test_a_beating_heart_keeps_the_watchdog_quiet(machine: Machine) -> None:
    machine.write(_DROP_IN, "[Service]\nWatchdogSec=2\n")
    machine.systemctl("daemon-reload")
    pid = start(machine)

    fed = machine.show("WatchdogTimestampMonotonic")
    machine.wait(
        "five signs of life", lambda: int(machine.show("WatchdogTimestampMonotonic")) - int(fed) > 5e6
    )

    assert (machine.pid(), machine.show("NRestarts")) == (pid, "0")


def test_kill_9_leaves_nothing_behind_and_it_is_started_again(machine: Machine) -> None:
    pid = start(machine)
    machine.wait("the parser child", lambda: len(processes(machine)) > 1)
    former = processes(machine)
    machine.systemctl("kill", "--kill-who=main", "--signal=KILL", UNIT)

    took_s = machine.wait("a new process", lambda: machine.pid() not in {0, pid} and machine.is_active(), 20)

    assert took_s < 10
    assert machine.show("NRestarts") == "1"
    assert not former & processes(machine)


def test_a_stop_takes_seconds_and_leaves_nothing_but_the_state(machine: Machine) -> None:
    start(machine)
    machine.wait("the parser child", lambda: len(processes(machine)) > 1)
    former = processes(machine)

    took_s = machine.wait("a stop", lambda: machine.systemctl("stop", UNIT) == "")

    assert took_s < 5
    assert (machine.show("Result"), machine.show("ExecMainStatus")) == ("success", "0")
    assert not any((machine.files / "proc" / each).exists() for each in former)
    assert not (machine.files / f"run/{UNIT}").exists()
    assert "daemon.stopped" in machine.journal()


def test_it_starts_at_boot_once_it_is_enabled(machine: Machine) -> None:
    machine.systemctl("enable", UNIT)

    assert machine.systemctl("is-enabled", UNIT) == "enabled"
    wanted = machine.systemctl("show", "--property", "Wants", "--value", "multi-user.target")
    assert f"{UNIT}.service" in wanted.split()
    machine.systemctl("disable", UNIT)


def test_an_upgrade_is_a_release_beside_the_former_one_and_runs_after_a_restart(machine: Machine) -> None:
    pid = start(machine)
    was = current(machine)
    notes = machine.folder / "src/README.md"
    text = notes.read_text()

    notes.write_text(f"{text}\nAnother version.\n")
    said = install(machine)

    now = current(machine)
    assert f"current release: {now}, before: {was}" in said
    assert "goes on as it was started, until: systemctl restart psa-reconciler" in said
    assert (machine.pid(), runs_from(machine)) == (pid, was)
    machine.systemctl("restart", UNIT)
    assert runs_from(machine) == now

    notes.write_text(text)
    assert f"current release: {was}, before: {now}" in install(machine), "the way back"
    machine.systemctl("restart", UNIT)
    assert runs_from(machine) == was
    machine.run("rm", "-r", f"{_RELEASES}/{now}")


def test_old_releases_are_removed_but_never_the_one_that_runs(machine: Machine) -> None:
    was = current(machine)
    for number in range(1, 6):
        copy = f"{_RELEASES}/0.0.{number}-00000000"
        machine.run("cp", "-a", f"{_RELEASES}/{was}", copy)
        machine.run("touch", f"--date=2026-01-0{number}", copy)
    machine.run("ln", "-sfn", "releases/0.0.1-00000000", f"/opt/{UNIT}/current")
    start(machine)

    install(machine)

    found = machine.run("ls", _RELEASES).stdout.split()
    assert found == ["0.0.1-00000000", "0.0.4-00000000", "0.0.5-00000000", was]
    assert runs_from(machine) == "0.0.1-00000000"
    for number in (1, 4, 5):
        machine.run("rm", "-r", f"{_RELEASES}/0.0.{number}-00000000")


def test_uninstall_keeps_settings_and_state_unless_they_shall_go_too() -> None:
    with machines() as machine:
        install(machine)
        machine.configure(_SETTINGS)
        start(machine)

        said = install(machine, "uninstall")

        assert "stay; PURGE=1 removes them too" in said
        assert machine.run("systemctl", "status", UNIT, check=False).returncode == 4
        gone = ("/usr/local/bin/psactl", f"/opt/{UNIT}", f"/usr/local/lib/systemd/system/{UNIT}.service")
        assert not any(machine.run("test", "-e", each, check=False).returncode == 0 for each in gone)
        assert owners(machine, CONFIG, f"{_STATE}/state.db")
        install(machine)
        start(machine)
        install(machine, "uninstall", "PURGE=1")
        places = ("/etc", "/var/lib", "/opt", "/usr/local", "/run")
        left = machine.run("find", *places, "-name", "*psa*").stdout
        assert left == ""
        assert machine.run("getent", "passwd", UNIT, check=False).returncode != 0
        assert machine.run("getent", "group", "psa", UNIT, check=False).stdout == ""
