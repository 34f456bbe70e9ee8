"""tools/setup: quick when nothing is to do, and one clear line where it may not help itself."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
#: A Debian package and a command that no machine has.
IMAGINARY = "psa-imaginary=psa-imaginary-command"


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def set_up(path: Path, *packages: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "tools/setup"), *packages],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{path}:/usr/sbin:/usr/bin:/sbin:/bin"},
    )


@pytest.fixture
def person(tmp_path: Path) -> Path:
    """Return a folder for the front of PATH, in which we are an ordinary user and sudo refuses."""
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "sudo", "exit 1")
    return tmp_path


def test_without_root_one_line_names_the_packages_to_ask_for(person: Path) -> None:
    result = set_up(person, IMAGINARY)

    assert result.returncode == 1
    assert result.stderr == (
        "setup: Debian packages are missing and there is no root or sudo here; "
        "ask for: apt-get install psa-imaginary\n"
    )


def test_a_missing_package_is_named_with_its_reason_and_installed_with_a_lock_time_out(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "sudo", f'echo "$@" >>{log}; cat >/dev/null')
    result = set_up(tmp_path, IMAGINARY)

    assert "setup: Debian package psa-imaginary: needed by this target" in result.stdout
    asked = log.read_text()
    assert "DPkg::Lock::Timeout=300 install -y --no-install-recommends psa-imaginary" in asked


def test_apt_s_refusal_is_shown_and_ends_the_set_up(person: Path) -> None:
    program(
        person,
        "sudo",
        'case "$*" in *"apt-get "*) echo "E: no such thing"; exit 100;; *tee*) cat >/dev/null;; esac',
    )

    result = set_up(person, IMAGINARY)

    assert result.returncode == 1
    assert "E: no such thing" in result.stderr
    assert result.stderr.endswith("setup: apt-get install psa-imaginary ended with an error (above)\n")


def test_nothing_to_do_is_silent_and_quick(tmp_path: Path) -> None:
    first = set_up(tmp_path)
    started = time.monotonic()
    second = set_up(tmp_path)

    assert first.returncode == second.returncode == 0
    assert second.stdout == second.stderr == ""
    assert time.monotonic() - started < 0.3


def test_python_packages_come_over_what_the_machine_trusts(tmp_path: Path) -> None:
    checkout, bundle = tmp_path / "checkout", Path("/etc/ssl/certs/ca-certificates.crt")
    shutil.copytree(ROOT / "tools", checkout / "tools")
    pinned = re.search(r"^uv==(\S+)", (ROOT / "tools/uv.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    (checkout / ".venv-tools/bin").mkdir(parents=True)
    told = f'[ "$1" = sync ] && mkdir -p .venv && echo "$UV_SYSTEM_CERTS" >>told; echo "uv {pinned[1]}"'
    program(checkout / ".venv-tools/bin", "uv", told)

    result = subprocess.run(
        [checkout / "tools/setup"],
        env={"PATH": os.environ["PATH"], "VENV": ".venv"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert (checkout / "told").read_text().splitlines() == ["true" if bundle.exists() else ""] * 2


def test_a_package_for_two_commands_is_asked_for_once(person: Path) -> None:
    result = set_up(person, "psa-imaginary=psa-one", "psa-imaginary-2=psa-two", "psa-imaginary=psa-three")

    assert result.stderr.endswith("ask for: apt-get install psa-imaginary psa-imaginary-2\n")


def test_a_database_server_makes_no_cluster_for_the_machine_and_starts_nothing_at_boot(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "systemctl", "exit 0")
    program(tmp_path, "sudo", f'echo "$@" >>{log}; case "$*" in *tee*) cat >/dev/null;; esac')
    result = set_up(tmp_path, "postgresql-15=psa-no-postgres", "rabbitmq-server=psa-no-rabbitmq")

    asked = log.read_text().splitlines()
    assert "setup: Debian package postgresql-15: databases of the lab" in result.stdout
    forbidding = next(number for number, line in enumerate(asked) if "create_main_cluster = false" in line)
    assert "postgresql-common" in asked[forbidding - 1]
    assert "postgresql-15 rabbitmq-server" in asked[forbidding + 1]
    disabled = {line.split()[-1] for line in asked if "disable" in line}
    assert disabled - {"epmd.service", "epmd.socket"} == {"rabbitmq-server.service"}
