"""The page on a real installation says what the tests run with."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml

from daemon.settings import Settings
from lab.wiring import PRIVILEGES
from tests.docs.markdown import ROOT, blocks

PAGE = ROOT / "docs/how-to/run-it-for-real.md"
TEXT = PAGE.read_text()
_LISTENER = """
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen page
    bind 127.0.0.1:8080
"""


def test_its_privileges_are_those_of_the_lab() -> None:
    roles = dict(re.findall(r'^pveum role add (\w+) --privs "([^"]+)"$', TEXT, re.MULTILINE))
    entries = re.findall(r"^pveum acl modify (\S+) --roles (\w+) (.*)$", TEXT, re.MULTILINE)

    assert {path: tuple(sorted(roles[role].split())) for path, role, _ in entries} == {
        path: tuple(sorted(rights)) for path, rights in PRIVILEGES.items()
    }
    assert {who for *_, who in entries} == {"--users psa@pve --tokens 'psa@pve!reconciler'"}


def test_the_readme_names_the_same_ones_and_the_same_socket() -> None:
    readme = (ROOT / "README.md").read_text()
    told = "; ".join(f"on `{path}`: {' '.join(rights)}" for path, rights in PRIVILEGES.items())
    (socket,) = re.findall(r"^ *(stats socket .*)$", TEXT, re.MULTILINE)

    assert f"| {told} |" in readme
    assert f"`{socket}`" in readme


def test_its_settings_are_settings() -> None:
    (found,) = [block for block in blocks(PAGE) if block.info == "yaml"]

    settings = Settings.model_validate(yaml.safe_load(found.text))

    assert settings.endpoints.keys() == {"pve", "edge"}


def test_haproxy_understands_its_lines(tmp_path: Path) -> None:
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert program is not None
    lines = next(block.text for block in blocks(PAGE) if "stats socket" in block.text)
    file = tmp_path / "haproxy.cfg"
    file.write_text(lines.replace("group haproxy", f"gid {tmp_path.stat().st_gid}") + _LISTENER)

    found = subprocess.run([program, "-c", "-f", str(file)], capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stderr


def test_it_tells_the_exposure_and_the_exit_status_of_the_unit() -> None:
    unit = (ROOT / "systemd/psa-reconciler.service").read_text()

    assert "RestartPreventExitStatus=78" in unit
    assert "exit status 78" in TEXT
    assert "exposure 1.4" in TEXT
