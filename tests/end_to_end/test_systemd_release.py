"""Releases by an installed daemon: a real systemd runs it, the lab beside it is its platform."""

import contextlib
import json
import os
import secrets
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from crds.release import Phase
from lab.layout import Lab
from lab.processes import marked
from lab.start import Options, prepare, start_platform
from lab.wiring import daemon_address, frontend_address
from tests.real_releases import GATEWAY, NEW, Releases
from tests.real_systemd import PYTHON, SHARE, UNIT, Machine, install, machines

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a systemd of its own"),
    pytest.mark.timeout(180),
]

_HOOKS: Final = "/usr/local/libexec/psa"
_RECORDS: Final = f"/var/lib/{UNIT}/hooks"
#: Nobody else sleeps as long.
_LONG: Final = f"600.{secrets.randbelow(10**9)}"
#: The first time it hangs, deaf to SIGTERM; after that it passes.
_SLOW: Final = f"""\
#!/bin/sh
[ ! -e "$HOME/was-here" ] || exit 0
touch "$HOME/was-here"
trap '' TERM
exec sleep {_LONG}
"""
_PROBE: Final = Path(__file__).parents[1] / "sandbox_probe.py"
#: What the kernel says to a hook that goes too far.
_REFUSALS: Final = frozenset({"EROFS", "EACCES", "EPERM", "ENOENT", "EAFNOSUPPORT"})
_COUNTED: Final = b'psa_haproxy_log_lines_total{endpoint="edge",result="accepted"} 1.0'
_RATE: Final = 50


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    with machines() as machine:
        install(machine)
        machine.write(f"{_HOOKS}/probe", f"#!{PYTHON} -I\n{_PROBE.read_text()}", 0o755)
        machine.write(f"{_HOOKS}/slow", _SLOW, 0o755)
        yield machine


@pytest.fixture
def server(installed: Machine) -> Iterator[tuple[Machine, Releases]]:
    """An installed daemon, ready, whose platform is a lab."""
    options = Options(installed.share / "lab", services=2, time_scale=0.05)
    lab, lock = prepare(options, lambda _line: None)
    try:
        start_platform(lab, options, lock, lambda _line: None)
        installed.configure(settings_of(lab))
        for token in (lab.token, lab.alert_token):
            installed.write(f"/etc/psa-reconciler/credentials/{token.name}", token.read_text(), 0o600)
        lab.socket("api").symlink_to(installed.files / "run" / UNIT / "api.sock")
        installed.systemctl("start", UNIT)
        found = Releases(lab)
        found.wait("everything to be Ready", lambda: not found.sight.unready(), 60)
        yield installed, found
    finally:
        installed.systemctl("stop", UNIT)
        installed.run("rm", "-rf", f"/var/lib/{UNIT}")
        os.close(lock)
        lab.parts.end_all(grace_s=1)
        lab.remove_contents()
        assert marked(lab.record.mark) == frozenset()


def settings_of(lab: Lab) -> str:
    """Return the lab's settings as an administrator would have them on a server."""
    found = yaml.safe_load(lab.config.read_text().replace(str(lab.root), f"{SHARE}/lab"))
    del found["state"]
    found["api"] = {"listen": daemon_address(lab)}
    found["endpoints"]["pve"]["tokenFile"] = f"credential:{lab.token.name}"
    found["alerts"]["tokenFile"] = f"credential:{lab.alert_token.name}"
    found["endpoints"]["edge"]["log"] = f"udp://{log_address(lab)}"
    found["hooks"] = {
        "slow": {"argv": [f"{_HOOKS}/slow"], "timeout": "5m", "idempotent": True},
        "probe": {"argv": [f"{_HOOKS}/probe", frontend_address(lab)], "timeout": "20s"},
    }
    text: str = yaml.safe_dump(found)
    return text


def log_address(lab: Lab) -> str:
    return f"{lab.address('0.1')}:5514"


