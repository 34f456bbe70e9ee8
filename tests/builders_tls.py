"""Certificates for tests, made with the openssl command: a CA's, a server's, a client's, a stranger's."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@dataclass(frozen=True, slots=True)
class Authority:
    """PEM files; the stranger's certificate has another CA."""

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path
    stranger_certificate: Path
    stranger_key: Path
    locked_key: Path


def make_authority(folder: Path) -> Authority:
    """Make all files in *folder*; the server is 127.0.0.1 and localhost."""
    ca, ca_key = _self_signed(folder, "ca")
    stranger, stranger_key = _self_signed(folder, "stranger")
    names = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    issuer = ("-CA", f"{ca}", "-CAkey", f"{ca_key}")
    certificate, key = _self_signed(folder, "server", *issuer, *names)
    client, client_key = _self_signed(folder, "client", *issuer)
    locked = folder / "locked-key.pem"
    openssl("ec", "-in", f"{key}", "-aes256", "-passout", "pass:secret", "-out", f"{locked}")
    locked.chmod(0o600)
    return Authority(ca, certificate, key, client, client_key, stranger, stranger_key, locked)


def _self_signed(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    files = ("-keyout", f"{key}", "-out", f"{certificate}")
    openssl("req", "-x509", *_EC, "-subj", f"/CN=psa test {name}", *files, *more)
    key.chmod(0o600)
    return certificate, key


def openssl(*arguments: str) -> None:
    subprocess.run(["/usr/bin/openssl", *arguments], check=True, capture_output=True)
