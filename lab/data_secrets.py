"""Passwords of a lab's data services: made once, a file each, closed to others."""

import secrets
from pathlib import Path
from typing import Final

from lab.layout import Lab

#: What specs select by name: the settings' ``secrets``.
FOR_SPECS: Final = ("psa-app", "replicator", "redis-password", "rabbitmq-app")
#: What the daemon comes with, the secret name of Redis's CONFIG, and PostgreSQL's superuser, who is the lab.
FOR_ENDPOINTS: Final = (
    "postgres-superuser",
    "postgres-reconciler",
    "rabbitmq-reconciler",
    "elasticsearch-reconciler",
    "redis-config-command",
)


def secret_file(lab: Lab, name: str) -> Path:
    """Return where a secret lies."""
    return lab.secrets / name


def secret(lab: Lab, name: str) -> str:
    """Return a secret's text."""
    return secret_file(lab, name).read_text().strip()


def write_secrets(lab: Lab) -> None:
    """Make those that are missing."""
    lab.secrets.mkdir(mode=0o700, exist_ok=True)
    for name in (*FOR_SPECS, *FOR_ENDPOINTS):
        path = secret_file(lab, name)
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(f"{secrets.token_hex(16)}\n")
