"""What the doctor finds on the machine itself."""

import os
from pathlib import Path

import pytest

from daemon.cli.machine import check_clock, check_roots, check_settings, check_space
from daemon.cli.screen import Tone
from tests.unit.cli.conftest import Psactl

HOME = Path(__file__).parents[3]


def settings(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_our_own_packages_are_recognised() -> None:
    assert check_roots(HOME).tone is Tone.GOOD


def test_a_package_of_somebody_else_under_our_name_is_named(tmp_path: Path) -> None:
    found = check_roots(tmp_path)
    assert found.tone is Tone.BAD
    assert found.text == f"import root crds comes from {HOME}, not from {tmp_path}"
    assert found.remedy == "remove the other package named crds"


def test_settings_that_the_daemon_would_take_are_in_order(tmp_path: Path) -> None:
    text = "endpoints: {edge: {type: haproxy, sockets: ['unix:///a']}}\nhooks: {unit: {argv: [/bin/true]}}\n"
    found = check_settings(settings(tmp_path, text))
    assert (found.tone, found.detail) == (Tone.GOOD, "")
    assert found.text.endswith("endpoints: edge; hooks: unit")


def test_settings_that_the_daemon_would_refuse_are_shown_with_their_caret(
    pipe: Psactl, tmp_path: Path
) -> None:
    path = settings(tmp_path, "moed: Observe\n")
    ran = pipe("doctor", "--config", str(path), "--state", str(tmp_path))
    assert ran.code == 1
    assert (
        f"""\
✖ settings {path} would be refused
  {path}:1:1: error: there is no field "moed"
    1 | moed: Observe
      | ^^^^
      = did you mean "mode"?
      = allowed: alerts, api, endpoints, hooks, log, mode, notify, secrets,
        source, state
  → correct it, then systemctl restart psa-reconciler
"""
        in ran.out
    )


def test_a_machine_without_settings_is_not_ill(tmp_path: Path) -> None:
    assert check_settings(tmp_path / "none.yaml").tone is Tone.BUSY


def test_settings_of_somebody_else_are_left_to_him(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings(tmp_path, "moed: Observe\n")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert check_settings(path).tone is Tone.BUSY


def test_a_state_directory_that_is_missing_has_its_remedy(tmp_path: Path) -> None:
    found = check_space(tmp_path / "none")
    assert found.tone is Tone.BAD
    assert "--state DIR" in found.remedy
    assert check_space(tmp_path).tone is Tone.GOOD


def test_the_clock_is_never_a_reason_to_fail() -> None:
    assert check_clock().tone in {Tone.GOOD, Tone.BUSY}
