"""Alerts in the settings: who may send them, and each mistake told with file, line and field."""

import hashlib
import os
import re
import ssl
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.logs import blotted
from daemon.settings import Settings, SettingsError, load_settings
from tests.builders_tls import Authority, make_authority
from tests.unit.test_settings import a_file, refusal

OLD, NEW = "0123456789abcdef0123456789abcdef", "fedcba98-7654-3210-fedc-ba9876543210"


def a_token(folder: Path, *lines: str, mode: int = 0o600) -> Path:
    path = folder / "alertmanager.token"
    path.write_text("".join(f"{line}\n" for line in lines or (OLD,)))
    path.chmod(mode)
    return path


def settings(folder: Path, text: str) -> Settings:
    return load_settings(a_file(folder, text), {}, {})


def with_token(folder: Path, *lines: str, more: str = "", mode: int = 0o600) -> str:
    return f"alerts:\n  tokenFile: {a_token(folder, *lines, mode=mode)}\n{more}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


def tls(authority: Authority, **files: Path) -> str:
    given = {"certFile": authority.certificate, "keyFile": authority.key, **files}
    return "alerts:\n  listen: 0.0.0.0:9634\n  tls:\n" + "".join(
        f"    {name}: {path}\n" for name, path in given.items()
    )


def test_without_a_section_nobody_may_send_alerts(tmp_path: Path) -> None:
    assert settings(tmp_path, "mode: Observe\n").alert_access() is None


def test_a_token_opens_the_daemons_own_address_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    access = settings(tmp_path, with_token(tmp_path)).alert_access()
    assert access is not None
    assert access.digests == (hashlib.sha256(OLD.encode()).digest(),)
    assert (access.listen, access.context) == (None, None)
    assert OLD not in repr(access)
    assert OLD not in blotted(f"the header was Bearer {OLD}")


