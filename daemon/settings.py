"""What the machine's owner decides: endpoints, directories, sockets. Read from a root-owned file."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from crds.meta import EndpointName, Mode, Model

DEFAULT_FILE = Path("/etc/psa-reconciler/config.yaml")

UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


class SettingsError(Exception):
    """The settings cannot be used; the text has a line for each thing that is wrong."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("an absolute path is needed")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class SourceSettings(Model):
    """The watched directory."""

    directory: AbsolutePath = Path("/etc/psa-reconciler/desired.d")
    """Directory of the desired-state files."""
    owners: tuple[UserName, ...] = ()
    """Users beside root and the daemon's own who may own files there."""
    groups: tuple[UserName, ...] = ()
    """Groups that may write files there."""


class ApiSettings(Model):
    """Where the daemon answers."""

    socket: AbsolutePath = Path("/run/psa-reconciler/api.sock")
    """UNIX socket of psactl; whoever may open it may operate the daemon."""
    group: UserName = "psa"
    """Group that may open the socket, if the machine has it."""
    listen: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:\[\]]+:\d{1,5}$")] = "127.0.0.1:9633"
    """Address and port of metrics, health and the reading API."""


class ProxmoxEndpoint(Model):
    """A Proxmox VE cluster."""

    type: Literal["proxmox"]
    urls: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^https://[^/\s]+$")], ...], Field(min_length=1)
    ]
    """API of each node, https://host:8006; they are tried in this order."""
    token_file: AbsolutePath
    """File with one line, user@realm!tokenid=UUID, readable by its owner only."""
    fingerprint: (
        Annotated[str, StringConstraints(pattern=r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$")] | None
    ) = None
    """SHA-256 fingerprint of the certificate, if no CA signed it."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA; the system's own ones if it is left out."""

    def token(self) -> str:
        """Return the token; raise SettingsError where the file is missing, open to others or no token."""
        try:
            mode = self.token_file.stat().st_mode & 0o777
            text = self.token_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError(f"{self.token_file}: the token cannot be read: {exc}") from None
        if mode & 0o077:
            raise SettingsError(
                f"{self.token_file}: mode {mode:03o} lets others read it: chmod 600 {self.token_file}"
            )
        if not re.fullmatch(r"[^\s@!=]+@[^\s@!=]+![^\s@!=]+=[0-9a-fA-F-]{36}", text):
            raise SettingsError(f"{self.token_file}: not of the form user@realm!tokenid=UUID")
        return text


class HaproxyEndpoint(Model):
    """An HAProxy, or several that are one pair."""

    type: Literal["haproxy"]
    sockets: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^(unix:///\S+|tls://[^/\s]+:\d{1,5})$")], ...],
        Field(min_length=1),
    ]
    """Runtime API of each node, level admin: unix:///path or tls://host:port."""
    server_state_files: tuple[AbsolutePath, ...] = ()
    """Server-state file of each node, in the order of the sockets, if this machine has them."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA of tls:// sockets."""

    @model_validator(mode="after")
    def _has_a_file_a_socket(self) -> Self:
        if self.server_state_files and len(self.server_state_files) != len(self.sockets):
            raise ValueError("serverStateFiles needs one file a socket, or none")
        return self


Endpoint = Annotated[ProxmoxEndpoint | HaproxyEndpoint, Field(discriminator="type")]


class LogSettings(Model):
    """What goes to the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is written."""


class Settings(Model):
    """All settings. Flags win over PSA_* variables, those over the file, the file over the defaults."""

    mode: Mode = Mode.ENFORCE
    """Enforce removes differences, Observe only reports them."""
    source: SourceSettings = SourceSettings()
    state: AbsolutePath = Path("/var/lib/psa-reconciler")
    """Directory of the database and its lock."""
    api: ApiSettings = ApiSettings()
    endpoints: dict[EndpointName, Endpoint] = Field(default_factory=dict)
    """Outside systems that specs may select, by name."""
    log: LogSettings = LogSettings()


#: Flag and variable of each setting that may stand outside the file: ``--state``, ``PSA_STATE``.
OVERRIDES: Mapping[str, tuple[str, ...]] = {
    "desired": ("source", "directory"),
    "state": ("state",),
    "socket": ("api", "socket"),
    "listen": ("api", "listen"),
    "mode": ("mode",),
    "log-level": ("log", "level"),
}


def load_settings(path: Path, flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Read the file at *path*, lay variables and flags over it, and return the settings.

    The default file may be missing where flags are given. Raises SettingsError.
    """
    tree = _read(path) if path.exists() or not flags or path != DEFAULT_FILE else {}
    for name, where in OVERRIDES.items():
        value = flags.get(name, environ.get(f"PSA_{name.upper().replace('-', '_')}"))
        if value is not None:
            _put(tree, where, value)
    try:
        settings = Settings.model_validate(tree, by_alias=True, by_name=False)
    except ValidationError as exc:
        raise SettingsError(_texts(path, exc)) from None
    for endpoint in settings.endpoints.values():
        if isinstance(endpoint, ProxmoxEndpoint):
            endpoint.token()
    return settings


def _read(path: Path) -> dict[str, object]:
    try:
        tree = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {os.strerror(exc.errno or 0)}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: error: {exc}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}:1:1: error: fields are needed here, such as `endpoints:`")
    return tree


def _put(tree: dict[str, object], where: tuple[str, ...], value: str) -> None:
    for name in where[:-1]:
        inner = tree.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        tree = inner
    tree[where[-1]] = value


def _texts(path: Path, errors: ValidationError) -> str:
    lines = []
    for error in errors.errors(include_url=False):
        where = ".".join(str(part) for part in error["loc"])
        lines.append(
            f"{path}: error: {where}: {error['msg'].removeprefix('Value error, ')}, found {error['input']!r}"
        )
    return "\n".join(lines)
