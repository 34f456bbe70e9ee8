"""What the machine's owner decides: endpoints, hooks, directories, sockets. Read from a root-owned file."""

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import structlog
from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from crds.meta import EndpointName, Mode, Model, SecretName
from crds.release import HookName
from daemon.credentials import TokenError, TokenFile, read_token
from daemon.layers import Layers, Override, Shape
from daemon.logs import blotted, hide
from daemon.programs import refuse_program
from daemon.settings_alerts import (
    AlertSettings,
    ListenAddress,
    TlsError,
    alert_complaints,
    is_loopback,
    with_port,
)
from daemon.settings_data import (
    DATA_ENDPOINTS,
    ElasticsearchEndpoint,
    PostgresEndpoint,
    RabbitEndpoint,
    RedisEndpoint,
    password_files,
)
from daemon.settings_hooks import AbsolutePath, HookSettings
from daemon.sources.snapshot import Problem
from daemon.sources.wording import Complaint
from daemon.web.alert_access import Access

log = structlog.stdlib.get_logger()

DEFAULT_FILE: Final = Path("/etc/psa-reconciler/config.yaml")
#: Longer paths do not fit into the kernel's address of a UNIX socket.
_LONGEST_SOCKET: Final = 107

UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


class SettingsError(Exception):
    """The settings cannot be used; the text has a paragraph for each thing that is wrong."""


def _short_enough(path: Path) -> Path:
    size = len(os.fsencode(path))
    if size > _LONGEST_SOCKET:
        raise ValueError(f"the path has {size} bytes: a socket's may have {_LONGEST_SOCKET}")
    return path


def _a_log(address: str) -> str:
    host, _, port = address.removeprefix("udp://").partition(":")
    if not address.startswith("udp://"):
        return address
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"{host} is no address: 127.0.0.1 is the usual one") from None
    if int(port) == 0:
        raise ValueError("a port from 1 on is needed: HAProxy's configuration names it too")
    return with_port(address)


