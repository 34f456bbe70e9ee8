"""The settings file: what is taken, what is refused and with which words."""

import os
import re
from pathlib import Path

import pytest

from crds.meta import Mode
from daemon.layers import SENTENCES
from daemon.logs import blotted
from daemon.settings import OVERRIDES, ProxmoxEndpoint, Settings, SettingsError, load_settings, meaning_of
from daemon.sources.wording import PATTERNS

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


def with_proxmox(folder: Path, token: Path, more: str = "") -> Path:
    return a_file(
        folder,
        f"endpoints:\n  pve: {{type: proxmox, urls: ['https://pve1:8006'], tokenFile: {token}{more}}}\n",
    )


def refusal(path: Path, flags: dict[str, str] | None = None, environ: dict[str, str] | None = None) -> str:
    """Return what is said about settings that cannot be used, with the folder's name taken out."""
    with pytest.raises(SettingsError) as refused:
        load_settings(path, flags or {}, environ or {})
    return str(refused.value).replace(f"{path.parent}/", "")


def test_flags_win_over_variables_and_those_over_the_file(tmp_path: Path) -> None:
    path = a_file(tmp_path, "mode: Enforce\nstate: /from/file\napi: {listen: '127.0.0.1:1'}\n")
    settings = load_settings(
        path, {"state": "/from/flag"}, {"PSA_STATE": "/from/variable", "PSA_MODE": "Observe"}
    )
    assert settings.state == Path("/from/flag")
    assert settings.mode is Mode.OBSERVE
    assert settings.api.listen == "127.0.0.1:1"


@pytest.mark.parametrize("name", OVERRIDES)
def test_every_flag_has_its_variable_and_reaches_its_setting(tmp_path: Path, name: str) -> None:
    value = {"mode": "Observe", "listen": "127.0.0.1:7", "log-level": "debug"}.get(name, f"/by/{name}")
    for flags, environ in (({name: value}, {}), ({}, {f"PSA_{name.upper().replace('-', '_')}": value})):
        settings: object = load_settings(a_file(tmp_path, ""), flags, environ)
        for step in OVERRIDES[name]:
            settings = getattr(settings, step)
        assert str(getattr(settings, "value", settings)) == value


@pytest.mark.parametrize("name", OVERRIDES)
def test_the_help_says_of_every_flag_what_it_sets_and_what_is_so_without_it(name: str) -> None:
    told = meaning_of(name)
    assert re.fullmatch(r"[A-Z].+\. Also PSA_[A-Z_]+\. Default [\w/.:-]+\.", told)
    assert f"PSA_{name.upper().replace('-', '_')}" in told


def test_an_empty_group_in_the_file_does_not_hide_a_variable(tmp_path: Path) -> None:
    settings = load_settings(a_file(tmp_path, "source:\n"), {}, {"PSA_DESIRED": "/desired"})
    assert settings.source.directory == Path("/desired")


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(a_file(tmp_path, "# nothing yet\n"), {}, {}) == Settings()


def test_the_token_is_read_from_its_own_file(tmp_path: Path) -> None:
    settings = load_settings(with_proxmox(tmp_path, a_token(tmp_path)), {}, {})
    endpoint = settings.endpoints["pve"]
    assert isinstance(endpoint, ProxmoxEndpoint)
    assert endpoint.token() == TOKEN
    assert TOKEN not in repr(settings)


def test_no_log_line_shows_a_token_that_was_read(tmp_path: Path) -> None:
    secret = "fedcba98-4321-4321-4321-cba987654321"
    load_settings(with_proxmox(tmp_path, a_token(tmp_path, f"psa@pve!x={secret}")), {}, {})
    assert secret not in blotted(f"somebody's server repeats {secret} in its answer")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_token_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    token = a_token(tmp_path, mode=mode)
    text = refusal(with_proxmox(tmp_path, token))
    assert "config.yaml:2:" in text
    assert f"endpoints.pve.tokenFile: pve.token: mode {mode:03o}" in text
    assert "chmod 600 pve.token" in text


def test_something_that_is_no_token_is_refused_without_being_shown(tmp_path: Path) -> None:
    text = refusal(with_proxmox(tmp_path, a_token(tmp_path, text="hunter2")))
    assert "user@realm!tokenid=UUID" in text
    assert "hunter2" not in text


