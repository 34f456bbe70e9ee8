"""Hooks in the settings: which programs are trusted, and what is said about the others."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.programs import refuse_program
from daemon.settings import SettingsError, load_settings
from reconcilers.hook_runs import Hook

NOBODY = 65534


def a_program(folder: Path, name: str = "test.sh", mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(mode)
    return path


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> str:
    """Return what is said about settings with these hooks, with the folder's name taken out."""
    with pytest.raises(SettingsError) as refused:
        load_settings(settings_file(folder, text), {}, {})
    return str(refused.value).replace(f"{folder}/", "")


def test_a_hook_has_all_that_its_runner_needs(tmp_path: Path) -> None:
    program = a_program(tmp_path)
    text = f"""\
hooks:
  unit:
    argv: [{program}, run, "{{version}}"]
    timeout: 5m
    directory: /srv/psa
    environment: {{CI: "1"}}
    idempotent: true
  audit: {{argv: [{program}]}}
"""

    settings = load_settings(settings_file(tmp_path, text), {}, {})

    found = {name: each.hook(name) for name, each in settings.hooks.items()}
    assert found["unit"] == Hook(
        name="unit",
        argv=(str(program), "run", "{version}"),
        timeout=timedelta(minutes=5),
        directory="/srv/psa",
        environment={"CI": "1"},
        is_idempotent=True,
    )
    assert found["audit"] == Hook(name="audit", argv=(str(program),))
    assert found["audit"].timeout == timedelta(minutes=10)
    assert not found["audit"].is_idempotent, "nobody said that it may be repeated"


@pytest.mark.parametrize("mode", [0o757, 0o775, 0o722])
def test_a_program_that_others_can_write_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    program = a_program(tmp_path)
    program.chmod(mode)

    text = refusal(tmp_path, f"hooks:\n  unit:\n    argv:\n      - {program}\n")

    assert text.startswith("config.yaml:4:9: error: hooks.unit.argv[0]: test.sh can be written by ")
    assert "; to put it right: chmod " in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_program_of_somebody_else_is_refused_with_the_remedy(tmp_path: Path) -> None:
    program = a_program(tmp_path)
    os.chown(program, NOBODY, -1)

    text = refusal(tmp_path, f"hooks: {{unit: {{argv: [{program}]}}}}\n")

    assert "hooks.unit.argv[0]: test.sh belongs to nobody, not to root" in text
    assert "chown root" in text


def test_a_folder_that_others_can_write_makes_its_programs_untrusted_unless_it_is_sticky(
    tmp_path: Path,
) -> None:
    (tmp_path / "open").mkdir()
    program = a_program(tmp_path / "open")
    (tmp_path / "open").chmod(0o777)
    assert "can be written by its group" in str(refuse_program(program))

    (tmp_path / "open").chmod(0o1777)
    assert refuse_program(program) is None


def test_the_folders_behind_a_link_count_too(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    link = tmp_path / "link"
    link.symlink_to(a_program(tmp_path / "open"))
    assert refuse_program(link) is None

    (tmp_path / "open").chmod(0o777)
    assert f"{tmp_path}/open can be written by" in str(refuse_program(link))


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    assert str(refuse_program(tmp_path / "none")).endswith("none: No such file or directory")
    assert str(refuse_program(tmp_path)).endswith("is not a regular file")
    plain = a_program(tmp_path, mode=0o644)
    assert str(refuse_program(plain)).endswith(f"is not executable; to put it right: chmod +x {plain}")
    os.mkfifo(tmp_path / "pipe", 0o700)
    assert str(refuse_program(tmp_path / "pipe")).endswith("is not a regular file")


def test_all_programs_that_are_refused_are_told_at_once(tmp_path: Path) -> None:
    text = refusal(tmp_path, "hooks:\n  a: {argv: [/no/a]}\n  b: {argv: [/no/b]}\n")
    assert text.count("No such file or directory") == 2


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ("{argv: [/bin/true, '--url={url}']}", "{url} stands for a whole argument, never for a part of one"),
        ("{argv: [/bin/true, '{verison}']}", "there is no fact {verison}: {release}, {version}"),
        ("{argv: ['true']}", 'hooks.h.argv: "true" is no absolute path'),
        ("{argv: ['{version}']}", 'hooks.h.argv: "{version}" is no absolute path'),
        ("{argv: /bin/true --fast}", "hooks.h.argv: a list is needed"),
        ("{argv: []}", "hooks.h.argv: 0 entries are too few"),
        ("{}", 'hooks.h: the field "argv" is missing'),
        ("{argv: [/bin/true], tiemout: 1m}", 'did you mean "timeout"?'),
        ("{argv: [/bin/true], timeout: 0s}", "nothing is done in no time"),
        ("{argv: [/bin/true], timeout: 5}", "such as 30s or 10m"),
        ("{argv: [/bin/true], directory: srv}", "an absolute path is needed"),
        ("{argv: [/bin/true], environment: {PSA_RUN: x}}", "PSA_ are the daemon's own"),
        ("{argv: [/bin/true], environment: {1ST: x}}", 'the name "1ST" is not allowed'),
        ("{argv: [/bin/true], environment: {CI: 1}}", 'put it in quotes if it is meant as text: "1"'),
        ('{argv: [/bin/true, "a\\0b"]}', "a NUL cannot be passed on"),
    ],
)
def test_a_mistake_is_shown_where_it_stands(tmp_path: Path, hook: str, told: str) -> None:
    text = refusal(tmp_path, f"hooks:\n  h: {hook}\n")
    assert text.startswith("config.yaml:2:")
    assert told in text


def test_braces_that_are_no_fact_are_left_alone(tmp_path: Path) -> None:
    argument = '{"level": "high"}'
    path = settings_file(tmp_path, f"hooks: {{h: {{argv: [/bin/true, '{argument}', '{{}}']}}}}\n")
    assert load_settings(path, {}, {}).hooks["h"].argv[1:] == (argument, "{}")


def test_a_name_that_no_release_could_select_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path, "hooks: {Unit: {argv: [/bin/true]}}\n")
    assert 'hooks: the name "Unit" is not allowed' in text
    assert "small letters, digits and -" in text
