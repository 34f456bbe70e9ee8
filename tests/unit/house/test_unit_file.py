"""The systemd unit: understood by systemd, and closed."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "systemd/psa-reconciler.service"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("systemd-analyze")
    assert command is not None, "make test installs it"
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False)


def test_its_exposure_stays_at_1_5_or_below() -> None:
    result = analyze("security", "--offline=true", "--threshold=15", str(UNIT))

    assert result.returncode == 0, result.stdout


def test_systemd_knows_every_key(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/opt/psa-reconciler/current/venv/bin/psa-reconciler", "/bin/true")
    copy = tmp_path / UNIT.name
    copy.write_text(text)

    result = analyze("verify", "--man=no", str(copy))

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=30",
        "KillMode=mixed",
        "Group=psa",
        "StateDirectory=psa-reconciler",
        "RuntimeDirectory=psa-reconciler",
    ],
)
def test_it_fits_the_daemon_s_defaults(line: str) -> None:
    assert line in UNIT.read_text().splitlines()