def test_a_token_in_the_place_of_its_file_is_refused_without_being_repeated(tmp_path: Path) -> None:
    text = refusal(with_proxmox(tmp_path, Path(f'"{TOKEN}"')))
    assert "an absolute path is needed" in text
    assert "12345678" not in text


def test_a_pipe_in_the_place_of_the_token_does_not_hold_the_start(tmp_path: Path) -> None:
    token = tmp_path / "pve.token"
    os.mkfifo(token, 0o600)
    assert "not a regular file" in refusal(with_proxmox(tmp_path, token))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "log:\n  levle: debug\n",
            """\
config.yaml:2:3: error: log: there is no field "levle"
  2 |   levle: debug
    |   ^^^^^
    = did you mean "level"?
    = allowed: level""",
        ),
        (
            "moed: Enforce\n",
            """\
config.yaml:1:1: error: there is no field "moed"
  1 | moed: Enforce
    | ^^^^
    = did you mean "mode"?
    = allowed: alerts, api, endpoints, hooks, log, mode, notify, secrets,
      source, state""",
        ),
        (
            "mode: enforce\n",
            """\
config.yaml:1:7: error: mode: "enforce" is not allowed
  1 | mode: enforce
    |       ^^^^^^^
    = did you mean "Enforce"?
    = allowed: Enforce, Observe""",
        ),
        (
            "mode: Enforce\nmode: Observe\n",
            """\
config.yaml:2:1: error: "mode" stands here twice, for the first time in line 1
  2 | mode: Observe
    | ^^^^
    = remove one of the two""",
        ),
        (
            "endpoints:\n  x: {type: haprxy}\n",
            """\
config.yaml:2:13: error: endpoints.x.type: "haprxy" is not allowed
  2 |   x: {type: haprxy}
    |             ^^^^^^
    = did you mean "haproxy"?
    = allowed: proxmox, haproxy, postgres, redis, rabbitmq, elasticsearch""",
        ),
        (
            "endpoints:\n  x: {}\n",
            """\
config.yaml:2:3: error: endpoints.x: the field "type" is missing
  2 |   x: {}
    |   ^
    = type: proxmox or haproxy or postgres or redis or rabbitmq or elasticsearch""",
        ),
        (
            "endpoints:\n  edge:\n    type: haproxy\n    socket: [unix:///run/a]\n    sockets: [tcp://b:1]\n",
            """\
config.yaml:4:5: error: endpoints.edge: there is no field "socket"
  4 |     socket: [unix:///run/a]
    |     ^^^^^^
    = did you mean "sockets"?
    = allowed: caFile, log, serverStateFiles, sockets, type
config.yaml:5:15: error: endpoints.edge.sockets[0]: "tcp://b:1" is not allowed
  5 |     sockets: [tcp://b:1]
    |               ^^^^^^^^^
    = allowed: unix:///PATH or tls://HOST:PORT""",
        ),
        (
            "endpoints:\n  e: {type: haproxy, sockets: ['unix:///a', 'unix:///b'], serverStateFiles: [/c]}\n",
            "endpoints.e.serverStateFiles: 1 for 2 sockets: one file a socket is needed, or none",
        ),
        (
            "endpoints:\n  e: {type: haproxy, sockets: ['unix:///a', 'unix:///a']}\n",
            "endpoints.e.sockets: unix:///a stands here twice",
        ),
        (
            "endpoints:\n  e:\n    type: haproxy\n    sockets: ['unix:///a']\n    log: udp://10.0.0.1:5514\n",
            """\
config.yaml:5:10: error: endpoints.e.log: "udp://10.0.0.1:5514" is not allowed
  5 |     log: udp://10.0.0.1:5514
    |          ^^^^^^^^^^^^^^^^^^^
    = allowed: unix:///PATH of 90 characters at most, or udp://127.0.0.1:PORT""",
        ),
        (
            "endpoints: {e: {type: haproxy, sockets: ['unix:///a'], log: 'udp://127.0.0.1:0'}}\n",
            "= a port from 1 on is needed",
        ),
        (
            "endpoints: {e: {type: haproxy, sockets: ['unix:///a'], log: 'udp://127.0.0.1:65536'}}\n",
            "= there is no port 65536",
        ),
        (
            "endpoints: {e: {type: haproxy, sockets: ['unix:///a'], log: 'udp://127.0.0.256:5514'}}\n",
            "= 127.0.0.256 is no address",
        ),
        ("endpoints: {Edge: {type: haproxy, sockets: ['unix:///a']}}\n", 'endpoints: the name "Edge" is not'),
        ("state: relative/path\n", "= an absolute path is needed"),
        ("state: 5\n", "state: text is needed, found 5"),
        ("endpoints: {e: {type: haproxy, sockets: []}}\n", "0 entries are too few"),
        ("endpoints: 5\n", "endpoints: a mapping is needed, found 5"),
        ("api: {listen: '127.0.0.1:99999'}\n", "there is no port 99999"),
        ("api: {listen: 'localhost:9633'}\n", "such as 127.0.0.1:9633"),
        (f"api: {{socket: /run/{'x' * 120}}}\n", "the path has 125 bytes"),
        ("log: {level: loud}\n", "= allowed: debug, info, warning, error"),
        ("source: {owners: root}\n", "source.owners: a list is needed"),
        ("- a list\n", "config.yaml:1:1: error: fields are needed here, found a list"),
        ("mode: Observe\n---\nmode: Enforce\n", "config.yaml:3:1: error: the settings are one document"),
        ("mode: [\n", "config.yaml:2:1: error: the file ends where a value is needed"),
    ],
)
def test_a_mistake_is_shown_where_it_stands_with_what_is_right(tmp_path: Path, text: str, told: str) -> None:
    found = refusal(a_file(tmp_path, text))
    if "\n" in told:
        assert found == told
    else:
        assert told in found


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"mode: \xff\n")
    assert refusal(path).startswith("config.yaml:1:7: error: byte 0xff is not UTF-8")


