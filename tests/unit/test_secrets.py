"""Secrets by name: an error names the secret once, and what was probably meant."""

from pathlib import Path

import pytest

from daemon.secrets import SecretFiles
from reconcilers.contract import PermanentError, Secrets


def a_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def refusal(secrets: Secrets, name: str) -> str:
    with pytest.raises(PermanentError) as refused:
        secrets.read(name)
    assert (refused.value.reason, refused.value.asked_outside) == ("SecretUnavailable", False)
    return str(refused.value)


def test_a_secret_is_read_anew_at_each_need(tmp_path: Path) -> None:
    file = a_file(tmp_path / "app", "the-first-of-two-words\n")
    secrets = SecretFiles({"psa-app": file})
    assert secrets.read("psa-app").value == "the-first-of-two-words"
    a_file(file, "the-second-of-two-words\n")
    assert secrets.read("psa-app").value == "the-second-of-two-words"


def test_a_name_that_is_nearly_right_is_guessed(tmp_path: Path) -> None:
    secrets = SecretFiles({"psa-app": tmp_path / "app", "replicator": tmp_path / "replicator"})
    assert refusal(secrets, "psa_ap") == "the settings have no secret psa_ap: did you mean psa-app?"


@pytest.mark.parametrize(
    ("names", "there"), [(("psa-app", "replicator"), "psa-app, replicator"), ((), "none")]
)
def test_a_name_that_is_like_no_other_is_told_what_there_is(names: tuple[str, ...], there: str) -> None:
    secrets = SecretFiles(dict.fromkeys(names, Path("/unread")))
    assert refusal(secrets, "lost") == f"the settings have no secret lost: there is {there}"


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("\n", 0o600, "it is empty"),
        ("word\n", 0o644, "mode 644 lets others at it: chmod 600 {file}"),
    ],
)
def test_a_file_that_is_no_secret_is_told_with_the_secret_s_name(
    tmp_path: Path, text: str, mode: int, why: str
) -> None:
    file = a_file(tmp_path / "app", text, mode)
    assert refusal(SecretFiles({"psa-app": file}), "psa-app") == (
        f"secret psa-app: {file}: {why.format(file=file)}"
    )