def sleepers() -> list[int]:
    """Return the processes of this machine and all its containers that are the slow hook."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if _LONG.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def written_by_hooks(machine: Machine) -> list[str]:
    """Return what the runs wrote that are over, as it is kept in the state directory."""
    results = (machine.files / _RECORDS.lstrip("/")).glob("*.json")
    return [log.read_text() for each in results if (log := each.with_suffix(".log")).exists()]


def kill_9(machine: Machine) -> int:
    pid = machine.pid()
    machine.systemctl("kill", "--kill-who=main", "--signal=KILL", UNIT)
    return pid


def wait_for_another(machine: Machine, former: int) -> float:
    return machine.wait("a new process", lambda: machine.pid() not in {0, former} and machine.is_active())


@pytest.mark.slow
def test_kill_9_in_a_hook_and_in_the_watch_of_a_release_is_noticed_by_nobody(
    server: tuple[Machine, Releases],
) -> None:
    machine, lab = server
    before = lab.sight.last_request()
    with lab.users(_RATE) as users:
        lab.ask_for(NEW, watch="6s", checks=["slow"])
        lab.wait("the hook", lambda: bool(sleepers()))

        former = kill_9(machine)
        lab.wait("the hook's end", lambda: not sleepers(), 3)
        wait_for_another(machine, former)
        lab.wait_in(Phase.WATCH)
        former = kill_9(machine)
        assert lab.shares() == (50, 50), "traffic stays as it is while nobody is there"
        wait_for_another(machine, former)

        attempt = lab.wait_in(Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK)
        time.sleep(1)
    assert (attempt.phase, attempt.number) == (Phase.COMPLETED, 1), machine.journal()
    assert lab.shares() == (0, 100)
    assert users.failed == 0, users
    assert lab.sight.creations(before) == 2
    assert machine.show("NRestarts") == "2"


@pytest.mark.slow
def test_a_stop_while_a_hook_is_deaf_stays_in_time_and_the_release_is_rolled_back_after_the_start(
    server: tuple[Machine, Releases],
) -> None:
    machine, lab = server
    lab.fault(GATEWAY, NEW, error_rate=0.5)
    with lab.users(_RATE) as users:
        lab.ask_for(NEW, watch="60s", checks=["slow"])
        lab.wait("the hook", lambda: bool(sleepers()))

        took_s = machine.wait("a stop", lambda: machine.systemctl("stop", UNIT) == "", 60)

        assert took_s < 15, machine.journal()
        assert machine.show("Result") == "success"
        assert not sleepers()
        machine.systemctl("start", UNIT)
        attempt = lab.wait_in(Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK)
    assert (attempt.phase, attempt.number, attempt.reason) == (Phase.ROLLED_BACK, 1, "ErrorRate")
    assert lab.shares() == (100, 0)
    assert users.failed_by.keys() <= {NEW}


def test_a_hook_can_do_its_work_and_nothing_to_the_machine(server: tuple[Machine, Releases]) -> None:
    machine, lab = server
    machine.run("install", "-m", "4755", "/usr/bin/id", "/usr/local/bin/setuid-id")
    machine.run("install", "--directory", "--mode=0777", "/srv/everybody")
    machine.write("/home/somebody/diary", "private")
    machine.write("/tmp/somebody", "private")  # noqa: S108 - what the hook must not see
    lab.ask_for(NEW, watch="2s", checks=["probe"])
    lab.wait("the hook's result", lambda: bool(written_by_hooks(machine)))

    found = json.loads(written_by_hooks(machine)[0])

    refused = {name for name, result in found.items() if isinstance(result, str) and result in _REFUSALS}
    assert found.keys() - refused == {
        *("list others' /tmp", "see disks", "run a setuid program", "run a program of PATH"),
        *("write its home", "write its /tmp", "read a credential", "connect over TCP", "resolve a name"),
    }, found
    assert found["write where everybody may"] == "EROFS"
    assert found["list others' /tmp"] == found["see disks"] == []
    assert found["run a setuid program"] == machine.run("id", "-u", UNIT).stdout.strip(), "not 0"
    assert found["run a program of PATH"] == "/usr/bin/env"
    assert found["resolve a name"] == "127.0.0.1"
    assert found["write its home"] == found["connect over TCP"] == "allowed"
    assert lab.wait_in(Phase.WATCH).number == 1, "it passed"


def test_haproxy_s_log_comes_in_by_udp(server: tuple[Machine, Releases]) -> None:
    machine, lab = server
    host, port = log_address(lab.lab).split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"psa api_backend/blue 0/0/1/7/8 200 --", (host, int(port)))

    metrics = f"http://{daemon_address(lab.lab)}/metrics"
    machine.wait("the line to be counted", lambda: _COUNTED in urllib.request.urlopen(metrics).read())