def test_a_bad_variable_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    path = a_file(tmp_path, "mode: Enforce\nstate: /state\n")
    assert refusal(path, environ={"PSA_MODE": "Off"}) == (
        'PSA_MODE: error: mode: "Off" is not allowed\n    = allowed: Enforce, Observe'
    )
    assert refusal(path, flags={"listen": "here"}).startswith('--listen: error: api.listen: "here" is not')


def test_a_certificate_is_trusted_in_one_way_only(tmp_path: Path) -> None:
    more = f", fingerprint: '{':'.join(['AA'] * 32)}', caFile: /ca.pem"
    text = refusal(with_proxmox(tmp_path, a_token(tmp_path), more))
    assert "by its fingerprint or by its CA: leave one out" in text


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = refusal(a_file(tmp_path, "mode: Off\nstate: here\nlog: {level: loud}\n"))
    assert re.findall(r"^config.yaml:(\d+)", text, re.MULTILINE) == ["1", "2", "3"]


def test_all_bad_tokens_are_told_at_once(tmp_path: Path) -> None:
    text = refusal(
        a_file(
            tmp_path,
            "endpoints:\n"
            "  a: {type: proxmox, urls: ['https://a:8006'], tokenFile: /no/a}\n"
            "  b: {type: proxmox, urls: ['https://b:8006'], tokenFile: /no/b}\n",
        )
    )
    assert text.count("it cannot be read: No such file or directory") == 2


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    text = refusal(tmp_path / "none.yaml", {"state": "/x"})
    assert text == "none.yaml: error: the settings cannot be read: No such file or directory"


def test_every_pattern_of_the_settings_has_a_sentence() -> None:
    patterns = _patterns(Settings.model_json_schema())
    assert SENTENCES.keys() <= patterns <= SENTENCES.keys() | PATTERNS.keys()


def _patterns(schema: object) -> set[str]:
    """Return all patterns; an amount with its unit has its own sentence, and says so by its examples."""
    if isinstance(schema, dict):
        is_bare = isinstance(schema.get("pattern"), str) and "examples" not in schema
        own = {schema["pattern"]} if is_bare else set()
        own |= set(schema.get("patternProperties", {}))
        return own.union(*(_patterns(inner) for inner in schema.values()))
    return set().union(*(_patterns(inner) for inner in schema)) if isinstance(schema, list) else set()


def test_a_notice_goes_to_a_hook_that_there_is(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("notify: {hook: page}\n")
    with pytest.raises(SettingsError, match=r"config.yaml:1:16: error: notify.hook: there is no hook page"):
        load_settings(path, {}, {})
