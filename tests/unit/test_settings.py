"""The settings file: what is taken, what is refused and with which words."""

from pathlib import Path

import pytest

from crds.meta import Mode
from daemon.settings import ProxmoxEndpoint, SettingsError, load_settings

TOKEN = "psa@pve!daemon=12345678-1234-1234-1234-123456789abc"


def a_token(folder: Path, text: str = TOKEN, mode: int = 0o600) -> Path:
    path = folder / "pve.token"
    path.write_text(f"{text}\n")
    path.chmod(mode)
    return path


def a_file(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def with_proxmox(folder: Path, token: Path) -> Path:
    return a_file(
        folder,
        f"endpoints:\n  pve: {{type: proxmox, urls: ['https://pve1:8006'], tokenFile: {token}}}\n",
    )


def test_flags_win_over_variables_and_those_over_the_file(tmp_path: Path) -> None:
    path = a_file(tmp_path, "mode: Enforce\nstate: /from/file\napi: {listen: '127.0.0.1:1'}\n")
    settings = load_settings(
        path, {"state": "/from/flag"}, {"PSA_STATE": "/from/variable", "PSA_MODE": "Observe"}
    )
    assert settings.state == Path("/from/flag")
    assert settings.mode is Mode.OBSERVE
    assert settings.api.listen == "127.0.0.1:1"


def test_the_token_is_read_from_its_own_file(tmp_path: Path) -> None:
    settings = load_settings(with_proxmox(tmp_path, a_token(tmp_path)), {}, {})
    endpoint = settings.endpoints["pve"]
    assert isinstance(endpoint, ProxmoxEndpoint)
    assert endpoint.token() == TOKEN
    assert TOKEN not in repr(settings)


def test_a_token_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    token = a_token(tmp_path, mode=0o640)
    with pytest.raises(SettingsError, match=f"chmod 600 {token}"):
        load_settings(with_proxmox(tmp_path, token), {}, {})


def test_something_that_is_no_token_is_refused_without_being_shown(tmp_path: Path) -> None:
    token = a_token(tmp_path, text="hunter2")
    with pytest.raises(SettingsError, match="user@realm!tokenid=UUID") as refused:
        load_settings(with_proxmox(tmp_path, token), {}, {})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("moed: Enforce\n", "moed"),
        ("mode: Off\n", "mode"),
        ("state: relative/path\n", "absolute path"),
        ("endpoints: {edge: {type: haproxy, sockets: ['tcp://x:1']}}\n", "sockets"),
        (
            "endpoints: {e: {type: haproxy, sockets: ['unix:///a', 'unix:///b'], serverStateFiles: [/c]}}\n",
            "one file a socket",
        ),
        ("endpoints: {x: {type: cisco}}\n", "cisco"),
        ("- a list\n", "fields are needed"),
        ("mode: [\n", "error"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = a_file(tmp_path, text)
    with pytest.raises(SettingsError, match=words) as refused:
        load_settings(path, {}, {})
    assert str(path) in str(refused.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = a_file(tmp_path, "mode: Off\nstate: here\nlog: {level: loud}\n")
    with pytest.raises(SettingsError) as refused:
        load_settings(path, {}, {})
    assert len(str(refused.value).splitlines()) == 3


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "none.yaml", {"state": "/x"}, {})