def test_while_one_token_follows_another_both_are_valid(tmp_path: Path) -> None:
    access = settings(tmp_path, with_token(tmp_path, OLD, "", f"  {NEW}  ")).alert_access()
    assert access is not None
    assert [access.admits(f"Bearer {each}") for each in (OLD, NEW, OLD[:-1], f"{OLD} {NEW}")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("header", "is_let_in"),
    [
        (f"Bearer {OLD}", True),
        (f"bearer {OLD}", True),
        (f"Bearer   {OLD} ", True),
        (f"Basic {OLD}", False),
        (OLD, False),
        ("Bearer", False),
        ("Bearer ", False),
        ("", False),
        (f"Bearer {OLD}\udcff", False),
    ],
)
def test_only_the_very_token_lets_in(tmp_path: Path, header: str, is_let_in: bool) -> None:  # noqa: FBT001
    access = settings(tmp_path, with_token(tmp_path)).alert_access()
    assert access is not None
    assert access.admits(header) is is_let_in


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["hunter2"], "token 1 has 7 characters: 32 to 256 are needed"),
        ([OLD, "x" * 31], "token 2 has 31 characters"),
        (["x" * 257], "token 1 has 257 characters"),
        ([OLD, NEW, "y" * 40], "3 tokens are in it: one is needed, or an old and a new one, a line each"),
        ([""], "0 tokens are in it"),
        ([f"{OLD[:20]} {OLD}"], "token 1 has a space or a control character in it"),
        (["größer" * 10], "it is not ASCII text"),
    ],
)
def test_what_is_no_good_token_is_refused_without_being_shown(
    tmp_path: Path, lines: list[str], told: str
) -> None:
    text = refusal(a_file(tmp_path, with_token(tmp_path, *lines)))
    assert text.startswith("config.yaml:2:14: error: alerts.tokenFile: alertmanager.token: ")
    assert told in text
    assert not any(line[:8] in text for line in lines if line)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_token_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    text = refusal(a_file(tmp_path, with_token(tmp_path, mode=mode)))
    assert f"alerts.tokenFile: alertmanager.token: mode {mode:03o} lets others at it: chmod 600" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_token_of_somebody_else_is_refused_with_the_remedy(tmp_path: Path) -> None:
    text = with_token(tmp_path)
    os.chown(tmp_path / "alertmanager.token", 65534, -1)
    told = refusal(a_file(tmp_path, text))
    assert "alerts.tokenFile: alertmanager.token: it belongs to uid 65534" in told
    assert "chown root alertmanager.token" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("alerts: {}\n", "config.yaml:1:1: error: alerts: who may send alerts is not said"),
        (
            "alerts:\n  tokenFile: /no/such\n",
            "config.yaml:2:14: error: alerts.tokenFile: /no/such: it cannot",
        ),
        ("alerts:\n  tokenFile: here\n", "config.yaml:2:14: error: alerts.tokenFile: "),
        ("alerts:\n  token: x\n", 'config.yaml:2:3: error: alerts: there is no field "token"'),
        ("alerts:\n  listen: 9634\n", "config.yaml:2:11: error: alerts.listen: "),
        ("alerts:\n  listen: '127.0.0.1:99999'\n", "there is no port 99999"),
        ("alerts:\n  listen: 127.0.0.1:9634\n", "alerts: who may send alerts is not said"),
        ("alerts:\n  tls: {keyFile: /k}\n", 'alerts.tls: the field "certFile" is missing'),
        ("alerts:\n  tls: {certFile: c, keyFile: /k}\n", "config.yaml:2:19: error: alerts.tls.certFile: "),
    ],
)
def test_a_mistake_is_shown_where_it_stands(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(a_file(tmp_path, text))


@pytest.mark.parametrize("address", ["0.0.0.0:9634", "10.0.10.5:9634", "[::]:9634", "999.0.0.1:9634"])
def test_a_token_does_not_cross_the_network_in_the_clear(tmp_path: Path, address: str) -> None:
    more = f"  listen: '{address}'\n"
    text = refusal(a_file(tmp_path, with_token(tmp_path, more=more)))
    assert text.startswith("config.yaml:3:11: error: alerts.listen: ")
    assert f"{address} without tls lets the network read the token" in text


@pytest.mark.parametrize(("address", "warnings"), [("10.0.0.5:9633", 1), ("127.0.0.1:9633", 0)])
def test_that_the_daemons_own_address_is_open_to_the_network_is_said(
    tmp_path: Path, address: str, warnings: int
) -> None:
    found = settings(tmp_path, with_token(tmp_path, more=f"api: {{listen: '{address}'}}\n"))
    with capture_logs() as logs:
        found.alert_access()
    assert [line["event"] for line in logs] == ["alerts.exposed"] * warnings


@pytest.mark.parametrize("address", ["127.0.0.1:9634", "127.7.0.1:9634", "[::1]:9634"])
def test_on_the_machine_itself_an_address_needs_no_tls(tmp_path: Path, address: str) -> None:
    access = settings(tmp_path, with_token(tmp_path, more=f"  listen: '{address}'\n")).alert_access()
    assert access is not None
    assert (access.listen, access.context) == (address, None)


def test_a_client_certificate_may_stand_for_the_token(tmp_path: Path, authority: Authority) -> None:
    access = settings(tmp_path, tls(authority, clientCaFile=authority.ca)).alert_access()
    assert access is not None
    assert access.context is not None
    assert access.context.verify_mode is ssl.CERT_REQUIRED
    assert access.context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert access.admits("")


def test_with_both_a_token_and_a_client_ca_both_are_needed(tmp_path: Path, authority: Authority) -> None:
    more = tls(authority, clientCaFile=authority.ca).removeprefix("alerts:\n")
    access = settings(tmp_path, with_token(tmp_path, more=more)).alert_access()
    assert access is not None
    assert access.context is not None
    assert access.context.verify_mode is ssl.CERT_REQUIRED
    assert [access.admits(each) for each in ("", f"Bearer {OLD}")] == [False, True]


def test_tls_alone_lets_nobody_in(tmp_path: Path, authority: Authority) -> None:
    text = refusal(a_file(tmp_path, tls(authority)))
    assert "config.yaml:3:3: error: alerts.tls: who may send alerts is not said" in text
    assert "= tokenFile: FILE, tls.clientCaFile: FILE, or both" in text


def test_tls_needs_an_address_of_its_own(tmp_path: Path, authority: Authority) -> None:
    text = tls(authority, clientCaFile=authority.ca).replace("  listen: 0.0.0.0:9634\n", "")
    assert "alerts.tls: the daemon's own address has no TLS" in refusal(a_file(tmp_path, text))


def test_files_of_tls_that_cannot_be_used_are_named(tmp_path: Path, authority: Authority) -> None:
    empty, gone, key = tmp_path / "empty", tmp_path / "gone", tmp_path / "key.pem"
    empty.write_text("")
    key.write_text(authority.key.read_text())
    key.chmod(0o644)
    for name, path, told in (
        ("certFile", gone, "gone cannot be read: No such file or directory"),
        ("certFile", tmp_path, "cannot be read: Is a directory"),
        ("certFile", empty, "empty is no certificate for the key in"),
        ("certFile", authority.client_certificate, "is no certificate for the key in"),
        ("keyFile", gone, "gone cannot be read: No such file or directory"),
        ("keyFile", key, "key.pem: mode 644 lets others at the key: chmod o= key.pem"),
        ("clientCaFile", gone, "gone cannot be read: No such file or directory"),
        ("clientCaFile", empty, "empty is no certificate: "),
    ):
        files = {"clientCaFile": authority.ca, name: path}
        text = refusal(a_file(tmp_path, tls(authority, **files)))
        assert re.match(rf"config.yaml:\d:\d+: error: alerts.tls.{name}: ", text), text
        assert told in text


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    tmp_path: Path, authority: Authority
) -> None:
    assert "is no certificate for the key in" in refusal(
        a_file(tmp_path, tls(authority, keyFile=authority.locked_key, clientCaFile=authority.ca))
    )


def test_a_file_that_went_bad_since_it_was_checked_is_an_error_of_the_settings(tmp_path: Path) -> None:
    found = settings(tmp_path, with_token(tmp_path))
    (tmp_path / "alertmanager.token").unlink()
    with pytest.raises(SettingsError, match=r"alerts: .*it cannot be read"):
        found.alert_access()