def _all_different(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{twice[0]} stands here twice")
    return values


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

    socket: Annotated[AbsolutePath, AfterValidator(_short_enough)] = Path("/run/psa-reconciler/api.sock")
    """UNIX socket of psactl; whoever may open it may operate the daemon."""
    group: UserName = "psa"
    """Group that may open the socket, if the machine has it."""
    listen: ListenAddress = "127.0.0.1:9633"
    """Address and port of metrics, health and the reading API."""


class ProxmoxEndpoint(Model):
    """A Proxmox VE cluster."""

    type: Literal["proxmox"]
    urls: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^https://[^/\s]+$")], ...],
        Field(min_length=1),
        AfterValidator(_all_different),
    ]
    """API of each node, https://host:8006; they are tried in this order."""
    token_file: TokenFile
    """File with one line, user@realm!tokenid=UUID, that only its owner can read; or credential:NAME."""
    fingerprint: (
        Annotated[str, StringConstraints(pattern=r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$")] | None
    ) = None
    """SHA-256 fingerprint of the certificate, if no CA signed it."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA; the system's own ones if it is left out."""

    @field_validator("ca_file")
    @classmethod
    def _trusts_one_way(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("fingerprint") is not None:
            raise ValueError("a certificate is trusted by its fingerprint or by its CA: leave one out")
        return path

    def token(self) -> str:
        """Return the token; raise SettingsError where the file is missing, open to others or no token.

        From then on no log line shows its secret part.
        """
        try:
            text = read_token(self.token_file)
        except TokenError as exc:
            raise SettingsError(str(exc)) from None
        if not re.fullmatch(r"[^\s@!=]+@[^\s@!=]+![^\s@!=]+=[0-9a-fA-F-]{36}", text):
            raise SettingsError(f"{self.token_file}: not of the form user@realm!tokenid=UUID")
        hide(text.partition("=")[2])
        return text


class HaproxyEndpoint(Model):
    """An HAProxy, or several that are one pair."""

    type: Literal["haproxy"]
    sockets: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^(unix:///\S+|tls://[^/\s]+:\d{1,5})$")], ...],
        Field(min_length=1),
        AfterValidator(_all_different),
    ]
    """Runtime API of each node, level admin: unix:///path or tls://host:port."""
    server_state_files: tuple[AbsolutePath, ...] = ()
    """Server-state file of each node, in the order of the sockets, if this machine has them."""
    ca_file: AbsolutePath | None = None
    """Certificate of the CA of tls:// sockets."""
    log: (
        Annotated[
            str,
            StringConstraints(pattern=r"^(unix:///\S{1,90}|udp://127\.\d{1,3}\.\d{1,3}\.\d{1,3}:\d{1,5})$"),
            AfterValidator(_a_log),
        ]
        | None
    ) = None
    """Socket on this machine where HAProxy's log comes in, for response times: unix:///path or udp://127.0.0.1:port."""

    @field_validator("server_state_files")
    @classmethod
    def _has_a_file_a_socket(cls, files: tuple[Path, ...], info: ValidationInfo) -> tuple[Path, ...]:
        sockets = len(info.data.get("sockets", files))
        if files and len(files) != sockets:
            raise ValueError(f"{len(files)} for {sockets} sockets: one file a socket is needed, or none")
        return files


Endpoint = Annotated[
    ProxmoxEndpoint
    | HaproxyEndpoint
    | PostgresEndpoint
    | RedisEndpoint
    | RabbitEndpoint
    | ElasticsearchEndpoint,
    Field(discriminator="type"),
]


class LogSettings(Model):
    """What goes to the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is written."""


class NotifySettings(Model):
    """Who is told of rollbacks, holds and missing evidence, beside Alertmanager."""

    webhook: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]{1,500}$")] | None = None
    """URL that gets a JSON object for each notice; no log line shows it."""
    hook: HookName | None = None
    """One of the hooks, which gets the text as PSA_MESSAGE."""


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
    hooks: dict[HookName, HookSettings] = Field(default_factory=dict)
    """Programs that releases may select, by name."""
    secrets: dict[SecretName, TokenFile] = Field(default_factory=dict)
    """Files with one secret each, one line, closed to others, that specs may select by name."""
    notify: NotifySettings = NotifySettings()
    alerts: AlertSettings = AlertSettings()
    log: LogSettings = LogSettings()

    def alert_access(self) -> Access | None:
        """Return who may send alerts, None for nobody; raise SettingsError where a file cannot be used."""
        try:
            access = self.alerts.access()
        except (TokenError, TlsError) as exc:
            raise SettingsError(f"alerts: {exc}") from None
        if access is not None and access.listen is None and not is_loopback(self.api.listen):
            told = "the network can read the token: give alerts an address with tls"
            log.warning("alerts.exposed", address=self.api.listen, meaning=told)
        return access


#: Flag and variable of each setting that may stand outside the file: ``--state``, ``PSA_STATE``.
OVERRIDES: Final[Mapping[str, tuple[str, ...]]] = {
    "desired": ("source", "directory"),
    "state": ("state",),
    "socket": ("api", "socket"),
    "listen": ("api", "listen"),
    "mode": ("mode",),
    "log-level": ("log", "level"),
}
_SHAPE: Final = Shape(
    Settings,
    "endpoints",
    {"proxmox": ProxmoxEndpoint, "haproxy": HaproxyEndpoint, **DATA_ENDPOINTS},
    named={"hooks": HookSettings},
)


def load_settings(path: Path, flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Read the file at *path*, lay variables and flags over it, and return the settings.

    The default file may be missing where flags or variables are given. Raises SettingsError with all that is
    wrong, tokens and programs included.
    """
    overrides = _overrides(flags, environ)
    layers = Layers.read(path, overrides, may_be_missing=bool(overrides) and path == DEFAULT_FILE)
    if layers.problems:
        raise _refused(layers.problems)
    try:
        # As JSON and strict, as the files of the watched directory: "yes" is no truth value, "2" no number.
        settings = Settings.model_validate_json(layers.json(), strict=True, by_alias=True, by_name=False)
    except ValidationError as exc:
        raise _refused(layers.complain(exc.errors(include_url=False), _SHAPE)) from None
    wrong = [*_token_complaints(settings), *_program_complaints(settings), *_notify_complaints(settings)]
    wrong += alert_complaints(settings.alerts, is_written="alerts" in settings.model_fields_set)
    problems = [layers.problem(complaint) for complaint in wrong]
    if problems:
        raise _refused(problems)
    return settings


def meaning_of(flag: str) -> str:
    """Return what one of OVERRIDES sets, with its variable and its default: for ``--help``."""
    *groups, name = OVERRIDES[flag]
    field = Settings.model_fields[groups[0] if groups else name]
    if groups:
        field = type(field.default).model_fields[name]
    default = field.default.value if isinstance(field.default, Mode) else field.default
    return f"{field.description} Also {_variable(flag)}. Default {default}."


def _variable(flag: str) -> str:
    return f"PSA_{flag.upper().replace('-', '_')}"


def _overrides(flags: Mapping[str, str], environ: Mapping[str, str]) -> list[Override]:
    found = []
    for name, where in OVERRIDES.items():
        variable = _variable(name)
        if name in flags:
            found.append(Override(f"--{name}", where, flags[name]))
        elif variable in environ:
            found.append(Override(variable, where, environ[variable]))
    return found


def _token_complaints(settings: Settings) -> list[Complaint]:
    complaints = []
    for name, endpoint in settings.endpoints.items():
        if isinstance(endpoint, ProxmoxEndpoint):
            try:
                endpoint.token()
            except SettingsError as exc:
                path = ("endpoints", name, "tokenFile")
                complaints.append(Complaint(path, f"endpoints.{name}.tokenFile: {exc}"))
        elif not isinstance(endpoint, HaproxyEndpoint):
            files = {("endpoints", name, *field): file for field, file in password_files(endpoint).items()}
            complaints += _unreadable(files)
    return complaints + _unreadable({("secrets", name): file for name, file in settings.secrets.items()})


def _unreadable(files: Mapping[tuple[str, ...], Path]) -> list[Complaint]:
    """Complain of secrets that cannot be had. From then on no log line shows the others."""
    complaints = []
    for path, file in files.items():
        try:
            hide(read_token(file))
        except TokenError as exc:
            complaints.append(Complaint(path, f"{'.'.join(path)}: {exc}"))
    return complaints


def _program_complaints(settings: Settings) -> list[Complaint]:
    refusals = {name: refuse_program(Path(hook.argv[0])) for name, hook in settings.hooks.items()}
    return [
        Complaint(("hooks", name, "argv", 0), f"hooks.{name}.argv[0]: {refusal}")
        for name, refusal in refusals.items()
        if refusal is not None
    ]


def _notify_complaints(settings: Settings) -> list[Complaint]:
    """Complain of a hook that is none. From then on no log line shows the webhook: it may hold a secret."""
    if settings.notify.webhook is not None:
        hide(settings.notify.webhook)
    name = settings.notify.hook
    if name is None or name in settings.hooks:
        return []
    known = ", ".join(sorted(settings.hooks)) or "none"
    return [Complaint(("notify", "hook"), f"notify.hook: there is no hook {name}", (f"hooks: {known}",))]


def _refused(problems: Sequence[Problem]) -> SettingsError:
    """Return one error with all texts; a secret that somebody wrote into the wrong place is not repeated."""
    ordered = sorted(problems, key=lambda problem: (problem.line, problem.column))
    return SettingsError(blotted("\n".join(problem.rendered for problem in ordered)))
