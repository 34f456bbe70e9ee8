"""Alerts in the settings: who may send them, and where they come in."""

import ipaddress
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from crds.meta import Model
from daemon.credentials import TokenError, TokenFile, read_token
from daemon.logs import hide
from daemon.settings_hooks import AbsolutePath
from daemon.sources.wording import Complaint
from daemon.web.alert_access import Access

_LARGEST_PORT: Final = 65535
_MOST_TOKENS: Final = 2
_SHORTEST: Final = 32
_LONGEST: Final = 256


def with_port(address: str) -> str:
    """Return *address*; raise ValueError where there is no such port."""
    port = int(address.rpartition(":")[2])
    if port > _LARGEST_PORT:
        raise ValueError(f"there is no port {port}: {_LARGEST_PORT} is the last one")
    return address


ListenAddress = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F.:\[\]]+:\d{1,5}$"), AfterValidator(with_port)
]


class TlsError(Exception):
    """A file of TLS cannot be used; ``field`` names it as it is spelled in the settings."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class AlertTls(Model):
    """TLS of the alerts' own address."""

    cert_file: AbsolutePath
    """Certificate with its chain, PEM."""
    key_file: AbsolutePath
    """Its key, PEM without a password, closed to others."""
    client_ca_file: AbsolutePath | None = None
    """CA of client certificates: then nobody gets in who has none of them."""

    def context(self) -> ssl.SSLContext:
        """Return what speaks TLS 1.3 with these files; raise TlsError naming the field that is wrong."""
        for field, path in self._files():
            _refuse_unreadable(field, path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            # Without a password given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(self.cert_file, self.key_file, password="")
        except ssl.SSLError as exc:
            text = f"{self.cert_file} is no certificate for the key in {self.key_file}: {_said(exc)}"
            raise TlsError("certFile", text) from None
        if self.client_ca_file is not None:
            try:
                context.load_verify_locations(self.client_ca_file)
            except ssl.SSLError as exc:
                text = f"{self.client_ca_file} is no certificate: {_said(exc)}"
                raise TlsError("clientCaFile", text) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _files(self) -> Iterator[tuple[str, Path]]:
        yield "certFile", self.cert_file
        yield "keyFile", self.key_file
        if self.client_ca_file is not None:
            yield "clientCaFile", self.client_ca_file


def _refuse_unreadable(field: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
            mode = path.stat().st_mode
    except OSError as exc:
        raise TlsError(field, f"{path} cannot be read: {exc.strerror}") from None
    if field == "keyFile" and mode & stat.S_IRWXO:
        raise TlsError(
            field, f"{path}: mode {stat.S_IMODE(mode):03o} lets others at the key: chmod o= {path}"
        )


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


class AlertSettings(Model):
    """Where Alertmanager may ask for rollbacks; without a token or client CA nowhere."""

    token_file: TokenFile | None = None
    """File with the bearer token, 32 characters or more, or with two of them while one follows the other."""
    listen: ListenAddress | None = None
    """Address and port of their own; the daemon's address if it is left out."""
    tls: AlertTls | None = None
    """TLS at that address."""

    def tokens(self) -> tuple[str, ...]:
        """Return the tokens, which no log line shows from then on; raise TokenError where there are none."""
        if self.token_file is None:
            return ()
        tokens = tuple(line.strip() for line in read_token(self.token_file).splitlines() if line.strip())
        if not 1 <= len(tokens) <= _MOST_TOKENS:
            count = f"{len(tokens)} tokens are in it"
            raise TokenError(
                f"{self.token_file}: {count}: one is needed, or an old and a new one, a line each"
            )
        for number, token in enumerate(tokens, 1):
            hide(token)
            if " " in token or not token.isprintable():
                raise TokenError(
                    f"{self.token_file}: token {number} has a space or a control character in it"
                )
            if not _SHORTEST <= len(token) <= _LONGEST:
                count = f"token {number} has {len(token)} characters"
                raise TokenError(f"{self.token_file}: {count}: {_SHORTEST} to {_LONGEST} are needed")
        return tokens

    @property
    def is_open(self) -> bool:
        """Whether alerts are taken at all."""
        return self.token_file is not None or self.tls is not None

    def access(self) -> Access | None:
        """Return who may send alerts and where, None for nobody; raises TokenError and TlsError."""
        if not self.is_open:
            return None
        context = self.tls.context() if self.tls is not None else None
        return Access.of(self.tokens(), self.listen, context)


def alert_complaints(alerts: AlertSettings, *, is_written: bool) -> Iterator[Complaint]:
    """Yield all that keeps alerts from being taken as the file has it; *is_written*: the section is there."""
    try:
        alerts.tokens()
    except TokenError as exc:
        yield Complaint(("alerts", "tokenFile"), f"alerts.tokenFile: {exc}")
    if alerts.tls is None:
        yield from _without_tls(alerts, is_written=is_written)
        return
    if alerts.listen is None:
        notes = ("listen: 0.0.0.0:9634, or another address of its own",)
        yield Complaint(("alerts", "tls"), "alerts.tls: the daemon's own address has no TLS", notes)
    if alerts.token_file is None and alerts.tls.client_ca_file is None:
        yield _nobody(("alerts", "tls"))
    try:
        alerts.tls.context()
    except TlsError as exc:
        yield Complaint(("alerts", "tls", exc.field), f"alerts.tls.{exc.field}: {exc}")


def _without_tls(alerts: AlertSettings, *, is_written: bool) -> Iterator[Complaint]:
    if alerts.token_file is None and is_written:
        yield _nobody(("alerts",))
    if alerts.listen is not None and not is_loopback(alerts.listen):
        text = f"alerts.listen: {alerts.listen} without tls lets the network read the token"
        yield Complaint(("alerts", "listen"), text, ("tls: {certFile: …, keyFile: …}, or 127.0.0.1",))


def _nobody(path: tuple[str, ...]) -> Complaint:
    notes = ("tokenFile: FILE, tls.clientCaFile: FILE, or both",)
    return Complaint(path, f"{'.'.join(path)}: who may send alerts is not said", notes)


def is_loopback(address: str) -> bool:
    """Whether ADDRESS:PORT can be reached from this machine only."""
    try:
        return ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return False
