"""Tokens: files of one's own, or credentials that systemd hands over."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from daemon import credentials
from daemon.credentials import TokenError, TokenFile, read_token

REFERENCE = Path("credential:pve.token")


def a_file(path: Path, text: str, mode: int) -> Path:
    path.write_text(f"{text}\n")
    path.chmod(mode)
    return path


def handed_over(folder: Path) -> dict[str, str]:
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_a_credential_is_one_of_the_files_of_the_unit_s_own_directory(tmp_path: Path) -> None:
    a_file(tmp_path / "psa_pve.token", "from /etc", 0o400)
    assert read_token(REFERENCE, handed_over(tmp_path)) == "from /etc"


def test_a_drop_in_may_load_it_under_its_own_name(tmp_path: Path) -> None:
    a_file(tmp_path / "pve.token", "from a drop-in", 0o400)
    assert read_token(REFERENCE, handed_over(tmp_path)) == "from a drop-in"


def test_the_mask_of_systemd_s_acl_is_no_access_of_others(tmp_path: Path) -> None:
    a_file(tmp_path / "psa_pve.token", "secret", 0o440)
    assert read_token(REFERENCE, handed_over(tmp_path)) == "secret"


def test_a_credential_that_everybody_reads_is_refused(tmp_path: Path) -> None:
    a_file(tmp_path / "psa_pve.token", "secret", 0o444)
    with pytest.raises(TokenError, match="mode 444 lets others at it"):
        read_token(REFERENCE, handed_over(tmp_path))


def test_outside_a_unit_the_file_is_read_that_it_would_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "CREDENTIALS", tmp_path)
    token = a_file(tmp_path / "pve.token", "secret", 0o600)
    assert read_token(REFERENCE, {}) == "secret"
    token.chmod(0o640)
    with pytest.raises(TokenError, match="chmod 600"):
        read_token(REFERENCE, {})


def test_a_credential_that_was_not_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"put it into /etc/psa-reconciler/credentials, then restart"):
        read_token(REFERENCE, handed_over(tmp_path))


def test_a_plain_path_means_that_file_whatever_systemd_loaded(tmp_path: Path) -> None:
    own = a_file(tmp_path / "pve.token", "mine", 0o600)
    assert read_token(own, handed_over(tmp_path / "elsewhere")) == "mine"


@pytest.mark.parametrize("text", ["credential:", "credential:../x", "credential:a/b", "credential:.x", "x"])
def test_only_the_name_of_a_file_is_a_credential(text: str) -> None:
    with pytest.raises(ValidationError, match="credential:NAME"):
        TypeAdapter(TokenFile).validate_python(text)
