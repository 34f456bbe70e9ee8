"""The simulator's TLS certificate: self-signed, made once, with the openssl command."""

import hashlib
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path

DAYS = "3650"


def ensure(folder: Path, hosts: Iterable[str]) -> tuple[Path, Path]:
    """Certificate and key in *folder*, made for the addresses *hosts* if they are not there yet."""
    certificate, key = folder / "pve-cert.pem", folder / "pve-key.pem"
    if not (certificate.exists() and key.exists()):
        names = ",".join(f"IP:{host}" for host in sorted(set(hosts)))
        argv = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", DAYS, "-subj", "/CN=psa lab Proxmox VE", "-addext", f"subjectAltName={names}",
            "-keyout", str(key), "-out", str(certificate),
        ]  # fmt: skip
        subprocess.run(argv, check=True, capture_output=True)
    return certificate, key


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls


def fingerprint(certificate: Path) -> str:
    """SHA-256 as Proxmox prints it: upper case, with colons."""
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    return ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())
